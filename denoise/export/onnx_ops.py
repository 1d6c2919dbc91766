"""How each operation of Keras is written in ONNX."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from denoise.export.onnx_builder import Graph, Value, need

ALIGNED = 16  # numbers: 64 bytes, what the widest instructions take at once
TO_THE_END = np.iinfo(np.int64).max
ACTIVATIONS = {"linear": "", "relu": "Relu", "sigmoid": "Sigmoid"}
Emitter = Callable[..., Value]  # of the graph, Keras' node and its arguments


def unary(kind: str) -> Emitter:
    """Emit an operation of one tensor, element by element."""
    return lambda graph, node, x: graph.add(kind, x, like=x)


def binary(kind: str) -> Emitter:
    """Emit an operation of two tensors, or of one and a number, element by element."""

    def emit(graph: Graph, node: Any, *pair: Value | float) -> Value:
        tensors = [item for item in pair if isinstance(item, Value)]
        numbers = [item for item in pair if not isinstance(item, Value)]
        need(all(np.ndim(number) == 0 for number in numbers), node, "with a constant array")
        keep = len({(x.rank, x.channels_first) for x in tensors}) == 1
        tensors = tensors if keep else [graph.channels_last(x) for x in tensors]
        largest = max(tensors, key=lambda x: x.rank)
        rest = iter(tensors)
        both = [next(rest) if isinstance(item, Value) else graph.constant(item) for item in pair]
        return graph.add(kind, *both, like=largest)

    return emit


def square(graph: Graph, node: Any, x: Value) -> Value:
    """Emit x times x."""
    return graph.add("Mul", x, x, like=x)


def total(graph: Graph, node: Any, x: Value) -> Value:
    """Emit a sum over some axes."""
    need(node.operation.axis is not None, node, "over all axes")
    x = graph.channels_last(x)
    axes = [axis % x.rank for axis in node.operation.axis]
    keep = node.operation.keepdims
    like = Value("", x.rank if keep else x.rank - len(axes))
    return graph.add("ReduceSum", x, graph.integers(axes), like=like, keepdims=int(keep))


def mean(graph: Graph, node: Any, x: Value) -> Value:
    """Emit a mean over the last axis, the same in the last bit wherever a row stands.

    Runtimes add up a row in an order that depends on its place in memory: with zeros at its end,
    each row starts alike.
    """
    need(node.operation.axis in ([-1], [x.rank - 1]), node, "over another axis than the last")
    x = graph.channels_last(x)
    length = node.input_tensors[0].shape[-1]
    zeros = [0] * (2 * x.rank - 1) + [-length % ALIGNED]
    x = graph.add("Pad", x, graph.integers(zeros), like=x) if any(zeros) else x
    x = total(graph, node, x)
    return graph.add("Div", x, graph.constant(length), like=x)


def get_item(graph: Graph, node: Any, x: Value, key: Any) -> Value:
    """Emit indices and slices of step one."""
    parts = list(key) if isinstance(key, tuple) else [key]
    dots = parts.index(...) if ... in parts else len(parts)
    parts[dots : dots + 1] = [slice(None)] * (x.rank - len(parts) + (... in parts))
    spans = {axis: _span(node, part) for axis, part in enumerate(parts) if part != slice(None)}
    starts, ends = zip(*spans.values(), strict=True)
    x = graph.channels_last(x)
    x = graph.add("Slice", x, *map(graph.integers, (starts, ends, tuple(spans))), like=x)
    single = [axis for axis, part in enumerate(parts) if isinstance(part, int)]
    if not single:
        return x
    return graph.add("Squeeze", x, graph.integers(single), like=Value("", x.rank - len(single)))


def _span(node: Any, part: Any) -> tuple[int, int]:
    if isinstance(part, int):
        return part, TO_THE_END if part == -1 else part + 1
    need(isinstance(part, slice) and part.step in (None, 1), node, f"by {part!r}")
    start, stop = part.start or 0, TO_THE_END if part.stop is None else part.stop
    need(isinstance(start, int) and isinstance(stop, int), node, f"by {part!r}")
    return start, stop


def crop_frames(graph: Graph, node: Any, x: Value, like: Value) -> Value:
    """Emit a cut to the frames of another tensor, known when the network runs."""
    frames = like.axis(1)
    end = graph.add("Shape", like, like=Value("", 1), start=frames, end=frames + 1)
    return graph.add("Slice", x, graph.integers([0]), end, graph.integers([x.axis(1)]), like=x)


def pad(graph: Graph, node: Any, x: Value) -> Value:
    """Emit zeros around a tensor, or nothing where none are asked for."""
    widths = np.array(node.operation.pad_width)
    need(node.operation.mode == "constant" and len(widths) == x.rank, node, "of this kind")
    if not widths.any():
        return x
    x = graph.channels_last(x)
    return graph.add("Pad", x, graph.integers(widths.T.ravel().tolist()), like=x)


def reshape(graph: Graph, node: Any, x: Value) -> Value:
    """Emit another shape for all axes but the first."""
    need(isinstance(node.operation, keras.layers.Reshape), node, "as an operation, not a layer,")
    shape = [0, *node.operation.target_shape]  # 0: as long as before
    x = graph.channels_last(x)
    return graph.add("Reshape", x, graph.integers(shape), like=Value("", len(shape)))


def transpose(graph: Graph, node: Any, x: Value) -> Value:
    """Emit another order of the axes."""
    need(node.operation.axes is not None, node, "without axes")
    x = graph.channels_last(x)
    return graph.add("Transpose", x, like=x, perm=[axis % x.rank for axis in node.operation.axes])


def expand_dims(graph: Graph, node: Any, x: Value) -> Value:
    """Emit a new axis of length one."""
    need(isinstance(node.operation.axis, int), node, "of several axes")
    axis = graph.integers([node.operation.axis])
    return graph.add("Unsqueeze", graph.channels_last(x), axis, like=Value("", x.rank + 1))


def concatenate(graph: Graph, node: Any, parts: Sequence[Value]) -> Value:
    """Emit tensors one after another along an axis."""
    turned = [graph.channels_last(x) for x in parts]
    axis = node.operation.axis % turned[0].rank
    return graph.add("Concat", *turned, like=turned[0], axis=axis)


def convolution(graph: Graph, node: Any, x: Value) -> Value:
    """Emit a convolution, and the batch normalisation that is folded into it."""
    layer = node.operation
    need((layer.padding, layer.groups) == ("same", 1), node, "in groups or without padding")
    kernel = np.asarray(layer.kernel, np.float64)
    bias = np.asarray(layer.bias if layer.use_bias else np.zeros(layer.filters), np.float64)
    if id(node.outputs[0]) in graph.folded:
        scale, shift = scale_and_shift(graph.folded[id(node.outputs[0])])
        kernel, bias = kernel * scale, bias * scale + shift
    x = graph.channels_first(x)
    weights = graph.constant(kernel.transpose(3, 2, 0, 1)), graph.constant(bias)
    padding = same_padding(layer, node.input_tensors[0].shape[2])
    steps = {"strides": layer.strides, "dilations": layer.dilation_rate}
    return activation(graph, node, graph.add("Conv", x, *weights, like=x, **steps, **padding))


def same_padding(layer: keras.layers.Conv2D, n_bins: int) -> dict[str, Any]:
    """Return the attributes that pad a convolution as Keras does.

    With a stride in time odd and even numbers of frames are padded differently, so the runtime has
    to see to it; it can not where there is a dilation.
    """
    if layer.strides[0] > 1:
        return {"auto_pad": "SAME_UPPER"}
    frames, bins = (
        (n - 1) * d for n, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)
    )
    bins = max(0, bins - (n_bins - 1) % layer.strides[1])
    return {"pads": [frames // 2, bins // 2, frames - frames // 2, bins - bins // 2]}


def scale_and_shift(layer: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Return what a trained batch normalisation multiplies each channel with, and then adds."""
    mean, variance = (np.float64(w) for w in (layer.moving_mean, layer.moving_variance))
    scale = (np.asarray(layer.gamma) if layer.scale else 1) / np.sqrt(variance + layer.epsilon)
    return scale, (np.asarray(layer.beta) if layer.center else 0) - mean * scale


def batch_normalization(graph: Graph, node: Any, x: Value) -> Value:
    """Emit a trained batch normalisation, or nothing where a convolution does it."""
    if id(node.input_tensors[0]) in graph.folded:
        return x
    need(node.operation.axis in (-1, x.rank - 1), node, "over an axis that is not the last")
    scale, shift = map(graph.constant, scale_and_shift(node.operation))
    x = graph.channels_last(x)
    return graph.add("Add", graph.add("Mul", x, scale, like=x), shift, like=x)


def activation(graph: Graph, node: Any, x: Value) -> Value:
    """Emit the activation of a layer, or nothing where it has none."""
    name = node.operation.activation.__name__
    need(name in ACTIVATIONS, node, f"with the activation {name}")
    return graph.add(ACTIVATIONS[name], x, like=x) if ACTIVATIONS[name] else x


def average_pool(graph: Graph, node: Any, x: Value) -> Value:
    """Emit the mean around each place of a sequence, of what lies within the sequence."""
    pool = node.operation
    need((pool.strides, pool.padding) == (1, "same"), node, "with strides or without padding")
    need(isinstance(pool.pool_size, int) and x.rank == 3, node, "over several axes")
    x = graph.channels_first(x)
    size = [pool.pool_size]
    return graph.add("AveragePool", x, like=x, kernel_shape=size, auto_pad="SAME_UPPER")


def max_pooling(graph: Graph, node: Any, x: Value) -> Value:
    """Emit the largest value of each patch."""
    layer = node.operation
    need(layer.padding == "same", node, "without padding")
    shape = {"kernel_shape": layer.pool_size, "strides": layer.strides, "auto_pad": "SAME_UPPER"}
    x = graph.channels_first(x)
    return graph.add("MaxPool", x, like=x, **shape)


def up_sampling(graph: Graph, node: Any, x: Value) -> Value:
    """Emit each value several times along frames and bins."""
    need(node.operation.interpolation == "nearest", node, "by interpolation")
    scales = graph.constant([1, 1, *node.operation.size])
    how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    x = graph.channels_first(x)
    return graph.add("Resize", x, "", scales, like=x, **how)


EMITTERS: dict[str, Emitter] = {
    "Activation": activation,
    "Add": binary("Add"),
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Concatenate": concatenate,
    "Conv2D": convolution,
    "CropFrames": crop_frames,
    "ExpandDims": expand_dims,
    "FusedNormalization": batch_normalization,
    "GetItem": get_item,
    "Maximum": binary("Max"),
    "MaxPooling2D": max_pooling,
    "Mean": mean,
    "Multiply": binary("Mul"),
    "Pad": pad,
    "Power": binary("Pow"),
    "Reshape": reshape,
    "Sigmoid": unary("Sigmoid"),
    "Sqrt": unary("Sqrt"),
    "Square": square,
    "Subtract": binary("Sub"),
    "Sum": total,
    "Transpose": transpose,
    "TrueDivide": binary("Div"),
    "UpSampling2D": up_sampling,
}
