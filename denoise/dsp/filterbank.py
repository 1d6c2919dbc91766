"""Bands of frequency that spectra are summed in."""

import numpy as np
import numpy.typing as npt

Filterbank = npt.NDArray[np.float32]


def rectangular_filterbank(edges_hz: npt.ArrayLike, n_bins: int, sample_rate: int) -> Filterbank:
    """Return each bin's share in each band between neighbouring edges, float32 [n_bins, n_bands].

    A bin spreads half way to its neighbours; one that an edge cuts is shared out by width.
    """
    edges = np.asarray(edges_hz, np.float64)
    width = sample_rate / 2 / (n_bins - 1)
    centre = np.arange(n_bins)[:, None] * width
    above = np.maximum(centre - width / 2, edges[:-1])
    below = np.minimum(centre + width / 2, edges[1:])
    return (np.clip(below - above, 0, None) / width).astype(np.float32)
