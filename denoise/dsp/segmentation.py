"""Find the utterances in a recording of speech: cut at pauses, and drop stretches without speech.

The decisions rest on the level of each frame of 20 ms, so a recording of any length is read in
blocks, twice: first for its levels (`measure_levels`), then to cut the utterances out (`cut`).
Between the two, `find_utterances` sees the levels of the whole recording: an hour has 180,000.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import SILENCE_RMS, Block, Waveform

FRAME_SECONDS = 0.02
MIN_SECONDS = 1.0  # of an utterance, unless the recording has no longer one
MIN_ONLY_SECONDS = 0.3  # of the only utterance of a recording
MAX_SECONDS = 10.0
MAX_PAUSE_SECONDS = 0.6  # within an utterance; a longer pause separates two
MAX_PAUSE_BY_SHORT_SECONDS = 1.5  # if one of the two would be too short
MARGIN_SECONDS = 0.1  # kept before and after the speech
CUT_SECONDS = 0.2  # an utterance that is too long is cut where such a stretch is quietest
MIN_SOUND_SECONDS = 0.06  # a shorter sound is a click

# The level at which speech starts is ABOVE_FLOOR_DB above the background noise, limited to between
# QUIETEST_DB and LOUDEST_DB relative to the speech level, and never below SILENCE_DB. Speech ends
# where the level falls HYSTERESIS_DB below that.
ABOVE_FLOOR_DB = 9.0
QUIETEST_DB = -35.0
LOUDEST_DB = -10.0
HYSTERESIS_DB = 4.0
SPEECH_PERCENTILE = 95  # the speech level, among the frames above the background noise
FLOOR_PERCENTILE = 10  # of the levels in a second
FLOOR_SECONDS = 5  # the background noise is the lowest such percentile this far back or ahead
MIN_POWER = 1e-12  # -120 dB, so that digital silence has a level
DB_PER_NEPER = np.float32(10 / np.log(10))  # float32 logarithms are the same on every processor
SILENCE_DB = float(20 * np.log10(SILENCE_RMS))

Levels = npt.NDArray[np.float32]
Span = tuple[int, int]
"""The first frame, and the one after the last."""


def measure_levels(blocks: Iterable[Block]) -> Levels:
    """Return the level of each frame in dB relative to full scale, without DC offset."""
    levels, rest = [], np.empty(0, np.float32)
    for block, sample_rate in blocks:
        frame_length = _frame_length(sample_rate)
        samples = np.concatenate([rest, block])
        n_whole = len(samples) // frame_length * frame_length
        levels.append(_levels_of(samples[:n_whole].reshape(-1, frame_length)))
        rest = samples[n_whole:]
    if len(rest):
        levels.append(_levels_of(rest[None]))
    return np.concatenate(levels)


def _frame_length(sample_rate: int) -> int:
    return round(sample_rate * FRAME_SECONDS)


def _levels_of(frames: Waveform) -> Levels:
    power = np.var(frames, axis=1, dtype=np.float64)
    return DB_PER_NEPER * np.log(np.maximum(power, MIN_POWER).astype(np.float32))


def find_utterances(levels: Levels) -> list[Span]:
    """Return the utterances in order, in frames; none where all is silent or too short.

    Stretches of speech with short pauses between them make one utterance. One that is longer than
    MAX_SECONDS is cut where it is quietest. A recording of steady sound, in which nothing tells
    speech from pauses, counts as speech throughout.
    """
    phrases = _join(_find_speech(levels), lambda before, after: True, MAX_PAUSE_SECONDS)
    joined = _join(phrases, _is_one_short, MAX_PAUSE_BY_SHORT_SECONDS)
    margin = _frames(MARGIN_SECONDS)
    utterances = [
        utterance
        for start, stop in joined
        for utterance in _split(levels, max(0, start - margin), min(len(levels), stop + margin))
    ]
    return _drop_short(utterances)


def _join(
    spans: Iterable[Span], may_join: Callable[[Span, Span], bool], max_pause_seconds: float
) -> list[Span]:
    """Join neighbours that `may_join` with no longer pause between them."""
    joined: list[Span] = []
    for span in spans:
        is_near = joined and span[0] - joined[-1][1] <= _frames(max_pause_seconds)
        if is_near and may_join(joined[-1], span):
            span = joined.pop()[0], span[1]
        joined.append(span)
    return joined


def _is_one_short(before: Span, after: Span) -> bool:
    shortest = _frames(MIN_SECONDS - 2 * MARGIN_SECONDS)
    return any(stop - start < shortest for start, stop in (before, after))


def _frames(seconds: float) -> int:
    return round(seconds / FRAME_SECONDS)


def _find_speech(levels: Levels) -> Iterator[Span]:
    """Yield the stretches that somewhere reach the level at which speech starts."""
    starts = _start_levels(levels)
    is_loud = levels > starts - HYSTERESIS_DB
    edges = np.flatnonzero(np.diff(is_loud, prepend=False, append=False))
    for start, stop in edges.reshape(-1, 2).tolist():
        is_sound = stop - start >= _frames(MIN_SOUND_SECONDS)
        if is_sound and (levels[start:stop] > starts[start:stop]).any():
            yield start, stop


def _start_levels(levels: Levels) -> npt.NDArray[np.floating]:
    """Return the level at which speech starts, for each frame."""
    above_floor = _background_levels(levels) + ABOVE_FLOOR_DB
    loud = levels[levels > above_floor]
    if len(loud) < _frames(MIN_ONLY_SECONDS):
        loud = levels
    speech_level = np.percentile(loud, SPEECH_PERCENTILE)
    lowest, highest = speech_level + QUIETEST_DB, speech_level + LOUDEST_DB
    return np.maximum(np.clip(above_floor, lowest, highest), SILENCE_DB)


def _background_levels(levels: Levels) -> npt.NDArray[np.floating]:
    """Return the level of the background noise around each frame."""
    frames_per_second = _frames(1.0)
    seconds = np.split(levels, range(frames_per_second, len(levels), frames_per_second))
    floors = np.array([np.percentile(second, FLOOR_PERCENTILE) for second in seconds])
    # The past alone would take noise that has just begun for speech, the future noise that ends.
    padded = np.pad(floors, FLOOR_SECONDS, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, FLOOR_SECONDS + 1).min(axis=1)
    lowest = np.maximum(windows[:-FLOOR_SECONDS], windows[FLOOR_SECONDS:])  # past, future
    lowest = np.where(np.isfinite(lowest), lowest, floors.min())  # less than both windows
    return np.repeat(lowest, frames_per_second)[: len(levels)]


def _split(levels: Levels, start: int, stop: int) -> Iterator[Span]:
    """Yield parts of at most MAX_SECONDS, each cut where its second half is quietest."""
    longest, shortest, width = map(_frames, (MAX_SECONDS, MIN_SECONDS, CUT_SECONDS))
    while stop - start > longest:
        first = start + longest // 2
        last = min(start + longest, stop - shortest)
        around = levels[first - width // 2 : last + width - width // 2]
        means = np.convolve(around.astype(np.float64), np.ones(width), mode="valid")
        cut_at = first + int(np.argmin(means))
        yield start, cut_at
        start = cut_at
    yield start, stop


def _drop_short(utterances: list[Span]) -> list[Span]:
    """Drop what is shorter than MIN_SECONDS; the longest may stay if there is nothing else."""
    long = [span for span in utterances if span[1] - span[0] >= _frames(MIN_SECONDS)]
    if long or not utterances:
        return long
    longest = max(utterances, key=lambda span: span[1] - span[0])
    return [longest] if longest[1] - longest[0] >= _frames(MIN_ONLY_SECONDS) else []


def cut(blocks: Iterable[Block], utterances: Iterable[Span]) -> Iterator[Block]:
    """Yield the samples of each utterance, keeping no more than one and a block in memory."""
    pending, position = np.empty(0, np.float32), 0  # `position` is that of the first pending sample
    remaining = iter(utterances)
    span = next(remaining, None)
    for block, sample_rate in blocks:
        frame_length = _frame_length(sample_rate)
        pending = np.concatenate([pending, block])
        while span and span[1] * frame_length <= position + len(pending):
            start, stop = (frame * frame_length - position for frame in span)
            yield pending[start:stop], sample_rate
            span = next(remaining, None)
        n_past = len(pending) if span is None else span[0] * frame_length - position
        n_past = min(n_past, len(pending))
        pending, position = pending[n_past:], position + n_past
    if span is not None:  # the last frame of the recording may be shorter than the others
        yield pending, sample_rate
