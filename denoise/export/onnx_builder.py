"""An ONNX graph in the making.

Keras keeps channels last and ONNX convolutions want them first: each value knows which it has, and
is transposed only where an operation needs the other. Runtimes cancel most of what is left.
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
    """A network with an operation that cannot be written as ONNX."""


@dataclass(frozen=True)
class Value:
    """A tensor of `rank` axes, in Keras' order or with the channels moved to axis 1."""

    name: str
    rank: int
    channels_first: bool = False

    def axis(self, axis: int) -> int:
        """Return where an axis of Keras' order lies."""
        axis %= self.rank
        if not self.channels_first or axis == 0:
            return axis
        return 1 if axis == self.rank - 1 else axis + 1


@dataclass
class Graph:
    """The nodes and constants of an ONNX graph, in the order in which they were added.

    `folded` holds the batch normalisations that a convolution does, by the id of its output.
    """

    folded: dict[int, keras.layers.BatchNormalization]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[Any, onnx.TensorProto] = field(default_factory=dict)
    turned: dict[Value, Value] = field(default_factory=dict)

    def add(self, kind: str, *inputs: Value | str, like: Value, **attributes: Any) -> Value:
        """Add a node; its output has the rank and order of `like`."""
        name = f"v{len(self.nodes)}"
        names = [item.name if isinstance(item, Value) else item for item in inputs]
        self.nodes.append(helper.make_node(kind, names, [name], **attributes))
        return Value(name, like.rank, like.channels_first)

    def constant(self, numbers: Any, dtype: type = np.float32) -> str:
        """Return the name of a constant; equal ones are stored once."""
        array: np.ndarray = np.asarray(numbers, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"c{len(self.constants)}")
        return self.constants[key].name

    def integers(self, numbers: Sequence[int]) -> str:
        """Return the name of a constant list of integers."""
        return self.constant(numbers, np.int64)

    def channels_last(self, x: Value) -> Value:
        """Return a value in Keras' order."""
        return self._turn(x, [0, *range(2, x.rank), 1]) if x.channels_first else x

    def channels_first(self, x: Value) -> Value:
        """Return a value with its channels at axis 1."""
        return x if x.channels_first else self._turn(x, [0, x.rank - 1, *range(1, x.rank - 1)])

    def _turn(self, x: Value, order: list[int]) -> Value:
        if x not in self.turned:
            like = Value("", x.rank, not x.channels_first)
            turned = self.add("Transpose", x, like=like, perm=order)
            self.turned |= {x: turned, turned: x}
        return self.turned[x]


def need(holds: bool, node: Any, what: str) -> None:
    """Raise ExportError for a use of an operation that would not be written rightly."""
    if not holds:
        raise ExportError(
            f"{type(node.operation).__name__} {what} cannot be written as ONNX (it is called "
            f"{node.operation.name!r}): leave it out, or add it to denoise/export/onnx_ops.py."
        )
