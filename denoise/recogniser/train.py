"""Teaching the machine listener: both recognisers, each from its own lessons."""

import math
import sys
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from tqdm import tqdm

from denoise.dsp.log_mel import LogMel
from denoise.params import RecogniserParams
from denoise.recogniser.data import DigitDataset, Digits, augment
from denoise.recogniser.model import N_DIGITS, RECOGNISERS, DigitRecognisers, RecogniserConfig
from denoise.training.schedule import cosine_factor, warmup_factor

BATCH_SIZE = 32
VALIDATION_BATCH_SIZE = 64
WARMUP_STEPS = 50  # batches
WEIGHT_DECAY = 0.01
SMOOTHING = 0.1


def train_recognisers(
    training: DigitDataset,
    validation: DigitDataset,
    config: RecogniserConfig,
    params: RecogniserParams,
) -> DigitRecognisers:
    """Train both recognisers: the first on the clean takes alone, the second on all of them.

    The second starts from what the first has learnt, which takes half as long as from nothing.
    """
    datasets = [
        (training.clean(), validation.clean(), params.clean_epochs),
        (training, validation, params.noisy_epochs),
    ]
    recognisers: dict[str, keras.Model] = {}
    for name, (dataset, validation_set, epochs) in zip(RECOGNISERS, datasets, strict=True):
        recogniser = config.build_recogniser(params.seed)
        for former in recognisers.values():
            recogniser.set_weights(former.get_weights())
        rates = learning_rates(params.learning_rate, epochs, n_batches(dataset))
        rng = np.random.default_rng([params.seed, len(recognisers)])
        correct = train_recogniser(recogniser, dataset, validation_set, rates, rng)
        print(f"{name}: {correct:.1%} of the validation speakers' digits")
        recognisers[name] = recogniser
    return DigitRecognisers(recognisers, config)


def train_recogniser(
    recogniser: keras.Model,
    training: DigitDataset,
    validation: DigitDataset,
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
        result = validate(recogniser, validation)
        if result[0] < best[0]:
            best, weights = result, recogniser.get_weights()
    recogniser.set_weights(weights)
    return best[1]


def n_batches(dataset: DigitDataset) -> int:
    """Count the batches of an epoch."""
    return -(-len(dataset.digits) // BATCH_SIZE)


def learning_rates(highest: float, epochs: int, batches_each: int) -> list[list[float]]:
    """Return the rate of each batch of each epoch: it rises at first, then falls to 1 %."""
    count = epochs * batches_each
    rates = [
        highest * warmup_factor(i, WARMUP_STEPS) * cosine_factor(i, count) for i in range(count)
    ]
    return [rates[start : start + batches_each] for start in range(0, count, batches_each)]


def batches(dataset: DigitDataset, rng: Generator) -> Iterator[tuple[LogMel, Digits]]:
    """Yield all clips in drawn order, one take of each, varied: patterns and digits."""
    n_versions, count = dataset.versions.shape[:2]
    order, versions = rng.permutation(count), rng.integers(0, n_versions, size=(count,))
    for start in range(0, count, BATCH_SIZE):
        clips = order[start : start + BATCH_SIZE]
        heard = dataset.versions[versions[clips], clips].astype(np.float32)
        yield augment(heard, rng), dataset.digits[clips]


def validate(recogniser: keras.Model, dataset: DigitDataset) -> tuple[float, float]:
    """Return the cross-entropy and the accuracy over every take of every clip."""
    scores = [
        np.asarray(
            recogniser(
                take[start : start + VALIDATION_BATCH_SIZE].astype(np.float32), training=False
            )
        )
        for take in dataset.versions
        for start in range(0, len(take), VALIDATION_BATCH_SIZE)
    ]
    digits = np.tile(dataset.digits, len(dataset.versions))
    found = np.concatenate(scores)
    loss = keras.losses.categorical_crossentropy(one_hot(digits), found, from_logits=True)
    return float(np.mean(loss)), float(np.mean(np.argmax(found, axis=1) == digits))


def one_hot(digits: Digits) -> npt.NDArray[np.float32]:
    """Return [n_clips, N_DIGITS], 1 at each clip's digit."""
    return np.eye(N_DIGITS, dtype=np.float32)[digits]
