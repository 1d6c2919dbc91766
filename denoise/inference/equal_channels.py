"""Compute the masks of equal channels once.

The channels of a stereo recording are often equal, since a phone or a headset has one microphone.
Each channel is denoised by itself, so the network would get the same input once for each of them.
"""

import hashlib
from dataclasses import replace

import numpy as np

from denoise.dsp.stft import Magnitude
from denoise.network.spec import MaskFunction, MaskNetwork


class RememberedMasks:
    """A function that computes masks, and returns those of an input that it has had before."""

    def __init__(self, mask: MaskFunction) -> None:
        """Start without masks."""
        self._mask = mask
        self._masks: dict[tuple[bytes, tuple[int, ...]], Magnitude] = {}

    def __call__(self, stft: np.ndarray, *context: int) -> Magnitude:
        """Map float32 [1, n_frames, n_bins, 2], and the numbers of context frames, to masks."""
        key = hashlib.sha256(stft.tobytes()).digest(), context
        if key not in self._masks:
            self._masks[key] = self._mask(stft, *context)
        return self._masks[key]

    def forget(self) -> None:
        """Discard the masks."""
        self._masks.clear()


class EqualChannels:
    """The network of several channels, each of which is denoised by itself.

    The masks of a piece are kept until `forget_masks`, which must be called when all channels have
    been denoised.
    """

    def __init__(self, network: MaskNetwork) -> None:
        """Take the network of one channel."""
        self._functions: list[RememberedMasks] = []
        # What `start` returns keeps past frames, so its masks depend on more than its input.
        self.network = replace(network.wrapped(self._remembering), start=network.start)

    def _remembering(self, mask: MaskFunction) -> RememberedMasks:
        self._functions.append(RememberedMasks(mask))
        return self._functions[-1]

    def forget_masks(self) -> None:
        """Discard the masks of the last piece."""
        for function in self._functions:
            function.forget()
