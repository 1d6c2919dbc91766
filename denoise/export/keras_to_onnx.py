"""A Keras network as one ONNX file, the same bytes at each run.

Names come from counters and constants go by value, so nothing of the process is in the file.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras
import onnx
from onnx import helper

from denoise.export.onnx_builder import Graph, Value, need
from denoise.export.onnx_ops import EMITTERS

OPSET = 17
IR_VERSION = 8  # runtimes from 2022 on read both
Node = Any  # an operation of Keras in its place, with its arguments


def to_onnx(model: keras.Model, metadata: Mapping[str, str]) -> bytes:
    """Write a network as ONNX: float32 `stft` [batch, n_frames, n_bins, 2] in, `mask` out.

    `mask` is float32 [batch, n_frames, n_bins]. Raises ExportError for an unknown operation.
    """
    graph = trace(model)
    network = helper.make_graph(
        graph.nodes,
        "denoise",
        [_declared("stft", model.inputs[0].shape)],
        [_declared("mask", model.outputs[0].shape)],
        list(graph.constants.values()),
    )
    file = helper.make_model(
        network,
        producer_name="denoise",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(file, dict(sorted(metadata.items())))
    return file.SerializeToString(deterministic=True)


def _declared(name: str, shape: tuple[int | None, ...]) -> onnx.ValueInfoProto:
    axes = ["batch", "n_frames", *shape[2:]]
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, axes)


def trace(model: keras.Model) -> Graph:
    """Return the graph of a network from `stft` to `mask`; raises ExportError."""
    levels = model._nodes_by_depth
    nodes = [node for depth in sorted(levels, reverse=True) for node in levels[depth]]
    graph = Graph(folded=foldable(nodes, model.outputs))
    values = {id(model.inputs[0]): Value("stft", len(model.inputs[0].shape))}
    for node in nodes:
        if not node.is_input:
            values[id(node.outputs[0])] = emit(graph, node, values)
    mask = graph.channels_last(values[id(model.outputs[0])])
    graph.nodes.append(helper.make_node("Identity", [mask.name], ["mask"]))
    return graph


def foldable(
    nodes: list[Node], outputs: list[keras.KerasTensor]
) -> dict[int, keras.layers.BatchNormalization]:
    """Return the batch normalisations that a convolution can do, by the id of its output."""
    uses = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    uses.update(id(tensor) for tensor in outputs)
    folded = {}
    for node in nodes:
        if isinstance(node.operation, keras.layers.BatchNormalization):
            before = node.input_tensors[0]
            if uses[id(before)] == 1 and _is_linear(before._keras_history.operation):
                folded[id(before)] = node.operation
    return folded


def _is_linear(operation: keras.Operation) -> bool:
    is_convolution = isinstance(operation, keras.layers.Conv2D)
    return is_convolution and operation.activation is keras.activations.linear


def emit(graph: Graph, node: Node, values: Mapping[int, Value]) -> Value:
    """Add an operation to the graph; raises ExportError where it cannot be written."""
    kind = type(node.operation).__name__
    need(kind in EMITTERS, node, "(an operation that is not known)")
    options = {key: option for key, option in node.arguments.kwargs.items() if option is not None}
    need(not options, node, f"with {options}")

    def value_of(item: Any) -> Any:
        return values[id(item)] if isinstance(item, keras.KerasTensor) else item

    arguments = keras.tree.map_structure(value_of, node.arguments.args)
    return EMITTERS[kind](graph, node, *arguments)
