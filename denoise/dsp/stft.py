"""The short-time Fourier transform (STFT) and its inverse, for caches, training and inference.

The window is a periodic Hann window of `win_length` samples, padded with zeros to `n_fft`. There is
no normalisation: a frame is `rfft(samples * window)`. Arrays are [n_frames, n_bins], the transpose
of librosa's.
"""

import functools

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import Waveform
from denoise.params import SpectrogramParams

Stft = npt.NDArray[np.complex64]
Magnitude = npt.NDArray[np.float32]


def count_frames(n_samples: int, params: SpectrogramParams) -> int:
    """Return the number of STFT frames of a waveform, 1 + ceil(n_samples / hop_length).

    Frame t is centred on sample t * hop_length, and the last centre is at or after the end. librosa
    has 1 + floor(n_samples / hop_length) frames, so its last centre may be almost a hop before the
    end. The window is then close to 0 at the last samples, and the inverse is ill-conditioned.
    """
    return 1 + -(-n_samples // params.hop_length)


@functools.cache
def window(params: SpectrogramParams) -> Waveform:
    """Return the periodic Hann window of `win_length`, float32 [n_fft], centred between zeros."""
    phase = 2 * np.pi * np.arange(params.win_length) / params.win_length
    hann = (0.5 - 0.5 * np.cos(phase.astype(np.float32))).astype(np.float32)
    before = (params.n_fft - params.win_length) // 2
    return np.pad(hann, (before, params.n_fft - params.win_length - before))


def stft(waveform: Waveform, params: SpectrogramParams) -> Stft:
    """Return the STFT of float32 [n_samples], complex64 [n_frames, n_bins], with centred frames.

    The waveform is padded with zeros: `n_fft // 2` before it, and after it as many as the last
    frame needs. The result equals `librosa.stft(..., center=True, pad_mode="constant").T` except
    for the last frame, which librosa lacks if `n_samples` is not a multiple of `hop_length`.
    """
    n_frames = count_frames(len(waveform), params)
    n_padded = (n_frames - 1) * params.hop_length + params.n_fft
    before = params.n_fft // 2
    return stft_uncentred(np.pad(waveform, (before, n_padded - before - len(waveform))), params)


def stft_uncentred(samples: Waveform, params: SpectrogramParams) -> Stft:
    """Return the STFT without padding, complex64 [n_frames, n_bins]; `center=False` in librosa.

    Frame t covers samples t * hop_length to t * hop_length + n_fft. `samples`, float32 [n_samples],
    holds at least `n_fft`; samples at the end that do not fill a frame are ignored.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, params.n_fft)[:: params.hop_length]
    return np.fft.rfft(frames * window(params), axis=-1).astype(np.complex64, copy=False)


def istft(stft: Stft, params: SpectrogramParams, n_samples: int) -> Waveform:
    """Invert `stft`: return the waveform, float32 [n_samples], of complex64 [n_frames, n_bins].

    It is the least-squares estimate of Griffin & Lim, "Signal estimation from modified short-time
    Fourier transform", IEEE TASSP 32(2), 1984: the overlap-add of the windowed frames, divided by
    the overlap-add of the squared windows. Raises ValueError if the number of frames is not
    `count_frames(n_samples, params)`.
    """
    if len(stft) != count_frames(n_samples, params):
        raise ValueError(f"{len(stft)} frames do not span {n_samples} samples.")
    inside = slice(params.n_fft // 2, params.n_fft // 2 + n_samples)
    numerator, denominator = (total[inside] for total in overlap_add_sums(stft, params))
    return numerator / denominator


def overlap_add_sums(stft: Stft, params: SpectrogramParams) -> tuple[Waveform, Waveform]:
    """Return numerator and denominator of `istft`, float32 [n_padded] each.

    The numerator is the overlap-add of the windowed frames, the denominator that of the squared
    windows. Sample 0 is the first sample of the first frame, `n_fft // 2` before its centre.
    """
    frames = np.fft.irfft(stft, n=params.n_fft, axis=-1).astype(np.float32) * window(params)
    squares = np.broadcast_to(np.square(window(params)), frames.shape)
    return overlap_add(frames, params.hop_length), overlap_add(squares, params.hop_length)


def overlap_add(frames: Waveform, hop_length: int) -> Waveform:
    """Add frames, float32 [n_frames, n_fft], each `hop_length` after the previous one.

    Returns float32 [n_padded], padded with zeros to a multiple of `hop_length`.
    """
    n_frames, n_fft = frames.shape
    n_parts = -(-n_fft // hop_length)  # a frame spans so many hops
    parts = np.pad(frames, ((0, 0), (0, n_parts * hop_length - n_fft)))
    parts = parts.reshape(n_frames, n_parts, hop_length)
    total = np.zeros((n_frames + n_parts - 1, hop_length), np.float32)
    for part in range(n_parts):
        total[part : part + n_frames] += parts[:, part]
    return total.reshape(-1)


def to_real_imag(stft: Stft) -> npt.NDArray[np.float32]:
    """Return real and imaginary parts as a last axis, float32 [..., n_bins, 2], for networks."""
    return np.ascontiguousarray(stft).view(np.float32).reshape(*stft.shape, 2)


def magnitude(stft: Stft) -> Magnitude:
    """Return |stft| in float32 of the same shape.

    `np.abs` of complex numbers may differ between processors; squares and a square root do not.
    """
    return np.sqrt(np.square(stft.real) + np.square(stft.imag))
