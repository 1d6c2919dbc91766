"""The precision in which a network's layers compute: float32, or mixed with bfloat16.

A bfloat16 has the range of a float32, but 8 significant bits instead of 24. With `mixed_bfloat16`,
the layers of a network take and return bfloat16, while its weights, their gradients and the
statistics of batch normalisation stay float32. A layer that needs float32 says so by its `dtype`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

Tensor = Any

FLOAT32 = "float32"


@contextmanager
def layers_of(precision: str) -> Iterator[None]:
    """Let layers that are created inside compute in `precision`, a name of Keras' dtype policies.

    Keras' own policy is the same afterwards as before.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def as_float32(x: Tensor) -> Tensor:
    """Return `x` in float32: the tensor itself, and no operation, if it is that already."""
    return x if keras.backend.standardize_dtype(x.dtype) == FLOAT32 else ops.cast(x, FLOAT32)


def computes_in_bfloat16() -> bool:
    """Tell whether convolutions of bfloat16 run here as they are, which takes a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


class Convolution(layers.Conv2D):
    """A convolution that takes and returns bfloat16 on every processor, where it should.

    TensorFlow has no gradient of dilated convolutions of bfloat16 on most CPUs, and no convolution
    of bfloat16 at all with AVX2, which `stages` limits oneDNN to. There, this layer rounds its
    input and its kernel to bfloat16, adds up their products in float32, and rounds the sums to
    bfloat16. Tensor cores do the same, but for the order of the sums.
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Return the convolution of `inputs` without its bias, in the layer's precision."""
        if self.compute_dtype == FLOAT32 or computes_in_bfloat16():
            return super().convolution_op(inputs, kernel)
        rounded = (ops.cast(x, self.compute_dtype) for x in (inputs, kernel))
        y = super().convolution_op(*(ops.cast(x, FLOAT32) for x in rounded))
        return ops.cast(y, self.compute_dtype)
