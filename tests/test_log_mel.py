"""What the machine listener hears: shapes of spectra, whatever their level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.dsp.log_mel import N_BANDS, feature_shape, filters, log_mel_features
from tests.speechlike import SAMPLE_RATE, voice


@given(level_db=st.floats(-60, 40), seed=st.integers(0, 5))
def test_the_level_changes_nothing(level_db: float, seed: int) -> None:
    clip = voice(seed)
    scaled = (clip * 10 ** (level_db / 20)).astype(np.float32)
    both = log_mel_features(np.stack([clip, scaled]), SAMPLE_RATE)
    assert np.abs(both[0]).max() > 1
    np.testing.assert_allclose(both[0], both[1], atol=1e-3)


def test_silence_has_no_shape() -> None:
    assert np.abs(log_mel_features(np.zeros((1, 8000), np.float32), 8000)).max() < 1e-3


@pytest.mark.parametrize("sample_rate", [4000, 8000, 22_050, 96_000])
@pytest.mark.parametrize("seconds", [0.1, 0.37])
def test_a_pattern_has_the_shape_that_is_foretold(sample_rate: int, seconds: float) -> None:
    n_samples = round(sample_rate * seconds)
    clip = np.random.default_rng(0).standard_normal((2, n_samples), dtype=np.float32)
    found = log_mel_features(clip, sample_rate)
    assert found.dtype == np.float32
    assert found.shape == (2, *feature_shape(n_samples, sample_rate))
    assert np.isfinite(found).all()


def test_a_clip_is_heard_alike_alone_and_among_others() -> None:
    clips = np.stack([voice(seed) for seed in range(3)])
    np.testing.assert_array_equal(
        log_mel_features(clips, SAMPLE_RATE)[1:2], log_mel_features(clips[1:2], 22_050)
    )


@pytest.mark.parametrize("sample_rate", [4000, 22_050])
def test_bands_rise_and_each_hears_something(sample_rate: int) -> None:
    bands = filters(sample_rate)
    assert len(bands) == N_BANDS
    centres = [np.average(np.arange(b.start, b.stop), weights=w) for b, w in bands]
    assert (np.diff(centres) >= 0).all()
    assert all((weights > 0).all() for _, weights in bands)


def test_a_rising_tone_moves_through_the_bands() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sweep = np.sin(2 * np.pi * (200 + 1500 * time) * time).astype(np.float32)
    loudest = log_mel_features(sweep[None], SAMPLE_RATE)[0].argmax(axis=0)  # the frame of each band
    assert loudest[5] < loudest[15] < loudest[25]
