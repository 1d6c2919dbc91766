"""The ESTOI loss ranks clips as ESTOI does."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from denoise.dsp.audio import rms
from denoise.dsp.stft import magnitude, stft
from denoise.evaluation.metrics import estoi
from denoise.params import SpectrogramParams
from denoise.training.estoi_loss import (
    FIRST_BAND_HZ,
    N_BANDS,
    envelope_correlation,
    third_octave_filterbank,
)
from tests.speechlike import SAMPLE_RATE, voice, white

PARAMS = SpectrogramParams(1024, 256, 1024)
FRAME_RATE = SAMPLE_RATE / PARAMS.hop_length
FILTERBANK = third_octave_filterbank(PARAMS.n_bins, SAMPLE_RATE)


def correlation(clean: np.ndarray, denoised: np.ndarray) -> float:
    gain = np.float32(1 / rms(clean))
    powers = [np.square(magnitude(stft(w * gain, PARAMS)))[None] for w in (clean, denoised)]
    level = powers[0].mean()
    powers = [power / level for power in powers]
    return float(envelope_correlation(*powers, FILTERBANK, FRAME_RATE)[0])


def test_bands_tile_the_spectrum_a_third_of_an_octave_each() -> None:
    assert FILTERBANK.shape == (PARAMS.n_bins, N_BANDS)
    covered = FILTERBANK.sum(axis=1)
    width = SAMPLE_RATE / 2 / (PARAMS.n_bins - 1)
    edges = FIRST_BAND_HZ * 2 ** (np.array([-1, 2 * N_BANDS - 1]) / 6)
    inside = np.arange(PARAMS.n_bins) * width
    inside = (inside > edges[0] + width) & (inside < edges[1] - width)
    np.testing.assert_allclose(covered[inside], 1, atol=1e-5)
    assert covered[0] == 0 == covered[-1]
    widths = FILTERBANK.sum(axis=0) * width
    np.testing.assert_allclose(widths[1:] / widths[:-1], 2 ** (1 / 3), rtol=1e-3)


def test_clean_speech_is_wholly_intelligible_at_any_level() -> None:
    clean = voice()
    assert correlation(clean, clean) == pytest.approx(1, abs=1e-3)
    assert correlation(clean, 0.3 * clean) == pytest.approx(1, abs=1e-2)


def test_the_correlation_ranks_as_estoi_does() -> None:
    pairs = [
        (correlation(clean, noisy), estoi(clean, noisy, SAMPLE_RATE))
        for clean in (voice(0), voice(1))
        for noisy in (clean + white(clean, snr_db) for snr_db in (-12, -6, 0, 6, 12, 20))
    ]
    ours, theirs = np.array(pairs).T
    assert spearmanr(ours, theirs).statistic > 0.95
    np.testing.assert_allclose(ours, theirs, atol=0.2)


@pytest.mark.parametrize(("gain_db", "is_removed"), [(-50, True), (-30, False)])
def test_frames_without_speech_do_not_count(gain_db: float, is_removed: bool) -> None:
    rng = np.random.default_rng(0)
    clean, denoised = rng.random((2, 60, PARAMS.n_bins), np.float32)
    quiet = np.sort(rng.choice(60, 12, replace=False)).tolist()
    clean[quiet] *= np.float32(10 ** (gain_db / 10))

    def correlate(frames: list[int]) -> float:
        powers = clean[None, frames], denoised[None, frames]
        return float(envelope_correlation(*powers, FILTERBANK, FRAME_RATE)[0])

    loud = [frame for frame in range(60) if frame not in quiet]
    assert (abs(correlate(list(range(60))) - correlate(loud)) < 1e-5) == is_removed
