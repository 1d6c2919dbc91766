"""The short-time Fourier transform and its inverse, for caches, training and serving alike."""

import functools

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import Waveform
from denoise.params import SpectrogramParams

Stft = npt.NDArray[np.complex64]
Magnitude = npt.NDArray[np.float32]


def n_frames(n_samples: int, params: SpectrogramParams) -> int:
    """Count the frames of a waveform: centres from 0 on, the last at or after its end.

    librosa's last centre may lie a hop before the end, where the window has almost faded out and
    the inverse is ill-conditioned; one more frame costs little.
    """
    return 1 + -(-n_samples // params.hop_length)


@functools.cache
def window(params: SpectrogramParams) -> Waveform:
    """Return the periodic Hann window of `win_length`, centred in `n_fft` samples."""
    phase = 2 * np.pi * np.arange(params.win_length) / params.win_length
    hann = (0.5 - 0.5 * np.cos(phase.astype(np.float32))).astype(np.float32)
    before = (params.n_fft - params.win_length) // 2
    return np.pad(hann, (before, params.n_fft - params.win_length - before))


def stft(waveform: Waveform, params: SpectrogramParams) -> Stft:
    """Transform float32 [n_samples] into complex64 [n_frames, n_bins], zeros beyond both ends."""
    count = n_frames(len(waveform), params)
    span = (count - 1) * params.hop_length + params.n_fft
    before = params.n_fft // 2
    return stft_uncentred(np.pad(waveform, (before, span - before - len(waveform))), params)


def stft_uncentred(samples: Waveform, params: SpectrogramParams) -> Stft:
    """Transform each stretch of `n_fft` samples, `hop_length` apart, that lies in `samples`."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, params.n_fft)[:: params.hop_length]
    return np.fft.rfft(frames * window(params), axis=-1).astype(np.complex64, copy=False)


def istft(stft: Stft, params: SpectrogramParams, n_samples: int) -> Waveform:
    """Invert `stft`: complex64 [n_frames, n_bins] to float32 [n_samples].

    The least-squares inverse of Griffin & Lim (1984): windowed overlap-add over the summed squares
    of the windows. Raises ValueError when the frames do not cover `n_samples`.
    """
    if len(stft) != n_frames(n_samples, params):
        raise ValueError(f"{len(stft)} frames do not span {n_samples} samples.")
    kept = slice(params.n_fft // 2, params.n_fft // 2 + n_samples)
    added, weights = (total[kept] for total in overlap_add_sums(stft, params))
    return added / weights


def overlap_add_sums(stft: Stft, params: SpectrogramParams) -> tuple[Waveform, Waveform]:
    """Return what `istft` divides, [n_samples] each: frames added up, and their windows' squares.

    The first sample is the first of the first frame, `n_fft // 2` before its centre.
    """
    frames = np.fft.irfft(stft, n=params.n_fft, axis=-1).astype(np.float32) * window(params)
    squares = np.broadcast_to(np.square(window(params)), frames.shape)
    return overlap_add(frames, params.hop_length), overlap_add(squares, params.hop_length)


def overlap_add(frames: Waveform, hop_length: int) -> Waveform:
    """Add frames [n_frames, n_fft], each `hop_length` after the one before, into one waveform."""
    count, n_fft = frames.shape
    parts = -(-n_fft // hop_length)
    split = np.pad(frames, ((0, 0), (0, parts * hop_length - n_fft)))
    split = split.reshape(count, parts, hop_length)
    total = np.zeros((count + parts - 1, hop_length), np.float32)
    for part in range(parts):
        total[part : part + count] += split[:, part]
    return total.reshape(-1)


def to_real_imag(stft: Stft) -> npt.NDArray[np.float32]:
    """Return real and imaginary parts side by side, [..., n_bins, 2], as networks take them."""
    return np.ascontiguousarray(stft).view(np.float32).reshape(*stft.shape, 2)


def magnitude(stft: Stft) -> Magnitude:
    """Return |stft| by a square root, whose bytes no processor changes."""
    return np.sqrt(np.square(stft.real) + np.square(stft.imag))
