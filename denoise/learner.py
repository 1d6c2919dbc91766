"""A network that learns: one step for each batch, shared out among threads."""

import functools
import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Tensor = Any


class Learner:
    """A model, its loss and its optimiser.

    Each batch is split in `n_shares`, which are worked on side by side where TensorFlow may run as
    many operations at once: two cores then do twice the work, which they don't on the parts of one
    small operation. Batches are normalised share by share, so their number is part of the result.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss,
        optimizer: keras.Optimizer,
        n_shares: int = 1,
    ) -> None:
        """Take an optimiser that has its state for `model` already."""
        self.model = model
        self._loss = loss
        self._optimizer = optimizer
        self._n_shares = n_shares
        self._compiled = {
            name: tf.function(function, reduce_retracing=True)
            for name, function in (("step", self._step), ("loss", self._mean_loss))
        }

    @property
    def state(self) -> list[keras.Variable]:
        """List what a training moves: the network's weights and the optimiser's."""
        return [*self.model.weights, *self._optimizer.variables]

    def step(self, stft: np.ndarray, pair: np.ndarray, learning_rate: float) -> float:
        """Learn from a batch, [batch, ...] each; return the mean loss of its clips before."""
        self._optimizer.learning_rate = learning_rate
        return self._run("step", stft, pair)

    def loss(self, stft: np.ndarray, pair: np.ndarray) -> float:
        """Return the mean loss of a batch's clips."""
        return self._run("loss", stft, pair)

    def _run(self, name: str, stft: np.ndarray, pair: np.ndarray) -> float:
        n_shares = min(self._n_shares, len(stft))
        return float(self._compiled[name](tf.constant(stft), tf.constant(pair), n_shares))

    def _step(self, stft: Tensor, pair: Tensor, n_shares: int) -> Tensor:
        variables = self.model.trainable_variables
        losses, gradients = [], []
        for share in shares(stft, pair, n_shares):
            with tf.GradientTape() as tape:
                losses.append(self._share_loss(*share, training=True))
            gradients.append(tape.gradient(losses[-1], variables))
        summed = [functools.reduce(tf.add, each) for each in zip(*gradients, strict=True)]
        self._optimizer.apply(summed, variables)
        return functools.reduce(tf.add, losses)

    def _mean_loss(self, stft: Tensor, pair: Tensor, n_shares: int) -> Tensor:
        losses = [
            self._share_loss(*share, training=False) for share in shares(stft, pair, n_shares)
        ]
        return functools.reduce(tf.add, losses)

    def _share_loss(self, stft: Tensor, pair: Tensor, weight: Tensor, training: bool) -> Tensor:
        return weight * self._loss(pair, self.model(stft, training=training))


def shares(stft: Tensor, pair: Tensor, n_shares: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Split a batch into parts as equal as can be, each with the weight that it has in a mean."""
    count = tf.shape(stft)[0]
    clip = 1 / tf.cast(count, tf.float32)
    ends = [count * number // n_shares for number in range(n_shares + 1)]
    return [
        (stft[start:end], pair[start:end], clip * tf.cast(end - start, tf.float32))
        for start, end in itertools.pairwise(ends)
    ]
