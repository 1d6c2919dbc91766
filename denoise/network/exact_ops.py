"""Operations that can be made to give the same bits on every processor.

TensorFlow computes reciprocals and reciprocal square roots by the instructions `rcpps` and
`rsqrtps`. These approximate, and each maker's processors do so in their own way. Divisions and
square roots are exact everywhere. `determinism.make_deterministic` chooses between the two.
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

_is_exact = False


def use_exact_operations(is_exact: bool) -> None:
    """Make the operations below exact in graphs that are traced from now on, or fast again."""
    global _is_exact
    _is_exact = is_exact


def smallest_batch() -> int:
    """Return how many clips the networks should get at once, at least.

    For one clip alone, oneDNN chooses the order of a convolution's sums by the size of the
    processor's caches; exact operations take two.
    """
    return 2 if _is_exact else 1


def repeat_if_alone(arrays: Any) -> Any:
    """Repeat a clip that is alone, up to the `smallest_batch`.

    `arrays` are [batch, ...], nested in any way.
    """
    if len(keras.tree.flatten(arrays)[0]) != 1:
        return arrays
    return keras.tree.map_structure(lambda x: np.repeat(x, smallest_batch(), axis=0), arrays)


def log(x: Tensor) -> Tensor:
    """Return the natural logarithm, whose exact gradient divides by `x`."""
    return _log_with_division(x) if _is_exact else ops.log(x)


@tf.custom_gradient
def _log_with_division(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    return tf.math.log(x), lambda upstream: upstream / x


def divide_by_root(x: Tensor, square: Tensor) -> Tensor:
    """Return `x` over the square root of `square`, which is positive."""
    return x / ops.sqrt(square) if _is_exact else x * ops.rsqrt(square)


def power_of_constants(base: FloatArray, exponent: FloatArray) -> FloatArray:
    """Return a power of constants, which NumPy rounds by instruction set unless in float64."""
    if not _is_exact:
        return base**exponent
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
        if not _is_exact:
            return super().call(x, training=False)
        scale = self.gamma / ops.sqrt(self.moving_variance + self.epsilon)
        return x * scale + (self.beta - self.moving_mean * scale)
