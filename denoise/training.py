"""Fitting a network: one epoch at a time, its state on disk after each, the best weights kept.

What is decided between epochs (the learning rate, when to stop) is a function of the history alone,
and each batch one of the seed, the epoch and its number. So a training that was interrupted and
resumed gives the same weights as one that was not.
"""

import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from denoise.atomic import replacing_folder, write_text
from denoise.batches import BatchSource, as_pair
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


def learning_rate(params: TrainParams, history: Sequence[dict[str, float]]) -> float:
    """Return the next epoch's rate: half a cosine over all epochs, or halved on each plateau."""
    if params.schedule == "cosine":
        done = len(history) / params.epochs
        return params.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
    rate, waited, best = params.learning_rate, 0, math.inf
    for epoch in history:
        waited = 0 if epoch["validation_loss"] < best else waited + 1
        best = min(best, epoch["validation_loss"])
        if waited >= 3:
            rate, waited = rate / 2, 0
    return rate


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
        model.load_weights(self.folder / "last.weights.h5")
        history: History = state["history"]
        print(f"Resuming after epoch {len(history)}.")
        return history

    def save(self, model: keras.Model, history: History) -> None:
        """Replace the state on disk, whole or not at all."""
        previous = self.folder / "best.weights.h5"
        is_best = best_epoch(history) == len(history) - 1
        kept = None if is_best else previous.read_bytes()
        with replacing_folder(self.folder) as folder:
            model.save_weights(folder / "last.weights.h5")
            best = folder / "best.weights.h5"
            best.write_bytes(kept or (folder / "last.weights.h5").read_bytes())
            write_text(folder / "state.json", json.dumps({"key": self.key, "history": history}))

    def load_best(self, model: keras.Model) -> None:
        """Give the model the weights of its best epoch."""
        model.load_weights(self.folder / "best.weights.h5")


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
    remixed = snr_db if params.remix else None
    while not is_finished(params, history):
        number = len(history)
        model.optimizer.learning_rate = rate = learning_rate(params, history)
        draw = functools.partial(train.shuffled, number, snr_db=remixed)
        batches = EpochBatches(len(train), draw)
        logs = model.fit(
            batches,
            validation_data=held_out,
            initial_epoch=number,
            epochs=number + 1,
            shuffle=False,
        ).history
        entry = {"loss": logs["loss"][0], "validation_loss": logs["val_loss"][0]}
        history.append({"epoch": number + 1, "learning_rate": rate, **entry})
        checkpoint.save(model, history)
        on_epoch(history[-1])
    checkpoint.load_best(model)
    return history
