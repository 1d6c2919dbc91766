"""The losses. Each compares a mask with a pair of spectrograms.

`MagnitudeCrossentropy` is the reference autoencoder's, `SpectralLoss` that of all others.

`y_true` is a pair of float32 [batch, n_frames, n_bins, 2]: the real and imaginary parts of the
noisy and of the clean STFT. `y_pred` is the mask, float32 [batch, n_frames, n_bins].
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from denoise import extensions
from denoise.dsp.stft import overlap_add, to_real_imag, window
from denoise.network.architectures import power_of, reference_level
from denoise.network.exact_ops import log
from denoise.params import LossWeights, Params, SpectrogramParams
from denoise.training.data import Batches
from denoise.training.estoi_loss import envelope_correlation, third_octave_filterbank
from denoise.training.log_mel_loss import log_mel_distance, mean_power_filterbank
from denoise.training.pesq_loss import make_hearing_model, pesq_disturbance

EPSILON = 1e-6
POWER_FLOOR = 1e-5  # relative to the clip's mean power in a bin: 50 dB below
Tensor = Any


class SpectralLoss(keras.losses.Loss):
    """A weighted sum of spectral distances, SI-SDR, and models of ESTOI and PESQ.

    Everything but SI-SDR is computed from the power spectra that the network's mask gives, so no
    waveform is needed.
    """

    def __init__(
        self, spectrogram: SpectrogramParams, sample_rate: int, weights: LossWeights
    ) -> None:
        """Prepare the filterbanks for these spectrograms."""
        super().__init__(name="spectral_loss")
        self._spectrogram = spectrogram
        self._frame_rate = sample_rate / spectrogram.hop_length
        self._third_octaves = third_octave_filterbank(spectrogram.n_bins, sample_rate)
        self._mel_bands = mean_power_filterbank(spectrogram.n_bins, sample_rate)
        self._hearing_model = make_hearing_model(spectrogram.n_bins, sample_rate, self._frame_rate)
        self._weights = weights

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each clip, [batch]."""
        noisy, clean = y_true
        powers = power_of(noisy), power_of(clean), scalar_product(noisy, clean)
        mean_power = ops.mean(powers[1], axis=(1, 2), keepdims=True) + EPSILON**2
        noisy_power, clean_power, product = (power / mean_power for power in powers)
        denoised_power = noisy_power * ops.square(y_pred)
        denoised_energy = inverse_energy(noisy * y_pred[..., None], self._spectrogram)
        si_sdr = si_sdr_db(
            energy(clean_power), denoised_energy / mean_power[:, 0, 0], energy(product * y_pred)
        )
        estoi = envelope_correlation(
            clean_power, denoised_power, self._third_octaves, self._frame_rate
        )
        pesq = pesq_disturbance(clean_power, denoised_power, self._hearing_model)
        log_mel = log_mel_distance(clean_power, denoised_power, self._mel_bands)
        cosine = product / ops.sqrt(noisy_power * clean_power + EPSILON**2)
        weights = self._weights
        total = (
            self._spectral_distance(clean_power, denoised_power, cosine)
            - weights.si_sdr * si_sdr
            - weights.estoi * estoi
            + weights.pesq * pesq
            + weights.log_mel * log_mel
        )
        for name, weight in weights.extensions.items():
            total += weight * extensions.load("losses", name).loss(noisy, clean, y_pred)
        return total

    def _spectral_distance(
        self, clean_power: Tensor, denoised_power: Tensor, cosine: Tensor
    ) -> Tensor:
        """Return the distances of magnitudes and of complex spectra, compressed to the power 1/4.

        `cosine` is that of the angle between the clean and the noisy phase; the denoised phase is
        the noisy one. So the complex distance follows from the magnitudes at half the cost:
        a^2 + b^2 - 2ab cos = (a - b)^2 + 2ab (1 - cos).
        """
        denoised, clean = eighth_root(denoised_power), eighth_root(clean_power)
        magnitude_term = ops.square(denoised - clean)
        phase_term = 2 * denoised * clean * (1 - cosine)
        complex_weight = self._weights.compressed_complex
        magnitude_weight = self._weights.compressed_magnitude + complex_weight
        return ops.mean(
            magnitude_weight * magnitude_term + complex_weight * phase_term, axis=(1, 2)
        )


def eighth_root(power: Tensor) -> Tensor:
    """Return the magnitude to the power 1/4, by square roots, which are cheaper than a power.

    POWER_FLOOR bounds its gradient. A quieter bin counts as silence.
    """
    return ops.sqrt(ops.sqrt(ops.sqrt(power + POWER_FLOOR)))


def scalar_product(one: Tensor, other: Tensor) -> Tensor:
    """Return the scalar product of each bin of two STFTs, [batch, n_frames, n_bins]."""
    return one[..., 0] * other[..., 0] + one[..., 1] * other[..., 1]


def energy(power: Tensor) -> Tensor:
    """Sum [batch, n_frames, n_bins] over frames and bins, negative frequencies included.

    By Parseval's theorem the energy of an STFT is that of its waveform, weighted with the squares
    of the windows, times `n_fft`; likewise for the scalar product of two waveforms.
    """
    by_bin = ops.sum(power, axis=1)
    return 2 * ops.sum(by_bin, axis=-1) - by_bin[:, 0] - by_bin[:, -1]


def inverse_energy(stft: Tensor, params: SpectrogramParams) -> Tensor:
    """Return what `energy` gives for the waveform that [batch, n_frames, n_bins, 2] inverts to.

    It is less than the energy of the STFT itself where a mask has made overlapping frames
    inconsistent: the inverse STFT averages them.
    """
    frames = tf.signal.irfft(tf.complex(stft[..., 0], stft[..., 1])) * window(params)
    added = tf.signal.overlap_and_add(frames, params.hop_length)
    squares = np.broadcast_to(np.square(window(params)), (stft.shape[1], params.n_fft))
    weights = overlap_add(squares, params.hop_length)[: added.shape[1]]
    return params.n_fft * ops.sum(ops.square(added) / (weights + EPSILON), axis=-1)


def si_sdr_db(clean_energy: Tensor, denoised_energy: Tensor, product: Tensor) -> Tensor:
    """Return the SI-SDR in dB from energies and the scalar product; Le Roux et al. (2019)."""
    signal = ops.square(product) / (clean_energy + EPSILON)
    distortion = ops.maximum(denoised_energy - signal, EPSILON * denoised_energy)
    return (10 / np.log(10)) * (log(signal + EPSILON) - log(distortion + EPSILON))


class MagnitudeCrossentropy(keras.losses.Loss):
    """The reference autoencoder's loss: binary cross-entropy of magnitudes in [0, 1]."""

    def __init__(self, frame_rate: float, peak: float) -> None:
        """Scale magnitudes as `architectures.reference_mask` does."""
        super().__init__(name="magnitude_crossentropy")
        self._frame_rate = frame_rate
        self._peak = peak

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each frame, [batch, n_frames]."""
        noisy, clean = y_true
        scale = reference_level(noisy, self._frame_rate) * self._peak
        target = ops.clip(ops.sqrt(power_of(clean)) / scale, 0, 1)
        denoised_magnitude = y_pred * ops.sqrt(power_of(noisy)) / scale
        return keras.losses.binary_crossentropy(target[:, :, :-1], denoised_magnitude[:, :, :-1])


def loss_for(params: Params, peak: float) -> keras.losses.Loss:
    """Return the loss that the architecture of `params` is trained with."""
    if params.model.architecture == "reference":
        return MagnitudeCrossentropy(params.audio.sample_rate / params.spectrogram.hop_length, peak)
    return SpectralLoss(params.spectrogram, params.audio.sample_rate, params.train.loss)


def peak_for(params: Params, train: Batches) -> float:
    """Return the largest magnitude relative to the local level in the noisy training set.

    Only the reference autoencoder needs it; for other architectures it is 1.
    """
    if params.model.architecture != "reference":
        return 1.0
    frame_rate = params.audio.sample_rate / params.spectrogram.hop_length
    peak = 0.0
    for number in range(len(train)):
        stft = to_real_imag(train.noisy(number))
        ratio = ops.sqrt(power_of(stft)) / reference_level(stft, frame_rate)
        peak = max(peak, float(ops.max(ratio)))
    return peak
