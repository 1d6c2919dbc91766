"""Denoise the frequencies above the network's band, in recordings of a higher sample rate."""

import numpy as np

from denoise.dsp.audio import Waveform
from denoise.inference.block_denoiser import BlockDenoiser, block_frames, block_latency_seconds
from denoise.inference.high_band_mask import GainTrack, HighBandMask
from denoise.network.spec import MaskNetwork, NetworkSpec
from denoise.params import SpectrogramParams

BLOCK_SECONDS = 0.256  # after each block, the noise is estimated anew


def make_spec(sample_rate: int) -> NetworkSpec:
    """Return the STFT of the high band: windows of about 32 ms, each half a window later."""
    hop_length = 16 * max(1, round(sample_rate / 1000))  # a length of which the FFT is fast
    spectrogram = SpectrogramParams(2 * hop_length, hop_length, 2 * hop_length)
    return NetworkSpec(sample_rate, spectrogram, receptive_field_frames=0, stride=1)


def high_band_latency_seconds(sample_rate: int) -> float:
    """Return by how much the high band delays a stream at most."""
    spec = make_spec(sample_rate)
    return block_latency_seconds(spec, block_frames(spec, BLOCK_SECONDS), n_lookahead=0)


class SampleQueue:
    """Samples, [n_samples, n_channels], that wait for others of the same time."""

    def __init__(self, channels: int) -> None:
        """Start empty."""
        self._samples = np.zeros((0, channels), np.float32)

    def __len__(self) -> int:
        """Return the number of samples that wait."""
        return len(self._samples)

    def add(self, samples: Waveform) -> None:
        """Add samples at the end."""
        self._samples = np.concatenate([self._samples, samples])

    def take(self, n_samples: int) -> Waveform:
        """Remove and return the first `n_samples`, or all of them where there are fewer."""
        taken, self._samples = np.split(self._samples, [n_samples])
        return taken


class HighBand:
    """Add the denoised high band to the denoised low band, for each channel independently.

    The high band is the recording less what remains of it at the network's sample rate. So
    everything that resampling removes is in it, and a mask of ones returns the recording.
    """

    def __init__(self, network: NetworkSpec, sample_rate: int, channels: int) -> None:
        """Start a recording of a sample rate above the network's."""
        spec = make_spec(sample_rate)
        self.gains = [GainTrack(network, spec) for _ in range(channels)]
        masks = [HighBandMask(gains, network, spec) for gains in self.gains]
        self._denoisers = [BlockDenoiser(MaskNetwork(mask, spec), BLOCK_SECONDS) for mask in masks]
        self._noisy = SampleQueue(channels)  # at the network's sample rate
        self._recording, self._low_band = SampleQueue(channels), SampleQueue(channels)

    def attach_noisy(self, denoised: Waveform, received: Waveform) -> Waveform:
        """Return denoised samples and the noisy ones of the same time, [n_ready, 2 * n_channels].

        `denoised`, [n_ready, n_channels], may be later than `received`, [n_samples, n_channels],
        the next noisy samples; both are at the network's sample rate.
        """
        self._noisy.add(received)
        return np.concatenate([denoised, self._noisy.take(len(denoised))], axis=1)

    def add(self, low_band: Waveform, received: Waveform, is_last: bool) -> Waveform:
        """Return denoised audio with its high band, float32 [n_ready, n_channels].

        `low_band`, [n_samples, 2 * n_channels], is the result of `attach_noisy`, resampled, and
        `received`, [n_received, n_channels], the next samples of the recording.
        """
        self._recording.add(received)
        if is_last:
            n_missing = max(0, len(self._recording) - len(low_band))
            low_band = np.pad(low_band, ((0, n_missing), (0, 0)))
        recording = self._recording.take(len(low_band))
        denoised, noisy = np.split(low_band[: len(recording)], 2, axis=1)
        self._low_band.add(denoised)
        parts = [
            np.concatenate([each.feed(part), each.flush()]) if is_last else each.feed(part)
            for each, part in zip(self._denoisers, (recording - noisy).T, strict=True)
        ]
        high_band = np.stack(parts, axis=1)
        return self._low_band.take(len(high_band)) + high_band
