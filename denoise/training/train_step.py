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


class TrainStep:
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
        n_shards: int = 1,
    ) -> None:
        """Take an optimiser that has its state for `model` already."""
        self.model = model
        self._loss = loss
        self._optimizer = optimizer
        self._n_shards = n_shards
        self._compiled: dict[Any, Callable[..., Tensor]] = {}

    @property
    def state(self) -> list[keras.Variable]:
        """List what a training moves: the network's weights and the optimiser's."""
        return [*self.model.weights, *self._optimizer.variables]

    def step(
        self,
        stft: np.ndarray,
        target: Target,
        learning_rate: float,
        has_frozen_batch_norm: bool = False,
    ) -> float:
        """Learn from a batch, [batch, ...] each; return the mean loss of its clips before.

        A network that is settled normalises batches by the averages that it has, as it does in use.
        """
        self._optimizer.learning_rate = learning_rate
        return self._run(self._frozen_step if has_frozen_batch_norm else self._step, stft, target)

    def loss(self, stft: np.ndarray, target: Target) -> float:
        """Return the mean loss of a batch's clips."""
        return self._run(self._mean_loss, stft, target)

    def _run(self, function: Callable[..., Tensor], stft: np.ndarray, target: Target) -> float:
        """Run a function as a graph, made once for all batches of a form, whatever their size."""
        tensors = keras.tree.map_structure(tf.constant, (stft, target))
        n_shards = min(self._n_shards, len(stft))
        key = function.__name__, n_shards, *(x.shape[1:] for x in keras.tree.flatten(tensors))
        if key not in self._compiled:
            forms = keras.tree.map_structure(
                lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype), tensors
            )
            self._compiled[key] = tf.function(
                lambda stft, target: function(stft, target, n_shards), input_signature=forms
            )
        return float(self._compiled[key](*tensors))

    def _frozen_step(self, stft: Tensor, target: Target, n_shards: int) -> Tensor:
        return self._step(stft, target, n_shards, training=False)

    def _step(self, stft: Tensor, target: Target, n_shards: int, training: bool = True) -> Tensor:
        variables = self.model.trainable_variables
        losses, gradients = [], []
        for share in split_shards((stft, target), n_shards):
            with tf.GradientTape() as tape:
                losses.append(self._shard_loss(*share, training=training))
            gradients.append(tape.gradient(losses[-1], variables))
        summed = [functools.reduce(tf.add, each) for each in zip(*gradients, strict=True)]
        self._optimizer.apply(summed, variables)
        return functools.reduce(tf.add, losses)

    def _mean_loss(self, stft: Tensor, target: Target, n_shards: int) -> Tensor:
        parts = split_shards((stft, target), n_shards)
        return functools.reduce(tf.add, [self._shard_loss(*part, training=False) for part in parts])

    def _shard_loss(self, batch: tuple[Tensor, Target], weight: Tensor, training: bool) -> Tensor:
        stft, target = batch
        return weight * self._loss(target, self.model(stft, training=training))


def split_shards(batch: Any, n_shards: int) -> list[tuple[Any, Tensor]]:
    """Split the arrays of a batch in parts as equal as can be, each with its weight in a mean."""
    count = tf.shape(keras.tree.flatten(batch)[0])[0]
    clip = 1 / tf.cast(count, tf.float32)
    ends = [count * number // n_shards for number in range(n_shards + 1)]
    return [
        (
            keras.tree.map_structure(operator.itemgetter(slice(start, end)), batch),
            clip * tf.cast(end - start, tf.float32),
        )
        for start, end in itertools.pairwise(ends)
    ]
