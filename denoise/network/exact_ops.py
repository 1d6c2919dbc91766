"""Operations that give the same bits on every processor.

TensorFlow computes reciprocals and reciprocal square roots by the instructions `rcpps` and
`rsqrtps`. These approximate, and each maker's processors do so in their own way. Divisions and
square roots are exact everywhere.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers, ops

from denoise.network.precision import as_float32

Tensor = Any
FloatArray = npt.NDArray[np.float32]

SMALLEST_BATCH = 2
"""The networks get at least so many clips at once. For one clip alone, oneDNN chooses the order of
a convolution's sums by the size of the processor's caches."""


def repeat_if_alone(arrays: Any) -> Any:
    """Repeat a clip that is alone, up to SMALLEST_BATCH; `arrays` are [batch, ...], nested."""
    if len(keras.tree.flatten(arrays)[0]) != 1:
        return arrays
    return keras.tree.map_structure(lambda x: np.repeat(x, SMALLEST_BATCH, axis=0), arrays)


@tf.custom_gradient
def log(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return the natural logarithm; its gradient divides by `x`."""
    return tf.math.log(x), lambda upstream: upstream / x


def power_of_constants(base: FloatArray, exponent: FloatArray) -> FloatArray:
    """Return a power of constants; NumPy rounds those of float32 by the instruction set."""
    return np.power(base.astype(np.float64), exponent.astype(np.float64)).astype(np.float32)


class FusedNormalization(layers.BatchNormalization):
    """Batch normalisation that trains with TensorFlow's fused operation, in half the time.

    In mixed precision too, it computes in float32, and rounds what it returns.
    """

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Normalise each channel of [batch, height, width, channels]."""
        normalise = self._normalise_by_moments if training else self._normalise_by_averages
        return ops.cast(normalise(as_float32(x)), self.compute_dtype)

    def _normalise_by_moments(self, x: Tensor) -> Tensor:
        statistics = {"epsilon": self.epsilon, "is_training": True}
        y, *moments = tf.compat.v1.nn.fused_batch_norm(x, self.gamma, self.beta, **statistics)
        averages = self.moving_mean, self.moving_variance
        for average, moment in zip(averages, moments, strict=True):
            average.assign(self.momentum * average + (1 - self.momentum) * moment)
        return y

    def _normalise_by_averages(self, x: Tensor) -> Tensor:
        scale = self.gamma / ops.sqrt(self.moving_variance + self.epsilon)
        return x * scale + (self.beta - self.moving_mean * scale)
