"""From a masked STFT back to a waveform, by the noisy phase or by one that is found."""

import numpy as np
import pytest

from denoise.dsp.stft import magnitude, stft
from denoise.evaluation.reconstruction import RECONSTRUCTIONS, griffin_lim
from denoise.params import SpectrogramParams

PARAMS = SpectrogramParams(n_fft=256, hop_length=64, win_length=256)


def chirp(n_samples: int) -> np.ndarray:
    time = np.arange(n_samples) / 8000
    return (0.3 * np.sin(2 * np.pi * (300 + 800 * time) * time)).astype(np.float32)


@pytest.mark.filterwarnings("ignore:n_fft=256 is too large")
@pytest.mark.parametrize("n_samples", [1, 63, 64, 65, 3999, 4000, 4001, 4032])
@pytest.mark.parametrize("name", ["noisy_phase", "griffin_lim"])
def test_the_length_is_the_one_asked_for(name: str, n_samples: int) -> None:
    rebuilt = RECONSTRUCTIONS[name](stft(chirp(n_samples), PARAMS), PARAMS, n_samples)
    assert (rebuilt.dtype, rebuilt.shape) == (np.float32, (n_samples,))
    assert np.isfinite(rebuilt).all()


def test_the_noisy_phase_gives_the_waveform_back() -> None:
    waveform = chirp(4001)
    rebuilt = RECONSTRUCTIONS["noisy_phase"](stft(waveform, PARAMS), PARAMS, 4001)
    np.testing.assert_allclose(rebuilt, waveform, atol=1e-5)


@pytest.mark.parametrize("n_samples", [4001, 4032])
def test_a_phase_is_found_that_fits_the_magnitudes(n_samples: int) -> None:
    wanted = magnitude(stft(chirp(n_samples), PARAMS))
    rng = np.random.default_rng(0)
    random_phase = np.exp(2j * np.pi * rng.uniform(size=wanted.shape)).astype(np.complex64)
    rebuilt = griffin_lim(wanted * random_phase, PARAMS, n_samples)
    found = magnitude(stft(rebuilt, PARAMS))
    assert np.linalg.norm(found - wanted) < 0.25 * np.linalg.norm(wanted)
    without_phase = griffin_lim(wanted * (1 + 0j), PARAMS, n_samples)
    np.testing.assert_allclose(without_phase, rebuilt, atol=1e-3)
