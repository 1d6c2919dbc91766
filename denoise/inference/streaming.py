"""Denoise audio of any sample rate and any length in pieces.

The blocks in which it is denoised do not depend on the pieces in which it arrives. So pieces of any
size give the same bytes, and memory does not grow.
"""

import functools
import math
from collections.abc import Callable
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import soxr

from denoise.dsp.audio import QUALITY, Waveform, out_of_range
from denoise.inference.block_denoiser import (
    BLOCK_SECONDS,
    BlockDenoiser,
    FrameObserver,
    block_frames,
    block_latency_seconds,
    lookahead_frames,
)
from denoise.inference.equal_channels import EqualChannels
from denoise.inference.high_band import HighBand, high_band_latency_seconds
from denoise.inference.samples import to_number, to_waveform, to_whole_number
from denoise.network.spec import MaskNetwork


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
        or a block out of range, and for a `residual` that is neither True nor False.
        """
        sample_rate = to_whole_number(sample_rate, "sample rate")
        channels = to_whole_number(channels, "number of channels")
        strength, block_seconds = (
            to_number(strength, "strength"),
            to_number(block_seconds, "length of a block"),
        )
        if excess := out_of_range(sample_rate, channels):
            raise ValueError(excess.message)
        if not 0 <= strength <= 1:
            raise ValueError(f"A strength of {strength:g} lies outside 0 to 1.")
        if not isinstance(residual, bool | np.bool_):
            raise ValueError(f"residual must be True or False, not {residual!r}.")
        self._channels, network_rate = channels, network.spec.sample_rate
        self._to_network = _make_resampler(sample_rate, network_rate, channels)
        self.latency_seconds = latency_seconds(network, sample_rate, block_seconds)
        self._high_band = None
        observers: list[FrameObserver | None] = [None] * channels
        if sample_rate > network_rate:
            self._high_band = HighBand(network.spec, sample_rate, channels)
            observers = [each.add for each in self._high_band.gains]
        n_bands = 2 if self._high_band else 1
        self._from_network = _make_resampler(network_rate, sample_rate, n_bands * channels)
        self._equal_channels = EqualChannels(network)
        network = self._equal_channels.network
        self._denoisers = [BlockDenoiser(network, block_seconds, each) for each in observers]
        self._has_ended = False
        self._noisy = np.zeros((0, channels), np.float32)  # input whose output is not ready yet
        weights = (strength, -strength) if residual else (1 - strength, strength)
        self._noisy_weight, self._denoised_weight = (np.float32(weight) for weight in weights)

    def feed(self, samples: npt.ArrayLike) -> Waveform:
        """Add samples [n_samples, n_channels]; return what is ready, float32 [n_ready, n_channels].

        The samples are floating point numbers or integers, as in `Denoiser.denoise`. Raises
        ValueError for those that it does not take, and after `flush`. Any other exception ends the
        stream, because it has lost audio.
        """
        self._check_is_open()
        channels = to_waveform(samples, self._channels)
        self._has_ended = True  # stays so if an exception leaves the work half done
        self._noisy = np.concatenate([self._noisy, channels])
        ready = self._mix(self._denoise(channels, False))
        self._has_ended = False
        return ready

    def flush(self) -> Waveform:
        """End the audio; return the rest of it, [n_ready, n_channels]. Only once: the stream ends.

        Raises ValueError after an earlier `flush`, and if an exception has ended the stream.
        """
        self._check_is_open()
        self._has_ended = True
        rest = self._denoise(np.zeros((0, self._channels), np.float32), True)
        n_missing = max(0, len(self._noisy) - len(rest))
        return self._mix(np.pad(rest, ((0, n_missing), (0, 0))))

    def __reduce__(self) -> NoReturn:
        """Refuse copies and pickles: resampler and network keep state that cannot be copied."""
        raise TypeError("A stream can be neither copied nor pickled. Start another one.")

    def _check_is_open(self) -> None:
        if self._has_ended:
            raise ValueError(
                "This stream has ended with flush or an error. Start another for more audio."
            )

    def _denoise(self, samples: Waveform, is_last: bool) -> Waveform:
        """Add samples at the recording's sample rate; return the denoised ones that are ready."""
        resampled = self._to_network(samples, is_last)
        parts = [
            np.concatenate([each.feed(part), each.flush()]) if is_last else each.feed(part)
            for each, part in zip(self._denoisers, resampled.T, strict=True)
        ]
        self._equal_channels.forget_masks()
        denoised = np.stack(parts, axis=1)
        if self._high_band is None:
            return self._from_network(denoised, is_last)
        both = self._high_band.attach_noisy(denoised, resampled)
        return self._high_band.add(self._from_network(both, is_last), samples, is_last)

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


def latency_seconds(network: MaskNetwork, sample_rate: int, block_seconds: float) -> float:
    """Return how late a stream's output is at most, in seconds.

    The first sample of a block waits for the block's other frames, for the frames after the block
    that the result depends on, and for the resampling to and from the network's rate. At higher
    rates the high band, denoised after that, adds to it.
    """
    spec, n_ahead = network.spec, lookahead_frames(network)
    denoising = block_latency_seconds(spec, block_frames(spec, block_seconds), n_ahead)
    resampling = sum(
        resampler_delay(*rates)
        for rates in ((sample_rate, spec.sample_rate), (spec.sample_rate, sample_rate))
    )
    high_band = high_band_latency_seconds(sample_rate) if sample_rate > spec.sample_rate else 0.0
    return denoising + resampling + high_band


def delay_samples(
    network: MaskNetwork, sample_rate: int, block_seconds: float, n_piece: int
) -> int:
    """Return how many samples the output is behind the input at most, after a piece was fed.

    All pieces have `n_piece` samples. With so many samples of silence before it, the output has a
    piece ready whenever the input has given one. Exact if nothing is resampled, else a bound.
    """
    spec = network.spec
    if sample_rate != spec.sample_rate:
        return math.ceil(latency_seconds(network, sample_rate, block_seconds) * sample_rate)
    hop, n_half = spec.spectrogram.hop_length, spec.spectrogram.n_fft // 2
    n_block = block_frames(spec, block_seconds) * hop
    # Block m ends n_half before sample m * n_block, and needs `ahead` samples after this one.
    ahead = n_half + (lookahead_frames(network) - 1) * hop
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
