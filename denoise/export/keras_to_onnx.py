"""Write a Keras network as an ONNX file that has the same bytes every time.

Keras' own export does the translation, by the package tf2onnx. A few layers are replaced before,
because tf2onnx writes them slowly, or with bits that depend on the processor.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
from keras import layers, ops

from denoise.errors import DenoiseError
from denoise.export.canonical import OPSET, canonicalise
from denoise.network.context import ContextFrames, CropFrames, PastFrames

Tensor = Any
Shape = tuple[int | None, ...]


class ExportError(DenoiseError):
    """The network has an operation that cannot be exported to ONNX."""


def to_onnx(model: keras.Model, metadata: Mapping[str, str]) -> bytes:
    """Return a network as an ONNX file.

    Its input `stft` is float32 [batch, n_frames, n_bins, 2], its output `mask` float32 [batch,
    n_frames, n_bins].

    A causal network has further inputs `past_0`, `past_1`, ..., the frames that its layers kept
    from the piece before (zeros for the first piece), and as many outputs `last_0`, ..., which are
    the inputs for the next piece. A network that drops context has the optional input `context`,
    int64 [2]: how many of the first and of the last frames have no mask, since they are context
    only. By default, all frames have one. Raises ExportError for an operation that is not
    supported.
    """
    # A clone with the same layers, each called once more: they keep their weights.
    clone = keras.models.clone_model(model, clone_function=lambda x: x, call_function=call_for_onnx)
    exported, signature = clone, clone.inputs
    inputs, outputs, defaults = ["stft"], ["mask"], dict[str, np.ndarray]()
    if past := [layer for layer in clone.layers if isinstance(layer, PastFrames)]:
        exported = PieceByPiece(clone, past)
        signature = [[*clone.inputs, *exported.past_inputs()]]
        inputs += [f"past_{number}" for number in range(len(past))]
        outputs += [f"last_{number}" for number in range(len(past))]
    elif any(isinstance(layer, ContextFrames) for layer in clone.layers):
        context_layers = [x for x in clone.layers if isinstance(x, ContextFrames | CropFrames)]
        exported = WithContext(clone, context_layers)
        signature = [[*clone.inputs, keras.KerasTensor((2,), "int64", name="context")]]
        inputs += ["context"]
        defaults["context"] = np.zeros(2, np.int64)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras looks for np.object
        path = Path(folder) / "network.onnx"
        options = {"input_signature": signature, "opset_version": OPSET, "verbose": False}
        exported.export(path, format="onnx", **options)
        file = canonicalise(onnx.load(path), inputs, outputs, defaults, metadata)
    try:
        onnx.checker.check_model(file)  # tf2onnx only logs the operations that it does not know
    except onnx.checker.ValidationError as error:
        raise ExportError(f"The network cannot be exported to ONNX: {error}") from error
    return file


class PieceByPiece(keras.Model):
    """A causal network that keeps the last frames of a piece of a recording for the next piece."""

    def __init__(self, network: keras.Model, past: Sequence[PastFrames]) -> None:
        """Take a network and those of its layers that add past frames."""
        super().__init__()
        self._network, self._past = network, list(past)
        self.built = True  # its layers have their weights

    def past_inputs(self) -> list[keras.KerasTensor]:
        """Return the inputs with the frames from the piece before, [batch, n_kept, ...] each."""
        return [
            keras.KerasTensor((None, layer.n_past, *layer.input.shape[2:]), name=f"past_{number}")
            for number, layer in enumerate(self._past)
        ]

    def call(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Map [stft, *past frames] to [mask, *the past frames of the next piece]."""
        stft, *before = inputs
        for layer, frames in zip(self._past, before, strict=True):
            layer.before = frames
        try:
            mask = self._network(stft)
            return [mask, *(layer.last for layer in self._past)]
        finally:
            for layer in self._past:
                layer.before = layer.last = None


class WithContext(keras.Model):
    """A network that is told how many of its frames are context, and drops them on the way."""

    def __init__(
        self, network: keras.Model, context_layers: Sequence[ContextFrames | CropFrames]
    ) -> None:
        """Take a network and those of its layers that drop context."""
        super().__init__()
        self._network, self._context_layers = network, list(context_layers)
        self.built = True  # its layers have their weights

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map [stft, context] to the mask of the frames that are not context."""
        stft, context = inputs
        for layer in self._context_layers:
            layer.context = context
        try:
            return self._network(stft)
        finally:
            for layer in self._context_layers:
                layer.context = None


def call_for_onnx(layer: keras.Operation, *arguments: Any, **options: Any) -> Tensor:
    """Call a layer, or equivalent operations that tf2onnx writes better."""
    match layer:
        case layers.BatchNormalization() if layer.axis in (-1, arguments[0].ndim - 1):
            scale, shift = scale_and_shift(layer)
            return arguments[0] * scale + shift
        case layers.Conv2D() if max(layer.dilation_rate) > 1:
            return dilated_convolution(layer, *arguments)
        case layers.UpSampling2D(interpolation="nearest"):
            return NearestUpSampling(layer.size)(*arguments)
    return layer(*arguments, **options)


def scale_and_shift(layer: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Return the factor and the offset that a trained batch normalisation applies per channel.

    Computed in float64, by operations that are exact: TensorFlow's reciprocal square root has
    other bits on other processors.
    """
    mean, variance = (np.float64(w) for w in (layer.moving_mean, layer.moving_variance))
    scale = (np.asarray(layer.gamma) if layer.scale else 1) / np.sqrt(variance + layer.epsilon)
    shift = (np.asarray(layer.beta) if layer.center else 0) - mean * scale
    return scale.astype(np.float32), shift.astype(np.float32)


def dilated_convolution(layer: layers.Conv2D, x: Tensor) -> Tensor:
    """Return a dilated convolution of an explicitly padded tensor.

    tf2onnx writes that as one node, and about 85 nodes if the convolution does the padding.
    """
    if layer.padding == "same":
        sizes = zip(layer.kernel_size, layer.dilation_rate, strict=True)
        widths = [(size - 1) * dilation for size, dilation in sizes]
        x = ops.pad(x, [(0, 0), *((width // 2, width - width // 2) for width in widths), (0, 0)])
    kernel = np.asarray(layer.kernel)
    y = ops.conv(x, kernel, padding="valid", dilation_rate=layer.dilation_rate)
    return layer.activation(y + np.asarray(layer.bias) if layer.use_bias else y)


class NearestUpSampling(layers.Layer):
    """Nearest-neighbour upsampling that tf2onnx writes as one node, not as copies of arrays."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Repeat each frame `size[0]` times and each bin `size[1]` times."""
        super().__init__()
        self.size = size

    def call(self, x: Tensor) -> Tensor:
        """Return [batch, n_frames, n_bins, channels] of a tensor with fewer frames and bins."""
        size = tf.shape(x)[1:3] * self.size
        y = tf.raw_ops.ResizeNearestNeighbor(images=x, size=size)
        return tf.ensure_shape(y, self.compute_output_shape(x.shape))

    def compute_output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the result; None where it is known at run time only."""
        frames, bins = (n and n * times for n, times in zip(shape[1:3], self.size, strict=True))
        return shape[0], frames, bins, shape[3]
