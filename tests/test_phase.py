"""Phases are refined: overlapping frames contradict each other less."""

import numpy as np
import pytest

from denoise.dsp.phase import context_frames, refine_phase
from denoise.dsp.stft import Stft, istft, magnitude, stft
from denoise.params import SpectrogramParams
from tests.test_streaming import make_noise

PARAMS = SpectrogramParams(n_fft=128, hop_length=32, win_length=128)


def masked_noise(n_samples: int = 8000) -> Stft:
    """Return the STFT of noise times a random mask, which is the STFT of no waveform."""
    noisy = stft(make_noise(n_samples), PARAMS)
    mask = np.random.default_rng(1).random(noisy.shape, dtype=np.float32)
    return noisy * mask


def distance_from_a_waveform(frames: Stft, n_samples: int = 8000) -> float:
    """Return by how much the magnitudes change where the frames are made a waveform, 0 to 1."""
    wanted = magnitude(frames)
    found = magnitude(stft(istft(frames, PARAMS, n_samples), PARAMS))
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def test_each_iteration_makes_the_frames_fit_each_other_better() -> None:
    masked = masked_noise()
    distances = [distance_from_a_waveform(refine_phase(masked, PARAMS, n)) for n in range(4)]
    assert distances[0] > 0.2
    assert distances == sorted(distances, reverse=True)
    assert distances[3] < 0.95 * distances[0]


def test_the_magnitudes_stay() -> None:
    masked = masked_noise()
    refined = refine_phase(masked, PARAMS, 3)
    np.testing.assert_allclose(magnitude(refined), magnitude(masked), rtol=1e-5, atol=1e-6)


def test_frames_of_a_waveform_stay() -> None:
    frames = stft(make_noise(8000), PARAMS)
    np.testing.assert_allclose(refine_phase(frames, PARAMS, 3), frames, atol=1e-4)
    np.testing.assert_array_equal(refine_phase(frames, PARAMS, 0), frames)


@pytest.mark.parametrize("gain", [0.0, 1e-30, 1e-6, 1e9])
def test_no_level_is_too_low_or_too_high(gain: float) -> None:
    masked = masked_noise()
    refined = refine_phase(np.complex64(gain) * masked, PARAMS, 3)
    assert np.isfinite(refined).all()
    if gain in (1e-6, 1e9):
        expected = gain * refine_phase(masked, PARAMS, 3)
        np.testing.assert_allclose(refined, expected, rtol=1e-2, atol=1e-3 * gain)


def test_a_phase_depends_on_the_context_and_on_no_other_frame() -> None:
    masked, at = masked_noise(), 100
    changed = masked.copy()
    changed[at] *= 100
    difference = np.abs(refine_phase(changed, PARAMS, 2) - refine_phase(masked, PARAMS, 2))
    (affected,) = np.nonzero(difference.max(axis=1) > 1e-4)
    n_context = context_frames(PARAMS, 2)
    assert n_context == 6
    assert (affected.min(), affected.max()) == (at - n_context, at + n_context)
