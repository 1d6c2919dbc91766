"""Cache the spectrograms of each clip and its noisy twins, for training and validation."""

import argparse

from denoise.atomic import replacing_folder
from denoise.corpus.archive import CorpusArchive
from denoise.corpus.noise_archive import NoiseArchive
from denoise.features import write_features
from denoise.manifest import read_manifest
from denoise.params import Params
from denoise.recorded import recorded_from
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the caches into `paths.features` from corpus, noise and manifest."""
    manifest = read_manifest(paths.manifest)
    with (
        CorpusArchive(paths.archive) as corpus,
        NoiseArchive(paths.noise) as noise,
        replacing_folder(paths.features) as folder,
    ):
        recorded = recorded_from(corpus, manifest, noise, noise.training, params.audio)
        rejected = write_features(corpus, manifest, recorded, params, folder)
    print(rejected.report())


if __name__ == "__main__":
    run(main, "archive", "noise", "manifest", "features")
