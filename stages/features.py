"""Cache the spectrograms of each clip and its noisy twins, for training and validation."""

import argparse

from denoise.atomic import replacing_folder
from denoise.corpus.archive import CorpusArchive
from denoise.features import write_features
from denoise.manifest import read_manifest
from denoise.params import Params
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the caches into `paths.features` from `paths.archive` and `paths.manifest`."""
    manifest = read_manifest(paths.manifest)
    with CorpusArchive(paths.archive) as corpus, replacing_folder(paths.features) as folder:
        rejected = write_features(corpus, manifest, params, folder)
    print(rejected.report())


if __name__ == "__main__":
    run(main, "archive", "manifest", "features")
