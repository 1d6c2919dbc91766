"""Fitting a network: one epoch at a time, its state on disk after each, the best weights kept.

What is decided between epochs (the learning rate, when to stop) is a function of the history alone,
and each batch one of the seed, the epoch and its number. So a training that was interrupted and
resumed gives the same weights as one that was not.
"""

import functools
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from denoise.atomic import replacing_folder, write_text
from denoise.batches import BatchSource, Remixing, as_pair
from denoise.params import TrainParams
from denoise.spectrogram import Stft

History = list[dict[str, float]]


class EpochBatches(keras.utils.PyDataset):
    """The batches of one epoch, as Keras takes them."""

    def __init__(self, n_batches: int, draw: Callable[[int], tuple[Stft, Stft]]) -> None:
        """Take batch i from draw(i)."""
        super().__init__()
        self._n_batches = n_batches
        self._draw = draw

    def __len__(self) -> int:
        """Count the batches."""
        return self._n_batches

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return one batch."""
        return as_pair(*self._draw(number))


def learning_rate(
    params: TrainParams, history: Sequence[dict[str, float]], batch: int = 0, n_batches: int = 1
) -> float:
    """Return the rate of a batch of the next epoch, of `n_batches`.

    Half a cosine over all batches, or halved on each plateau; it rises over the first
    `params.warm_up` batches.
    """
    done = len(history) * n_batches + batch
    rise = min(1.0, (done + 1) / max(1, params.warm_up))
    if params.schedule == "cosine":
        part = done / (params.epochs * n_batches)
        return rise * params.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))
    rate, waited, best = params.learning_rate, 0, math.inf
    for epoch in history:
        waited = 0 if epoch["validation_loss"] < best else waited + 1
        best = min(best, epoch["validation_loss"])
        if waited >= 3:
            rate, waited = rate / 2, 0
    return rise * rate


class RatePerBatch(keras.callbacks.Callback):
    """Sets the learning rate before each batch of an epoch."""

    def __init__(self, rate_of: Callable[[int], float]) -> None:
        """Take the rate of batch i from rate_of(i)."""
        super().__init__()
        self._rate_of = rate_of

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Set the rate of one batch."""
        self.model.optimizer.learning_rate = self._rate_of(batch)


def best_epoch(history: Sequence[dict[str, float]]) -> int:
    """Return the number, from 0, of the epoch with the lowest validation loss."""
    return min(range(len(history)), key=lambda epoch: history[epoch]["validation_loss"])


def is_finished(params: TrainParams, history: Sequence[dict[str, float]]) -> bool:
    """Tell whether all epochs are done, or `patience` of them brought nothing better."""
    if not history:
        return False
    waited = len(history) - 1 - best_epoch(history)
    return len(history) >= params.epochs or waited >= params.patience


def fingerprint(settings: str, files: Iterable[Path]) -> str:
    """Return a hash of everything a training depends on: settings and the content of files."""
    digest = hashlib.sha256(settings.encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """A training's state on disk; `key` tells which training it belongs to."""

    folder: Path
    key: str

    def load(self, model: keras.Model) -> History:
        """Restore weights and optimiser if a state of this very training is there."""
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        if state["key"] != self.key:
            return []
        state_of = [*model.weights, *model.optimizer.variables]
        with np.load(self.folder / "last.npz") as saved:
            for number, variable in enumerate(state_of):
                variable.assign(saved[str(number)])
        history: History = state["history"]
        print(f"Resuming after epoch {len(history)}.")
        return history

    def save(self, model: keras.Model, history: History) -> None:
        """Replace the state on disk, whole or not at all."""
        is_best = best_epoch(history) == len(history) - 1
        best = None if is_best else (self.folder / "best.npz").read_bytes()
        with replacing_folder(self.folder) as folder:
            save_arrays(folder / "last.npz", [*model.weights, *model.optimizer.variables])
            (folder / "best.npz").write_bytes(best or (folder / "last.npz").read_bytes())
            write_text(folder / "state.json", json.dumps({"key": self.key, "history": history}))

    def load_best(self, model: keras.Model) -> None:
        """Give the model the weights of its best epoch."""
        with np.load(self.folder / "best.npz") as saved:
            model.set_weights([saved[str(number)] for number in range(len(model.weights))])

    def remove(self) -> None:
        """Forget the state: the training is done, and a forced one shall start anew."""
        shutil.rmtree(self.folder, ignore_errors=True)


def save_arrays(path: Path, variables: Sequence[keras.Variable]) -> None:
    """Write variables as .npz by their number: a full disk is then an error like any other."""
    arrays: dict[str, Any] = {str(i): np.asarray(v) for i, v in enumerate(variables)}
    np.savez(path, **arrays)


def fit(
    model: keras.Model,
    loss: keras.losses.Loss,
    sources: tuple[BatchSource, BatchSource],
    params: TrainParams,
    snr_db: tuple[float, ...],
    checkpoint: Checkpoint,
    on_epoch: Callable[[dict[str, float]], None] = lambda epoch: None,
) -> History:
    """Train `model` in place on sources (train, validation); return the history, an entry an epoch.

    The model is left with the weights of the epoch with the lowest validation loss. `on_epoch` is
    told of each epoch, those of an earlier, interrupted run included.
    """
    train, validation = sources
    model.compile(
        keras.optimizers.Adam(params.learning_rate, global_clipnorm=1.0), loss, jit_compile=False
    )
    model.optimizer.build(model.trainable_variables)
    history = checkpoint.load(model)
    for epoch in history:
        on_epoch(epoch)
    held_out = EpochBatches(len(validation), validation.cached)
    remixing = Remixing(snr_db, params.untouched) if params.remix else None
    while not is_finished(params, history):
        number = len(history)
        rate_of = functools.partial(learning_rate, params, tuple(history), n_batches=len(train))
        draw = functools.partial(train.shuffled, number, remixing=remixing)
        batches = EpochBatches(len(train), draw)
        logs = model.fit(
            batches,
            validation_data=held_out,
            initial_epoch=number,
            epochs=number + 1,
            shuffle=False,
            callbacks=[RatePerBatch(rate_of)],
        ).history
        entry = {"loss": logs["loss"][0], "validation_loss": logs["val_loss"][0]}
        history.append({"epoch": number + 1, "learning_rate": rate_of(0), **entry})
        checkpoint.save(model, history)
        on_epoch(history[-1])
    checkpoint.load_best(model)
    return history
