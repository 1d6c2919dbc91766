"""Refine the phase of denoised frames.

A mask changes the magnitudes of the noisy STFT and keeps its phase. The result is the STFT of no
waveform: where frames overlap, they contradict each other, and the denoised waveform, their mean,
has other magnitudes than the mask asked for. Griffin & Lim's algorithm (IEEE TASSP 32(2), 1984)
finds phases that contradict each other less. Started from the noisy phase, it needs only a few
iterations, and it leaves frames that fit each other as they are.
"""

import numpy as np

from denoise.dsp.stft import Stft, magnitude, overlap_add_sums, stft_uncentred
from denoise.params import SpectrogramParams

MIN_WEIGHT = np.float32(1e-6)  # of the overlap-add: the windows fade out at both ends
TINY = np.finfo(np.float32).tiny


def context_frames(params: SpectrogramParams, n_iterations: int) -> int:
    """Return how many frames on each side a phase depends on after `n_iterations`."""
    overlapping = -(-params.n_fft // params.hop_length) - 1
    return n_iterations * overlapping


def refine_phase(masked: Stft, params: SpectrogramParams, n_iterations: int) -> Stft:
    """Return frames [n_frames, n_bins] with the magnitudes of `masked` and refined phases.

    The frames at both ends are refined as those of a waveform that begins and ends there.
    """
    if n_iterations == 0:
        return masked
    frames, wanted = masked, magnitude(masked)
    for _ in range(n_iterations):
        signal, weights = overlap_add_sums(frames, params)
        waveform = np.asarray(signal / np.maximum(weights, MIN_WEIGHT), np.float32)
        found = stft_uncentred(waveform, params)[: len(masked)]
        frames = np.asarray(found / np.maximum(magnitude(found), TINY) * wanted, np.complex64)
    return frames
