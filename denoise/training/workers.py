"""Training on several machines: each worker takes a part of every batch, and all take each step.

The workers are processes that are started alike, with the environment variable TF_CONFIG, as
TensorFlow's MultiWorkerMirroredStrategy expects it. Before each step, the workers add up their
gradients in a fixed order, so that all keep the same weights, and two runs give the same bytes.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from denoise.errors import TrainingError

Tensor = Any
Part = TypeVar("Part")
TIMEOUT_SECONDS = 600.0  # of waiting for the others; the first step is traced for a minute
LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)
"""What TensorFlow raises where another worker has gone or cannot be reached."""


def _alone(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Workers:
    """This process among those that train one network; number 0 writes the results.

    `total` maps a tensor to its sum over all workers, which must call it equally often.
    """

    index: int = 0
    count: int = 1
    total: Callable[[Tensor], Tensor] = _alone

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the results."""
        return self.index == 0

    def share(self, parts: list[Part]) -> list[Part]:
        """Return this worker's share of the parts of a batch; it may be empty."""
        ends = [len(parts) * number // self.count for number in (self.index, self.index + 1)]
        return parts[slice(*ends)]

    def total_of_all(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the sum of each of several float32 tensors over all workers, in one exchange.

        Their shapes must be known.
        """
        if self.count == 1 or not tensors:
            return list(tensors)
        flat = self.total(tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0))
        parts = tf.split(flat, [math.prod(tensor.shape) for tensor in tensors])
        return [tf.reshape(p, t.shape) for p, t in zip(parts, tensors, strict=True)]

    @contextmanager
    def reporting_lost_workers(self) -> Iterator[None]:
        """Raise TrainingError where TensorFlow raises an error because another worker is lost."""
        try:
            yield
        except LOST as error:
            if self.count == 1:
                raise
            raise TrainingError(
                f"Another worker is gone, or cannot be reached: {str(error).splitlines()[0]} Start "
                "all workers again: the training resumes after the last epoch."
            ) from error

    def checked(self, key: str) -> str:
        """Return the fingerprint of this worker's training, which must be the chief's.

        Raises TrainingError where it is not: the workers would train on different batches.
        """
        if self.receive(key.encode()) != key.encode():
            raise TrainingError(
                "This worker has other params, code or features than the chief. Make them equal."
            )
        return key

    def receive(self, content: bytes) -> bytes:
        """Return the chief's `content` on every worker."""
        if self.count == 1:
            return content
        length = int(self._send(np.array([len(content)], np.int32))[0])
        mine = content if self.is_chief else bytes(length)
        numbers = np.frombuffer(mine, np.uint8).astype(np.int32)
        return self._send(numbers).astype(np.uint8).tobytes()

    def _send(self, numbers: np.ndarray) -> np.ndarray:
        with self.reporting_lost_workers():
            sent = tf.constant(numbers * self.is_chief)
            return np.asarray(tf.function(self.total, autograph=False)(sent))

    def synchronise(self, variables: Sequence[keras.Variable], history: list[Any]) -> list[Any]:
        """Give all workers the chief's values of `variables`; return the chief's history."""
        if self.count == 1:
            return history
        values = [np.asarray(variable) for variable in variables]
        content = json.dumps(history).encode() + b"\0" + b"".join(v.tobytes() for v in values)
        received, _, state = self.receive(content).partition(b"\0")
        offset = 0
        for variable, value in zip(variables, values, strict=True):
            sent = np.frombuffer(state, value.dtype, value.size, offset)
            variable.assign(sent.reshape(value.shape))
            offset += value.nbytes
        shared: list[Any] = json.loads(received)
        return shared


ALONE = Workers()


def join_workers(count: int) -> Workers:
    """Return this process among the `count` workers that TF_CONFIG lists; it waits for them.

    It must be called before TensorFlow computes anything. Raises TrainingError if TF_CONFIG names
    another number of workers.
    """
    try:
        config = json.loads(os.environ.get("TF_CONFIG", "{}"))
        addresses = config.get("cluster", {}).get("worker", ["this process"])
        index = int(config.get("task", {}).get("index", 0))
    except (AttributeError, TypeError, ValueError) as error:
        raise TrainingError(f"The environment variable TF_CONFIG cannot be read: {error}") from None
    if len(addresses) != count or index >= count:
        raise TrainingError(
            f"train.workers is {count}, and TF_CONFIG has {len(addresses)} workers and the index "
            f"{index}. docs/scaling.md says how to start several workers."
        )
    if count == 1:
        return ALONE
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=TIMEOUT_SECONDS)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)

    def total(tensor: Tensor) -> Tensor:
        def exchange(tensor: Tensor) -> Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce("SUM", tf.identity(tensor), options)

        return strategy.run(exchange, args=(tensor,))

    return Workers(index, count, total)
