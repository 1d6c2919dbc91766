"""A network that learns: one step for each batch, shared out among threads."""

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Tensor = Any
Target = Any  # what a loss compares masks with: an array [batch, ...], or a tuple of them


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
        self._compiled: dict[Any, Callable[..., Tensor]] = {}

    @property
    def state(self) -> list[keras.Variable]:
        """List what a training moves: the network's weights and the optimiser's."""
        return [*self.model.weights, *self._optimizer.variables]

    def step(
        self, stft: np.ndarray, target: Target, learning_rate: float, is_settled: bool = False
    ) -> float:
        """Learn from a batch, [batch, ...] each; return the mean loss of its clips before.

        A network that is settled normalises batches by the averages that it has, as it does in use.
        """
        self._optimizer.learning_rate = learning_rate
        return self._run(self._settled_step if is_settled else self._step, stft, target)

    def loss(self, stft: np.ndarray, target: Target) -> float:
        """Return the mean loss of a batch's clips."""
        return self._run(self._mean_loss, stft, target)

    def _run(self, function: Callable[..., Tensor], stft: np.ndarray, target: Target) -> float:
        """Run a function as a graph, made once for all batches of a form, whatever their size."""
        tensors = keras.tree.map_structure(tf.constant, (stft, target))
        n_shares = min(self._n_shares, len(stft))
        key = function.__name__, n_shares, *(x.shape[1:] for x in keras.tree.flatten(tensors))
        if key not in self._compiled:
            forms = keras.tree.map_structure(
                lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype), tensors
            )
            self._compiled[key] = tf.function(
                lambda stft, target: function(stft, target, n_shares), input_signature=forms
            )
        return float(self._compiled[key](*tensors))

    def _settled_step(self, stft: Tensor, target: Target, n_shares: int) -> Tensor:
        return self._step(stft, target, n_shares, training=False)

    def _step(self, stft: Tensor, target: Target, n_shares: int, training: bool = True) -> Tensor:
        variables = self.model.trainable_variables
        losses, gradients = [], []
        for share in shares((stft, target), n_shares):
            with tf.GradientTape() as tape:
                losses.append(self._share_loss(*share, training=training))
            gradients.append(tape.gradient(losses[-1], variables))
        summed = [functools.reduce(tf.add, each) for each in zip(*gradients, strict=True)]
        self._optimizer.apply(summed, variables)
        return functools.reduce(tf.add, losses)

    def _mean_loss(self, stft: Tensor, target: Target, n_shares: int) -> Tensor:
        parts = shares((stft, target), n_shares)
        return functools.reduce(tf.add, [self._share_loss(*part, training=False) for part in parts])

    def _share_loss(self, batch: tuple[Tensor, Target], weight: Tensor, training: bool) -> Tensor:
        stft, target = batch
        return weight * self._loss(target, self.model(stft, training=training))


def shares(batch: Any, n_shares: int) -> list[tuple[Any, Tensor]]:
    """Split the arrays of a batch in parts as equal as can be, each with its weight in a mean."""
    count = tf.shape(keras.tree.flatten(batch)[0])[0]
    clip = 1 / tf.cast(count, tf.float32)
    ends = [count * number // n_shares for number in range(n_shares + 1)]
    return [
        (
            keras.tree.map_structure(operator.itemgetter(slice(start, end)), batch),
            clip * tf.cast(end - start, tf.float32),
        )
        for start, end in itertools.pairwise(ends)
    ]
