"""Synthesised corpora, opened for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.synthetic.build import synthesise_corpus
from denoise.params import SyntheticParams

SynthesisedCorpus = tuple[CorpusArchive, dict[str, Any]]
"""The archive and its provenance."""


@contextmanager
def synthesised(params: SyntheticParams, folder: Path) -> Iterator[SynthesisedCorpus]:
    """Synthesise a corpus into `folder` and open it."""
    provenance = synthesise_corpus(params, folder / "corpus.zip")
    with CorpusArchive(folder / "corpus.zip") as archive:
        yield archive, provenance
