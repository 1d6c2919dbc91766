"""Trains both digit recognisers, one on clean speech and one in noise."""

import math
import sys
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from tqdm import tqdm

from denoise.dsp.log_mel import LogMel
from denoise.errors import TrainingError
from denoise.params import RecogniserParams
from denoise.recogniser.data import DigitDataset, Digits, augment
from denoise.recogniser.model import N_DIGITS, RECOGNISERS, DigitRecognisers, RecogniserConfig
from denoise.training.schedule import warmup_cosine

BATCH_SIZE = 32
VALIDATION_BATCH_SIZE = 64
WARMUP_STEPS = 50
WEIGHT_DECAY = 0.01
LABEL_SMOOTHING = 0.1


def train_recognisers(
    training: DigitDataset,
    validation: DigitDataset,
    config: RecogniserConfig,
    params: RecogniserParams,
) -> DigitRecognisers:
    """Train the first recogniser on the clean versions alone, the second on all of them.

    The second starts from the weights of the first, which halves its training time. Raises
    TrainingError where a loss is not finite.
    """
    runs = [
        (training.clean(), validation.clean(), params.clean_epochs),
        (training, validation, params.noisy_epochs),
    ]
    recognisers: dict[str, keras.Model] = {}
    for name, (train_set, validation_set, epochs) in zip(RECOGNISERS, runs, strict=True):
        recogniser = config.build_recogniser(params.seed)
        for previous in recognisers.values():
            recogniser.set_weights(previous.get_weights())
        rates = warmup_cosine(params.learning_rate, epochs * n_batches(train_set), WARMUP_STEPS)
        rng = np.random.default_rng([params.seed, len(recognisers)])
        accuracy = train_recogniser(recogniser, train_set, validation_set, rates, rng)
        print(f"{name}: {accuracy:.1%} of the validation speakers' digits recognised")
        recognisers[name] = recogniser
    return DigitRecognisers(recognisers, config)


def train_recogniser(
    recogniser: keras.Model,
    training: DigitDataset,
    validation: DigitDataset,
    rates: Sequence[float],
    rng: Generator,
) -> float:
    """Train in place, keep the epoch of the lowest validation loss, and return its accuracy.

    `rates` holds the learning rate of each step. Raises TrainingError where a loss is not finite.
    """
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=LABEL_SMOOTHING)
    optimizer = keras.optimizers.AdamW(rates[0], weight_decay=WEIGHT_DECAY)
    recogniser.compile(optimizer, loss, jit_compile=False)
    best_loss, best_accuracy, best_weights = math.inf, 0.0, recogniser.get_weights()
    steps_per_epoch = n_batches(training)
    starts = range(0, len(rates), steps_per_epoch)
    for start in tqdm(starts, unit="epoch", disable=not sys.stderr.isatty()):
        epoch_rates = rates[start : start + steps_per_epoch]
        for rate, (features, digits) in zip(epoch_rates, batches(training, rng), strict=True):
            optimizer.learning_rate = rate
            recogniser.train_on_batch(features, one_hot(digits))
        validation_loss, accuracy = validate(recogniser, validation)
        if not math.isfinite(validation_loss):
            raise TrainingError(
                f"The validation loss of a digit recogniser is {validation_loss} after epoch "
                f"{start // steps_per_epoch + 1}: lower recogniser.learning_rate."
            )
        if validation_loss < best_loss:
            best_loss, best_accuracy = validation_loss, accuracy
            best_weights = recogniser.get_weights()
    recogniser.set_weights(best_weights)
    return best_accuracy


def n_batches(dataset: DigitDataset) -> int:
    """Return the number of batches in an epoch."""
    return -(-len(dataset.digits) // BATCH_SIZE)


def batches(dataset: DigitDataset, rng: Generator) -> Iterator[tuple[LogMel, Digits]]:
    """Yield features and digits of all clips in random order, each in one version, augmented."""
    n_versions, n_clips = dataset.versions.shape[:2]
    order, version = rng.permutation(n_clips), rng.integers(0, n_versions, size=(n_clips,))
    for start in range(0, n_clips, BATCH_SIZE):
        clips = order[start : start + BATCH_SIZE]
        features = dataset.versions[version[clips], clips].astype(np.float32)
        yield augment(features, rng), dataset.digits[clips]


def validate(recogniser: keras.Model, dataset: DigitDataset) -> tuple[float, float]:
    """Return the cross-entropy and the accuracy over every version of every clip."""
    logits = np.concatenate(
        [
            np.asarray(
                recogniser(
                    clips[start : start + VALIDATION_BATCH_SIZE].astype(np.float32), training=False
                )
            )
            for clips in dataset.versions
            for start in range(0, len(clips), VALIDATION_BATCH_SIZE)
        ]
    )
    digits = np.tile(dataset.digits, len(dataset.versions))
    loss = keras.losses.categorical_crossentropy(one_hot(digits), logits, from_logits=True)
    return float(np.mean(loss)), float(np.mean(np.argmax(logits, axis=1) == digits))


def one_hot(digits: Digits) -> npt.NDArray[np.float32]:
    """Return [n_clips, N_DIGITS], 1 at each clip's digit and 0 elsewhere."""
    return np.eye(N_DIGITS, dtype=np.float32)[digits]
