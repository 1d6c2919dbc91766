"""The network architectures. Each maps a noisy STFT to a mask, whatever the input's level.

Input: float32 [batch, n_frames, n_bins, 2], the real and imaginary parts of the noisy STFT.
Output: float32 [batch, n_frames, n_bins], the `mask` that the noisy STFT is multiplied with.

In mixed precision, everything up to the normalised magnitude is float32, since powers span many
orders of magnitude. So are the last convolution and what follows it.
"""

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from denoise import extensions
from denoise.extensions import ExtensionError
from denoise.network.context import ContextFrames, CropFrames, PastFrames, WholeSteps
from denoise.network.exact_ops import FusedNormalization
from denoise.network.precision import FLOAT32, Convolution, as_float32, layers_of
from denoise.params import ModelParams, SkipAutoencoderParams, SpectrogramParams

FIRST_LEVEL_BIN = 2  # a DC offset leaks into bins 0 and 1, and must not count towards the level
EPSILON = 1e-20
UNDILATED_STEPS = 6  # receptive field, each way, of the convolutions without dilation
DECODER_STEPS = 2  # the same of the decoder alone
REFERENCE_FRAMES = 9  # the same of the reference autoencoder's convolutions
Tensor = Any


def build_model(
    params: ModelParams,
    spectrogram: SpectrogramParams,
    sample_rate: int,
    peak: float = 1.0,
    precision: str = FLOAT32,
) -> keras.Model:
    """Build the network that `params.architecture` names, with weights drawn from `params.seed`.

    `peak` is the training-set statistic that only the reference autoencoder needs. The layers
    compute in `precision`, that of `train.precision`; weights and masks are float32 in each.
    """
    keras.utils.set_random_seed(params.seed)
    stft = keras.Input((None, spectrogram.n_bins, 2), name="stft", dtype=FLOAT32)
    frame_rate = sample_rate / spectrogram.hop_length
    with layers_of(precision):
        if params.architecture == "reference":
            mask = reference_mask(stft, frame_rate, peak)
        elif params.architecture == "skip_autoencoder":
            mask = skip_autoencoder_mask(
                stft, params.skip_autoencoder, frame_rate, drops_context=True
            )
        else:
            mask = _extension_mask(params.architecture, stft, frame_rate)
    return keras.Model(stft, mask, name=params.architecture)


def _extension_mask(architecture: str, stft: Tensor, frame_rate: float) -> Tensor:
    mask = extensions.load("architectures", architecture).mask(stft, frame_rate)
    if mask.shape != stft.shape[:3]:
        raise ExtensionError(
            f"The mask of the architecture {architecture} has the shape {mask.shape}; "
            f"it must be {stft.shape[:3]}, [batch, n_frames, n_bins]."
        )
    return as_float32(mask)


@dataclass(frozen=True)
class ReceptiveField:
    """How many frames before a frame its mask depends on at most.

    It depends on as many after it, or on none if the network is `causal`. A chunk of a spectrogram
    gives the same masks only if it starts at a multiple of `stride`.
    """

    frames: int
    stride: int
    causal: bool = False


def receptive_field_of(params: ModelParams, frame_rate: float) -> ReceptiveField:
    """Return the receptive field of the network that `params` describes."""
    if params.architecture == "reference":
        return ReceptiveField(round(frame_rate / 2) + REFERENCE_FRAMES, stride=2)
    if params.architecture != "skip_autoencoder":
        return _extension_field(params.architecture, frame_rate)
    network, stride = params.skip_autoencoder, params.skip_autoencoder.frames_per_step
    level = round(network.normalisation_window_seconds * frame_rate)
    convolved = convolved_steps(network) * stride
    others = stride - 1  # frames of the same step
    if network.causal:  # the convolutions reach as far in all, but only into the past
        return ReceptiveField(level + 2 * convolved + others, stride, causal=True)
    return ReceptiveField(level + convolved + others, stride)


def _extension_field(architecture: str, frame_rate: float) -> ReceptiveField:
    field = extensions.load("architectures", architecture).receptive_field(frame_rate)
    is_whole = isinstance(field, ReceptiveField) and type(field.frames) is type(field.stride) is int
    if not is_whole or field.frames < 0 or field.stride < 1:
        raise ExtensionError(
            f"The receptive_field of the architecture {architecture} is {field!r}; it must be a "
            "ReceptiveField with whole numbers, `frames` at least 0 and `stride` at least 1."
        )
    return field


def convolved_steps(params: SkipAutoencoderParams) -> int:
    """Return how many steps each way the convolutions see; twice as many back if causal."""
    return UNDILATED_STEPS + 2 * sum(params.dilations)


def power_of(stft: Tensor) -> Tensor:
    """Return the power of each bin, [batch, n_frames, n_bins], of [batch, n_frames, n_bins, 2]."""
    return ops.square(stft[..., 0]) + ops.square(stft[..., 1])


def local_level(power: Tensor, window_frames: int) -> Tensor:
    """Return the RMS magnitude around each frame, [batch, n_frames, 1].

    The mean is taken over a centred window of `window_frames` frames, cut off at the ends. The
    window is bounded, so a chunk of a stream gives the same level as the whole.
    """
    mean = ops.mean(power[:, :, FIRST_LEVEL_BIN:], axis=-1, keepdims=True)
    around = ops.average_pool(mean, window_frames, strides=1, padding="same")
    return ops.sqrt(around + EPSILON)


def past_level(power: Tensor, window_frames: int) -> Tensor:
    """Return the RMS magnitude of each frame and those before it, [batch, n_frames, 1].

    The mean is taken over `window_frames` frames, the last of which is the frame itself; where
    there are fewer, over these.
    """
    mean = ops.mean(power[:, :, FIRST_LEVEL_BIN:], axis=-1, keepdims=True)
    total, share = (
        ops.average_pool(_add_past(x, window_frames - 1), window_frames, strides=1, padding="valid")
        for x in (mean, ops.ones_like(mean))
    )
    return ops.sqrt(total / share + EPSILON)


def _add_past(x: Tensor, n_past: int) -> Tensor:
    if n_past == 0:
        return x
    return PastFrames(n_past, dtype=keras.backend.standardize_dtype(x.dtype))(x)


def skip_autoencoder_mask(
    stft: Tensor, params: SkipAutoencoderParams, frame_rate: float, drops_context: bool = False
) -> Tensor:
    """Encode and decode along frequency with skip connections, dilated over time in between.

    The bins of each sub-band become channels, and so do the frames of each step: convolutions of
    few channels at the full resolution would take most of the time and gain little.

    A network that is not causal may drop steps of context where the layers that follow need fewer
    of them (`ContextFrames`). Then its file gives masks for the other frames only, so nothing else
    in the network may need as many frames as `stft` has.
    """
    causal, n_seen, frames_per_step = params.causal, convolved_steps(params), params.frames_per_step
    drops_context = drops_context and not causal
    magnitude = normalised_magnitude(stft, params, frame_rate)
    if drops_context:
        magnitude = _drop_context(magnitude, frames_per_step, n_seen, of_frames=True)
    compressed = ops.power(magnitude[:, :, :-1] + 1e-4, params.compression)
    subbands = split_subbands(compressed, params.subbands, frames_per_step)
    widths = [eighths * params.channels // 8 for eighths in (6, 7, 8)]
    fine = _convolve(subbands, widths[0], (3, 3), causal)
    middle = _residual(_convolve(fine, widths[1], (3, 4), causal, strides=(1, 2)), causal)
    x = _convolve(middle, widths[2], (3, 4), causal, strides=(1, 2))
    for dilation in params.dilations:
        x = _residual(x, causal, dilation)
        x = _cross_band_block(x, params.bottleneck_channels, causal, dilation)
    if drops_context:
        x, middle, fine = (
            _drop_context(each, frames_per_step, DECODER_STEPS, n_left=n_seen)
            for each in (x, middle, fine)
        )
    x = _residual(_upsample(x, widths[1]) + middle, causal)
    x = _upsample(x, widths[0]) + fine
    mask = _conv2d(x, subbands.shape[3], (3, 3), causal, name="mask", dtype=FLOAT32)
    mask = merge_subbands(ops.sigmoid(mask), stft.shape[2], frames_per_step)
    if drops_context:
        mask = _drop_context(mask, frames_per_step, 0, n_left=DECODER_STEPS, of_frames=True)
    return mask if frames_per_step == 1 else CropFrames(frames_per_step, dtype=FLOAT32)(mask, stft)


def _drop_context(x: Tensor, frames_per_step: int, n_needed: int, **options: Any) -> Tensor:
    dtype = keras.backend.standardize_dtype(x.dtype)  # in mixed precision, layers change it
    return ContextFrames(frames_per_step, n_needed, dtype=dtype, **options)(x)


def normalised_magnitude(stft: Tensor, params: SkipAutoencoderParams, frame_rate: float) -> Tensor:
    """Return the magnitude divided by the local level, [batch, n_frames, n_bins]."""
    power = power_of(stft)
    each_way = round(params.normalisation_window_seconds * frame_rate)
    if params.causal:
        return ops.sqrt(power) / past_level(power, each_way + 1)
    return ops.sqrt(power) / local_level(power, 2 * each_way + 1)


def split_subbands(x: Tensor, n_subbands: int, frames_per_step: int = 1) -> Tensor:
    """Turn [batch, frames, n] into [batch, steps, n // width, frames_per_step * width].

    A step has `frames_per_step` frames, and a sub-band `width` bins. There are `n_subbands` where
    `n` is a multiple of it. Zeros pad `n` to a multiple of 4 widths, and the frames to whole steps.
    """
    width = max(1, x.shape[2] // n_subbands)
    x = ops.pad(x, ((0, 0), (0, 0), (0, -x.shape[2] % (4 * width))))
    n_subbands = x.shape[2] // width
    if frames_per_step == 1:
        return layers.Reshape((-1, n_subbands, width))(x)
    x = WholeSteps(frames_per_step)(x)
    x = layers.Reshape((-1, frames_per_step, n_subbands, width))(x)
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    return layers.Reshape((-1, n_subbands, frames_per_step * width))(x)


def merge_subbands(x: Tensor, n_bins: int, frames_per_step: int = 1) -> Tensor:
    """Undo `split_subbands` but for the padding of frames; the last bin repeats another."""
    if frames_per_step > 1:
        n_subbands, width = x.shape[2], x.shape[3] // frames_per_step
        x = layers.Reshape((-1, n_subbands, frames_per_step, width), dtype=FLOAT32)(x)
        x = ops.transpose(x, (0, 1, 3, 2, 4))
        x = layers.Reshape((-1, n_subbands, width), dtype=FLOAT32)(x)
    x = layers.Reshape((-1, x.shape[2] * x.shape[3]), dtype=FLOAT32)(x)[:, :, : n_bins - 1]
    return ops.concatenate([x, x[:, :, -1:]], axis=-1)


def _convolve(
    x: Tensor, width: int, size: tuple[int, int], causal: bool = False, **options: Any
) -> Tensor:
    return layers.Activation("relu")(_linear(x, width, size, causal, **options))


def _linear(
    x: Tensor, width: int, size: tuple[int, int], causal: bool = False, **options: Any
) -> Tensor:
    x = _conv2d(x, width, size, causal, use_bias=False, **options)
    return FusedNormalization(momentum=0.97, epsilon=1e-4)(x)


def _conv2d(x: Tensor, width: int, size: tuple[int, int], causal: bool, **options: Any) -> Tensor:
    """Convolve frames and bands, padded so that there are as many as before, or by the strides.

    The padding is even on both sides; if the convolution is `causal`, all frames of zeros come
    before the first frame.
    """
    if not causal:
        return Convolution(width, size, padding="same", **options)(x)
    x = _add_past(x, (size[0] - 1) * options.get("dilation_rate", (1, 1))[0])
    n_bands = (size[1] - 1) // 2  # the same padding as above: the number of bands is even
    x = ops.pad(x, ((0, 0), (0, 0), (n_bands, n_bands), (0, 0)))
    return Convolution(width, size, padding="valid", **options)(x)


def _residual(x: Tensor, causal: bool, dilation: int = 1) -> Tensor:
    return x + _convolve(x, x.shape[3], (3, 3), causal, dilation_rate=(dilation, 1))


def _cross_band_block(x: Tensor, width: int, causal: bool, dilation: int) -> Tensor:
    """Add a bottleneck over all sub-bands of a frame and of the frames `dilation` away from it."""
    bands, channels = x.shape[2:]
    y = layers.Reshape((-1, 1, bands * channels))(x)
    y = _convolve(y, width, (1, 1))
    y = _convolve(y, width, (3, 1), causal, dilation_rate=(dilation, 1))
    return x + layers.Reshape((-1, bands, channels))(_linear(y, bands * channels, (1, 1)))


def _upsample(x: Tensor, width: int) -> Tensor:
    """Double the number of sub-bands: a convolution computes the two halves of each as channels."""
    x = _convolve(x, 2 * width, (1, 3))
    return layers.Reshape((-1, 2 * x.shape[2], width))(x)


def reference_level(stft: Tensor, frame_rate: float) -> Tensor:
    """Return the level over one second that the reference autoencoder's input is divided by."""
    return local_level(power_of(stft), 2 * round(frame_rate / 2) + 1)


def reference_mask(stft: Tensor, frame_rate: float, peak: float) -> Tensor:
    """Build the published autoencoder: 28,353 weights, magnitudes in [0, 1] in and out.

    `peak` is the largest magnitude relative to the local level in the noisy training set. The
    published design divides by one constant, whatever the level; here the magnitude is divided by
    the level around each frame first.
    """
    magnitude = ops.sqrt(power_of(stft))
    scale = reference_level(stft, frame_rate) * peak
    x = first = ops.expand_dims((magnitude / scale)[:, :, :-1], -1)
    x = Convolution(32, 3, padding="same", activation="relu")(x)
    x = Convolution(32, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(2, padding="same", dtype=FLOAT32)(x)
    x = Convolution(32, 3, padding="same", activation="relu")(x)
    x = layers.UpSampling2D(2)(x)
    x = Convolution(32, 3, padding="same", activation="relu")(x)
    x = Convolution(1, 3, padding="same", activation="sigmoid", dtype=FLOAT32)(x)
    cropped = CropFrames(dtype=FLOAT32)(x, first)[..., 0]
    denoised_magnitude = ops.pad(cropped, ((0, 0), (0, 0), (0, 1)))
    return denoised_magnitude * scale / ops.maximum(magnitude, EPSILON)
