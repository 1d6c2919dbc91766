"""The training loop: one epoch at a time, a checkpoint after each, the best weights kept.

The learning rate and the decision to stop depend on the history alone, and each batch depends on
the seed, the epoch and its number alone. So a training that was interrupted and resumed ends with
the same weights as one that was not.
"""

import functools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
from tqdm import tqdm

from denoise.dsp.stft import Stft
from denoise.errors import TrainingError
from denoise.params import TrainParams
from denoise.training.augmentation import Augmentation
from denoise.training.checkpoint import Checkpoint, History, best_epoch
from denoise.training.data import Batches, Pair, to_network_input
from denoise.training.muon import build_optimizer
from denoise.training.schedule import warmup_cosine, warmup_factor
from denoise.training.train_step import TrainStep
from denoise.training.workers import ALONE, Workers

PLATEAU_EPOCHS = 3


def learning_rates(
    params: TrainParams, history: Sequence[dict[str, float]], n_batches: int = 1
) -> list[float]:
    """Return the learning rate of each of the `n_batches` steps of the next epoch.

    The schedule is half a cosine over all steps, or it halves the rate after each plateau; either
    starts with a linear warm-up over `params.warmup_steps` steps.
    """
    start, stop = len(history) * n_batches, (len(history) + 1) * n_batches
    if params.schedule == "cosine":
        n_steps = params.epochs * n_batches
        return warmup_cosine(params.learning_rate, n_steps, params.warmup_steps)[start:stop]
    reduced = params.learning_rate / 2 ** count_plateaus(history)
    return [reduced * warmup_factor(step, params.warmup_steps) for step in range(start, stop)]


def has_frozen_batch_norm(params: TrainParams, history: Sequence[dict[str, float]]) -> bool:
    """Tell whether the next epoch is one of the last ones, with frozen batch-norm statistics.

    The statistics of a few short clips differ from those of a long recording. So in the last
    epochs, when the moving averages hardly change any more, the network is trained with them.
    """
    n_frozen = round(params.frozen_batch_norm_fraction * params.epochs)
    return len(history) >= params.epochs - n_frozen


def count_plateaus(history: Sequence[dict[str, float]]) -> int:
    """Count how often the validation loss has not fallen for PLATEAU_EPOCHS epochs in a row."""
    count, waited, best = 0, 0, math.inf
    for epoch in history:
        waited = 0 if epoch["validation_loss"] < best else waited + 1
        best = min(best, epoch["validation_loss"])
        if waited >= PLATEAU_EPOCHS:
            count, waited = count + 1, 0
    return count


def is_finished(params: TrainParams, history: Sequence[dict[str, float]]) -> bool:
    """Tell whether all epochs are done, or `patience` epochs in a row brought no improvement."""
    if not history:
        return False
    waited = len(history) - 1 - best_epoch(history)
    return len(history) >= params.epochs or waited >= params.patience


def train_epoch(
    train_step: TrainStep,
    draw: Callable[[int], tuple[Stft, Stft]],
    rates: Sequence[float],
    freeze_batch_norm: bool,
    title: str,
    waits: list[float],
) -> float:
    """Take a step with each batch at its learning rate; return the mean loss of a clip.

    The seconds that each step waited for its batch are appended to `waits`.
    """
    remaining_rates = iter(rates)

    def step(stft: np.ndarray, pair: Pair) -> float:
        return train_step.step(stft, pair, next(remaining_rates), freeze_batch_norm)

    return mean_loss(step, prefetch(draw, len(rates), title, waits.append), title)


def mean_loss(
    loss_of: Callable[[np.ndarray, Pair], float],
    batches: Iterable[tuple[np.ndarray, Pair]],
    title: str,
) -> float:
    """Return the mean loss of a clip over all batches; `loss_of` returns that of one batch.

    Raises TrainingError for a loss that is not finite; `title` says in which pass it occurred.
    """
    total, count = 0.0, 0
    for number, (stft, pair) in enumerate(batches, start=1):
        loss = loss_of(stft, pair)
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss is {loss} in {title}, batch {number}: the training has diverged. Lower "
                "the learning_rate or the weights of the loss, of train or of train.fine_tuning, "
                "or raise train.warmup_steps."
            )
        total += loss * len(stft)
        count += len(stft)
    return total / count


def prefetch(
    draw: Callable[[int], tuple[Stft, Stft]],
    n_batches: int,
    title: str,
    on_wait: Callable[[float], None] = lambda seconds: None,
) -> Iterator[tuple[np.ndarray, Pair]]:
    """Yield each batch as network input, with a progress bar if standard error is a terminal.

    A thread draws the next batch while the network processes the current one. `on_wait` is called
    with the seconds that each batch had to be waited for.
    """

    def take(number: int) -> tuple[np.ndarray, Pair]:
        return to_network_input(*draw(number))

    hidden = not sys.stderr.isatty()
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = pool.submit(take, 0)
        for number in tqdm(range(n_batches), title, unit="batch", disable=hidden):
            started = time.perf_counter()
            batch = pending.result()
            on_wait(time.perf_counter() - started)
            if number + 1 < n_batches:
                pending = pool.submit(take, number + 1)
            yield batch


def fit(
    model: keras.Model,
    loss: keras.losses.Loss,
    sources: tuple[Batches, Batches],
    params: TrainParams,
    augmentation: Augmentation | None,
    checkpoint: Checkpoint,
    on_epoch: Callable[[dict[str, float]], None] = lambda epoch: None,
    workers: Workers = ALONE,
) -> History:
    """Train `model` in place on sources (train, validation); return the history.

    The model is left with the weights of the epoch with the lowest validation loss. `on_epoch` is
    called with each entry of the history, those of an earlier, interrupted run included. Several
    `workers` call this function alike, and the chief alone reads and writes the checkpoint. Raises
    TrainingError where the loss is not finite, or another worker is gone.
    """
    train, validation = sources
    optimizer = build_optimizer(params, model)
    train_step = TrainStep(model, loss, optimizer, params.data_shards, workers)
    history = checkpoint.load(train_step.state) if workers.is_chief else []
    history = workers.synchronise(train_step.state, history)
    for entry in history:
        on_epoch(entry)
    while not is_finished(params, history):
        waits, started = list[float](), time.perf_counter()
        entry = _run_epoch(train_step, train, validation, params, augmentation, history, waits)
        waited = sum(waits) / (time.perf_counter() - started)
        print(
            "epoch {epoch}: loss {loss:.4f}, validation {validation_loss:.4f}".format(**entry)
            + f", {waited:.0%} of the time spent waiting for batches"
        )
        history.append(entry)
        if workers.is_chief:
            checkpoint.save(train_step.state, history)
        on_epoch(entry)
    if workers.is_chief:
        checkpoint.load_best(train_step.state)
    return workers.synchronise(train_step.state, history)


def _run_epoch(
    train_step: TrainStep,
    train: Batches,
    validation: Batches,
    params: TrainParams,
    augmentation: Augmentation | None,
    history: History,
    waits: list[float],
) -> dict[str, float]:
    """Train for one epoch and validate; return the epoch's entry of the history.

    The seconds that the network waited for each batch are appended to `waits`.
    """
    number = len(history) + 1
    rates = learning_rates(params, history, len(train))
    draw = functools.partial(train.shuffled, len(history), augmentation=augmentation)
    title = f"epoch {number}/{params.epochs}"
    frozen = has_frozen_batch_norm(params, history)
    loss = train_epoch(train_step, draw, rates, frozen, title, waits)
    title = f"validation after {title}"
    batches = prefetch(validation.cached, len(validation), title, waits.append)
    return {
        "epoch": number,
        "learning_rate": rates[0],
        "loss": loss,
        "validation_loss": mean_loss(train_step.loss, batches, title),
    }
