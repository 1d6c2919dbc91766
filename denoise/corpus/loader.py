"""Decode the clips that manifest rows list, and OOV speech; collect the recordings that fail."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pandas as pd
from tqdm import tqdm

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.manifest import utterance_of
from denoise.dsp.audio import Waveform, load_clip, load_utterance
from denoise.errors import AudioError
from denoise.params import AudioParams

Load = Callable[[bytes, AudioParams], Waveform]


class Rejections:
    """The recordings that could not be used, with the reasons."""

    def __init__(self) -> None:
        """Start empty."""
        self.reasons: dict[str, str] = {}

    @contextmanager
    def collect(self, name: str) -> Iterator[None]:
        """Catch an AudioError in the block and record it as the reason for `name`."""
        try:
            yield
        except AudioError as error:
            self.reasons[name] = str(error)

    def report(self) -> str:
        """Return one readable line: the number of recordings and the first few reasons."""
        if not self.reasons:
            return "no recording was rejected"
        examples = "; ".join(f"{name}: {why}" for name, why in list(self.reasons.items())[:5])
        return f"{len(self.reasons)} recordings were rejected: {examples}"


def load_clips(
    corpus: CorpusArchive,
    rows: pd.DataFrame,
    params: AudioParams,
    rejections: Rejections,
    load: Load = load_clip,
) -> "Iterator[tuple[pd.Series[object], Waveform]]":
    """Yield each manifest row with its clip, float32 [params.n_samples]; collect failures.

    With `load_utterance` in place of `load_clip`, utterances keep their own length.
    """
    progress = tqdm(rows.iterrows(), total=len(rows), unit="clip", disable=not sys.stderr.isatty())
    for _, row in progress:
        with rejections.collect(str(row["utterance_id"])):
            yield row, load(corpus.read(utterance_of(row)), params)


def loader_for(rows: pd.DataFrame) -> Load:
    """Return how to load manifest rows: digits at one length, other speech at its own."""
    return load_clip if rows["digit"].notna().any() else load_utterance


def load_oov(
    corpus: CorpusArchive, params: AudioParams, rejections: Rejections, load: Load = load_clip
) -> Iterator[Waveform]:
    """Yield the corpus's OOV utterances, float32 [params.n_samples]; collect failures."""
    for oov in corpus.oov_utterances:
        with rejections.collect(oov.member):
            yield load(corpus.read_oov(oov), params)
