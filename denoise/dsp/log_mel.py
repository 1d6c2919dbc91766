"""Log-mel features, normalised per band: the input of the digit recognisers.

The mean and the standard deviation of each band over the clip are removed, so neither the level nor
the frequency response of a microphone matters. Only float32 operations that give the same bytes on
every processor are used: no matrix product, and no logarithm but the natural one.
"""

import functools

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import Waveform
from denoise.dsp.filterbank import mel_filterbank
from denoise.dsp.stft import count_frames, stft
from denoise.params import SpectrogramParams

LogMel = npt.NDArray[np.float32]

N_BANDS = 32
HOP_SECONDS = 0.020
FLOOR = np.float32(1e-4)  # relative to the clip's mean power: 40 dB below it
SILENCE_FLOOR = np.float32(1e-20)
MIN_SPREAD = np.float32(0.3)  # keeps bands that hardly vary from being amplified


def stft_params(sample_rate: int) -> SpectrogramParams:
    """Return windows of 40 ms that overlap by half."""
    hop_length = round(HOP_SECONDS * sample_rate)
    return SpectrogramParams(2 * hop_length, hop_length, 2 * hop_length)


def feature_shape(n_samples: int, sample_rate: int) -> tuple[int, int]:
    """Return the shape of a clip's features, (n_frames, n_bands)."""
    return count_frames(n_samples, stft_params(sample_rate)), N_BANDS


def log_mel_features(clips: Waveform, sample_rate: int) -> LogMel:
    """Turn float32 [n_clips, n_samples] into features, float32 [n_clips, n_frames, N_BANDS].

    The features do not depend on the level of a clip; those of silence are close to 0.
    """
    powers = np.stack([_band_powers(clip, sample_rate) for clip in clips])
    floor = FLOOR * powers.mean(axis=(1, 2), keepdims=True) + SILENCE_FLOOR
    log_powers = np.log(powers + floor)
    log_powers -= log_powers.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(log_powers).mean(axis=1, keepdims=True))
    return log_powers / (spread + MIN_SPREAD)


def _band_powers(clip: Waveform, sample_rate: int) -> LogMel:
    """Return the power in each band, float32 [n_frames, N_BANDS]."""
    spectrum = stft(clip, stft_params(sample_rate))
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    bands = [(power[:, bins] * weights).sum(axis=1) for bins, weights in _bands(sample_rate)]
    return np.stack(bands, axis=1)


@functools.cache
def _bands(sample_rate: int) -> list[tuple[slice, Waveform]]:
    """Return each mel band's bins and their weights, for sums without a matrix product."""
    bands = []
    for weights in mel_filterbank(N_BANDS, stft_params(sample_rate).n_bins, sample_rate).T:
        (inside,) = np.nonzero(weights)
        bins = slice(int(inside[0]), int(inside[-1]) + 1)
        bands.append((bins, weights[bins]))
    return bands
