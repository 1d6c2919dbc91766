"""What training minimises. Each loss compares a mask with a pair of spectrograms.

`y_true` is float32 [batch, n_frames, n_bins, 4]: the noisy STFT's real and imaginary parts, then
the clean one's. `y_pred` is the mask, float32 [batch, n_frames, n_bins].
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from denoise.batches import BatchSource, as_pair
from denoise.model import power_of, reference_level
from denoise.params import Params, SpectrogramParams
from denoise.spectrogram import overlap_add, window

Tensor = Any


class SpectrumLoss(keras.losses.Loss):
    """Distance of compressed spectra, with and without phase, and SI-SDR of the waveforms."""

    def __init__(
        self, spectrogram: SpectrogramParams, compression: float, waveform_weight: float
    ) -> None:
        """Compress magnitudes to the power `compression`; weigh -SI-SDR in dB by the last."""
        super().__init__(name="spectrum_loss")
        self._spectrogram = spectrogram
        self._compression = compression
        self._waveform_weight = waveform_weight

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each clip, [batch]."""
        noisy, clean = y_true[..., :2], y_true[..., 2:]
        denoised = noisy * ops.expand_dims(y_pred, -1)
        level = ops.sqrt(ops.mean(power_of(clean), axis=(1, 2), keepdims=True))[..., None]
        magnitudes, phases = self._distances(clean / level, denoised / level)
        waveforms = si_sdr(self._waveform(clean), self._waveform(denoised))
        return magnitudes + phases - self._waveform_weight * waveforms

    def _distances(self, clean: Tensor, denoised: Tensor) -> tuple[Tensor, Tensor]:
        squeezed = [self._compress(stft) for stft in (clean, denoised)]
        (clean_magnitude, clean_stft), (magnitude, stft) = squeezed
        of_magnitudes = ops.mean(ops.square(clean_magnitude - magnitude), axis=(1, 2))
        of_stfts = ops.mean(power_of(clean_stft - stft), axis=(1, 2))
        return of_magnitudes, of_stfts

    def _compress(self, stft: Tensor) -> tuple[Tensor, Tensor]:
        power = power_of(stft) + 1e-6
        magnitude = ops.power(power, self._compression / 2)
        return magnitude, stft * ops.expand_dims(magnitude / ops.sqrt(power), -1)

    def _waveform(self, stft: Tensor) -> Tensor:
        return tensor_istft(stft, self._spectrogram)


def tensor_istft(stft: Tensor, params: SpectrogramParams) -> Tensor:
    """Invert float32 [batch, n_frames, n_bins, 2] to [batch, (n_frames - 1) * hop_length].

    The same inverse as `spectrogram.istft`, with gradients.
    """
    count = stft.shape[1]
    frames = tf.signal.irfft(tf.complex(stft[..., 0], stft[..., 1])) * window(params)
    squares = np.broadcast_to(np.square(window(params)), (count, params.n_fft))
    before = params.n_fft // 2
    kept = slice(before, before + (count - 1) * params.hop_length)
    added = tf.signal.overlap_and_add(frames, params.hop_length)[:, kept]
    return added / overlap_add(squares, params.hop_length)[kept]


def si_sdr(clean: Tensor, denoised: Tensor) -> Tensor:
    """Return the SI-SDR in dB of each waveform of a batch, [batch]; Le Roux et al. (2019)."""
    product = ops.sum(clean * denoised, axis=-1, keepdims=True)
    target = clean * product / (ops.sum(ops.square(clean), axis=-1, keepdims=True) + 1e-8)
    signal = ops.sum(ops.square(target), axis=-1)
    distortion = ops.sum(ops.square(denoised - target), axis=-1)
    return (10 / np.log(10)) * (ops.log(signal + 1e-8) - ops.log(distortion + 1e-8))


class MagnitudeCrossentropy(keras.losses.Loss):
    """The reference autoencoder's loss: binary cross-entropy of magnitudes in [0, 1]."""

    def __init__(self, frames_a_second: float, peak: float) -> None:
        """Scale magnitudes as `model.reference_mask` does."""
        super().__init__(name="magnitude_crossentropy")
        self._frames_a_second = frames_a_second
        self._peak = peak

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each frame, [batch, n_frames]."""
        noisy, clean = y_true[..., :2], y_true[..., 2:]
        scale = reference_level(noisy, self._frames_a_second) * self._peak
        wanted = ops.clip(ops.sqrt(power_of(clean)) / scale, 0, 1)
        denoised_magnitude = y_pred * ops.sqrt(power_of(noisy)) / scale
        return keras.losses.binary_crossentropy(wanted[:, :, :-1], denoised_magnitude[:, :, :-1])


def loss_for(params: Params, peak: float) -> keras.losses.Loss:
    """Return the loss that the architecture of `params` is trained with."""
    if params.model.architecture == "reference":
        return MagnitudeCrossentropy(params.audio.sample_rate / params.spectrogram.hop_length, peak)
    network = params.model.skip_autoencoder
    return SpectrumLoss(params.spectrogram, network.compression, network.waveform_weight)


def peak_for(params: Params, train: BatchSource) -> float:
    """Return the largest magnitude over the local level in the noisy training set.

    Only the reference autoencoder needs it; for another the answer is 1.
    """
    if params.model.architecture != "reference":
        return 1.0
    frames_a_second = params.audio.sample_rate / params.spectrogram.hop_length
    peak = 0.0
    for number in range(len(train)):
        noisy, clean = train.cached(number)
        stft, _ = as_pair(noisy, clean)
        ratio = ops.sqrt(power_of(stft)) / reference_level(stft, frames_a_second)
        peak = max(peak, float(ops.max(ratio)))
    return peak
