"""Write the corpus archive, from the source that the params name, and its provenance."""

import argparse
import sys

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.provenance import write_provenance
from denoise.corpus.source import write_corpus
from denoise.params import Params
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the corpus at `paths.archive` and its provenance at `paths.provenance`."""
    source = write_corpus(params.download, paths.archive, paths.catalogue, paths.sentences)
    with CorpusArchive(paths.archive) as corpus:
        n_files = len(corpus.utterances)
        n_speakers = len({utterance.speaker_id for utterance in corpus.utterances})
    provenance = {**source, "files": n_files, "speakers": n_speakers}
    write_provenance(paths.provenance, paths.archive, provenance)
    print(f"{paths.archive}: {n_files} recordings of {n_speakers} speakers", file=sys.stderr)


if __name__ == "__main__":
    run(main, "catalogue", "sentences", "archive", "provenance")
