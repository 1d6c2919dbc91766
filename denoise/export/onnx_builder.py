"""Build an ONNX graph node by node.

Names come from counters, and equal constants are stored once: nothing that differs between two
processes gets into the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import onnx
from onnx import helper, numpy_helper

from denoise.errors import DenoiseError


class ExportError(DenoiseError):
    """The network has an operation that cannot be exported to ONNX."""


@dataclass(frozen=True)
class Call:
    """One call of a Keras layer or operation: its arguments, and the symbolic tensor it returned.

    `arguments` holds the positional ones, `options` the keyword ones.
    """

    operation: keras.Operation
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    output: keras.KerasTensor

    def require(self, condition: bool, what: str) -> None:
        """Raise ExportError unless the condition holds; `what` describes the unsupported use."""
        if not condition:
            raise ExportError(
                f"{type(self.operation).__name__} {what} cannot be exported to ONNX. Remove "
                f"{self.operation.name!r} from the network, or add it to "
                "denoise/export/onnx_ops.py."
            )


@dataclass
class Graph:
    """The nodes and constants of an ONNX graph, in the order in which they were added.

    `names` maps the id of a Keras tensor to the name of its ONNX value. `folded` maps the id of a
    convolution's output to the batch normalisation that is folded into the convolution.
    """

    names: dict[int, str]
    folded: dict[int, keras.layers.BatchNormalization]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[Any, onnx.TensorProto] = field(default_factory=dict)

    def add(self, op_type: str, *inputs: keras.KerasTensor | str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        name = f"v{len(self.nodes)}"
        names = [item if isinstance(item, str) else self.names[id(item)] for item in inputs]
        self.nodes.append(helper.make_node(op_type, names, [name], **attributes))
        return name

    def add_channels_first(
        self, op_type: str, x: keras.KerasTensor, *inputs: str, **attributes: Any
    ) -> str:
        """Add a node that needs the channels at axis 1, between two transpositions.

        Keras keeps the channels last. Runtimes remove most of the transpositions when they load
        the file: one pair for each node costs less than 1 % of the inference time.
        """
        rank = len(x.shape)
        x = self.add("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)])
        y = self.add(op_type, x, *inputs, **attributes)
        return self.add("Transpose", y, perm=[0, *range(2, rank), 1])

    def constant(self, numbers: Any, dtype: type = np.float32) -> str:
        """Return the name of a constant; equal constants are stored once."""
        array: np.ndarray = np.asarray(numbers, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"c{len(self.constants)}")
        return self.constants[key].name

    def integers(self, numbers: Sequence[int]) -> str:
        """Return the name of a constant list of integers."""
        return self.constant(numbers, np.int64)
