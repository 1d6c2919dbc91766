"""Recordings of a lower rate than the network's are cleaned too, whatever rate they have now."""

import numpy as np
import pytest
import soxr

from denoise.evaluation.metrics import si_sdr_db
from denoise.inference.denoiser import Denoiser
from tests.speechlike import SAMPLE_RATE, voice, white


def recorded_at(sample_rate: int, rate_now: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a voice and its noisy twin, recorded at one rate and brought to another."""
    clean = soxr.resample(voice(number, 3.0), SAMPLE_RATE, sample_rate).astype(np.float32)
    pair = clean, clean + white(clean, snr_db=5)
    brought = [soxr.resample(waveform, sample_rate, rate_now) for waveform in pair]
    return brought[0].astype(np.float32), brought[1].astype(np.float32)


@pytest.mark.parametrize("rate_now", [None, 22_050, 48_000])
@pytest.mark.parametrize("sample_rate", [8000, 16_000])
def test_noise_goes_from_recordings_of_low_rates_too(
    sample_rate: int, rate_now: int | None
) -> None:
    now, denoiser = rate_now or sample_rate, Denoiser.load()
    gains = []
    for clean, noisy in (recorded_at(sample_rate, now, number) for number in range(4)):
        gains.append(si_sdr_db(clean, denoiser.denoise(noisy, now)) - si_sdr_db(clean, noisy))
    assert np.mean(gains) > 6 and min(gains) > 5.5


@pytest.mark.parametrize("rate_now", [8000, 44_100])
def test_clean_speech_of_a_low_rate_passes(rate_now: int) -> None:
    clean, _ = recorded_at(8000, rate_now, 1)
    assert si_sdr_db(clean, Denoiser.load().denoise(clean, rate_now)) > 15
