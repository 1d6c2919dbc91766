"""Rewrite an ONNX file so that equal networks have equal bytes.

The nodes come in the order in which the output needs them, and values are named by counters. What
else differs between processes or versions (names, comments, the producer) is left out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 17  # from 18 on, tf2onnx writes means whose bits depend on where a row lies in memory
IR_VERSION = 8  # runtimes from 2022 on read both


def canonicalise(
    file: onnx.ModelProto,
    input_names: Sequence[str],
    output_names: Sequence[str],
    defaults: Mapping[str, np.ndarray],
    metadata: Mapping[str, str],
) -> bytes:
    """Return a network as a canonical file, with these names for its inputs and outputs.

    Inputs with `defaults` are optional.
    """
    inputs = dict(zip(input_names, file.graph.input, strict=True))
    outputs = dict(zip(output_names, file.graph.output, strict=True))
    names = {"": ""} | {value.name: name for name, value in [*inputs.items(), *outputs.items()]}
    nodes = sort_nodes(file.graph)
    for node in nodes:
        for name in [*node.input, *node.output]:
            names.setdefault(name, f"v{len(names)}")
    stored = {constant.name: numpy_helper.to_array(constant) for constant in file.graph.initializer}
    graph = helper.make_graph(
        [_rename(node, names) for node in nodes],
        "denoise",
        [_declare(name, value, defaults.get(name)) for name, value in inputs.items()],
        [_declare(name, value) for name, value in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in defaults.items()]
        + [numpy_helper.from_array(stored[name], names[name]) for name in names if name in stored],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    versions = {"ir_version": IR_VERSION, "opset_imports": opsets}
    rewritten = helper.make_model(graph, producer_name="denoise", **versions)
    helper.set_model_props(rewritten, dict(sorted(metadata.items())))
    return rewritten.SerializeToString(deterministic=True)


def sort_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs depend on, each after the nodes of its inputs."""
    producers = {name: node for node in graph.node for name in node.output}
    found: dict[int, onnx.NodeProto] = {}

    def visit(name: str) -> None:
        if name in producers and id(producers[name]) not in found:
            for earlier in producers[name].input:
                visit(earlier)
            found[id(producers[name])] = producers[name]

    for output in graph.output:
        visit(output.name)
    return list(found.values())


def _rename(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    inputs, outputs = ([names[name] for name in side] for side in (node.input, node.output))
    renamed = helper.make_node(node.op_type, inputs, outputs, domain=node.domain)
    renamed.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
    return renamed


def _declare(
    name: str, value: onnx.ValueInfoProto, default: np.ndarray | None = None
) -> onnx.ValueInfoProto:
    tensor = value.type.tensor_type
    if default is not None:
        return helper.make_tensor_value_info(name, tensor.elem_type, default.shape)
    axes = [axis.dim_value or None for axis in tensor.shape.dim]
    n_frames = axes[1] if name.startswith(("past_", "last_")) else "n_frames"
    shape = ["batch", n_frames, *axes[2:]]
    return helper.make_tensor_value_info(name, tensor.elem_type, shape)
