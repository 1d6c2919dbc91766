"""How gradients move weights: Adam, or Muon for what convolves."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from denoise.params import TrainParams

Tensor = Any

CLIP_NORM = 1.0  # of all gradients together
MOMENTUM = 0.9
ADAMS_SIZE = 0.2  # the root mean square of an update of Adam's
QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: steep at 0, so that five rounds are enough
ROUNDS = 5


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


class Muon(keras.optimizers.Adam):
    """Adam, but for kernels, which take orthogonal steps: as far in every direction that counts.

    Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks"; a kernel is a
    matrix from all that it sees to its channels. Steps are scaled to the size of Adam's as in Liu
    et al. (2025), arXiv:2502.16982, and then by `kernel_factor`.
    """

    def __init__(self, params: TrainParams, kernels: Sequence[keras.Variable]) -> None:
        """Take the rates of `params`, and the variables that are kernels."""
        super().__init__(params.learning_rate, beta_2=params.beta_2, global_clipnorm=CLIP_NORM)
        self._kernels = kernels
        self._factor = params.kernel_factor

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the state, and find the kernels among the variables."""
        super().build(variables)
        self._kernel_numbers = {self._get_variable_index(kernel) for kernel in self._kernels}

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Move a variable."""
        number = self._get_variable_index(variable)
        if number not in self._kernel_numbers:
            super().update_step(gradient, variable, learning_rate)
            return
        momentum = self._momentums[number]
        self.assign(momentum, gradient + MOMENTUM * momentum)
        ahead = gradient + MOMENTUM * momentum  # Nesterov's
        matrix = ops.reshape(ahead, (-1, variable.shape[-1]))
        size = ADAMS_SIZE * max(matrix.shape) ** 0.5
        step = (learning_rate * self._factor * size) * orthogonal(matrix)
        self.assign_sub(variable, ops.reshape(step, variable.shape))


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix of the same directions whose singular values all lie near 1.

    By Newton and Schulz's iteration, which needs products of matrices alone.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if is_tall else matrix
    x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        square = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * square + c * ops.matmul(square, square), x)
    return ops.transpose(x) if is_tall else x
