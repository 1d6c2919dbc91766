"""Log-mel features: independent of the level, and of a predictable shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.dsp.filterbank import mel_filterbank
from denoise.dsp.log_mel import N_BANDS, feature_shape, log_mel_features, stft_params
from tests.speechlike import SAMPLE_RATE, voice


@given(level_db=st.floats(-60, 40), seed=st.integers(0, 5))
def test_features_do_not_depend_on_the_level(level_db: float, seed: int) -> None:
    clip = voice(seed)
    scaled = (clip * 10 ** (level_db / 20)).astype(np.float32)
    both = log_mel_features(np.stack([clip, scaled]), SAMPLE_RATE)
    assert np.abs(both[0]).max() > 1
    np.testing.assert_allclose(both[0], both[1], atol=1e-3)


def test_features_of_silence_are_close_to_0() -> None:
    assert np.abs(log_mel_features(np.zeros((1, 8000), np.float32), 8000)).max() < 1e-3


@pytest.mark.parametrize("sample_rate", [4000, 8000, 22_050, 96_000])
@pytest.mark.parametrize("seconds", [0.1, 0.37])
def test_features_have_the_predicted_shape(sample_rate: int, seconds: float) -> None:
    n_samples = round(sample_rate * seconds)
    clip = np.random.default_rng(0).standard_normal((2, n_samples), dtype=np.float32)
    found = log_mel_features(clip, sample_rate)
    assert found.dtype == np.float32
    assert found.shape == (2, *feature_shape(n_samples, sample_rate))
    assert np.isfinite(found).all()


def test_a_clips_features_do_not_depend_on_the_batch() -> None:
    clips = np.stack([voice(seed) for seed in range(3)])
    np.testing.assert_array_equal(
        log_mel_features(clips, SAMPLE_RATE)[1:2], log_mel_features(clips[1:2], 22_050)
    )


@pytest.mark.parametrize("sample_rate", [4000, 22_050])
def test_bands_rise_and_each_covers_adjacent_bins(sample_rate: int) -> None:
    n_bins = stft_params(sample_rate).n_bins
    filterbank = mel_filterbank(N_BANDS, n_bins, sample_rate)
    assert filterbank.shape == (n_bins, N_BANDS)
    centres = [np.average(np.arange(n_bins), weights=weights) for weights in filterbank.T]
    assert (np.diff(centres) >= 0).all()
    for weights in filterbank.T:
        (inside,) = np.nonzero(weights)
        assert (weights >= 0).all() and (np.diff(inside) == 1).all() and len(inside)


def test_a_rising_tone_moves_through_the_bands() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sweep = np.sin(2 * np.pi * (200 + 1500 * time) * time).astype(np.float32)
    loudest = log_mel_features(sweep[None], SAMPLE_RATE)[0].argmax(axis=0)  # the frame of each band
    assert loudest[5] < loudest[15] < loudest[25]
