"""Decode the clips that manifest rows list, and OOV speech; collect the recordings that fail."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

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
    for _, row in show_progress(rows.iterrows(), len(rows)):
        with rejections.collect(str(row["utterance_id"])):
            yield row, load(corpus.read(utterance_of(row)), params)


def show_progress(clips: Iterable[Any], total: int) -> Iterable[Any]:
    """Return the same clips; on a terminal, taking them shows how many of `total` are done."""
    progress: Iterable[Any] = tqdm(clips, total=total, unit="clip", disable=not sys.stderr.isatty())
    return progress


def loader_for(rows: pd.DataFrame) -> Load:
    """Return how to load manifest rows: digits at one length, other speech at its own."""
    return load_clip if rows["digit"].notna().any() else load_utterance
