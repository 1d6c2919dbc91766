"""Denoising without an end: block by block, each with all that the network sees around it.

Blocks lie at fixed places, whatever the pieces that a waveform arrives in. So every piece size
gives the same bytes, and memory does not grow.
"""

from collections.abc import Callable

import numpy as np
import soxr

from denoise.dsp.audio import QUALITY, Waveform, out_of_range
from denoise.dsp.stft import Stft, count_frames, overlap_add_sums, stft_uncentred, to_real_imag
from denoise.network.spec import MaskNetwork, NetworkSpec

BLOCK_SECONDS = 6.0
MIN_WEIGHT = np.float32(1e-6)  # outside the waveform the windows fade out


def block_frames(spec: NetworkSpec) -> int:
    """Return the frames of a block, a multiple of the network's stride."""
    frames = BLOCK_SECONDS * spec.sample_rate / spec.spectrogram.hop_length
    return spec.stride * max(1, round(frames / spec.stride))


class BlockDenoiser:
    """Cleans one channel at the network's own rate."""

    def __init__(self, network: MaskNetwork) -> None:
        """Start before the first sample."""
        self._mask, self._spec = network.mask, network.spec
        self._spectrogram = network.spec.spectrogram
        self._block_frames = block_frames(network.spec)
        self._before = self._spectrogram.n_fft // 2
        self._samples = np.zeros(self._before, np.float32)  # from the first frame that is kept
        self._first = 0  # that frame
        self._next = 0  # the first frame that is not cleaned yet
        self._received = 0
        self._sums = np.zeros((2, 0), np.float32)  # of frames so far, from where output stands
        self._ahead = self._before  # samples of the first frame that lie before the waveform
        self._sent = 0

    def feed(self, samples: Waveform) -> Waveform:
        """Take float32 [n_samples]; return what is ready, [n_ready]."""
        self._samples = np.concatenate([self._samples, samples])
        self._received += len(samples)
        hop, ready = self._spectrogram.hop_length, []
        while self._received >= (self._seen() - 1) * hop + self._before:
            ready.append(self._clean_block(self._seen()))
        return self._emit(ready)

    def flush(self) -> Waveform:
        """End the waveform; return the rest of it."""
        if self._received == 0:
            return np.zeros(0, np.float32)
        spectrogram, ready = self._spectrogram, []
        count = count_frames(self._received, spectrogram)
        end = (count - 1) * spectrogram.hop_length + spectrogram.n_fft
        self._samples = np.pad(self._samples, (0, end - self._before - self._received))
        while self._next < count:
            ready.append(self._clean_block(min(count, self._seen())))
        return self._emit([*ready, self._sums[0] / np.maximum(self._sums[1], MIN_WEIGHT)])

    def _seen(self) -> int:
        """Return the end of the frames that the next block is cleaned with."""
        return self._next + self._block_frames + self._spec.margin_frames

    def _emit(self, parts: list[Waveform]) -> Waveform:
        """Join samples, those before the first and after the last of the waveform left out."""
        joined = np.concatenate([np.zeros(0, np.float32), *parts])
        kept = joined[self._ahead :][: self._received - self._sent]
        self._ahead = max(0, self._ahead - len(joined))
        self._sent += len(kept)
        return kept

    def _clean_block(self, last: int) -> Waveform:
        """Clean the next block, seeing frames up to `last`; return the samples it completes."""
        spectrogram = self._spectrogram
        end = min(last, self._next + self._block_frames)
        seen = (last - self._first - 1) * spectrogram.hop_length + spectrogram.n_fft
        noisy = stft_uncentred(self._samples[:seen], spectrogram)
        mask = self._mask(to_real_imag(noisy)[None])[0]
        block = slice(self._next - self._first, end - self._first)
        complete = self._add(noisy[block] * mask[block])
        self._next = end
        self._forget(max(0, end - self._spec.margin_frames))
        return complete

    def _add(self, cleaned: Stft) -> Waveform:
        """Add the frames of a block to those before; return the samples that no more will touch."""
        sums = np.stack(overlap_add_sums(cleaned, self._spectrogram))
        sums[:, : self._sums.shape[1]] += self._sums
        complete = len(cleaned) * self._spectrogram.hop_length
        self._sums = sums[:, complete:]
        added, weights = sums[:, :complete]
        return added / np.maximum(weights, MIN_WEIGHT)

    def _forget(self, first: int) -> None:
        """Let go of the samples before frame `first`."""
        forgotten = (first - self._first) * self._spectrogram.hop_length
        self._samples = self._samples[forgotten:]
        self._first = first


class Stream:
    """Cleans audio of any rate, each of its channels alone, fed piece by piece.

    What comes out is as long as what went in, to the sample, once `flush` was called.
    """

    def __init__(
        self,
        network: MaskNetwork,
        sample_rate: int,
        channels: int = 1,
        strength: float = 1.0,
        residual: bool = False,
    ) -> None:
        """Start before the first sample.

        `strength` is the share of the denoised in what comes out, the rest being the recording as
        it is; `residual` asks for what that takes away instead. Raises ValueError for a rate, a
        number of channels or a strength out of range.
        """
        if excess := out_of_range(sample_rate, channels):
            raise ValueError(excess.message)
        if not 0 <= strength <= 1:
            raise ValueError(f"A strength of {strength:g} lies outside 0 to 1.")
        self._channels, inner = channels, network.spec.sample_rate
        self._to_network, self._from_network = (
            _resampler(*rates, channels) for rates in ((sample_rate, inner), (inner, sample_rate))
        )
        self._denoisers = [BlockDenoiser(network) for _ in range(channels)]
        self._noisy = np.zeros((0, channels), np.float32)  # what has no counterpart yet
        shares = (strength, -strength) if residual else (1 - strength, strength)
        self._of_noisy, self._of_denoised = (np.float32(share) for share in shares)

    def feed(self, samples: Waveform) -> Waveform:
        """Take float32 [n_samples, n_channels]; return what is ready, [n_ready, n_channels].

        Raises ValueError for another number of channels, or samples that are not finite.
        """
        if samples.ndim != 2 or samples.shape[1] != self._channels:
            raise ValueError(f"{samples.shape} is not [n_samples, {self._channels}].")
        if not np.isfinite(samples).all():
            raise ValueError("Samples must be finite numbers.")
        self._noisy = np.concatenate([self._noisy, samples])
        heard = self._to_network(samples, False)
        parts = [each.feed(part) for each, part in zip(self._denoisers, heard.T, strict=True)]
        return self._mix(self._from_network(np.stack(parts, axis=1), False))

    def flush(self) -> Waveform:
        """End the audio; return the rest of it, [n_ready, n_channels]."""
        heard = self._to_network(np.zeros((0, self._channels), np.float32), True)
        rest = [
            np.concatenate([each.feed(part), each.flush()])
            for each, part in zip(self._denoisers, heard.T, strict=True)
        ]
        denoised = self._from_network(np.stack(rest, axis=1), True)
        missing = max(0, len(self._noisy) - len(denoised))
        return self._mix(np.pad(denoised, ((0, missing), (0, 0))))

    def _mix(self, denoised: Waveform) -> Waveform:
        """Put denoised samples and the noisy ones in their place together."""
        denoised = denoised[: len(self._noisy)]
        noisy, self._noisy = np.split(self._noisy, [len(denoised)])
        return self._of_noisy * noisy + self._of_denoised * denoised


def _resampler(from_rate: int, to_rate: int, channels: int) -> Callable[[Waveform, bool], Waveform]:
    """Return a function of the next samples, and whether they are the last, to resampled ones."""
    if from_rate == to_rate:
        return lambda samples, is_last: samples
    stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality=QUALITY)

    def resample(samples: Waveform, is_last: bool) -> Waveform:
        contiguous = np.ascontiguousarray(samples, np.float32)
        return np.asarray(stream.resample_chunk(contiguous, last=is_last)).reshape(-1, channels)

    return resample
