"""Teaching the machine listener: both recognisers, each from its own lessons."""

import math
import sys
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from tqdm import tqdm

from denoise.lessons import Digits, Lessons, vary
from denoise.listener import N_DIGITS, RECOGNISERS, Listener, ListenerSnapshot
from denoise.mel import Pattern
from denoise.params import ListenerParams
from denoise.schedule import half_cosine, rise

BATCH_SIZE = 32
EXAMINED_AT_ONCE = 64
WARM_UP = 50  # batches
WEIGHT_DECAY = 0.01
SMOOTHING = 0.1


def teach(
    training: Lessons, validation: Lessons, snapshot: ListenerSnapshot, params: ListenerParams
) -> Listener:
    """Train both recognisers: the first on the clean takes alone, the second on all of them.

    The second starts from what the first has learnt, which takes half as long as from nothing.
    """
    courses = [
        (training.clean(), validation.clean(), params.clean_epochs),
        (training, validation, params.noisy_epochs),
    ]
    recognisers: dict[str, keras.Model] = {}
    for name, (lessons, exam, epochs) in zip(RECOGNISERS, courses, strict=True):
        recogniser = snapshot.build_recogniser(params.seed)
        for former in recognisers.values():
            recogniser.set_weights(former.get_weights())
        rates = learning_rates(params.learning_rate, epochs, n_batches(lessons))
        rng = np.random.default_rng([params.seed, len(recognisers)])
        correct = train_recogniser(recogniser, lessons, exam, rates, rng)
        print(f"{name}: {correct:.1%} of the validation speakers' digits")
        recognisers[name] = recogniser
    return Listener(recognisers, snapshot)


def train_recogniser(
    recogniser: keras.Model,
    training: Lessons,
    validation: Lessons,
    rates: Sequence[Sequence[float]],
    rng: Generator,
) -> float:
    """Train in place and keep the epoch of the lowest validation loss; return its accuracy.

    `rates` holds the learning rate of each batch of each epoch.
    """
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=SMOOTHING)
    optimizer = keras.optimizers.AdamW(rates[0][0], weight_decay=WEIGHT_DECAY)
    recogniser.compile(optimizer, loss, jit_compile=False)
    best, weights = (math.inf, 0.0), recogniser.get_weights()
    for epoch in tqdm(rates, unit="epoch", disable=not sys.stderr.isatty()):
        for rate, (heard, digits) in zip(epoch, batches(training, rng), strict=True):
            optimizer.learning_rate = rate
            recogniser.train_on_batch(heard, one_hot(digits))
        result = examine(recogniser, validation)
        if result[0] < best[0]:
            best, weights = result, recogniser.get_weights()
    recogniser.set_weights(weights)
    return best[1]


def n_batches(lessons: Lessons) -> int:
    """Count the batches of an epoch."""
    return -(-len(lessons.digits) // BATCH_SIZE)


def learning_rates(highest: float, epochs: int, batches_each: int) -> list[list[float]]:
    """Return the rate of each batch of each epoch: it rises at first, then falls to 1 %."""
    count = epochs * batches_each
    rates = [highest * rise(i, WARM_UP) * half_cosine(i, count) for i in range(count)]
    return [rates[start : start + batches_each] for start in range(0, count, batches_each)]


def batches(lessons: Lessons, rng: Generator) -> Iterator[tuple[Pattern, Digits]]:
    """Yield all clips in drawn order, one take of each, varied: patterns and digits."""
    n_takes, count = lessons.takes.shape[:2]
    order, takes = rng.permutation(count), rng.integers(0, n_takes, size=(count,))
    for start in range(0, count, BATCH_SIZE):
        clips = order[start : start + BATCH_SIZE]
        heard = lessons.takes[takes[clips], clips].astype(np.float32)
        yield vary(heard, rng), lessons.digits[clips]


def examine(recogniser: keras.Model, lessons: Lessons) -> tuple[float, float]:
    """Return the cross-entropy and the accuracy over every take of every clip."""
    scores = [
        np.asarray(
            recogniser(take[start : start + EXAMINED_AT_ONCE].astype(np.float32), training=False)
        )
        for take in lessons.takes
        for start in range(0, len(take), EXAMINED_AT_ONCE)
    ]
    digits = np.tile(lessons.digits, len(lessons.takes))
    found = np.concatenate(scores)
    loss = keras.losses.categorical_crossentropy(one_hot(digits), found, from_logits=True)
    return float(np.mean(loss)), float(np.mean(np.argmax(found, axis=1) == digits))


def one_hot(digits: Digits) -> npt.NDArray[np.float32]:
    """Return [n_clips, N_DIGITS], 1 at each clip's digit."""
    return np.eye(N_DIGITS, dtype=np.float32)[digits]
