"""What training minimises. Each loss compares a mask with a pair of spectrograms.

`y_true` is float32 [batch, n_frames, n_bins, 4]: the noisy STFT's real and imaginary parts, then
the clean one's. `y_pred` is the mask, float32 [batch, n_frames, n_bins].
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from denoise.batches import BatchSource
from denoise.hearing import disturbance, ear_for
from denoise.intelligibility import envelope_correlation, third_octaves
from denoise.model import power_of, reference_level
from denoise.params import LossWeights, Params, SpectrogramParams
from denoise.spectrogram import overlap_add, real_parts, window

FAINTEST = 1e-6
Tensor = Any


class SpectrumLoss(keras.losses.Loss):
    """What hearing, a listener's understanding and the waveform lose, each with its weight."""

    def __init__(
        self, spectrogram: SpectrogramParams, sample_rate: int, weights: LossWeights
    ) -> None:
        """Prepare the bands and the inverse transform of these spectrograms."""
        super().__init__(name="spectrum_loss")
        self._spectrogram = spectrogram
        self._frames_a_second = sample_rate / spectrogram.hop_length
        self._bands = third_octaves(spectrogram.n_bins, sample_rate)
        self._ear = ear_for(spectrogram.n_bins, sample_rate, self._frames_a_second)
        self._weights = weights

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each clip, [batch]."""
        level = ops.sqrt(ops.mean(power_of(y_true[..., 2:]), axis=(1, 2), keepdims=True))
        noisy, clean = ops.split(y_true / (level[..., None] + FAINTEST), 2, axis=-1)
        clean_power = power_of(clean)
        denoised_power = power_of(noisy) * ops.square(y_pred)
        understood = envelope_correlation(
            clean_power, denoised_power, self._bands, self._frames_a_second
        )
        denoised = noisy * y_pred[..., None]
        waveforms = si_sdr(*(tensor_istft(x, self._spectrogram) for x in (clean, denoised)))
        return (
            self._distance(noisy, clean, clean_power, denoised_power)
            - self._weights.waveform * waveforms
            - self._weights.intelligibility * understood
            + self._weights.hearing * disturbance(clean_power, denoised_power, self._ear)
        )

    def _distance(
        self, noisy: Tensor, clean: Tensor, clean_power: Tensor, denoised_power: Tensor
    ) -> Tensor:
        """Return the distance of spectra whose magnitudes are compressed to the power 1/4.

        The denoised phase is the noisy one, so the complex distance is had from magnitudes and
        the cosine between the phases, at half the cost: a^2 + b^2 - 2ab cos = (a-b)^2 + 2ab(1-cos).
        """
        magnitude, wanted = eighth_root(denoised_power), eighth_root(clean_power)
        product = ops.sum(noisy * clean, axis=-1)
        cosine = product * ops.rsqrt(power_of(noisy) * clean_power + FAINTEST**2)
        of_magnitudes = ops.square(magnitude - wanted)
        of_phases = 2 * magnitude * wanted * (1 - cosine)
        weights = self._weights
        both = (weights.magnitude + weights.phase) * of_magnitudes + weights.phase * of_phases
        return ops.mean(both, axis=(1, 2))


def eighth_root(power: Tensor) -> Tensor:
    """Return a magnitude to the power 1/4 of its square, by roots, which cost less than a power."""
    return ops.sqrt(ops.sqrt(ops.sqrt(power + 1e-5)))


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
    return SpectrumLoss(params.spectrogram, params.audio.sample_rate, params.train.loss)


def peak_for(params: Params, train: BatchSource) -> float:
    """Return the largest magnitude over the local level in the noisy training set.

    Only the reference autoencoder needs it; for another the answer is 1.
    """
    if params.model.architecture != "reference":
        return 1.0
    frames_a_second = params.audio.sample_rate / params.spectrogram.hop_length
    peak = 0.0
    for number in range(len(train)):
        stft = real_parts(train.noisy(number))
        ratio = ops.sqrt(power_of(stft)) / reference_level(stft, frames_a_second)
        peak = max(peak, float(ops.max(ratio)))
    return peak
