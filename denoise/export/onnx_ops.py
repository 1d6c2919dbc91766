"""Write each Keras layer and operation as ONNX nodes.

An emitter has the arguments (graph, call, *arguments of the call), adds nodes to the graph and
returns the name of the result. It raises ExportError for a use that it does not support.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from denoise.export.onnx_builder import Call, Graph

ALIGNMENT = 16  # float32 values: 64 bytes, the widest SIMD register
END = np.iinfo(np.int64).max
ACTIVATIONS = {"linear": "", "relu": "Relu", "sigmoid": "Sigmoid"}
Emitter = Callable[..., str]
Tensor: TypeAlias = keras.KerasTensor


def elementwise(op_type: str) -> Emitter:
    """Return an emitter for an elementwise operation on tensors and numbers."""

    def emit(graph: Graph, call: Call, *operands: Tensor | float) -> str:
        inputs: list[Tensor | str] = []
        for operand in operands:
            is_tensor = isinstance(operand, keras.KerasTensor)
            call.require(is_tensor or np.ndim(operand) == 0, "with a constant array")
            inputs.append(operand if is_tensor else graph.constant(operand))
        return graph.add(op_type, *inputs)

    return emit


def square(graph: Graph, call: Call, x: Tensor) -> str:
    """Emit x * x."""
    return graph.add("Mul", x, x)


def reduce_sum(graph: Graph, call: Call, x: Tensor, values: str = "") -> str:
    """Emit a sum over some axes, of `values` in place of `x` where they are given."""
    call.require(call.operation.axis is not None, "over all axes")
    axes = graph.integers([axis % len(x.shape) for axis in call.operation.axis])
    return graph.add("ReduceSum", values or x, axes, keepdims=int(call.operation.keepdims))


def mean(graph: Graph, call: Call, x: Tensor) -> str:
    """Emit a mean over the last axis whose bits do not depend on a row's place in memory.

    Runtimes choose the order of summation by a row's alignment, so rows are padded with zeros to a
    multiple of `ALIGNMENT`. Chunks of a stream need the same bits as the whole.
    """
    rank, length = len(x.shape), x.shape[-1]
    call.require(call.operation.axis in ([-1], [rank - 1]), "over another axis than the last")
    zeros = graph.integers([0] * (2 * rank - 1) + [-length % ALIGNMENT])
    total = reduce_sum(graph, call, x, graph.add("Pad", x, zeros))
    return graph.add("Div", total, graph.constant(length))


def get_item(graph: Graph, call: Call, x: Tensor, key: Any) -> str:
    """Emit indexing by integers and by slices of step 1."""
    parts = list(key) if isinstance(key, tuple) else [key]
    dots = parts.index(...) if ... in parts else len(parts)
    parts[dots : dots + 1] = [slice(None)] * (len(x.shape) - len(parts) + (... in parts))
    spans = {axis: _span(call, part) for axis, part in enumerate(parts) if part != slice(None)}
    starts, ends = zip(*spans.values(), strict=True)
    y = graph.add("Slice", x, *map(graph.integers, (starts, ends, tuple(spans))))
    single = [axis for axis, part in enumerate(parts) if isinstance(part, int)]
    return graph.add("Squeeze", y, graph.integers(single)) if single else y


def _span(call: Call, part: Any) -> tuple[int, int]:
    """Return the start and the end of a slice or of a single index."""
    if isinstance(part, int):
        return part, END if part == -1 else part + 1
    call.require(isinstance(part, slice) and part.step in (None, 1), f"by {part!r}")
    start, stop = part.start or 0, END if part.stop is None else part.stop
    call.require(isinstance(start, int) and isinstance(stop, int), f"by {part!r}")
    return start, stop


def crop_frames(graph: Graph, call: Call, x: Tensor, like: Tensor) -> str:
    """Emit a crop to the number of frames of `like`, which is known at run time only."""
    end = graph.add("Shape", like, start=1, end=2)
    return graph.add("Slice", x, graph.integers([0]), end, graph.integers([1]))


def pad(graph: Graph, call: Call, x: Tensor) -> str:
    """Emit padding with zeros."""
    widths = np.array(call.operation.pad_width)
    is_plain = call.operation.mode == "constant" and len(widths) == len(x.shape)
    call.require(is_plain, "with anything but zeros, or without a width for each axis")
    return graph.add("Pad", x, graph.integers(widths.T.ravel().tolist()))


def reshape(graph: Graph, call: Call, x: Tensor) -> str:
    """Emit a new shape for all axes but the first."""
    is_layer = isinstance(call.operation, keras.layers.Reshape)
    call.require(is_layer, "as an operation instead of a layer")
    # 0 keeps the length of the axis
    return graph.add("Reshape", x, graph.integers([0, *call.operation.target_shape]))


def transpose(graph: Graph, call: Call, x: Tensor) -> str:
    """Emit a permutation of the axes."""
    call.require(call.operation.axes is not None, "without axes")
    return graph.add("Transpose", x, perm=[axis % len(x.shape) for axis in call.operation.axes])


def expand_dims(graph: Graph, call: Call, x: Tensor) -> str:
    """Emit a new axis of length 1."""
    call.require(isinstance(call.operation.axis, int), "of several axes")
    return graph.add("Unsqueeze", x, graph.integers([call.operation.axis]))


def concatenate(graph: Graph, call: Call, parts: Sequence[Tensor]) -> str:
    """Emit a concatenation along an axis."""
    return graph.add("Concat", *parts, axis=call.operation.axis % len(parts[0].shape))


def convolution(graph: Graph, call: Call, x: Tensor) -> str:
    """Emit a convolution, with the batch normalisation that is folded into it."""
    layer = call.operation
    call.require((layer.padding, layer.groups) == ("same", 1), "in groups or without padding")
    kernel = np.asarray(layer.kernel, np.float64)
    bias = np.asarray(layer.bias if layer.use_bias else np.zeros(layer.filters), np.float64)
    if id(call.output) in graph.folded:
        scale, shift = scale_and_shift(graph.folded[id(call.output)])
        kernel, bias = kernel * scale, bias * scale + shift
    weights = graph.constant(kernel.transpose(3, 2, 0, 1)), graph.constant(bias)
    steps = {"strides": layer.strides, "dilations": layer.dilation_rate}
    padding = same_padding(layer, n_bins=x.shape[2])
    y = graph.add_channels_first("Conv", x, *weights, **steps, **padding)
    return activation(graph, call, y)


def same_padding(layer: keras.layers.Conv2D, n_bins: int) -> dict[str, Any]:
    """Return the attributes that pad a convolution as Keras does.

    With a stride in time, the padding depends on whether the number of frames is odd, so the
    runtime has to compute it. onnxruntime cannot do that for dilated convolutions.
    """
    if layer.strides[0] > 1:
        return {"auto_pad": "SAME_UPPER"}
    frames, bins = (
        (size - 1) * dilation
        for size, dilation in zip(layer.kernel_size, layer.dilation_rate, strict=True)
    )
    bins = max(0, bins - (n_bins - 1) % layer.strides[1])
    return {"pads": [frames // 2, bins // 2, frames - frames // 2, bins - bins // 2]}


def scale_and_shift(layer: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Return the factor and the offset that a trained batch normalisation applies per channel.

    They are float64: its square root and division have the same bits on every processor.
    """
    mean, variance = (np.float64(w) for w in (layer.moving_mean, layer.moving_variance))
    scale = (np.asarray(layer.gamma) if layer.scale else 1) / np.sqrt(variance + layer.epsilon)
    return scale, (np.asarray(layer.beta) if layer.center else 0) - mean * scale


def batch_normalization(graph: Graph, call: Call, x: Tensor) -> str:
    """Emit a trained batch normalisation, or nothing where it is folded into a convolution."""
    if id(x) in graph.folded:
        return graph.names[id(x)]
    is_last = call.operation.axis in (-1, len(x.shape) - 1)
    call.require(is_last, "over an axis that is not the last")
    scale, shift = map(graph.constant, scale_and_shift(call.operation))
    return graph.add("Add", graph.add("Mul", x, scale), shift)


def activation(graph: Graph, call: Call, x: Tensor | str) -> str:
    """Emit a layer's activation."""
    name = call.operation.activation.__name__
    call.require(name in ACTIVATIONS, f"with the activation {name}")
    return graph.add(ACTIVATIONS[name] or "Identity", x)


def average_pool(graph: Graph, call: Call, x: Tensor) -> str:
    """Emit a moving average over a sequence; padding does not count."""
    pool = call.operation
    call.require((pool.strides, pool.padding) == (1, "same"), "with strides or without padding")
    call.require(isinstance(pool.pool_size, int) and len(x.shape) == 3, "over several axes")
    size = [pool.pool_size]
    return graph.add_channels_first("AveragePool", x, kernel_shape=size, auto_pad="SAME_UPPER")


def max_pooling(graph: Graph, call: Call, x: Tensor) -> str:
    """Emit the maximum of each patch."""
    layer = call.operation
    call.require(layer.padding == "same", "without padding")
    shape = {"kernel_shape": layer.pool_size, "strides": layer.strides}
    return graph.add_channels_first("MaxPool", x, auto_pad="SAME_UPPER", **shape)


def up_sampling(graph: Graph, call: Call, x: Tensor) -> str:
    """Emit nearest-neighbour upsampling along frames and bins."""
    call.require(call.operation.interpolation == "nearest", "with interpolation")
    scales = graph.constant([1, 1, *call.operation.size])
    mode = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return graph.add_channels_first("Resize", x, "", scales, **mode)


EMITTERS: dict[str, Emitter] = {
    "Activation": activation,
    "Add": elementwise("Add"),
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Concatenate": concatenate,
    "Conv2D": convolution,
    "CropFrames": crop_frames,
    "ExpandDims": expand_dims,
    "FusedNormalization": batch_normalization,
    "GetItem": get_item,
    "Maximum": elementwise("Max"),
    "MaxPooling2D": max_pooling,
    "Mean": mean,
    "Multiply": elementwise("Mul"),
    "Pad": pad,
    "Power": elementwise("Pow"),
    "Reshape": reshape,
    "Sigmoid": elementwise("Sigmoid"),
    "Sqrt": elementwise("Sqrt"),
    "Square": square,
    "Subtract": elementwise("Sub"),
    "Sum": reduce_sum,
    "Transpose": transpose,
    "TrueDivide": elementwise("Div"),
    "UpSampling2D": up_sampling,
}
