"""Cache what training reads: spectrograms of clean and noisy clips, or banks of waveforms."""

import argparse

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.manifest import read_manifest
from denoise.features.build import write_banks, write_features
from denoise.noise.archive import NoiseArchive
from denoise.noise.sources import open_noise_sources
from denoise.params import Params
from denoise.util.atomic import replacing_folder
from denoise.util.parallel import open_workers
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the caches into `paths.features` from corpus, noise and manifest."""
    manifest = read_manifest(paths.manifest)
    with (
        CorpusArchive(paths.archive) as corpus,
        NoiseArchive(paths.noise) as noise,
        replacing_folder(paths.features) as folder,
        open_workers(params.parallel, len(manifest) + len(corpus.oov_utterances)) as workers,
    ):
        if params.features.cache == "waveforms":
            rejections = write_banks(corpus, manifest, noise, params, folder, workers)
        else:
            sources = open_noise_sources(
                corpus, manifest, noise, noise.training, params.audio.sample_rate
            )
            rejections = write_features(corpus, manifest, sources, params, folder, workers)
    print(rejections.report())


if __name__ == "__main__":
    run(main, "archive", "noise", "manifest", "features")
