"""Training the recognisers: it works, keeps the best epoch, and repeats itself."""

import dataclasses

import numpy as np
import pytest

from denoise.errors import TrainingError
from denoise.params import AudioParams, Params
from denoise.params_file import load_params
from denoise.recogniser import train
from denoise.recogniser.data import DigitDataset
from denoise.recogniser.model import RECOGNISERS, DigitRecognisers, RecogniserConfig
from denoise.recogniser.train import batches, train_recognisers, validate
from denoise.training.schedule import warmup_cosine
from tests.closures import ROOT

CONFIG = RecogniserConfig(AudioParams(sample_rate=8000, duration_seconds=0.25), channels=4)
DIGITS = np.tile([0, 3, 7], 16)


def dataset(seed: int, noise: float = 0.3) -> DigitDataset:
    """Return features in which each digit has bands of its own, clean and in noise."""
    rng = np.random.default_rng(seed)
    clean = np.zeros((len(DIGITS), 14, 32), np.float32)
    for features, digit in zip(clean, DIGITS, strict=True):
        features[4:10, 3 * digit + 4 : 3 * digit + 8] = 2
    versions = clean + noise * rng.standard_normal((3, *clean.shape), dtype=np.float32)
    return DigitDataset(np.concatenate([clean[None], versions]).astype(np.float16), DIGITS)


def train_on_bands(params: Params, seed: int = 5, clean_epochs: int = 30) -> DigitRecognisers:
    changes = {"clean_epochs": clean_epochs, "noisy_epochs": 6, "learning_rate": 0.01, "seed": seed}
    return train_recognisers(
        dataset(1), dataset(2), CONFIG, dataclasses.replace(params.recogniser, **changes)
    )


@pytest.fixture(scope="module")
def recogniser() -> DigitRecognisers:
    return train_on_bands(load_params(ROOT / "params.yaml"))


def weights_of(recogniser: DigitRecognisers) -> list[np.ndarray]:
    return [w for model in recogniser.recognisers.values() for w in model.get_weights()]


def test_digits_that_differ_are_recognised(recogniser: DigitRecognisers) -> None:
    unseen = dataset(3)
    clean_trained, noise_trained = (recogniser.recognisers[name] for name in RECOGNISERS)
    assert validate(clean_trained, unseen.clean())[1] > 0.9
    assert validate(noise_trained, unseen)[1] > 0.9


@pytest.mark.slow
def test_weights_repeat_and_depend_on_the_seed(
    recogniser: DigitRecognisers, tiny_params: Params
) -> None:
    again, other = train_on_bands(tiny_params), train_on_bands(tiny_params, seed=6, clean_epochs=1)
    pairs = zip(weights_of(recogniser), weights_of(again), strict=True)
    assert all(np.array_equal(one, same) for one, same in pairs)
    assert not np.array_equal(weights_of(recogniser)[0], weights_of(other)[0])


def test_the_epoch_of_the_lowest_validation_loss_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = CONFIG.build_recogniser(1), []
    losses = iter([2.0, 1.0, 3.0])

    def validated(recogniser: object, dataset: DigitDataset) -> tuple[float, float]:
        seen.append(model.get_weights())
        return next(losses), 0.1 * len(seen)

    monkeypatch.setattr(train, "validate", validated)
    rates, rng = warmup_cosine(0.01, 3 * 2, train.WARMUP_STEPS), np.random.default_rng(0)
    assert train.train_recogniser(model, dataset(1), dataset(2), rates, rng) == 0.2
    kept = model.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(kept, seen[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(kept, seen[2], strict=True))


def test_an_epoch_has_each_clip_once_in_any_version() -> None:
    digits = np.arange(70) % 10
    number = np.broadcast_to(np.arange(70)[:, None, None], (70, 9, 8))
    versions = np.stack([number, number + 100]).astype(np.float16)
    found = list(batches(DigitDataset(versions, digits), np.random.default_rng(0)))
    assert [len(part) for _, part in found] == [32, 32, 6]
    peaks = np.concatenate([features.max(axis=(1, 2)) for features, _ in found]).round().astype(int)
    assert sorted(peaks % 100) == list(range(70))
    assert 20 < (peaks >= 100).sum() < 50
    assert (peaks % 10 == np.concatenate([part for _, part in found])).all()


def test_rates_rise_and_fall_to_a_hundredth() -> None:
    rates = np.array(warmup_cosine(0.5, 10 * 20, train.WARMUP_STEPS))
    assert len(rates) == 20 * 10
    assert rates[0] == pytest.approx(0.5 / train.WARMUP_STEPS)
    assert rates.argmax() in range(30, 60) and rates.max() <= 0.5
    assert rates[-1] == pytest.approx(0.005, rel=0.05)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_an_error(monkeypatch: pytest.MonkeyPatch, bad: float) -> None:
    model, losses = CONFIG.build_recogniser(1), iter([2.0, bad, 1.0])
    monkeypatch.setattr(train, "validate", lambda recogniser, dataset: (next(losses), 0.5))
    rates, rng = warmup_cosine(0.01, 3 * 2, train.WARMUP_STEPS), np.random.default_rng(0)
    with pytest.raises(TrainingError, match=r"is (nan|inf) after epoch 2: lower recogniser\."):
        train.train_recogniser(model, dataset(1), dataset(2), rates, rng)
