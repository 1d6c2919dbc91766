"""Recordings made below the network's sample rate are denoised, before and after resampling."""

import numpy as np
import pytest
import soxr

from benchmarks.example import synthesise
from denoise.corpus.synthetic.acoustics import SAMPLE_RATE
from denoise.evaluation.metrics import si_sdr_db
from denoise.inference.denoiser import Denoiser
from tests.speechlike import white

SPEECH = synthesise()  # words; the network takes gliding harmonics without words for noise


def record_and_resample(
    sample_rate: int, final_rate: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return clean and noisy speech, recorded at one sample rate and resampled to another."""
    clean = soxr.resample(SPEECH, SAMPLE_RATE, sample_rate).astype(np.float32)
    pair = clean, clean + white(clean, snr_db=5, seed=number)
    clean, noisy = (soxr.resample(waveform, sample_rate, final_rate) for waveform in pair)
    return clean.astype(np.float32), noisy.astype(np.float32)


@pytest.mark.parametrize("final_rate", [None, 22_050, 48_000])
@pytest.mark.parametrize("sample_rate", [8000, 16_000])
def test_noise_is_removed_from_recordings_of_a_low_sample_rate(
    sample_rate: int, final_rate: int | None
) -> None:
    rate, denoiser = final_rate or sample_rate, Denoiser.load()
    gains = []
    for clean, noisy in (record_and_resample(sample_rate, rate, number) for number in range(4)):
        gains.append(si_sdr_db(clean, denoiser.denoise(noisy, rate)) - si_sdr_db(clean, noisy))
    assert np.mean(gains) > 4.6 and min(gains) > 4.5


@pytest.mark.parametrize("final_rate", [8000, 44_100])
def test_clean_speech_of_a_low_sample_rate_is_kept(final_rate: int) -> None:
    clean, _ = record_and_resample(8000, final_rate, 1)
    assert si_sdr_db(clean, Denoiser.load().denoise(clean, final_rate)) > 15
