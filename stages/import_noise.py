"""Write the archive of the user's noise recordings, which is empty if there are none."""

import argparse

from denoise.corpus.provenance import write_provenance
from denoise.noise.importer import import_noise
from denoise.params import Params
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the recordings of `download.noise` to `paths.noise`, and `paths.provenance`."""
    provenance = import_noise(params.download.noise, paths.noise)
    write_provenance(paths.provenance, paths.noise, provenance)


if __name__ == "__main__":
    run(main, "noise", "provenance")
