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
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from denoise.dsp.stft import Stft
from denoise.network.npz_store import load_weights, save_weights
from denoise.params import TrainParams
from denoise.training.augmentation import Augmentation
from denoise.training.data import BatchSource, Pair, to_network_input
from denoise.training.muon import build_optimizer
from denoise.training.schedule import cosine_factor, warmup_factor
from denoise.training.train_step import TrainStep
from denoise.util.atomic import recover_folder, replacing_folder, write_text

PLATEAU_EPOCHS = 3
History = list[dict[str, float]]
Variables = Sequence[keras.Variable]


def learning_rates(
    params: TrainParams, history: Sequence[dict[str, float]], n_batches: int = 1
) -> list[float]:
    """Return the rate of each of the `n_batches` batches of the next epoch.

    Half a cosine over all batches, or halved on each plateau; it rises over the first
    `params.warm_up` batches.
    """
    numbers = range(len(history) * n_batches, (len(history) + 1) * n_batches)
    highest = params.learning_rate
    if params.schedule == "cosine":
        count = params.epochs * n_batches
        return [
            highest * warmup_factor(i, params.warmup_steps) * cosine_factor(i, count)
            for i in numbers
        ]
    return [
        highest * warmup_factor(i, params.warmup_steps) / 2 ** plateaus(history) for i in numbers
    ]


def has_frozen_batch_norm(params: TrainParams, history: Sequence[dict[str, float]]) -> bool:
    """Tell whether the next epoch is one of the last ones, `params.settled` of all.

    Batches of a few excerpts differ from all that a network hears in use; it learns with the
    averages that it will use, once they move little.
    """
    return len(history) >= (1 - params.frozen_batch_norm_fraction) * params.epochs


def plateaus(history: Sequence[dict[str, float]]) -> int:
    """Count how often the validation loss has not fallen for PLATEAU_EPOCHS epochs."""
    count, waited, best = 0, 0, math.inf
    for epoch in history:
        waited = 0 if epoch["validation_loss"] < best else waited + 1
        best = min(best, epoch["validation_loss"])
        if waited >= PLATEAU_EPOCHS:
            count, waited = count + 1, 0
    return count


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

    def load(self, variables: Variables) -> History:
        """Restore what a training moves if a state of this very training is there."""
        recover_folder(self.folder)
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        if state["key"] != self.key:
            return []
        load_weights(self.folder / "last.npz", variables)
        history: History = state["history"]
        print(f"Resuming after epoch {len(history)}.")
        return history

    def save(self, variables: Variables, history: History) -> None:
        """Replace the state on disk, whole or not at all."""
        is_best = best_epoch(history) == len(history) - 1
        best = None if is_best else (self.folder / "best.npz").read_bytes()
        with replacing_folder(self.folder) as folder:
            save_weights(folder / "last.npz", [np.asarray(v) for v in variables])
            (folder / "best.npz").write_bytes(best or (folder / "last.npz").read_bytes())
            write_text(folder / "state.json", json.dumps({"key": self.key, "history": history}))

    def load_best(self, variables: Variables) -> None:
        """Restore what a training moves as it was after the best epoch."""
        load_weights(self.folder / "best.npz", variables)

    def remove(self) -> None:
        """Forget the state: the training is done, and a forced one shall start anew."""
        shutil.rmtree(self.folder, ignore_errors=True)


def train_epoch(
    train_step: TrainStep,
    draw: Callable[[int], tuple[Stft, Stft]],
    rates: Sequence[float],
    frozen_batch_norm_fraction: bool,
    title: str,
) -> float:
    """Take a step with each batch, at the rate of each; return the mean loss of a clip."""
    coming = iter(rates)

    def step(stft: np.ndarray, pair: Pair) -> float:
        return train_step.step(stft, pair, next(coming), frozen_batch_norm_fraction)

    return mean_loss(step, prefetch(draw, len(rates), title))


def mean_loss(
    loss_of: Callable[[np.ndarray, Pair], float],
    batches: Iterable[tuple[np.ndarray, Pair]],
) -> float:
    """Return the mean loss of a clip over all batches; `loss_of` gives that of one batch."""
    total, count = 0.0, 0
    for stft, pair in batches:
        total += loss_of(stft, pair) * len(stft)
        count += len(stft)
    return total / count


def prefetch(
    draw: Callable[[int], tuple[Stft, Stft]], n_batches: int, title: str
) -> Iterator[tuple[np.ndarray, Pair]]:
    """Yield each batch as a network takes it, with a progress bar for people at a terminal.

    The next one is drawn in a thread while a step is taken with the one before.
    """

    def take(number: int) -> tuple[np.ndarray, Pair]:
        return to_network_input(*draw(number))

    hidden = not sys.stderr.isatty()
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(take, 0)
        for number in tqdm(range(n_batches), title, unit="batch", disable=hidden):
            batch = coming.result()
            if number + 1 < n_batches:
                coming = pool.submit(take, number + 1)
            yield batch


def fit(
    model: keras.Model,
    loss: keras.losses.Loss,
    sources: tuple[BatchSource, BatchSource],
    params: TrainParams,
    augmentation: Augmentation | None,
    checkpoint: Checkpoint,
    on_epoch: Callable[[dict[str, float]], None] = lambda epoch: None,
) -> History:
    """Train `model` in place on sources (train, validation); return the history, an entry an epoch.

    The model is left with the weights of the epoch with the lowest validation loss. `on_epoch` is
    told of each epoch, those of an earlier, interrupted run included.
    """
    train, validation = sources
    validate = functools.partial(prefetch, validation.cached, len(validation), "validation")
    train_step = TrainStep(model, loss, build_optimizer(params, model), params.data_shards)
    history = checkpoint.load(train_step.state)
    for epoch in history:
        on_epoch(epoch)
    while not is_finished(params, history):
        rates = learning_rates(params, history, len(train))
        draw = functools.partial(train.shuffled, len(history), augmentation=augmentation)
        title, frozen_batch_norm_fraction = (
            f"epoch {len(history) + 1}/{params.epochs}",
            has_frozen_batch_norm(params, history),
        )
        entry = {
            "epoch": len(history) + 1,
            "learning_rate": rates[0],
            "loss": train_epoch(train_step, draw, rates, frozen_batch_norm_fraction, title),
            "validation_loss": mean_loss(train_step.loss, validate()),
        }
        print("epoch {epoch}: loss {loss:.4f}, validation {validation_loss:.4f}".format(**entry))
        history.append(entry)
        checkpoint.save(train_step.state, history)
        on_epoch(entry)
    checkpoint.load_best(train_step.state)
    return history
