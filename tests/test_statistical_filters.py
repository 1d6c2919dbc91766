"""The statistical filters: they improve the SI-SDR at any level and keep length and type."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad

from denoise.dsp.statistical_filters import (
    _log_mmse_gain,
    _wiener_gain,
    log_mmse,
    noise_power,
    stft_params,
    wiener,
)
from denoise.dsp.stft import magnitude, stft
from denoise.evaluation.metrics import si_sdr_db
from denoise.noise.generators import GENERATORS
from tests.speechlike import SAMPLE_RATE, voice, white

CLEAN = voice()
Filter = Callable[[np.ndarray, int], np.ndarray]
FILTERS = pytest.mark.parametrize("denoise", [wiener, log_mmse])


def power(waveform: np.ndarray) -> np.ndarray:
    params = stft_params(SAMPLE_RATE)
    return np.square(magnitude(stft(waveform, params)), dtype=np.float64)


@FILTERS
@pytest.mark.parametrize(("snr_db", "minimum"), [(-6, 8), (0, 8), (6, 6)])
def test_they_improve_speech_in_white_noise(denoise: Filter, snr_db: float, minimum: float) -> None:
    for seed in range(3):
        clean = voice(seed)
        noisy = clean + white(clean, snr_db, seed + 10)
        improvement = si_sdr_db(clean, denoise(noisy, SAMPLE_RATE)) - si_sdr_db(clean, noisy)
        assert improvement > minimum


# A draw of textures may be clicks or rumble, which no filter for steady noise removes.
@pytest.mark.parametrize("noise_type", [name for name in GENERATORS if name != "textures"])
def test_wiener_improves_speech_in_every_type_of_steady_noise(noise_type: str) -> None:
    noise = GENERATORS[noise_type](np.random.default_rng(3), len(CLEAN), SAMPLE_RATE)
    noisy = CLEAN + (noise * (CLEAN.std() / noise.std())).astype(np.float32)
    assert si_sdr_db(CLEAN, wiener(noisy, SAMPLE_RATE)) - si_sdr_db(CLEAN, noisy) > 3


@FILTERS
def test_clean_speech_is_hardly_changed(denoise: Filter) -> None:
    assert si_sdr_db(CLEAN, denoise(CLEAN, SAMPLE_RATE)) > 25


@FILTERS
@pytest.mark.parametrize("gain", [2.0**-20, 2.0**-7, 2.0**10])
def test_scaling_the_input_scales_the_output(denoise: Filter, gain: float) -> None:
    noisy = CLEAN + white(CLEAN, 0)
    rescaled = denoise(noisy * np.float32(gain), SAMPLE_RATE) / np.float32(gain)
    np.testing.assert_allclose(rescaled, denoise(noisy, SAMPLE_RATE), atol=1e-6)


@FILTERS
@pytest.mark.parametrize("n_samples", [1, 177, 4097, 22_049])
@pytest.mark.parametrize("sample_rate", [8000, 22_050, 48_000])
def test_length_and_type_are_kept(denoise: Filter, n_samples: int, sample_rate: int) -> None:
    noisy = white(np.ones(n_samples), 20)
    before = noisy.copy()
    denoised = denoise(noisy, sample_rate)
    assert denoised.shape == noisy.shape
    assert denoised.dtype == np.float32
    assert np.isfinite(denoised).all()
    np.testing.assert_array_equal(noisy, before)


@FILTERS
def test_silence_stays_silent_and_digital_silence_gives_finite_output(denoise: Filter) -> None:
    silence = np.zeros(5000, np.float32)
    np.testing.assert_array_equal(denoise(silence, SAMPLE_RATE), silence)
    gated = np.concatenate([silence, white(np.ones(5000), 20), silence])
    assert np.isfinite(denoise(gated, SAMPLE_RATE)).all()


@FILTERS
def test_pure_noise_is_attenuated(denoise: Filter) -> None:
    noise = white(CLEAN, 0)
    assert denoise(noise, SAMPLE_RATE).std() < 0.35 * noise.std()


@pytest.mark.parametrize("prior_snr", [0.03, 0.5, 1.0, 20.0])
@pytest.mark.parametrize("posterior_snr", [0.05, 1.0, 3.0, 10.0])
def test_log_mmse_gain_is_that_of_ephraim_and_malah(prior_snr: float, posterior_snr: float) -> None:
    """Compute the exponential integral of the paper of 1985 numerically."""
    lower = prior_snr / (1 + prior_snr) * posterior_snr
    integral, _ = quad(lambda t: np.exp(-t) / t, lower, np.inf)
    expected = prior_snr / (1 + prior_snr) * np.exp(0.5 * integral)
    snrs = np.array([prior_snr]), np.array([posterior_snr])
    assert _log_mmse_gain(*snrs) == pytest.approx(expected, rel=1e-6)
    assert _wiener_gain(*snrs) == pytest.approx(prior_snr / (1 + prior_snr))
    assert _log_mmse_gain(*snrs) > _wiener_gain(*snrs)


def test_log_mmse_attenuates_noise_less_than_the_wiener_filter() -> None:
    noise = white(CLEAN, 0)
    assert log_mmse(noise, SAMPLE_RATE).std() > 1.05 * wiener(noise, SAMPLE_RATE).std()


def test_speech_hardly_changes_the_noise_power_estimate() -> None:
    noise = white(CLEAN, 0)
    mean_power = power(noise).mean(axis=0)[1:-1]
    from_noise = noise_power(power(noise))[1:-1]
    from_noisy = noise_power(power(CLEAN + noise))[1:-1]
    assert 0.5 < np.median(from_noise / mean_power) < 0.7  # the bias is in the docstring
    assert 0.8 < np.median(from_noisy / from_noise) < 1.3
    assert np.quantile(from_noisy / from_noise, 0.95) < 2


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_windows_last_32_ms_and_overlap_by_three_quarters(sample_rate: int) -> None:
    params = stft_params(sample_rate)
    assert params.win_length == params.n_fft == 4 * params.hop_length
    assert params.win_length / sample_rate == pytest.approx(0.032, rel=0.05)
