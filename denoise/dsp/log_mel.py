"""What the machine listener hears of a clip: the shape of its mel spectrum over time.

Each band's mean and spread over the clip are taken out, so that neither the level nor a
microphone's colour counts. Only float32 operations whose bytes no processor changes are used: no
matrix product, no logarithm to another base.
"""

import functools

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import Waveform
from denoise.dsp.stft import count_frames, stft
from denoise.params import SpectrogramParams

LogMel = npt.NDArray[np.float32]

N_BANDS = 32
HOP_SECONDS = 0.020
MIN_HZ, MAX_HZ = 80.0, 8000.0
FLOOR = np.float32(1e-4)  # of the clip's mean power: what lies 40 dB under it is not heard
DIGITAL_SILENCE = np.float32(1e-20)
MIN_SPREAD = np.float32(0.3)  # a band that hardly moves is not blown up


def analysis_params(sample_rate: int) -> SpectrogramParams:
    """Return windows of 40 ms, each half a window after the one before."""
    hop_length = round(HOP_SECONDS * sample_rate)
    return SpectrogramParams(2 * hop_length, hop_length, 2 * hop_length)


def feature_shape(n_samples: int, sample_rate: int) -> tuple[int, int]:
    """Return the shape of a clip's pattern: frames, bands."""
    return count_frames(n_samples, analysis_params(sample_rate)), N_BANDS


def log_mel_features(clips: Waveform, sample_rate: int) -> LogMel:
    """Turn float32 [n_clips, n_samples] into patterns, float32 [n_clips, n_frames, N_BANDS].

    The level changes nothing; silence gives next to nothing.
    """
    powers = np.stack([_band_powers(clip, sample_rate) for clip in clips])
    floor = FLOOR * powers.mean(axis=(1, 2), keepdims=True) + DIGITAL_SILENCE
    levels = np.log(powers + floor)
    levels -= levels.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(levels).mean(axis=1, keepdims=True))
    return levels / (spread + MIN_SPREAD)


def _band_powers(clip: Waveform, sample_rate: int) -> LogMel:
    spectrum = stft(clip, analysis_params(sample_rate))
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    bands = [(power[:, bins] * weights).sum(axis=1) for bins, weights in filters(sample_rate)]
    return np.stack(bands, axis=1)


@functools.cache
def filters(sample_rate: int) -> list[tuple[slice, Waveform]]:
    """Return each band's bins and their weights: triangles evenly spaced in mel.

    The scale is that of O'Shaughnessy, "Speech Communication" (1987), up to 8 kHz or the Nyquist
    frequency. A triangle that would fall between two bins takes the nearest.
    """
    params = analysis_params(sample_rate)
    highest = min(MAX_HZ, sample_rate / 2)
    scale = np.linspace(_mel(MIN_HZ), _mel(highest), N_BANDS + 2).astype(np.float32)
    corners = np.float32(700) * (np.exp(scale) - np.float32(1))
    frequency = (np.arange(params.n_bins) * sample_rate / params.n_fft).astype(np.float32)
    return [_triangle(frequency, *corners[band : band + 3]) for band in range(N_BANDS)]


def _mel(frequency: float) -> np.float32:
    """Return mel/1127: the factor cancels."""
    return np.log(np.float32(1 + frequency / 700))


def _triangle(
    frequency: Waveform, low: np.float32, peak: np.float32, high: np.float32
) -> tuple[slice, Waveform]:
    rising, falling = (frequency - low) / (peak - low), (high - frequency) / (high - peak)
    weights = np.minimum(rising, falling)
    (inside,) = np.nonzero(weights > 0)
    if len(inside) == 0:
        nearest = int(np.argmin(np.abs(frequency - peak)))
        return slice(nearest, nearest + 1), np.ones(1, np.float32)
    bins = slice(int(inside[0]), int(inside[-1]) + 1)
    return bins, weights[bins]
