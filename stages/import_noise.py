"""Put one archive of noise recordings in place, an empty one where there are none."""

import argparse

from denoise.corpus.provenance import write_provenance
from denoise.noise.importer import import_noise
from denoise.params import Params
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write `paths.noise` from what `download.noise` names, and where it came from."""
    about = import_noise(params.download.noise, paths.noise)
    write_provenance(paths.provenance, paths.noise, about)


if __name__ == "__main__":
    run(main, "noise", "provenance")
