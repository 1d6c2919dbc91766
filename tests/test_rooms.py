"""Simulated rooms: decaying responses of the drawn strength, and an exact convolution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.dsp.rooms import (
    DIRECT_TO_REVERBERANT_DB,
    REVERBERATION_SECONDS,
    convolve,
    draw_room_response,
    early_part,
)

RATE = 16_000
seeds = st.integers(0, 2**32 - 1)


def draw(seed: int, sample_rate: int = RATE) -> np.ndarray:
    return draw_room_response(np.random.default_rng(seed), sample_rate)


@given(seed=seeds, sample_rate=st.sampled_from([4000, 8000, 16_000, 48_000, 96_000]))
def test_the_direct_sound_comes_first_and_the_rest_has_the_drawn_ratio(
    seed: int, sample_rate: int
) -> None:
    response = draw(seed, sample_rate)
    assert response.dtype == np.float32 and np.isfinite(response).all()
    assert response[0] == 1
    low, high = REVERBERATION_SECONDS
    assert low - 0.001 <= len(response) / sample_rate <= high + 0.001
    ratio_db = -10 * np.log10(np.sum(response[1:].astype(float) ** 2))
    assert DIRECT_TO_REVERBERANT_DB[0] - 0.5 <= ratio_db <= DIRECT_TO_REVERBERANT_DB[1] + 0.5


def test_the_tail_decays_by_60_db() -> None:
    for seed in range(20):
        response = draw(seed).astype(float)
        early, late = len(response) // 4, 3 * len(response) // 4
        power = [np.mean(response[part : part + len(response) // 8] ** 2) for part in (early, late)]
        assert 10 * np.log10(power[0] / power[1]) > 0.8 * 30  # half of the length: 30 dB or more


def test_high_frequencies_decay_faster() -> None:
    slopes = []
    for seed in range(20):
        response = draw(seed).astype(float)
        middle = len(response) // 2
        spectra = [
            np.abs(np.fft.rfft(part)) ** 2 for part in (response[1:middle], response[middle:])
        ]
        split = [len(spectrum) // 2 for spectrum in spectra]
        low, high = (
            spectra[0][: split[0]].sum() / spectra[1][: split[1]].sum(),
            spectra[0][split[0] :].sum() / spectra[1][split[1] :].sum(),
        )
        slopes.append(high / low)
    assert np.median(slopes) > 3


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.5, 10.0])
def test_the_early_part_ends_where_it_should(seconds: float) -> None:
    response = draw(3)
    early = early_part(response, seconds, RATE)
    end = 1 + int(seconds * RATE)
    np.testing.assert_array_equal(early[:end], response[:end])
    assert len(early) == len(response) and not early[end:].any()
    assert response[0] == 1, "the response itself has not changed"


def test_rooms_differ_and_repeat() -> None:
    np.testing.assert_array_equal(draw(3), draw(3))
    assert not np.array_equal(draw(3)[:100], draw(4)[:100])


@pytest.mark.parametrize(("n_samples", "n_response"), [(1, 1), (5, 3), (3, 5), (1000, 700)])
def test_convolution_is_exact_and_keeps_the_length(n_samples: int, n_response: int) -> None:
    rng = np.random.default_rng(0)
    waveform = rng.standard_normal(n_samples).astype(np.float32)
    response = rng.standard_normal(n_response).astype(np.float32)
    expected = np.convolve(waveform.astype(float), response)[:n_samples]
    found = convolve(waveform, response)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_unit_response_changes_nothing() -> None:
    waveform = np.random.default_rng(0).standard_normal(99).astype(np.float32)
    np.testing.assert_allclose(convolve(waveform, np.ones(1, np.float32)), waveform, atol=1e-6)
