"""Train the machine listener on the training speakers' digits, clean and in noise of its own."""

import argparse

from denoise.clips import Rejected
from denoise.corpus.archive import CorpusArchive
from denoise.determinism import make_deterministic
from denoise.lessons import prepare_lessons
from denoise.listener import ListenerSnapshot
from denoise.manifest import read_manifest
from denoise.params import Params
from denoise.teaching import teach
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the bundle at `paths.listener` from `paths.archive` and `paths.manifest`."""
    make_deterministic(params.train.threads)
    manifest, rejected = read_manifest(paths.manifest), Rejected()
    with CorpusArchive(paths.archive) as corpus:
        lessons = prepare_lessons(corpus, manifest, params.audio, params.listener, rejected)
    print(rejected.report())
    snapshot = ListenerSnapshot(params.audio, params.listener.channels)
    teach(*lessons, snapshot, params.listener).save(paths.listener)


if __name__ == "__main__":
    run(main, "archive", "manifest", "listener")
