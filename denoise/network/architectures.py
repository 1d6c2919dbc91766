"""The networks. Each maps a noisy STFT to a mask; none depends on the level of its input.

Input: float32 [batch, n_frames, n_bins, 2], the real and imaginary parts of the noisy STFT.
Output: float32 [batch, n_frames, n_bins], the `mask` that the noisy STFT is multiplied with.
"""

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from denoise.params import ModelParams, SkipAutoencoderParams, SpectrogramParams

FIRST_LEVEL_BIN = 2  # a DC offset leaks into bins 0 and 1; it must not count as level
EPSILON = 1e-20
DILATIONS = (1, 2, 4, 6)
CONVOLVED_FRAMES = 6  # each way, by the convolutions over time that are not dilated
REFERENCE_FRAMES = 9
Tensor = Any


def build_model(
    params: ModelParams, spectrogram: SpectrogramParams, sample_rate: int, peak: float = 1.0
) -> keras.Model:
    """Build the network that `params.architecture` names, its weights drawn from `params.seed`.

    `peak` is the statistic that the reference autoencoder needs of its training set.
    """
    keras.utils.set_random_seed(params.seed)
    stft = keras.Input((None, spectrogram.n_bins, 2), name="stft")
    frame_rate = sample_rate / spectrogram.hop_length
    if params.architecture == "reference":
        mask = reference_mask(stft, frame_rate, peak)
    else:
        mask = skip_autoencoder_mask(stft, params.skip_autoencoder, frame_rate)
    return keras.Model(stft, mask, name=params.architecture)


@dataclass(frozen=True)
class ReceptiveField:
    """How many frames before and after a frame its mask depends on at most.

    And whether it matters where a spectrogram starts: only multiples of `stride` frames give the
    same masks.
    """

    frames: int
    stride: int


def receptive_field_of(params: ModelParams, frame_rate: float) -> ReceptiveField:
    """Return how far the network that `params` name looks."""
    if params.architecture == "reference":
        return ReceptiveField(round(frame_rate / 2) + REFERENCE_FRAMES, stride=2)
    level = round(params.skip_autoencoder.normalisation_window_seconds * frame_rate)
    return ReceptiveField(level + CONVOLVED_FRAMES + 2 * sum(DILATIONS), stride=1)


def power_of(stft: Tensor) -> Tensor:
    """Return the power of each bin, [batch, n_frames, n_bins], of [batch, n_frames, n_bins, 2]."""
    return ops.square(stft[..., 0]) + ops.square(stft[..., 1])


def local_level(power: Tensor, n_frames: int) -> Tensor:
    """Return the RMS magnitude around each frame, [batch, n_frames, 1].

    The mean is taken over `n_frames` frames, centred, those beyond the ends left out: a bounded
    neighbourhood, so that the same level is had from a chunk of a stream.
    """
    mean = ops.mean(power[:, :, FIRST_LEVEL_BIN:], axis=-1, keepdims=True)
    around = ops.average_pool(mean, n_frames, strides=1, padding="same")
    return ops.sqrt(around + EPSILON)


def skip_autoencoder_mask(stft: Tensor, params: SkipAutoencoderParams, frame_rate: float) -> Tensor:
    """Encode and decode along frequency with skips; dilated convolutions over time in between.

    Bins are folded into `params.subbands` bands with neighbours as channels: convolutions of few
    channels at full resolution would cost most of the time and bring little.
    """
    magnitude = normalised_magnitude(stft, params, frame_rate)
    folded = split_subbands(
        ops.power(magnitude[:, :, :-1] + 1e-4, params.compression), params.subbands
    )
    widths = [parts * params.channels // 8 for parts in (6, 7, 8)]
    fine = _convolve(folded, widths[0], (3, 3))
    middle = _residual(_convolve(fine, widths[1], (3, 4), strides=(1, 2)))
    x = _convolve(middle, widths[2], (3, 4), strides=(1, 2))
    for dilation in DILATIONS:
        x = _cross_band_block(_residual(x, dilation), params.bottleneck_channels, dilation)
    x = _residual(_upsample(x, widths[1]) + middle)
    x = _upsample(x, widths[0]) + fine
    mask = layers.Conv2D(folded.shape[3], 3, padding="same", name="mask")(x)
    return merge_subbands(ops.sigmoid(mask), stft.shape[2])


def normalised_magnitude(stft: Tensor, params: SkipAutoencoderParams, frame_rate: float) -> Tensor:
    """Return the magnitude over the local level, [batch, n_frames, n_bins]."""
    power = power_of(stft)
    level = local_level(power, 2 * round(params.normalisation_window_seconds * frame_rate) + 1)
    return ops.sqrt(power) / level


def split_subbands(x: Tensor, bands: int) -> Tensor:
    """Turn [batch, n_frames, n] into [batch, n_frames, n // neighbours, neighbours].

    Of `bands` bands, where `n` is a multiple of that; padded by zeros to a multiple of 4.
    """
    neighbours = max(1, x.shape[2] // bands)
    x = ops.pad(x, ((0, 0), (0, 0), (0, -x.shape[2] % (4 * neighbours))))
    return layers.Reshape((-1, x.shape[2] // neighbours, neighbours))(x)


def merge_subbands(x: Tensor, n_bins: int) -> Tensor:
    """Undo `fold_bins`: [batch, n_frames, n_bins], the bins beyond the last repeating it."""
    x = layers.Reshape((-1, x.shape[2] * x.shape[3]))(x)[:, :, : n_bins - 1]
    return ops.concatenate([x, x[:, :, -1:]], axis=-1)


def _convolve(x: Tensor, width: int, size: tuple[int, int], **options: Any) -> Tensor:
    return layers.Activation("relu")(_linear(x, width, size, **options))


def _linear(x: Tensor, width: int, size: tuple[int, int], **options: Any) -> Tensor:
    x = layers.Conv2D(width, size, padding="same", use_bias=False, **options)(x)
    return FusedNormalization(momentum=0.97, epsilon=1e-4)(x)


def _residual(x: Tensor, dilation: int = 1) -> Tensor:
    return x + _convolve(x, x.shape[3], (3, 3), dilation_rate=(dilation, 1))


def _cross_band_block(x: Tensor, width: int, dilation: int) -> Tensor:
    """Add what all bands of a frame say together, and of the frames `dilation` before and after."""
    bands, channels = x.shape[2:]
    y = layers.Reshape((-1, 1, bands * channels))(x)
    y = _convolve(y, width, (1, 1))
    y = _convolve(y, width, (3, 1), dilation_rate=(dilation, 1))
    return x + layers.Reshape((-1, bands, channels))(_linear(y, bands * channels, (1, 1)))


def _upsample(x: Tensor, width: int) -> Tensor:
    """Double the bands: a convolution gives each its two halves as channels."""
    x = _convolve(x, 2 * width, (1, 3))
    return layers.Reshape((-1, 2 * x.shape[2], width))(x)


class FusedNormalization(layers.BatchNormalization):
    """Batch normalisation that learns by one operation of TensorFlow, in half the time."""

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Return `x`, [batch, n_frames, bands, channels], at the level that each channel learns."""
        if not training:
            return super().call(x, training=False)
        statistics = {"epsilon": self.epsilon, "is_training": True}
        y, *found = tf.compat.v1.nn.fused_batch_norm(x, self.gamma, self.beta, **statistics)
        for moving, now in zip((self.moving_mean, self.moving_variance), found, strict=True):
            moving.assign(self.momentum * moving + (1 - self.momentum) * now)
        return y


class CropFrames(layers.Layer):
    """Cut a tensor to the number of frames of another, [batch, n_frames, ...]."""

    def call(self, x: Tensor, like: Tensor) -> Tensor:
        """Return the first frames of `x`, as many as `like` has."""
        return x[:, : ops.shape(like)[1]]


def reference_level(stft: Tensor, frame_rate: float) -> Tensor:
    """Return the level that the reference autoencoder's input is divided by, over one second."""
    return local_level(power_of(stft), 2 * round(frame_rate / 2) + 1)


def reference_mask(stft: Tensor, frame_rate: float, peak: float) -> Tensor:
    """Build the published autoencoder: 28,353 weights, magnitudes in [0, 1] in and out.

    `peak` is the largest magnitude, over the local level, of the noisy training set. The published
    design divides by one constant for any level; here the level around each frame goes first.
    """
    magnitude = ops.sqrt(power_of(stft))
    scale = reference_level(stft, frame_rate) * peak
    x = first = ops.expand_dims((magnitude / scale)[:, :, :-1], -1)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = layers.UpSampling2D(2)(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x)
    denoised_magnitude = ops.pad(CropFrames()(x, first)[..., 0], ((0, 0), (0, 0), (0, 1)))
    return denoised_magnitude * scale / ops.maximum(magnitude, EPSILON)
