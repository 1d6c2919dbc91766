"""Decodes the recordings of a corpus and works on each, in several processes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd

from denoise.corpus.archive import CorpusArchive, OovUtterance, Utterance
from denoise.corpus.loader import Load, Rejections, show_progress
from denoise.corpus.manifest import utterance_of
from denoise.dsp.audio import Waveform, load_clip
from denoise.errors import AudioError
from denoise.params import AudioParams
from denoise.util.parallel import SERIAL, Workers

Context = TypeVar("Context")
Result = TypeVar("Result")


def named_utterances(rows: pd.DataFrame) -> dict[str, Utterance | OovUtterance]:
    """Return the utterances of manifest rows by their ids."""
    return {str(row["utterance_id"]): utterance_of(row) for _, row in rows.iterrows()}


def named_oov(corpus: CorpusArchive) -> dict[str, Utterance | OovUtterance]:
    """Return the corpus's OOV utterances by their members."""
    return {oov.member: oov for oov in corpus.oov_utterances}


@dataclass(frozen=True)
class _Job:
    """What all calls of `process_recordings` share."""

    corpus: CorpusArchive
    params: AudioParams
    load: Load
    process: Callable[[Any, str, Waveform], Any]
    context: Any


def process_recordings(
    corpus: CorpusArchive,
    recordings: Mapping[str, Utterance | OovUtterance],
    params: AudioParams,
    rejections: Rejections,
    process: Callable[[Context, str, Waveform], Result],
    context: Context,
    workers: Workers = SERIAL,
    load: Load = load_clip,
) -> Iterator[tuple[str, Result]]:
    """Yield the name of each recording with `process(context, name, clip)`; collect failures.

    A clip is what `load` returns. Both functions run in `workers`, so they must be those of a
    module; names and failures come in the order of `recordings` all the same.
    """
    job = _Job(corpus, params, load, process, context)
    outcomes = workers.map(_load_and_process, job, recordings.items())
    for name, outcome in zip(show_progress(recordings, len(recordings)), outcomes, strict=True):
        if isinstance(outcome, AudioError):
            rejections.reasons[name] = str(outcome)
        else:
            yield name, outcome


def _load_and_process(job: _Job, named: tuple[str, Utterance | OovUtterance]) -> Any:
    """Return the result for one recording, or why it cannot be loaded."""
    name, recording = named
    try:
        clip = job.load(job.corpus.read_any(recording), job.params)
    except AudioError as error:
        return error
    return job.process(job.context, name, clip)
