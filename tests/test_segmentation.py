"""Cutting recordings at pauses: where utterances start and end, and that memory stays bounded."""

import itertools
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise.dsp.segmentation import (
    FRAME_SECONDS,
    MARGIN_SECONDS,
    MAX_SECONDS,
    MIN_ONLY_SECONDS,
    MIN_SECONDS,
    Block,
    cut,
    find_utterances,
    measure_levels,
)
from tests.corpora import speech_waveform

RATE = 8000


def blocks_of(waveform: np.ndarray, size: int = 65_536, rate: int = RATE) -> Iterator[Block]:
    for start in range(0, len(waveform), size):
        yield waveform[start : start + size].astype(np.float32), rate


def spans_of(waveform: np.ndarray) -> list[tuple[float, float]]:
    """Return the start and the end of each utterance in seconds."""
    spans = find_utterances(measure_levels(blocks_of(waveform)))
    return [(start * FRAME_SECONDS, stop * FRAME_SECONDS) for start, stop in spans]


def make(*parts: tuple[str, float]) -> np.ndarray:
    return speech_waveform(3, *parts)


@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("gain", [1.0, 0.05])
def test_a_long_pause_separates_and_a_short_one_does_not(offset: float, gain: float) -> None:
    waveform = make(
        ("pause", 3.0), ("speech", 2.0), ("pause", 0.4), ("speech", 2.0), ("pause", 1.5),
        ("speech", 3.0), ("pause", 5.0),
    )  # fmt: skip
    expected = [(3.0, 7.4), (8.9, 11.9)]
    spans = spans_of(gain * waveform + offset)
    assert len(spans) == 2
    for span, (start, stop) in zip(spans, expected, strict=True):
        tolerance = 0.06
        assert span[0] == pytest.approx(start - MARGIN_SECONDS, abs=tolerance)
        assert span[1] == pytest.approx(stop + MARGIN_SECONDS, abs=tolerance)


def test_speech_without_pauses_is_cut_at_most_every_ten_seconds_and_nothing_is_lost() -> None:
    spans = spans_of(make(("speech", 95.0)))
    assert spans[0][0] == 0 and spans[-1][1] == pytest.approx(95.0)
    assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(spans))
    assert all(MIN_SECONDS <= stop - start <= MAX_SECONDS for start, stop in spans)


def test_a_long_utterance_is_cut_in_its_short_pause() -> None:
    (_, first), (second, _) = spans_of(make(("speech", 7.0), ("pause", 0.5), ("speech", 6.0)))
    assert first == second
    assert 7.0 <= first <= 7.5


def test_clicks_and_short_sounds_are_dropped_beside_longer_speech() -> None:
    waveform = make(
        ("click", 1.0), ("speech", 2.0), ("pause", 2.0), ("speech", 0.4), ("pause", 2.0),
        ("click", 2.0), ("click", 2.0),
    )  # fmt: skip
    [(start, stop)] = spans_of(waveform)
    assert 0.7 < start < 1.1 and 2.9 < stop < 3.3


def test_a_short_phrase_joins_its_neighbour_over_a_longer_pause() -> None:
    waveform = make(("speech", 0.4), ("pause", 1.2), ("speech", 2.0), ("pause", 1.2),
                    ("speech", 2.0), ("pause", 1.2), ("speech", 0.4))  # fmt: skip
    assert [(round(start, 1), round(stop, 1)) for start, stop in spans_of(waveform)] == [
        (0.0, 3.7), (4.7, 8.4),
    ]  # fmt: skip


def test_a_word_alone_is_an_utterance() -> None:
    [(start, stop)] = spans_of(make(("pause", 2.0), ("speech", 0.5), ("pause", 2.0)))
    assert 1.7 < start < 2.1 and 2.4 < stop < 2.8


def test_what_is_too_short_or_silent_is_no_utterance() -> None:
    assert spans_of(make(("speech", MIN_ONLY_SECONDS - 0.1))) == []
    assert spans_of(np.zeros(5 * RATE)) == []
    assert spans_of(1e-5 * make(("speech", 5.0))) == []
    assert spans_of(np.full(5 * RATE, 0.3)) == []  # an offset is no sound


def test_steady_sound_is_kept() -> None:
    spans = spans_of(np.random.default_rng(1).uniform(-0.1, 0.1, 25 * RATE))
    assert spans[0][0] == 0 and spans[-1][1] == pytest.approx(25.0)


def test_rare_speech_in_a_long_recording_is_found() -> None:
    waveform = make(("pause", 300.0), ("speech", 3.0), ("pause", 300.0))
    [(start, stop)] = spans_of(waveform)
    assert 299.7 < start < 300.1 and 302.9 < stop < 303.3


def test_a_quieter_speaker_and_louder_noise_later_on_are_told_apart() -> None:
    first = make(("speech", 4.0), ("pause", 30.0))
    second = make(("pause", 30.0), ("speech", 4.0), ("pause", 30.0))
    noise = 10 ** (-16 / 20) * 0.04 * np.random.default_rng(5).uniform(-1, 1, len(second))
    spans = spans_of(np.concatenate([first, 0.2 * second + noise]))
    assert [round(start) for start, _ in spans] == [0, 64]
    assert sum(stop - start for start, stop in spans) < 9


def spans_of_levels(*parts: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the start and the end of each utterance, of parts at a level for some seconds."""
    levels = [np.full(round(seconds / FRAME_SECONDS), level) for level, seconds in parts]
    spans = find_utterances(np.concatenate(levels).astype(np.float32))
    return [(round(start * FRAME_SECONDS, 2), round(stop * FRAME_SECONDS, 2))
            for start, stop in spans]  # fmt: skip


def test_weak_speech_within_a_phrase_does_not_end_it() -> None:
    assert spans_of_levels((-60, 7), (-20, 1), (-53, 1), (-20, 1), (-60, 7)) == [(6.9, 10.1)]
    assert spans_of_levels((-60, 7), (-20, 1), (-57, 1), (-20, 1), (-60, 7)) == [
        (6.9, 8.1), (8.9, 10.1),
    ]  # fmt: skip


def test_speech_at_the_very_end_is_not_taken_for_background_noise() -> None:
    assert spans_of_levels((-60, 7), (-20, 3), (-60, 7), (-33, 1.5)) == [(6.9, 10.1), (16.9, 18.5)]


def test_a_cut_leaves_no_part_that_is_too_short() -> None:
    spans = spans_of_levels((-20, 9.8), (-30, 0.2), (-20, 0.6))
    assert [stop - start >= MIN_SECONDS for start, stop in spans] == [True, True]
    assert spans[0][0] == 0 and spans[-1][1] == 10.6


def test_speech_in_loud_noise_is_kept_whole() -> None:
    assert spans_of_levels((-30, 2), (-24, 2), (-30, 2), (-24, 2)) == [(0, 8)]


def test_sound_far_below_the_speech_is_none_however_quiet_the_pauses() -> None:
    assert spans_of_levels((-100, 7), (-20, 3), (-100, 7), (-70, 3), (-100, 7)) == [(6.9, 10.1)]


@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(1, 20_000),
    rate=st.sampled_from([8000, 11_025, 22_050]),
    seconds=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=6),
)
def test_cuts_are_those_of_the_whole_waveform_whatever_the_blocks(
    size: int, rate: int, seconds: list[float]
) -> None:
    kinds = ["speech", "pause"] * 3
    parts = list(zip(kinds, seconds, strict=False))
    waveform = speech_waveform(2, *parts, sample_rate=rate).astype(np.float32)
    levels = measure_levels(blocks_of(waveform, size, rate))
    whole = measure_levels([(waveform, rate)])
    np.testing.assert_array_equal(levels, whole)
    length = round(rate * FRAME_SECONDS)
    spans = [*find_utterances(whole), (len(whole) - 1, len(whole))]  # the last frame may be short
    spans.sort()
    pieces = [piece for piece, _ in cut(blocks_of(waveform, size, rate), spans[:1])]
    start, stop = spans[0]
    np.testing.assert_array_equal(pieces[0], waveform[start * length : stop * length])
    pieces = [piece for piece, _ in cut(blocks_of(waveform, size, rate), spans[-1:])]
    np.testing.assert_array_equal(pieces[0], waveform[(len(whole) - 1) * length :])


def test_memory_does_not_grow_with_the_length() -> None:
    minute = make(*[("speech", 2.3), ("pause", 0.7)] * 20)

    def two_hours() -> Iterator[Block]:
        for _ in range(120):
            yield from blocks_of(minute)

    tracemalloc.start()
    try:
        spans = find_utterances(measure_levels(two_hours()))
        seconds = sum(len(piece) / RATE for piece, _ in cut(two_hours(), spans))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds > 0.7 * 7200
    assert len(spans) == 2400
    assert peak < 40e6
