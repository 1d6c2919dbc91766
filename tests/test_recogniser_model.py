"""The digit recognisers: saved and loaded without loss, and applied to clips of their length."""

import json
from pathlib import Path

import numpy as np
import pytest

from denoise.errors import ModelError
from denoise.evaluation import tables
from denoise.params import AudioParams
from denoise.recogniser.model import (
    N_DIGITS,
    RECOGNISERS,
    DigitRecognisers,
    NoRecognisers,
    RecogniserConfig,
    load_recognisers,
)

SNAPSHOT = RecogniserConfig(AudioParams(sample_rate=8000, duration_seconds=0.25), channels=2)


@pytest.fixture(scope="module")
def recogniser() -> DigitRecognisers:
    """Return untrained recognisers."""
    models = {name: SNAPSHOT.build_recogniser(seed) for seed, name in enumerate(RECOGNISERS)}
    return DigitRecognisers(models, SNAPSHOT)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((50, 2000), dtype=np.float32)


def test_the_tables_know_every_recogniser() -> None:
    assert tables.DIGITS == RECOGNISERS


def test_each_recogniser_returns_a_digit_for_each_clip(
    recogniser: DigitRecognisers, clips: np.ndarray
) -> None:
    results = recogniser.recognise(clips)
    assert tuple(results) == RECOGNISERS
    assert all(
        len(digits) == 50 and set(digits) <= set(range(N_DIGITS)) for digits in results.values()
    )
    assert results[RECOGNISERS[0]] != results[RECOGNISERS[1]]


def test_the_level_of_a_clip_does_not_matter(
    recogniser: DigitRecognisers, clips: np.ndarray
) -> None:
    assert recogniser.recognise(clips) == recogniser.recognise(clips * np.float32(1e-3))


@pytest.mark.parametrize("shape", [(2, 1999), (2000,)])
def test_clips_of_another_form_are_refused(
    recogniser: DigitRecognisers, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"not \[n_clips, 2000\]"):
        recogniser.recognise(np.zeros(shape, np.float32))


def test_saving_repeats_its_bytes_and_loading_repeats_the_results(
    recogniser: DigitRecognisers, clips: np.ndarray, tmp_path: Path
) -> None:
    recogniser.save(tmp_path / "one")
    loaded = DigitRecognisers.load(tmp_path / "one")
    assert loaded.config == SNAPSHOT
    assert loaded.recognise(clips) == recogniser.recognise(clips)
    loaded.save(tmp_path / "other")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["config.json", *(f"{name}.npz" for name in RECOGNISERS)]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_a_missing_recogniser_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"No recogniser at .* dvc repro --force train_recogniser"):
        DigitRecognisers.load(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "digits_noise_trained.npz"])
def test_a_damaged_recogniser_is_named(
    recogniser: DigitRecognisers, tmp_path: Path, name: str
) -> None:
    recogniser.save(tmp_path / "recogniser")
    path = tmp_path / "recogniser" / name
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ModelError, match=name):
        DigitRecognisers.load(tmp_path / "recogniser")


def test_another_format_or_width_is_refused(recogniser: DigitRecognisers, tmp_path: Path) -> None:
    recogniser.save(tmp_path)
    path = tmp_path / "config.json"
    description = json.loads(path.read_text())
    for change, message in (({"format": 0}, "not of format 2"), ({"channels": 3}, "does not fit")):
        path.write_text(json.dumps(description | change))
        with pytest.raises(ModelError, match=message):
            DigitRecognisers.load(tmp_path)


def test_what_stands_in_for_recognisers_is_saved_and_recognises_nothing(
    recogniser: DigitRecognisers, clips: np.ndarray, tmp_path: Path
) -> None:
    NoRecognisers("There are no digits.").save(tmp_path / "none")
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["config.json"]
    loaded = load_recognisers(tmp_path / "none")
    assert loaded == NoRecognisers("There are no digits.")
    assert loaded.recognise(clips) == {}
    recogniser.save(tmp_path / "some")
    assert load_recognisers(tmp_path / "some").recognise(clips) == recogniser.recognise(clips)
    with pytest.raises(ModelError, match="No recogniser at"):
        load_recognisers(tmp_path)
