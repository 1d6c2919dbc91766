"""Write the archive of the noise recordings, which is empty if the params name none."""

import argparse

from denoise.corpus.open_data import open_recordings
from denoise.corpus.provenance import write_provenance
from denoise.noise.importer import import_noise
from denoise.params import Params
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the user's and the open recordings to `paths.noise`, and `paths.provenance`."""
    download = params.download
    names, mirrors = download.open.noise, download.open.mirrors
    with open_recordings(paths.catalogue, "noise", names, mirrors) as fetched:
        provenance = import_noise(
            download.noise, paths.noise, fetched.folder, download.max_damaged_fraction
        )
    write_provenance(paths.provenance, paths.noise, {**provenance, **fetched.provenance})


if __name__ == "__main__":
    run(main, "catalogue", "noise", "provenance")
