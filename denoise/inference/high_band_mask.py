"""Choose what to remove above the network's band: noise, where it is measured.

The network says nothing about the frequencies above half of its sample rate, the high band. Its
mask at the upper end of its own band tells when there is speech. Where there is none, the noise of
the high band is measured, and a Wiener filter removes it. The carried gain of a frame is the
network's energy gain at the upper end of its band, from 0 to 1.
"""

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import Waveform
from denoise.dsp.stft import Magnitude, Stft
from denoise.network.spec import NetworkSpec

UPPER_END = (0.6, 0.95)  # of the network's Nyquist frequency
TRANSITION = 0.9  # of the same: from here on, resampling removes something
BAND_HZ = 4000  # noise is measured in bands of about this width
NOISE_SECONDS = 1.0  # the time constant of the estimate, in seconds without speech
MIN_NOISE_SECONDS = 1e-3  # an estimate from much less is not trusted
CARRIED_EXPONENT = 0.35  # of the carried gain; 0.5 would make it an amplitude gain
MIN_POWER = np.float32(1e-20)
SILENCE_POWER = 1e-12  # frames with less in the high band tell nothing about noise


def frame_gains(noisy: Stft, mask: Magnitude) -> Waveform:
    """Return the energy gain at the upper end of the band, [n_frames], of [n_frames, n_bins].

    It is the denoised over the noisy energy within the limits UPPER_END, and for silence the mean
    of the squared mask.
    """
    low, high = (round(limit * (noisy.shape[1] - 1)) for limit in UPPER_END)
    noisy, mask = noisy[:, low : high + 1], mask[:, low : high + 1]
    power = np.square(noisy.real) + np.square(noisy.imag) + MIN_POWER
    return (np.square(mask) * power).sum(axis=1) / power.sum(axis=1)


class GainTrack:
    """The gains of one channel, interpolated from the network's frames to those of the high band.

    Frame t of either is centred on sample t * hop_length, at its own sample rate.
    """

    def __init__(self, network: NetworkSpec, high_band: NetworkSpec) -> None:
        """Start a recording."""
        self._step = high_band.spectrogram.hop_length * network.sample_rate
        self._network_step = network.spectrogram.hop_length * high_band.sample_rate
        self._gains = np.zeros(0, np.float32)  # from the network's frame _first_frame on
        self._first_frame = 0
        self._n_taken = 0

    def add(self, noisy: Stft, mask: Magnitude) -> None:
        """Add the network's next frames and their mask."""
        self._gains = np.concatenate([self._gains, frame_gains(noisy, mask)])

    def take(self, n_frames: int) -> Waveform:
        """Return the gains of the high band's next frames, float32 [n_frames].

        They are 1 in a recording that is too short for a frame.
        """
        if not len(self._gains):
            return np.ones(n_frames, np.float32)
        positions = np.arange(self._n_taken, self._n_taken + n_frames) * self._step
        frames, rest = np.divmod(positions, self._network_step)
        before, after = (self._gain_at(wanted) for wanted in (frames, frames + 1))
        self._n_taken += n_frames
        self._discard_before(self._n_taken * self._step // self._network_step)
        return before + (rest / self._network_step).astype(np.float32) * (after - before)

    def _gain_at(self, frames: npt.NDArray[np.int64]) -> Waveform:
        """Return the gains of frames; beyond the last one, its gain."""
        return self._gains[np.minimum(frames - self._first_frame, len(self._gains) - 1)]

    def _discard_before(self, frame: int) -> None:
        """Discard the gains before a frame, except the last one."""
        n_discarded = min(frame - self._first_frame, len(self._gains) - 1)
        self._gains = self._gains[n_discarded:]
        self._first_frame += n_discarded


class NoiseEstimate:
    """The noise power in each band: the geometric mean over the frames without speech.

    Unlike the mean, it is hardly raised by speech in frames that are taken for noise.
    """

    def __init__(self, n_bands: int, frame_seconds: float) -> None:
        """Start without an estimate."""
        self._frame_seconds = frame_seconds
        self._log_sum = np.zeros(n_bands)
        self._seconds = 0.0  # of noise that were measured, less what is forgotten

    def update(self, power: npt.NDArray[np.float64], gains: Waveform) -> None:
        """Take the power of frames, [n_frames, n_bands], and their carried gains, [n_frames]."""
        is_sound = power.sum(axis=1) > SILENCE_POWER
        weights = is_sound * (1 - np.minimum(gains, 1)) ** 4 * self._frame_seconds
        kept = np.exp(-weights.sum() / NOISE_SECONDS)
        self._log_sum = kept * self._log_sum + (weights[:, None] * np.log(power)).sum(axis=0)
        self._seconds = kept * self._seconds + weights.sum()

    def power(self) -> npt.NDArray[np.float64]:
        """Return the noise power, [n_bands]: 0 without an estimate."""
        if not self._seconds:
            return np.zeros_like(self._log_sum)
        trust = self._seconds / (self._seconds + MIN_NOISE_SECONDS)
        return np.asarray(trust * np.exp(self._log_sum / self._seconds))


class HighBandMask:
    """The mask of one channel's high band, called for consecutive frames."""

    def __init__(self, gains: GainTrack, network: NetworkSpec, high_band: NetworkSpec) -> None:
        """Start a recording."""
        nyquist, high_nyquist = network.sample_rate / 2, high_band.sample_rate / 2
        n_bands = max(1, round((high_nyquist - nyquist) / BAND_HZ))
        edges_hz = np.linspace(nyquist, high_nyquist, n_bands + 1)
        n_bins = high_band.spectrogram.n_bins
        edges = np.round(edges_hz / high_nyquist * (n_bins - 1)).astype(int)
        edges[0], edges[-1] = int(TRANSITION * nyquist / high_nyquist * (n_bins - 1)), n_bins
        self._starts, self._widths = edges[:-1], np.diff(edges)
        self._gains = gains
        self._noise = NoiseEstimate(
            n_bands, high_band.spectrogram.hop_length / high_band.sample_rate
        )

    def __call__(self, spectrograms: npt.NDArray[np.float32]) -> Magnitude:
        """Return the mask of the next frames, float32 [1, n_frames, n_bins].

        `spectrograms` is float32 [1, n_frames, n_bins, 2]. The mask is the Wiener gain of each band
        times the carried gain to the power CARRIED_EXPONENT.
        """
        energy = np.square(spectrograms[0], dtype=np.float64).sum(axis=-1)
        power = np.add.reduceat(energy, self._starts, axis=1) / self._widths + MIN_POWER
        gains = self._gains.take(len(power))
        self._noise.update(power, gains)
        wiener = np.maximum(1 - self._noise.power() / power, 0)
        mask = (wiener * gains[:, None] ** CARRIED_EXPONENT).astype(np.float32)
        below = np.repeat(mask[:, :1], self._starts[0], axis=1)
        return np.concatenate([below, np.repeat(mask, self._widths, axis=1)], axis=1)[None]
