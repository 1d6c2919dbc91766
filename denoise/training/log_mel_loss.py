"""The log-mel loss: the distance between levels in mel bands, which speech recognisers work on.

A band's distance is a difference of logarithms, so quiet consonants count as much as loud vowels.
What lies more than 40 dB below the clip's mean band power is ignored.
"""

from typing import Any

from keras import ops

from denoise.dsp.filterbank import Filterbank, mel_filterbank
from denoise.network.exact_ops import log

N_BANDS = 40
FLOOR = 1e-4  # relative to the clip's mean power in a band
EPSILON = 1e-12
QUADRATIC_RANGE = 0.1  # nepers: smaller differences count by their square
Tensor = Any


def mean_power_filterbank(n_bins: int, sample_rate: int) -> Filterbank:
    """Return a mel filterbank that gives the mean power of each band, float32 [n_bins, N_BANDS]."""
    filterbank = mel_filterbank(N_BANDS, n_bins, sample_rate)
    return filterbank / filterbank.sum(axis=0)


def log_mel_distance(clean_power: Tensor, denoised_power: Tensor, filterbank: Tensor) -> Tensor:
    """Return the mean distance of band levels in nepers, [batch].

    Powers are [batch, n_frames, n_bins]; `filterbank` comes from `mean_power_filterbank`.
    """
    clean, denoised = (ops.matmul(power, filterbank) for power in (clean_power, denoised_power))
    floor = FLOOR * ops.mean(clean, axis=(1, 2), keepdims=True) + EPSILON
    difference = log(denoised + floor) - log(clean + floor)
    smooth_abs = ops.sqrt(ops.square(difference) + QUADRATIC_RANGE**2) - QUADRATIC_RANGE
    return ops.mean(smooth_abs, axis=(1, 2))
