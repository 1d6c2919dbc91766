"""Rewrite an ONNX file so that equal networks have equal bytes.

The nodes come in the order in which the output needs them, and values are named by counters; both
hold for the graphs inside a node, such as the body of a loop, too. What else differs between
processes or versions (names, comments, the producer) is left out.
"""

from collections.abc import Iterable, Mapping, Sequence

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
    _name_values(nodes, names)
    graph = helper.make_graph(
        [_rename(node, names) for node in nodes],
        "denoise",
        [_declare(name, value, defaults.get(name)) for name, value in inputs.items()],
        [_declare(name, value) for name, value in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in defaults.items()]
        + _stored(file.graph, names),
    )
    opsets = [helper.make_opsetid("", OPSET)]
    versions = {"ir_version": IR_VERSION, "opset_imports": opsets}
    rewritten = helper.make_model(graph, producer_name="denoise", **versions)
    helper.set_model_props(rewritten, dict(sorted(metadata.items())))
    return rewritten.SerializeToString(deterministic=True)


def sort_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs depend on, each after the nodes of its inputs."""
    producers = {name: node for node in graph.node for name in node.output if name}
    found: dict[int, onnx.NodeProto] = {}

    def visit(name: str) -> None:
        if name in producers and id(producers[name]) not in found:
            for earlier in read_names(producers[name]):
                visit(earlier)
            found[id(producers[name])] = producers[name]

    for output in graph.output:
        visit(output.name)
    return list(found.values())


def read_names(node: onnx.NodeProto) -> list[str]:
    """Return the values that a node reads: its inputs, and what its graphs take from outside."""
    outer = (name for graph in _graphs_of(node) for name in _outer_names(graph))
    return [*node.input, *outer]


def _graphs_of(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs inside a node: the body of a loop, the branches of a condition."""
    attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
    return [
        graph
        for attribute in attributes
        for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
    ]


def _outer_names(graph: onnx.GraphProto) -> list[str]:
    nodes = sort_nodes(graph)
    inner = {value.name for value in [*graph.input, *graph.initializer]}
    inner |= {name for node in nodes for name in node.output}
    read = [name for node in nodes for name in read_names(node)]
    return [name for name in [*read, *(o.name for o in graph.output)] if name not in inner]


def _name_values(nodes: Sequence[onnx.NodeProto], names: dict[str, str]) -> None:
    """Give the values of nodes and of the graphs inside them a name where they have none."""

    def give(former: Iterable[str]) -> None:
        for name in former:
            names.setdefault(name, f"v{len(names)}")

    for node in nodes:
        give([*node.input, *node.output])
        for graph in _graphs_of(node):
            give(value.name for value in graph.input)
            _name_values(sort_nodes(graph), names)
            give(value.name for value in graph.output)


def _rename(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    inputs, outputs = ([names[name] for name in side] for side in (node.input, node.output))
    renamed = helper.make_node(node.op_type, inputs, outputs, domain=node.domain)
    attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
    renamed.attribute.extend(_rename_inside(attribute, names) for attribute in attributes)
    return renamed


def _rename_inside(attribute: onnx.AttributeProto, names: Mapping[str, str]) -> onnx.AttributeProto:
    """Return an attribute whose graphs, if it has any, are canonical."""
    if attribute.HasField("g"):
        return helper.make_attribute(attribute.name, _rewrite(attribute.g, names))
    if attribute.graphs:
        return helper.make_attribute(attribute.name, [_rewrite(g, names) for g in attribute.graphs])
    return attribute


def _rewrite(graph: onnx.GraphProto, names: Mapping[str, str]) -> onnx.GraphProto:
    return helper.make_graph(
        [_rename(node, names) for node in sort_nodes(graph)],
        "inside",
        [_declare_inside(value, names) for value in graph.input],
        [_declare_inside(value, names) for value in graph.output],
        _stored(graph, names),
    )


def _stored(graph: onnx.GraphProto, names: Mapping[str, str]) -> list[onnx.TensorProto]:
    """Return the constants of a graph that are used, in the order of `names`."""
    stored = {constant.name: constant for constant in graph.initializer}
    return [
        numpy_helper.from_array(numpy_helper.to_array(stored[name]), names[name])
        for name in names
        if name in stored
    ]


def _declare_inside(value: onnx.ValueInfoProto, names: Mapping[str, str]) -> onnx.ValueInfoProto:
    """Return a value's declaration without the names of axes, which differ between processes."""
    declared = onnx.ValueInfoProto(name=names[value.name], type=value.type)
    for axis in declared.type.tensor_type.shape.dim:
        axis.ClearField("dim_param")
    return declared


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
