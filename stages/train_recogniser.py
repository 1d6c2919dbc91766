"""Train the digit recognisers, on the training speakers' clean speech and in noise."""

import argparse

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.loader import Rejections
from denoise.corpus.manifest import read_manifest
from denoise.network.determinism import make_deterministic
from denoise.params import Params
from denoise.recogniser.data import has_digits, prepare_datasets
from denoise.recogniser.model import NO_DIGITS, NoRecognisers, RecogniserConfig
from denoise.recogniser.train import train_recognisers
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the recognisers at `paths.recogniser` from `paths.archive` and `paths.manifest`.

    For a corpus without digits, this writes that there are none.
    """
    make_deterministic(params.recogniser.threads)
    manifest, rejections = read_manifest(paths.manifest), Rejections()
    if not has_digits(manifest):
        NoRecognisers(NO_DIGITS).save(paths.recogniser)
        print(f"{NO_DIGITS} The recognisers are left out.")
        return
    with CorpusArchive(paths.archive) as corpus:
        datasets = prepare_datasets(corpus, manifest, params.audio, params.recogniser, rejections)
    print(rejections.report())
    config = RecogniserConfig(params.audio, params.recogniser.channels)
    train_recognisers(*datasets, config, params.recogniser).save(paths.recogniser)


if __name__ == "__main__":
    run(main, "archive", "manifest", "recogniser")
