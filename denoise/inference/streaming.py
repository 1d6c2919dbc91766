"""Denoise audio of any length in blocks, each with the context that the network needs.

The block boundaries do not depend on the pieces in which the audio arrives. So pieces of any size
give the same bytes, and memory does not grow.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import soxr

from denoise.dsp.audio import QUALITY, Waveform, out_of_range
from denoise.dsp.stft import Stft, count_frames, overlap_add_sums, stft_uncentred, to_real_imag
from denoise.network.spec import MaskNetwork, NetworkSpec

BLOCK_SECONDS = 6.0
MAX_BLOCK_SECONDS = 60.0
MIN_WEIGHT = np.float32(1e-6)  # the windows fade out beyond the ends of the waveform


def block_frames(spec: NetworkSpec, block_seconds: float = BLOCK_SECONDS) -> int:
    """Return the number of frames in a block, a multiple of the network's stride.

    Raises ValueError for a length that is not 0 to MAX_BLOCK_SECONDS.
    """
    if not 0 < block_seconds <= MAX_BLOCK_SECONDS:
        raise ValueError(f"A block of {block_seconds:g} s is not in 0 to {MAX_BLOCK_SECONDS:g} s.")
    frames = block_seconds * spec.sample_rate / spec.spectrogram.hop_length
    return spec.stride * max(1, round(frames / spec.stride))


class BlockDenoiser:
    """Denoise one channel at the network's sample rate."""

    def __init__(self, network: MaskNetwork, block_seconds: float = BLOCK_SECONDS) -> None:
        """Start a new waveform."""
        self._mask, self._spec = network.mask, network.spec
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
        count = count_frames(self._n_received, spectrogram)
        end = (count - 1) * spectrogram.hop_length + spectrogram.n_fft
        self._samples = np.pad(self._samples, (0, end - self._padding - self._n_received))
        while self._next_frame < count:
            ready.append(self._denoise_block(min(count, self._context_end())))
        return self._trim([*ready, self._sums[0] / np.maximum(self._sums[1], MIN_WEIGHT)])

    def _context_end(self) -> int:
        """Return the end of the frames that the next block needs, its context included."""
        return self._next_frame + self._block_frames + self._spec.lookahead_margin_frames

    def _trim(self, parts: list[Waveform]) -> Waveform:
        """Join samples; drop the padding before the waveform and whatever lies after its end."""
        joined = np.concatenate([np.zeros(0, np.float32), *parts])
        kept = joined[self._n_leading :][: self._n_received - self._n_sent]
        self._n_leading = max(0, self._n_leading - len(joined))
        self._n_sent += len(kept)
        return kept

    def _denoise_block(self, context_end: int) -> Waveform:
        """Denoise the next block, with frames up to `context_end`; return completed samples."""
        spectrogram = self._spectrogram
        end = min(context_end, self._next_frame + self._block_frames)
        last_start = (context_end - self._first_frame - 1) * spectrogram.hop_length
        noisy = stft_uncentred(self._samples[: last_start + spectrogram.n_fft], spectrogram)
        mask = self._mask(to_real_imag(noisy)[None])[0]
        block = slice(self._next_frame - self._first_frame, end - self._first_frame)
        completed = self._overlap_add(noisy[block] * mask[block])
        self._next_frame = end
        self._discard_before(max(0, end - self._spec.margin_frames))
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


class Stream:
    """Denoise audio of any sample rate in pieces, each channel independently.

    After `flush`, the output has exactly as many samples as the input. Until then it is late by
    `latency_seconds` at most.
    """

    def __init__(
        self,
        network: MaskNetwork,
        sample_rate: int,
        channels: int = 1,
        strength: float = 1.0,
        residual: bool = False,
        block_seconds: float = BLOCK_SECONDS,
    ) -> None:
        """Start a new recording.

        `strength` is the share of the denoised signal in the output; the input makes up the rest.
        With `residual`, the output is what is removed instead. `block_seconds` is rounded to whole
        frames of the network; each block needs the context before and after it, so short blocks
        take more computing. Raises ValueError for a sample rate, a number of channels, a strength
        or a block out of range.
        """
        if excess := out_of_range(sample_rate, channels):
            raise ValueError(excess.message)
        if not 0 <= strength <= 1:
            raise ValueError(f"A strength of {strength:g} lies outside 0 to 1.")
        self._channels, network_rate = channels, network.spec.sample_rate
        self._to_network = _make_resampler(sample_rate, network_rate, channels)
        self._from_network = _make_resampler(network_rate, sample_rate, channels)
        self._denoisers = [BlockDenoiser(network, block_seconds) for _ in range(channels)]
        self.latency_seconds = latency_seconds(network.spec, sample_rate, block_seconds)
        self._noisy = np.zeros((0, channels), np.float32)  # input whose output is not ready yet
        weights = (strength, -strength) if residual else (1 - strength, strength)
        self._noisy_weight, self._denoised_weight = (np.float32(weight) for weight in weights)

    def feed(self, samples: Waveform) -> Waveform:
        """Add float32 [n_samples, n_channels]; return what is ready, [n_ready, n_channels].

        Raises ValueError for another number of channels, and for samples that are not finite.
        """
        if samples.ndim != 2 or samples.shape[1] != self._channels:
            raise ValueError(f"{samples.shape} is not [n_samples, {self._channels}].")
        if not np.isfinite(samples).all():
            raise ValueError("Samples must be finite numbers.")
        self._noisy = np.concatenate([self._noisy, samples])
        resampled = self._to_network(samples, False)
        parts = [each.feed(part) for each, part in zip(self._denoisers, resampled.T, strict=True)]
        return self._mix(self._from_network(np.stack(parts, axis=1), False))

    def flush(self) -> Waveform:
        """End the audio; return the rest of it, [n_ready, n_channels]."""
        resampled = self._to_network(np.zeros((0, self._channels), np.float32), True)
        rest = [
            np.concatenate([each.feed(part), each.flush()])
            for each, part in zip(self._denoisers, resampled.T, strict=True)
        ]
        denoised = self._from_network(np.stack(rest, axis=1), True)
        n_missing = max(0, len(self._noisy) - len(denoised))
        return self._mix(np.pad(denoised, ((0, n_missing), (0, 0))))

    def _mix(self, denoised: Waveform) -> Waveform:
        """Mix denoised samples with the noisy samples at the same position."""
        denoised = denoised[: len(self._noisy)]
        noisy, self._noisy = np.split(self._noisy, [len(denoised)])
        return self._noisy_weight * noisy + self._denoised_weight * denoised


def _make_resampler(
    from_rate: int, to_rate: int, channels: int
) -> Callable[[Waveform, bool], Waveform]:
    """Return a function that resamples the next samples; its second argument marks the last."""
    if from_rate == to_rate:
        return lambda samples, is_last: samples
    stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality=QUALITY)

    def resample(samples: Waveform, is_last: bool) -> Waveform:
        contiguous = np.ascontiguousarray(samples, np.float32)
        return np.asarray(stream.resample_chunk(contiguous, last=is_last)).reshape(-1, channels)

    return resample


def latency_seconds(spec: NetworkSpec, sample_rate: int, block_seconds: float) -> float:
    """Return how late a stream's output is at most.

    The first sample of a block waits for the block's other frames as well as for the algorithmic
    latency of the network, and for the resampling to and from the network's rate.
    """
    n_more = block_frames(spec, block_seconds) - spec.stride
    waiting = n_more * spec.spectrogram.hop_length / spec.sample_rate
    resampling = resampler_delay(sample_rate, spec.sample_rate)
    return (
        spec.latency_seconds + waiting + resampling + resampler_delay(spec.sample_rate, sample_rate)
    )


def delay_samples(spec: NetworkSpec, sample_rate: int, block_seconds: float, n_piece: int) -> int:
    """Return how many samples the output is behind the input at most, after a piece was fed.

    All pieces have `n_piece` samples. With so many samples of silence before it, the output has a
    piece ready whenever the input has given one. Exact if nothing is resampled, else a bound.
    """
    if sample_rate != spec.sample_rate:
        return math.ceil(latency_seconds(spec, sample_rate, block_seconds) * sample_rate)
    hop, n_half = spec.spectrogram.hop_length, spec.spectrogram.n_fft // 2
    n_block = block_frames(spec, block_seconds) * hop
    # Block m ends n_half before sample m * n_block, and needs `ahead` samples after this one.
    ahead = n_half + (spec.lookahead_margin_frames - 1) * hop
    step = math.gcd(n_piece, n_block)
    return n_half + ahead + n_block - step + -ahead % step


@functools.cache
def resampler_delay(from_rate: int, to_rate: int) -> float:
    """Return how many seconds the output of a resampler is behind its input at most.

    It is measured, since soxr documents no figure. The output comes in bursts.
    """
    resample, n_piece = _make_resampler(from_rate, to_rate, 1), max(1, from_rate // 2000)
    piece, n_in, n_out, delay = np.zeros((n_piece, 1), np.float32), 0, 0, 0.0
    while n_in < 2 * from_rate and from_rate != to_rate:
        n_in += n_piece
        delay = max(delay, n_in / from_rate - n_out / to_rate)
        n_out += len(resample(piece, False))
    return delay
