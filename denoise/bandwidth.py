"""Recordings of a lower rate than the network's: what it is shown where they hold nothing.

Training hears noise in every bin. Brought to the network's rate, a recording of 8 kHz has none
above 4 kHz, and such a network takes the noise below for speech. It is therefore shown the top of
the band that is there, mirrored to and fro, in place of nothing; the masks that it finds for it
meet nothing, and change nothing.
"""

import numpy as np
import numpy.typing as npt

from denoise.streaming import MaskNetwork, NetworkForm, Stream

FULL = 0.94  # of the band: above it resampling fades out
TOP = 4  # the highest quarter of what is full is mirrored


def open_stream(
    network: MaskNetwork,
    sample_rate: int,
    channels: int = 1,
    strength: float = 1.0,
    residual: bool = False,
) -> Stream:
    """Return a `Stream` whose network is ready for recordings of `sample_rate`."""
    return Stream(for_rate(network, sample_rate), sample_rate, channels, strength, residual)


def for_rate(network: MaskNetwork, sample_rate: int) -> MaskNetwork:
    """Return `network` for recordings that were made at `sample_rate` and brought to its own."""
    if sample_rate >= network.form.sample_rate:
        return network
    shown = shown_bins(network.form, sample_rate)

    def mask(stft: np.ndarray) -> np.ndarray:
        return network.mask(np.ascontiguousarray(stft[:, :, shown]))

    return MaskNetwork(mask, network.form)


def shown_bins(form: NetworkForm, sample_rate: int) -> npt.NDArray[np.int64]:
    """Return which bin of a recording each bin of the network shows, [n_bins]."""
    bins = np.arange(form.spectrogram.n_bins)
    last = max(1, int(FULL * sample_rate / form.sample_rate * bins[-1]))
    width = max(1, last // TOP)
    beyond = (bins - last) % (2 * width)
    mirrored = last - np.minimum(beyond, 2 * width - beyond)
    return np.where(bins <= last, bins, mirrored)
