"""Filterbanks: matrices that sum the power of FFT bins in frequency bands.

A filterbank is float32 [n_bins, n_bands], for spectra of `n_bins` bins from 0 Hz to the Nyquist
frequency; `power @ filterbank` gives the power in each band.
"""

import functools

import numpy as np
import numpy.typing as npt

Filterbank = npt.NDArray[np.float32]

MIN_MEL_HZ, MAX_MEL_HZ = 80.0, 8000.0


def rectangular_filterbank(edges_hz: npt.ArrayLike, n_bins: int, sample_rate: int) -> Filterbank:
    """Return bands between neighbouring edges, float32 [n_bins, len(edges_hz) - 1].

    Each bin covers half the distance to its neighbours; where an edge cuts a bin, each side gets
    the part of the bin's width that lies there.
    """
    edges = np.asarray(edges_hz, np.float64)
    bin_width = sample_rate / 2 / (n_bins - 1)
    centre = np.arange(n_bins)[:, None] * bin_width
    low = np.maximum(centre - bin_width / 2, edges[:-1])
    high = np.minimum(centre + bin_width / 2, edges[1:])
    return (np.clip(high - low, 0, None) / bin_width).astype(np.float32)


@functools.cache
def mel_filterbank(n_bands: int, n_bins: int, sample_rate: int) -> Filterbank:
    """Return triangular bands evenly spaced in mel, float32 [n_bins, n_bands], peaks near 1.

    The scale is O'Shaughnessy's, "Speech Communication" (1987), from 80 Hz to 8 kHz or the Nyquist
    frequency. A triangle that contains no bin takes the nearest one. Only float32 operations that
    give the same bytes on every processor are used.
    """
    max_hz = min(MAX_MEL_HZ, sample_rate / 2)
    mel = np.linspace(_hz_to_mel(MIN_MEL_HZ), _hz_to_mel(max_hz), n_bands + 2).astype(np.float32)
    corners = np.float32(700) * (np.exp(mel) - np.float32(1))
    frequency = (np.arange(n_bins) * sample_rate / (2 * (n_bins - 1))).astype(np.float32)
    bands = [_triangle(frequency, *corners[band : band + 3]) for band in range(n_bands)]
    return np.stack(bands, axis=1)


def _hz_to_mel(frequency: float) -> np.float32:
    """Return the frequency in units of 1127 mel; the factor cancels."""
    return np.log(np.float32(1 + frequency / 700))


def _triangle(
    frequency: Filterbank, low: np.float32, peak: np.float32, high: np.float32
) -> Filterbank:
    rising, falling = (frequency - low) / (peak - low), (high - frequency) / (high - peak)
    weights = np.maximum(np.minimum(rising, falling), np.float32(0))
    if not weights.any():
        weights[np.argmin(np.abs(frequency - peak))] = 1
    return weights
