"""Write a Keras network as an ONNX file that has the same bytes every time."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras
import onnx
from onnx import helper

from denoise.export.onnx_builder import Call, Graph
from denoise.export.onnx_ops import EMITTERS

OPSET = 17
IR_VERSION = 8  # runtimes from 2022 on read both


def to_onnx(model: keras.Model, metadata: Mapping[str, str]) -> bytes:
    """Return a network as an ONNX file.

    Its input `stft` is float32 [batch, n_frames, n_bins, 2], its output `mask` float32 [batch,
    n_frames, n_bins]. Raises ExportError for an operation that is not supported.
    """
    graph = build_graph(model)
    network = helper.make_graph(
        graph.nodes,
        "denoise",
        [_declare("stft", model.inputs[0].shape)],
        [_declare("mask", model.outputs[0].shape)],
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


def _declare(name: str, shape: tuple[int | None, ...]) -> onnx.ValueInfoProto:
    axes = ["batch", "n_frames", *shape[2:]]
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, axes)


def build_graph(model: keras.Model) -> Graph:
    """Return the ONNX graph of a network from `stft` to `mask`; raises ExportError."""
    calls: list[Call] = []

    def record(operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
        calls.append(Call(operation, arguments, options, operation(*arguments, **options)))
        return calls[-1].output

    # A clone with the same layers calls each of them once more, in order of execution.
    clone = keras.models.clone_model(model, clone_function=lambda x: x, call_function=record)
    (stft,), (mask,) = clone.inputs, clone.outputs
    graph = Graph({id(stft): "stft"}, find_foldable(calls, mask))
    for call in calls:
        graph.names[id(call.output)] = emit(graph, call)
    graph.nodes.append(helper.make_node("Identity", [graph.names[id(mask)]], ["mask"]))
    return graph


def find_foldable(
    calls: list[Call], mask: keras.KerasTensor
) -> dict[int, keras.layers.BatchNormalization]:
    """Return the batch normalisations that follow a convolution, by the id of its output.

    The convolution must have no activation, and nothing else may use its output.
    """
    uses = Counter(id(x) for call in calls for x in keras.tree.flatten(call.arguments))
    uses[id(mask)] += 1
    convolved = {id(call.output) for call in calls if _is_linear(call.operation)}
    normalised = [
        call for call in calls if isinstance(call.operation, keras.layers.BatchNormalization)
    ]
    inputs = [(id(call.arguments[0]), call.operation) for call in normalised]
    return {x: layer for x, layer in inputs if x in convolved and uses[x] == 1}


def _is_linear(operation: keras.Operation) -> bool:
    is_convolution = isinstance(operation, keras.layers.Conv2D)
    return is_convolution and operation.activation is keras.activations.linear


def emit(graph: Graph, call: Call) -> str:
    """Add a call to the graph and return the name of its result; raises ExportError."""
    op_type = type(call.operation).__name__
    call.require(op_type in EMITTERS, "(an unknown operation)")
    options = {key: value for key, value in call.options.items() if value is not None}
    call.require(not options, f"with {options}")
    return EMITTERS[op_type](graph, call, *call.arguments)
