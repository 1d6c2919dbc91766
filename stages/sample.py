"""Write the manifest: a random sample of the corpus's utterances, split by speaker."""

import argparse

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.manifest import make_manifest, write_manifest
from denoise.params import Params
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the manifest at `paths.manifest` for the corpus at `paths.archive`."""
    with CorpusArchive(paths.archive) as corpus:
        manifest = make_manifest(corpus.utterances, corpus.speakers(), params.sample)
    write_manifest(manifest, paths.manifest)
    for split, rows in manifest.groupby("split"):
        print(f"{split}: {len(rows)} utterances of {rows['speaker_id'].nunique()} speakers")


if __name__ == "__main__":
    run(main, "archive", "manifest")
