"""The log-mel loss: quiet bands count as much as loud ones."""

import numpy as np
import pytest

from denoise.dsp.audio import rms
from denoise.dsp.stft import magnitude, stft
from denoise.params import SpectrogramParams
from denoise.training.log_mel_loss import FLOOR, N_BANDS, log_mel_distance, mean_power_filterbank
from tests.speechlike import SAMPLE_RATE, voice, white

PARAMS = SpectrogramParams(1152, 384, 1152)
FILTERBANK = mean_power_filterbank(PARAMS.n_bins, SAMPLE_RATE)


def distance(clean: np.ndarray, denoised: np.ndarray) -> float:
    powers = (each[None].astype(np.float32) for each in (clean, denoised))
    return float(log_mel_distance(*powers, FILTERBANK)[0])


def power(waveform: np.ndarray) -> np.ndarray:
    return np.square(magnitude(stft(waveform / rms(waveform), PARAMS)))


@pytest.mark.parametrize(("n_bins", "rate"), [(577, 22050), (33, 4000), (9, 96_000)])
def test_the_filterbank_gives_mean_powers(n_bins: int, rate: int) -> None:
    bands = mean_power_filterbank(n_bins, rate)
    assert bands.shape == (n_bins, N_BANDS)
    np.testing.assert_allclose(bands.sum(axis=0), 1, rtol=1e-5)


def test_the_distance_is_in_nepers_of_power() -> None:
    flat = np.ones((5, PARAMS.n_bins), np.float32)
    assert distance(flat, flat) == 0
    for nepers in (1, 2, 3):
        assert distance(flat, flat * np.exp(nepers)) == pytest.approx(nepers, abs=0.12)
        assert distance(flat, flat * np.exp(-nepers)) == pytest.approx(nepers, abs=0.12)


def test_a_quiet_band_counts_as_a_loud_one_down_to_the_floor() -> None:
    loud = np.ones((5, PARAMS.n_bins), np.float32)
    upper = slice(PARAMS.n_bins // 2, None)

    def doubled(level: float) -> float:
        clean = loud.copy()
        clean[:, upper] *= level
        denoised = clean.copy()
        denoised[:, upper] *= 2
        return distance(clean, denoised)

    assert doubled(0.1) == pytest.approx(doubled(1), rel=0.15)
    assert doubled(100 * FLOOR) == pytest.approx(doubled(1), rel=0.2)
    assert doubled(0.01 * FLOOR) < 0.05 * doubled(1)


def test_more_noise_is_a_larger_distance() -> None:
    clean = voice()
    noisy = [power(clean + white(clean, snr_db)) for snr_db in (30, 20, 10, 0, -10)]
    distances = [distance(power(clean), each) for each in noisy]
    assert distances == sorted(distances) and distances[0] > 0
