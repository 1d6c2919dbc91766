"""The optimisers: Adam, or Muon for the kernels of convolutions and Adam for everything else."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from denoise.params import TrainParams

Tensor = Any
Variables = Sequence[keras.Variable]

CLIP_NORM = 1.0  # the global norm that gradients are clipped to
MOMENTUM = 0.9
ADAM_BETA_1, ADAM_EPSILON = 0.9, 1e-7
ADAM_UPDATE_RMS = 0.2  # the typical root mean square of Adam's updates
NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan's
NEWTON_SCHULZ_STEPS = 5
EPSILON = 1e-14


def build_optimizer(params: TrainParams, model: keras.Model) -> keras.Optimizer:
    """Return the optimiser of `params`, with its state for the weights of `model`."""
    if params.optimizer == "adam":
        optimizer = keras.optimizers.Adam(
            params.learning_rate, beta_2=params.beta_2, global_clipnorm=CLIP_NORM
        )
    else:
        optimizer = Muon(params, inner_kernels(model))
    optimizer.build(model.trainable_variables)
    return optimizer


def inner_kernels(model: keras.Model) -> list[keras.Variable]:
    """Return the kernels of all layers except the last, which outputs the mask."""
    return [variable for variable in model.trainable_variables if len(variable.shape) >= 2][:-1]


class Muon(keras.Optimizer):
    """Muon: orthogonalised momentum for the kernels of inner layers, Adam for everything else.

    Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks". A kernel is
    treated as a matrix, that of a convolution as [height * width * input channels, output
    channels]. Updates are scaled to the size of Adam's as in Liu et al. (2025), arXiv:2502.16982,
    and then by `muon_learning_rate_multiplier`.

    Keras' own Muon treats kernels of four dimensions with Adam. In a small network most of the time
    of an operation is its call, so gradients, updates and state are kept as single vectors, with
    the kernels first.
    """

    def __init__(self, params: TrainParams, kernels: Variables) -> None:
        """Take the rates of `params`, and the variables that Muon updates."""
        super().__init__(params.learning_rate)
        self._kernels = kernels
        self._multiplier = params.muon_learning_rate_multiplier
        self._beta_2 = params.beta_2

    def build(self, variables: Variables) -> None:
        """Create the state, and put the kernels first among the variables."""
        super().build(variables)
        kernels = {id(kernel) for kernel in self._kernels}
        indices = range(len(variables))
        self._order = sorted(indices, key=lambda index: id(variables[index]) not in kernels)
        sizes = [math.prod(variables[index].shape) for index in self._order]
        self._kernel_size, total = sum(sizes[: len(kernels)]), sum(sizes)
        self._sizes = sizes
        self._kernel_momentum = self.add_variable((self._kernel_size,))
        self._momentum = self.add_variable((total - self._kernel_size,))
        self._velocity = self.add_variable((total - self._kernel_size,))

    def apply(self, grads: Sequence[Tensor], trainable_variables: Variables | None = None) -> None:
        """Update the variables that the optimiser was built for; `grads` are in their order."""
        variables = [self._trainable_variables[index] for index in self._order]
        flat = ops.concatenate([ops.reshape(grads[index], -1) for index in self._order])
        flat *= CLIP_NORM / ops.maximum(ops.sqrt(ops.sum(ops.square(flat))), CLIP_NORM)
        self._iterations.assign_add(1)
        updates = self._muon_updates(flat[: self._kernel_size])
        updates.append(self._adam_update(flat[self._kernel_size :]))
        scaled = self.learning_rate * ops.concatenate(updates)
        for variable, update in zip(variables, tf.split(scaled, self._sizes), strict=True):
            variable.assign_sub(ops.reshape(update, variable.shape))

    def _muon_updates(self, gradient: Tensor) -> list[Tensor]:
        """Return the update of each kernel, flat, at a learning rate of 1."""
        if not self._kernels:  # a network of one layer
            return []
        momentum = gradient + MOMENTUM * self._kernel_momentum
        self._kernel_momentum.assign(momentum)
        nesterov = gradient + MOMENTUM * momentum
        parts = tf.split(nesterov, self._sizes[: len(self._kernels)])
        matrices = [
            ops.reshape(part, (-1, kernel.shape[-1]))
            for part, kernel in zip(parts, self._kernels, strict=True)
        ]
        return [
            ops.reshape(matrix, -1)
            * (self._multiplier * ADAM_UPDATE_RMS * max(matrix.shape) ** 0.5)
            for matrix in orthogonalise(matrices)
        ]

    def _adam_update(self, gradient: Tensor) -> Tensor:
        """Return Adam's update, flat, at a learning rate of 1."""
        step = ops.cast(self._iterations, "float32")
        momentum = ADAM_BETA_1 * self._momentum + (1 - ADAM_BETA_1) * gradient
        velocity = self._beta_2 * self._velocity + (1 - self._beta_2) * ops.square(gradient)
        self._momentum.assign(momentum)
        self._velocity.assign(velocity)
        bias_correction = ops.sqrt(1 - self._beta_2**step) / (1 - ADAM_BETA_1**step)
        return bias_correction * momentum / (ops.sqrt(velocity) + ADAM_EPSILON)


def orthogonalise(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Return matrices with the same singular vectors and all singular values near 1.

    The Newton-Schulz iteration multiplies a matrix with polynomials of its Gram matrix, that of its
    rows or of its columns, whichever are fewer. The polynomials are computed for all matrices at
    once, with the Gram matrices padded to one size, and each matrix is multiplied once at the end.
    """
    wide = [m if m.shape[0] <= m.shape[1] else ops.transpose(m) for m in matrices]
    size = max(m.shape[0] for m in wide)
    grams = ops.stack(
        [ops.pad(ops.matmul(m, ops.transpose(m)), [(0, size - m.shape[0])] * 2) for m in wide]
    )
    traces = ops.trace(grams, axis1=1, axis2=2)[:, None, None]
    factors = _newton_schulz(grams / (traces + EPSILON)) / ops.sqrt(traces + EPSILON)
    results = [ops.matmul(factors[i, : m.shape[0], : m.shape[0]], m) for i, m in enumerate(wide)]
    return [
        result if m.shape[0] <= m.shape[1] else ops.transpose(result)
        for result, m in zip(results, matrices, strict=True)
    ]


def _newton_schulz(grams: Tensor) -> Tensor:
    """Return the factors that orthogonalise matrices with these Gram matrices, [n, rows, rows]."""
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    identity = np.eye(grams.shape[1], dtype=np.float32)
    factors = polynomial = identity
    for _ in range(NEWTON_SCHULZ_STEPS):
        grams = ops.matmul(ops.matmul(polynomial, grams), polynomial)
        polynomial = a * identity + b * grams + c * ops.matmul(grams, grams)
        factors = ops.matmul(polynomial, factors)
    return factors
