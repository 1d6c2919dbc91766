"""Denoise one channel twice, and refine the phases: better than once, for half the time again.

The second pass runs the network on the result of the first. It finds noise that the first pass left
and speech that the first pass was unsure of. Its masks do not filter that result: they are
multiplied with those of the first pass and applied to the noisy STFT, whose phases are then
refined. docs/experiments.md says what each step is worth.

Only networks that run on several grids of frames are refined. Their frames overlap enough for it,
and one of the grids is enough for the second pass. Causal networks are not: refinement waits for
later frames.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import Waveform
from denoise.dsp.stft import Magnitude, Stft
from denoise.inference.block_denoiser import (
    BlockDenoiser,
    FrameObserver,
    lookahead_frames,
)
from denoise.network.spec import MaskNetwork, with_mask_power

FIRST_POWER, SECOND_POWER = 0.9, 0.6  # the powers of the network's masks in the two passes
SECOND_FLOOR = np.float32(0.3)  # the second pass removes 10 dB at most, should it be mistaken
N_ITERATIONS = 3  # of the phase's refinement


class FirstPass:
    """The frames of the first pass that the second one still needs, and their masks."""

    def __init__(self, n_bins: int) -> None:
        """Start a recording."""
        self._noisy = np.zeros((0, n_bins), np.complex64)
        self._mask = np.zeros((0, n_bins), np.float32)
        self._first_frame = 0

    def add(self, noisy: Stft, mask: Magnitude) -> None:
        """Take the next frames, [n_frames, n_bins] each."""
        self._noisy = np.concatenate([self._noisy, noisy])
        self._mask = np.concatenate([self._mask, mask])

    def multiply(self, first_frame: int, mask: Magnitude) -> tuple[Stft, Magnitude]:
        """Return the noisy frames from `first_frame` on, and their masks of both passes multiplied.

        `mask` is that of the second pass. Frames before `first_frame` are discarded.
        """
        n_discarded = first_frame - self._first_frame
        self._noisy, self._mask = self._noisy[n_discarded:], self._mask[n_discarded:]
        self._first_frame = first_frame
        return self._noisy[: len(mask)], self._mask[: len(mask)] * mask


class RefinedDenoiser:
    """Denoise one channel at the network's sample rate, as BlockDenoiser does, in two passes."""

    def __init__(
        self, network: MaskNetwork, block_seconds: float, observe: FrameObserver | None = None
    ) -> None:
        """Start a new waveform; `observe` is called for each block of frames, in order."""
        first_pass = FirstPass(network.spec.spectrogram.n_bins)
        first, second = with_mask_power(network, FIRST_POWER), second_network(network)
        n_extra = second_lookahead_frames(network)
        self._first = BlockDenoiser(first, block_seconds, first_pass.add, n_extra=n_extra)
        self._second = BlockDenoiser(
            second, block_seconds, observe, first_pass.multiply, N_ITERATIONS
        )

    def feed(self, samples: Waveform) -> Waveform:
        """Add float32 [n_samples]; return the samples that are ready, [n_ready]."""
        return self._second.feed(self._first.feed(samples))

    def flush(self) -> Waveform:
        """End the waveform; return its remaining samples."""
        return np.concatenate([self._second.feed(self._first.flush()), self._second.flush()])


def is_refined(network: MaskNetwork) -> bool:
    """Tell whether the results of a network are refined."""
    return network.one_grid is not None


def second_network(network: MaskNetwork) -> MaskNetwork:
    """Return the network of the second pass; raises ValueError if the network has one grid only."""
    one_grid = network.one_grid
    if one_grid is None:
        raise ValueError("The network runs on one grid of frames only.")

    def mask(stft: npt.NDArray[np.float32]) -> Magnitude:
        return np.maximum(one_grid(stft) ** np.float32(SECOND_POWER), SECOND_FLOOR)

    n_frames = network.spec.receptive_field_frames + network.spec.stride
    return MaskNetwork(mask, replace(network.spec, receptive_field_frames=n_frames))


def make_denoiser(
    network: MaskNetwork, block_seconds: float, observe: FrameObserver | None = None
) -> BlockDenoiser | RefinedDenoiser:
    """Return what denoises one channel with a network; see BlockDenoiser."""
    if is_refined(network):
        return RefinedDenoiser(network, block_seconds, observe)
    return BlockDenoiser(network, block_seconds, observe)


def total_lookahead_frames(network: MaskNetwork) -> int:
    """Return how many frames after a block must have arrived before the block is denoised."""
    n_frames = lookahead_frames(network.spec)
    return n_frames + second_lookahead_frames(network) if is_refined(network) else n_frames


def second_lookahead_frames(network: MaskNetwork) -> int:
    """Return how many frames after a block the first pass must have denoised for the second pass.

    The blocks of the first pass end as many frames later than those of the second. So the second
    pass waits for no further block. It is a multiple of the network's stride.
    """
    spec, spectrogram = network.spec, network.spec.spectrogram
    n_frames = lookahead_frames(second_network(network).spec, N_ITERATIONS)
    n_samples = (n_frames - 1) * spectrogram.hop_length + 2 * (spectrogram.n_fft // 2)
    return spec.stride * -(-n_samples // (spec.stride * spectrogram.hop_length))
