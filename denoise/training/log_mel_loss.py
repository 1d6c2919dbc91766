"""How far the colour of a sound is off, as a loss can see it: levels in mel bands.

They are what recognisers of speech hear. A band counts by its level in nepers, however little power
it holds, so that faint consonants count as vowels do; what is 40 dB under the clip is not heard.
"""

from typing import Any

import numpy as np
from keras import ops

from denoise.dsp.filterbank import Filterbank, rectangular_filterbank

N_BANDS = 40
MIN_HZ, MAX_HZ = 80.0, 8000.0
FLOOR = 1e-4  # of the clip's mean power in a band
EPSILON = 1e-12
SMALL = 0.1  # nepers: a difference under it counts by its square
Tensor = Any


def mel_filterbank(n_bins: int, sample_rate: int) -> Filterbank:
    """Return what makes mean powers of mel bands of bins' powers, float32 [n_bins, N_BANDS].

    The scale is that of O'Shaughnessy, "Speech Communication" (1987).
    """
    highest = min(MAX_HZ, sample_rate / 2)
    mel = np.linspace(np.log1p(MIN_HZ / 700), np.log1p(highest / 700), N_BANDS + 1)
    split_shards = rectangular_filterbank(700 * np.expm1(mel), n_bins, sample_rate)
    return (split_shards / split_shards.sum(axis=0)).astype(np.float32)


def log_mel_distance(clean_power: Tensor, denoised_power: Tensor, bands: Tensor) -> Tensor:
    """Return how far levels in bands are apart, in nepers, [batch]; powers are [batch, n, n_bins].

    `bands` is what `mel_bands` gives. The clean clip sets the floor.
    """
    clean, denoised = (ops.matmul(power, bands) for power in (clean_power, denoised_power))
    floor = FLOOR * ops.mean(clean, axis=(1, 2), keepdims=True) + EPSILON
    apart = ops.log(denoised + floor) - ops.log(clean + floor)
    return ops.mean(ops.sqrt(ops.square(apart) + SMALL**2) - SMALL, axis=(1, 2))
