"""One optimisation step: the batch is split into shards that are processed in parallel."""

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from denoise.network.exact_ops import SMALLEST_BATCH, repeat_if_alone
from denoise.training.workers import ALONE, Workers

Tensor = Any
Target = Any  # a loss's `y_true`: an array [batch, ...], or a tuple of them


class TrainStep:
    """A model, its loss and its optimiser.

    Each batch is split into `n_shards` shards. TensorFlow works on them in parallel where it may
    run as many operations at once. The operations of a small network are too short to be spread
    over two cores, but two shards keep both busy. Batch normalisation takes its statistics from
    each shard, so the number of shards changes the result. With several `workers`, each takes its
    share of the shards, and all of them take the same step.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss,
        optimizer: keras.Optimizer,
        n_shards: int = 1,
        workers: Workers = ALONE,
    ) -> None:
        """Take an optimiser that was built for the weights of `model`."""
        self.model = model
        self._loss = loss
        self._optimizer = optimizer
        self._n_shards = n_shards
        self._workers = workers
        self._compiled: dict[Any, Callable[..., Tensor]] = {}

    @property
    def state(self) -> list[keras.Variable]:
        """Return all variables that training changes: the network's and the optimiser's.

        Those of the network include the state of layers that draw random numbers, such as dropout.
        """
        return [*self.model.variables, *self._optimizer.variables]

    def step(
        self,
        stft: np.ndarray,
        target: Target,
        learning_rate: float,
        freeze_batch_norm: bool = False,
    ) -> float:
        """Update the weights on a batch, [batch, ...] each; return its mean loss before the update.

        With `freeze_batch_norm`, all layers work as in inference: batch normalisation uses its
        moving averages, and dropout drops nothing.
        """
        self._optimizer.learning_rate = learning_rate
        return self._run(self._frozen_update if freeze_batch_norm else self._update, stft, target)

    def loss(self, stft: np.ndarray, target: Target) -> float:
        """Return the mean loss of a batch."""
        return self._run(self._mean_loss, stft, target)

    def _run(self, function: Callable[..., Tensor], stft: np.ndarray, target: Target) -> float:
        """Run a function as a graph, which is traced once per shape whatever the batch size.

        No shard holds fewer clips than SMALLEST_BATCH; a clip that is alone is repeated.
        """
        tensors = keras.tree.map_structure(tf.constant, repeat_if_alone((stft, target)))
        most_shards = max(1, len(stft) // SMALLEST_BATCH)
        n_shards = min(self._n_shards * self._workers.count, most_shards)
        key = function.__name__, n_shards, *(x.shape[1:] for x in keras.tree.flatten(tensors))
        if key not in self._compiled:
            signature = keras.tree.map_structure(
                lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype), tensors
            )
            self._compiled[key] = tf.function(
                lambda stft, target: function(stft, target, n_shards),
                input_signature=signature,
                autograph=False,  # it would add lines to the errors of extensions
            )
        with self._workers.reporting_lost_workers():
            return float(self._compiled[key](*tensors))

    def _frozen_update(self, stft: Tensor, target: Target, n_shards: int) -> Tensor:
        return self._update(stft, target, n_shards, training=False)

    def _update(self, stft: Tensor, target: Target, n_shards: int, training: bool = True) -> Tensor:
        variables = self.model.trainable_variables
        losses, gradients = [], []
        for shard in self._workers.share(split_shards((stft, target), n_shards)):
            with tf.GradientTape() as tape:
                losses.append(self._shard_loss(*shard, training=training))
            gradients.append(tape.gradient(losses[-1], variables))
        if not losses:  # a batch with fewer clips than there are workers
            losses, gradients = [tf.constant(0.0)], [[tf.zeros_like(v) for v in variables]]
        summed = [functools.reduce(tf.add, each) for each in zip(*gradients, strict=True)]
        loss, *summed = self._workers.total_of_all([functools.reduce(tf.add, losses), *summed])
        self._optimizer.apply(summed, variables)
        if training and self._workers.count > 1:
            self._average_statistics()
        return loss

    def _average_statistics(self) -> None:
        """Give batch normalisation the mean of all workers' moving averages."""
        averages = self.model.non_trainable_weights
        totals = self._workers.total_of_all([average.value for average in averages])
        for average, total in zip(averages, totals, strict=True):
            average.assign(total / self._workers.count)

    def _mean_loss(self, stft: Tensor, target: Target, n_shards: int) -> Tensor:
        shards = self._workers.share(split_shards((stft, target), n_shards))
        losses = [self._shard_loss(*shard, training=False) for shard in shards]
        (total,) = self._workers.total_of_all([functools.reduce(tf.add, losses, tf.constant(0.0))])
        return total

    def _shard_loss(self, batch: tuple[Tensor, Target], weight: Tensor, training: bool) -> Tensor:
        stft, target = batch
        return weight * self._loss(target, self.model(stft, training=training))


def split_shards(batch: Any, n_shards: int) -> list[tuple[Any, Tensor]]:
    """Split the arrays of a batch into nearly equal shards, each with its weight in the mean."""
    count = tf.shape(keras.tree.flatten(batch)[0])[0]
    clip_weight = 1 / tf.cast(count, tf.float32)
    ends = [count * number // n_shards for number in range(n_shards + 1)]
    return [
        (
            keras.tree.map_structure(operator.itemgetter(slice(start, end)), batch),
            clip_weight * tf.cast(end - start, tf.float32),
        )
        for start, end in itertools.pairwise(ends)
    ]
