"""Denoise one channel in blocks of frames, each with the context that its masks need.

The block boundaries do not depend on the pieces in which the audio arrives. So pieces of any size
give the same bytes, and memory does not grow.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from denoise.dsp.audio import Waveform
from denoise.dsp.phase import MIN_WEIGHT, context_frames, refine_phase
from denoise.dsp.stft import (
    Magnitude,
    Stft,
    count_frames,
    overlap_add_sums,
    stft_uncentred,
    to_real_imag,
)
from denoise.network.spec import MaskNetwork, NetworkSpec

FrameObserver = Callable[[Stft, Magnitude], None]
"""Takes the next frames of the noisy STFT and their mask, [n_frames, n_bins] each."""

BLOCK_SECONDS = 10.0
MAX_BLOCK_SECONDS = 60.0
MIRROR_SECONDS = 1.0  # how much of a recording's end is mirrored, for the network to look ahead


def block_frames(spec: NetworkSpec, block_seconds: float = BLOCK_SECONDS) -> int:
    """Return the number of frames in a block, a multiple of the network's stride.

    Raises ValueError for a length that is not above 0 and at most MAX_BLOCK_SECONDS.
    """
    if not 0 < block_seconds <= MAX_BLOCK_SECONDS:
        raise ValueError(
            f"A block of {block_seconds:g} s is not above 0 and at most {MAX_BLOCK_SECONDS:g} s."
        )
    frames = block_seconds * spec.sample_rate / spec.spectrogram.hop_length
    return spec.stride * max(1, round(frames / spec.stride))


def lookahead_frames(network: MaskNetwork) -> int:
    """Return how many frames after a block it depends on, a multiple of the network's stride.

    Its masks look ahead, and so do its phases where they are refined.
    """
    return network.spec.lookahead_margin_frames + phase_margin_frames(network)


def block_latency_seconds(spec: NetworkSpec, n_block: int, n_lookahead: int) -> float:
    """Return how late the samples are at most.

    The first sample of a block of `n_block` frames waits for the others, and for `n_lookahead`
    frames after the block.
    """
    n_hops = n_block + n_lookahead - 1
    n_samples = spec.spectrogram.n_fft + n_hops * spec.spectrogram.hop_length
    return n_samples / spec.sample_rate


def phase_margin_frames(network: MaskNetwork) -> int:
    """Return how many frames on each side of a block must have masks, to refine its phases."""
    n_frames = context_frames(network.spec.spectrogram, network.phase_iterations)
    return network.spec.stride * -(-n_frames // network.spec.stride)


class BlockDenoiser:
    """Denoise one channel at the network's sample rate."""

    def __init__(
        self,
        network: MaskNetwork,
        block_seconds: float = BLOCK_SECONDS,
        observe: FrameObserver | None = None,
    ) -> None:
        """Start a new waveform; `observe` is called for each block of frames, in order."""
        self._spec, self._n_past = network.spec, network.spec.margin_frames
        if network.start is not None:  # it keeps what it needs of the frames before a block
            network = replace(network, mask=network.start(), drops_context=False)
            self._n_past = 0
        self._network, self._observe = network, observe
        self._phase_margin = phase_margin_frames(network)
        self._lookahead = lookahead_frames(network)
        self._spectrogram = network.spec.spectrogram
        self._block_frames = block_frames(network.spec, block_seconds)
        self._padding = self._spectrogram.n_fft // 2
        self._samples = np.zeros(self._padding, np.float32)  # from frame _first_frame on
        self._first_frame = 0  # the first frame whose samples are still kept
        self._next_frame = 0  # the first frame that is not denoised yet
        self._n_received = 0
        self._sums = np.zeros((2, 0), np.float32)  # overlap-add sums of incomplete samples
        self._n_leading = self._padding  # samples of padding that are still to be dropped
        self._n_sent = 0

    def feed(self, samples: Waveform) -> Waveform:
        """Add float32 [n_samples]; return the samples that are ready, [n_ready]."""
        self._samples = np.concatenate([self._samples, samples])
        self._n_received += len(samples)
        hop, ready = self._spectrogram.hop_length, []
        while self._n_received >= (self._context_end() - 1) * hop + self._padding:
            ready.append(self._denoise_block(self._context_end()))
        return self._trim(ready)

    def flush(self) -> Waveform:
        """End the waveform; return its remaining samples."""
        if self._n_received == 0:
            return np.zeros(0, np.float32)
        spectrogram, ready = self._spectrogram, []
        mirrored = self._mirror_end()
        count = count_frames(self._n_received, spectrogram)
        context_count = count_frames(self._n_received + len(mirrored), spectrogram)
        end = (context_count - 1) * spectrogram.hop_length + spectrogram.n_fft
        n_missing = end - self._padding - self._n_received - len(mirrored)
        self._samples = np.concatenate([self._samples, mirrored, np.zeros(n_missing, np.float32)])
        while self._next_frame < count:
            ready.append(self._denoise_block(min(context_count, self._context_end()), count))
        return self._trim([*ready, self._sums[0] / np.maximum(self._sums[1], MIN_WEIGHT)])

    def _mirror_end(self) -> Waveform:
        """Return the last second backwards, as far as the network looks ahead.

        A network that sees a recording stop may take the noise before the stop for speech. This way
        the noise goes on.
        """
        n_ahead = self._spec.lookahead_margin_frames * self._spectrogram.hop_length
        n_mirrored = min(n_ahead, round(MIRROR_SECONDS * self._spec.sample_rate))
        n_mirrored = min(n_mirrored, self._n_received - 1, len(self._samples) - 1)
        return self._samples[::-1][1 : n_mirrored + 1]

    def _context_end(self) -> int:
        """Return the end of the frames that the next block needs, its context included."""
        return self._next_frame + self._block_frames + self._lookahead

    def _trim(self, parts: list[Waveform]) -> Waveform:
        """Join samples; drop the padding before the waveform and whatever lies after its end."""
        joined = np.concatenate([np.zeros(0, np.float32), *parts])
        kept = joined[self._n_leading :][: self._n_received - self._n_sent]
        self._n_leading = max(0, self._n_leading - len(joined))
        self._n_sent += len(kept)
        return kept

    def _denoise_block(self, context_end: int, count: int | None = None) -> Waveform:
        """Denoise the next block, with frames up to `context_end`; return completed samples.

        The waveform has `count` frames, if that is known; those after it are context only.
        """
        spectrogram = self._spectrogram
        end = min(context_end, self._next_frame + self._block_frames)
        end = end if count is None else min(end, count)
        last_start = (context_end - self._first_frame - 1) * spectrogram.hop_length
        noisy = stft_uncentred(self._samples[: last_start + spectrogram.n_fft], spectrogram)
        first = max(self._first_frame, self._next_frame - self._phase_margin)
        last = min(end + self._phase_margin, context_end if count is None else count)
        context = first - self._first_frame, context_end - last
        mask = self._network.inner_masks(to_real_imag(noisy)[None], *context)[0]
        noisy = noisy[first - self._first_frame : last - self._first_frame]
        block = slice(self._next_frame - first, end - first)
        if self._observe is not None:
            self._observe(noisy[block], mask[block])
        refined = refine_phase(noisy * mask, spectrogram, self._network.phase_iterations)
        completed = self._overlap_add(refined[block])
        self._next_frame = end
        self._discard_before(max(0, end - self._n_past - self._phase_margin))
        return completed

    def _overlap_add(self, denoised: Stft) -> Waveform:
        """Add the frames of a block to the sums; return the samples that no later frame changes."""
        sums = np.stack(overlap_add_sums(denoised, self._spectrogram))
        sums[:, : self._sums.shape[1]] += self._sums
        n_completed = len(denoised) * self._spectrogram.hop_length
        self._sums = sums[:, n_completed:]
        signal, weights = sums[:, :n_completed]
        return signal / np.maximum(weights, MIN_WEIGHT)

    def _discard_before(self, frame: int) -> None:
        """Discard the samples before a frame."""
        n_discarded = (frame - self._first_frame) * self._spectrogram.hop_length
        self._samples = self._samples[n_discarded:]
        self._first_frame = frame
