"""How gradients move weights: Adam, or Muon for what convolves."""

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

CLIP_NORM = 1.0  # of all gradients together
MOMENTUM = 0.9
BETA_1, EPSILON = 0.9, 1e-7  # Adam's
ADAMS_SIZE = 0.2  # the root mean square of an update of Adam's
QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: steep at 0, so that five rounds are enough
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
    """List the kernels of convolutions, but for that of the last, which gives the mask."""
    return [variable for variable in model.trainable_variables if len(variable.shape) == 4][:-1]


class Muon(keras.Optimizer):
    """Adam, but for kernels, which take orthogonal steps: as far in every direction that counts.

    Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks"; a kernel is a
    matrix from all that it sees to its channels. Steps are scaled to the size of Adam's as in Liu
    et al. (2025), arXiv:2502.16982, and then by `kernel_factor`.

    A small network has many small weights, and what an operation on one of them costs is mostly its
    call: gradients and steps are therefore one vector each, kernels first, and so is the state.
    """

    def __init__(self, params: TrainParams, kernels: Variables) -> None:
        """Take the rates of `params`, and the variables that are kernels."""
        super().__init__(params.learning_rate)
        self._kernels = kernels
        self._factor = params.muon_learning_rate_multiplier
        self._beta_2 = params.beta_2

    def build(self, variables: Variables) -> None:
        """Make the state, and put the kernels first among the variables."""
        super().build(variables)
        kernels = {id(kernel) for kernel in self._kernels}
        numbers = range(len(variables))
        self._order = sorted(numbers, key=lambda number: id(variables[number]) not in kernels)
        sizes = [math.prod(variables[number].shape) for number in self._order]
        self._n_inner, total = sum(sizes[: len(kernels)]), sum(sizes)
        self._sizes = sizes
        self._kernel_momentum = self.add_variable((self._n_inner,))
        self._momentum = self.add_variable((total - self._n_inner,))
        self._velocity = self.add_variable((total - self._n_inner,))

    def apply(self, grads: Sequence[Tensor], trainable_variables: Variables | None = None) -> None:
        """Move the variables that the optimiser was built for; `grads` are in their order."""
        variables = [self._trainable_variables[number] for number in self._order]
        flat = ops.concatenate([ops.reshape(grads[number], -1) for number in self._order])
        flat *= CLIP_NORM / ops.maximum(ops.sqrt(ops.sum(ops.square(flat))), CLIP_NORM)
        self._iterations.assign_add(1)
        steps = self._orthogonal_steps(flat[: self._n_inner])
        steps.append(self._adams_step(flat[self._n_inner :]))
        moves = self.learning_rate * ops.concatenate(steps)
        for variable, move in zip(variables, tf.split(moves, self._sizes), strict=True):
            variable.assign_sub(ops.reshape(move, variable.shape))

    def _orthogonal_steps(self, gradient: Tensor) -> list[Tensor]:
        """Return the step of each kernel, flat, at a learning rate of 1."""
        momentum = gradient + MOMENTUM * self._kernel_momentum
        self._kernel_momentum.assign(momentum)
        ahead = gradient + MOMENTUM * momentum  # Nesterov's
        parts = tf.split(ahead, self._sizes[: len(self._kernels)])
        matrices = [
            ops.reshape(part, (-1, kernel.shape[-1]))
            for part, kernel in zip(parts, self._kernels, strict=True)
        ]
        return [
            ops.reshape(direction, -1) * (self._factor * ADAMS_SIZE * max(direction.shape) ** 0.5)
            for direction in orthogonal(matrices)
        ]

    def _adams_step(self, gradient: Tensor) -> Tensor:
        """Return Adam's step, flat, at a learning rate of 1."""
        count = ops.cast(self._iterations, "float32")
        momentum = BETA_1 * self._momentum + (1 - BETA_1) * gradient
        velocity = self._beta_2 * self._velocity + (1 - self._beta_2) * ops.square(gradient)
        self._momentum.assign(momentum)
        self._velocity.assign(velocity)
        young = ops.sqrt(1 - self._beta_2**count) / (1 - BETA_1**count)
        return young * momentum / (ops.sqrt(velocity) + EPSILON)


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Return matrices of the same directions, their singular values all near 1.

    By Newton and Schulz's iteration, which multiplies a matrix with polynomials of the products of
    its rows (or columns, where there are fewer): these polynomials are found for all matrices at
    once, their products padded with zeros to one size, and each matrix is multiplied once.
    """
    flat = [m if m.shape[0] <= m.shape[1] else ops.transpose(m) for m in matrices]
    widest = max(m.shape[0] for m in flat)
    grams = ops.stack(
        [ops.pad(ops.matmul(m, ops.transpose(m)), [(0, widest - m.shape[0])] * 2) for m in flat]
    )
    traces = ops.trace(grams, axis1=1, axis2=2)[:, None, None]
    found = _newton_schulz(grams / (traces + EPSILON)) / ops.sqrt(traces + EPSILON)
    evened = [
        ops.matmul(found[number, : m.shape[0], : m.shape[0]], m) for number, m in enumerate(flat)
    ]
    return [
        e if m.shape[0] <= m.shape[1] else ops.transpose(e)
        for e, m in zip(evened, matrices, strict=True)
    ]


def _newton_schulz(grams: Tensor) -> Tensor:
    """Return what matrices with these products of rows, [n, rows, rows], are multiplied with."""
    a, b, c = QUINTIC
    identity = np.eye(grams.shape[1], dtype=np.float32)
    found = polynomial = identity
    for _ in range(NEWTON_SCHULZ_STEPS):
        grams = ops.matmul(ops.matmul(polynomial, grams), polynomial)
        polynomial = a * identity + b * grams + c * ops.matmul(grams, grams)
        found = ops.matmul(polynomial, found)
    return found
