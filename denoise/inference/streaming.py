"""Denoise audio of any sample rate and any length in pieces.

The blocks in which it is denoised do not depend on the pieces in which it arrives. So pieces of any
size give the same bytes, and memory does not grow.
"""

from collections.abc import Callable

import numpy as np
import soxr

from denoise.dsp.audio import QUALITY, Waveform, out_of_range
from denoise.inference.block_denoiser import BlockDenoiser
from denoise.inference.high_band import HighBand
from denoise.network.spec import MaskNetwork


class Stream:
    """Denoise audio of any sample rate in pieces, each channel independently.

    After `flush`, the output has exactly as many samples as the input. It is late by a block
    (`block_denoiser.BLOCK_SECONDS`) and the network's look-ahead, and by 0.3 s more where the
    sample rate is higher than the network's.
    """

    def __init__(
        self,
        network: MaskNetwork,
        sample_rate: int,
        channels: int = 1,
        strength: float = 1.0,
        residual: bool = False,
    ) -> None:
        """Start a new recording.

        `strength` is the share of the denoised signal in the output; the input makes up the rest.
        With `residual`, the output is what is removed instead. Raises ValueError for a sample
        rate, a number of channels or a strength out of range.
        """
        if excess := out_of_range(sample_rate, channels):
            raise ValueError(excess.message)
        if not 0 <= strength <= 1:
            raise ValueError(f"A strength of {strength:g} lies outside 0 to 1.")
        self._channels, network_rate = channels, network.spec.sample_rate
        self._to_network = _make_resampler(sample_rate, network_rate, channels)
        self._high_band = None
        if sample_rate > network_rate:
            self._high_band = HighBand(network.spec, sample_rate, channels)
            self._from_network = _make_resampler(network_rate, sample_rate, 2 * channels)
            self._denoisers = [
                BlockDenoiser(network, observe=each.add) for each in self._high_band.gains
            ]
        else:
            self._from_network = _make_resampler(network_rate, sample_rate, channels)
            self._denoisers = [BlockDenoiser(network) for _ in range(channels)]
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
        return self._mix(self._denoise(samples, False))

    def flush(self) -> Waveform:
        """End the audio; return the rest of it, [n_ready, n_channels]."""
        rest = self._denoise(np.zeros((0, self._channels), np.float32), True)
        n_missing = max(0, len(self._noisy) - len(rest))
        return self._mix(np.pad(rest, ((0, n_missing), (0, 0))))

    def _denoise(self, samples: Waveform, is_last: bool) -> Waveform:
        """Add samples at the recording's sample rate; return the denoised ones that are ready."""
        resampled = self._to_network(samples, is_last)
        parts = [
            np.concatenate([each.feed(part), each.flush()]) if is_last else each.feed(part)
            for each, part in zip(self._denoisers, resampled.T, strict=True)
        ]
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
