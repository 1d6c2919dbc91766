"""Tests of the reconstruction of a waveform from a masked STFT."""

import numpy as np
import pytest

from denoise.dsp.stft import magnitude, stft
from denoise.evaluation.reconstruction import clip_denoiser, griffin_lim
from denoise.network.spec import MaskNetwork, NetworkSpec, with_refined_phases
from denoise.params import SpectrogramParams

PARAMS = SpectrogramParams(n_fft=256, hop_length=64, win_length=256)
UNCHANGED = with_refined_phases(
    MaskNetwork(
        lambda stft: np.ones(stft.shape[:3], np.float32),
        NetworkSpec(8000, PARAMS, receptive_field_frames=0, stride=1),
    )
)
"""A network that lets everything pass."""


def chirp(n_samples: int) -> np.ndarray:
    time = np.arange(n_samples) / 8000
    return (0.3 * np.sin(2 * np.pi * (300 + 800 * time) * time)).astype(np.float32)


@pytest.mark.filterwarnings("ignore:n_fft=256 is too large")
@pytest.mark.parametrize("n_samples", [1, 63, 64, 65, 3999, 4000, 4001, 4032])
@pytest.mark.parametrize("name", ["noisy_phase", "griffin_lim"])
def test_result_has_the_requested_length(name: str, n_samples: int) -> None:
    (reconstructed,) = clip_denoiser(UNCHANGED, name)(chirp(n_samples)[None])
    assert (reconstructed.dtype, reconstructed.shape) == (np.float32, (n_samples,))
    assert np.isfinite(reconstructed).all()


def test_noisy_phase_reconstructs_the_waveform() -> None:
    waveform = chirp(4001)
    (reconstructed,) = clip_denoiser(UNCHANGED, "noisy_phase")(waveform[None])
    np.testing.assert_allclose(reconstructed, waveform, atol=1e-5)


def test_phases_that_griffin_lim_discards_are_not_refined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denoise.evaluation.reconstruction.refine_phase", None)
    (reconstructed,) = clip_denoiser(UNCHANGED, "griffin_lim")(chirp(4001)[None])
    assert reconstructed.any()


@pytest.mark.parametrize("n_samples", [4001, 4032])
def test_griffin_lim_finds_a_consistent_phase(n_samples: int) -> None:
    target = magnitude(stft(chirp(n_samples), PARAMS))
    rng = np.random.default_rng(0)
    random_phase = np.exp(2j * np.pi * rng.uniform(size=target.shape)).astype(np.complex64)
    reconstructed = griffin_lim(target * random_phase, PARAMS, n_samples)
    found = magnitude(stft(reconstructed, PARAMS))
    assert np.linalg.norm(found - target) < 0.25 * np.linalg.norm(target)
    without_phase = griffin_lim(target * (1 + 0j), PARAMS, n_samples)
    np.testing.assert_allclose(without_phase, reconstructed, atol=1e-3)
