"""Filterbanks: matrices that sum the power of FFT bins in frequency bands.

A filterbank is float32 [n_bins, n_bands], for spectra of `n_bins` bins from 0 Hz to the Nyquist
frequency; `power @ filterbank` gives the power in each band.
"""

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


def mel_filterbank(n_bands: int, n_bins: int, sample_rate: int) -> Filterbank:
    """Return rectangular bands evenly spaced in mel, float32 [n_bins, n_bands].

    The scale is O'Shaughnessy's, "Speech Communication" (1987), from 80 Hz to 8 kHz or the Nyquist
    frequency. Rectangles, unlike the usual triangles, do not overlap: a loss on them resolves twice
    as much detail. The edges have the same bytes on every processor.
    """
    max_hz = min(MAX_MEL_HZ, sample_rate / 2)
    mel = np.linspace(_hz_to_mel(MIN_MEL_HZ), _hz_to_mel(max_hz), n_bands + 1).astype(np.float32)
    edges_hz = np.float32(700) * (np.exp(mel) - np.float32(1))
    return rectangular_filterbank(edges_hz, n_bins, sample_rate)


def _hz_to_mel(frequency: float) -> np.float32:
    """Return the frequency in units of 1127 mel; the factor cancels."""
    return np.log(np.float32(1 + frequency / 700))
