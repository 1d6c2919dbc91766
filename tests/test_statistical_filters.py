"""The classical filters: they help, whatever the level, and keep the form of their input."""

from collections.abc import Callable

import numpy as np
import pytest

from denoise.dsp.statistical_filters import analysis_params, log_mmse, noise_power, wiener
from denoise.dsp.stft import magnitude, stft
from denoise.evaluation.metrics import si_sdr_db, si_sdr_improvement_db
from denoise.noise.generators import GENERATORS
from tests.speechlike import SAMPLE_RATE, voice, white

CLEAN = voice()
Filter = Callable[[np.ndarray, int], np.ndarray]
FILTERS = pytest.mark.parametrize("denoise", [wiener, log_mmse])


def power(waveform: np.ndarray) -> np.ndarray:
    params = analysis_params(SAMPLE_RATE)
    return np.square(magnitude(stft(waveform, params)), dtype=np.float64)


@FILTERS
@pytest.mark.parametrize(("snr_db", "least"), [(-6, 8), (0, 8), (6, 6)])
def test_they_win_over_white_noise(denoise: Filter, snr_db: float, least: float) -> None:
    for seed in range(3):
        clean = voice(seed)
        noisy = clean + white(clean, snr_db, seed + 10)
        assert si_sdr_improvement_db(clean, noisy, denoise(noisy, SAMPLE_RATE)) > least


@pytest.mark.parametrize("kind", GENERATORS)
def test_wiener_wins_over_every_kind_of_noise(kind: str) -> None:
    noise = GENERATORS[kind](np.random.default_rng(3), len(CLEAN), SAMPLE_RATE)
    noisy = CLEAN + (noise * (CLEAN.std() / noise.std())).astype(np.float32)
    assert si_sdr_improvement_db(CLEAN, noisy, wiener(noisy, SAMPLE_RATE)) > 3


@FILTERS
def test_clean_speech_is_hardly_harmed(denoise: Filter) -> None:
    assert si_sdr_db(CLEAN, denoise(CLEAN, SAMPLE_RATE)) > 25


@FILTERS
@pytest.mark.parametrize("gain", [2.0**-20, 2.0**-7, 2.0**10])
def test_the_level_of_the_input_is_that_of_the_output(denoise: Filter, gain: float) -> None:
    noisy = CLEAN + white(CLEAN, 0)
    moved = denoise(noisy * np.float32(gain), SAMPLE_RATE) / np.float32(gain)
    np.testing.assert_allclose(moved, denoise(noisy, SAMPLE_RATE), atol=1e-6)


@FILTERS
@pytest.mark.parametrize("n_samples", [1, 177, 4097, 22_049])
@pytest.mark.parametrize("sample_rate", [8000, 22_050, 48_000])
def test_length_and_kind_are_kept(denoise: Filter, n_samples: int, sample_rate: int) -> None:
    noisy = white(np.ones(n_samples), 20)
    before = noisy.copy()
    denoised = denoise(noisy, sample_rate)
    assert denoised.shape == noisy.shape
    assert denoised.dtype == np.float32
    assert np.isfinite(denoised).all()
    np.testing.assert_array_equal(noisy, before)


@FILTERS
def test_silence_stays_silence_and_digital_silence_breaks_nothing(denoise: Filter) -> None:
    silence = np.zeros(5000, np.float32)
    np.testing.assert_array_equal(denoise(silence, SAMPLE_RATE), silence)
    gated = np.concatenate([silence, white(np.ones(5000), 20), silence])
    assert np.isfinite(denoise(gated, SAMPLE_RATE)).all()


@FILTERS
def test_pure_noise_is_turned_down(denoise: Filter) -> None:
    noise = white(CLEAN, 0)
    assert denoise(noise, SAMPLE_RATE).std() < 0.35 * noise.std()


def test_noise_power_hears_the_noise_through_the_speech() -> None:
    noise = white(CLEAN, 0)
    true = power(noise).mean(axis=0)[1:-1]
    alone = noise_power(power(noise))[1:-1]
    through_speech = noise_power(power(CLEAN + noise))[1:-1]
    assert 0.5 < np.median(alone / true) < 0.7  # the bias that its docstring admits
    assert 0.8 < np.median(through_speech / alone) < 1.3
    assert np.quantile(through_speech / alone, 0.95) < 2


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_windows_last_32_ms_and_overlap_by_three_quarters(sample_rate: int) -> None:
    params = analysis_params(sample_rate)
    assert params.win_length == params.n_fft == 4 * params.hop_length
    assert params.win_length / sample_rate == pytest.approx(0.032, rel=0.05)
