"""The machine listener: what it has learnt is kept whole, and judges any clip of its form."""

import json
from pathlib import Path

import numpy as np
import pytest

from denoise import report
from denoise.errors import BundleError
from denoise.listener import N_DIGITS, RECOGNISERS, Listener, ListenerSnapshot
from denoise.params import AudioParams

SNAPSHOT = ListenerSnapshot(AudioParams(sample_rate=8000, duration_seconds=0.25), channels=2)


@pytest.fixture(scope="module")
def listener() -> Listener:
    """Return a listener that has learnt nothing."""
    models = {name: SNAPSHOT.build_recogniser(seed) for seed, name in enumerate(RECOGNISERS)}
    return Listener(models, SNAPSHOT)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((50, 2000), dtype=np.float32)


def test_the_report_knows_every_recogniser() -> None:
    assert report.DIGITS == RECOGNISERS


def test_each_recogniser_hears_a_digit_in_each_clip(listener: Listener, clips: np.ndarray) -> None:
    heard = listener.listen(clips)
    assert tuple(heard) == RECOGNISERS
    assert all(
        len(digits) == 50 and set(digits) <= set(range(N_DIGITS)) for digits in heard.values()
    )
    assert heard[RECOGNISERS[0]] != heard[RECOGNISERS[1]]


def test_the_level_of_a_clip_does_not_matter(listener: Listener, clips: np.ndarray) -> None:
    assert listener.listen(clips) == listener.listen(clips * np.float32(1e-3))


@pytest.mark.parametrize("shape", [(2, 1999), (2000,)])
def test_clips_of_another_form_are_refused(listener: Listener, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"not \[n_clips, 2000\]"):
        listener.listen(np.zeros(shape, np.float32))


def test_saved_twice_it_has_the_same_bytes_and_loaded_it_hears_the_same(
    listener: Listener, clips: np.ndarray, tmp_path: Path
) -> None:
    listener.save(tmp_path / "one")
    loaded = Listener.load(tmp_path / "one")
    assert loaded.snapshot == SNAPSHOT
    assert loaded.listen(clips) == listener.listen(clips)
    loaded.save(tmp_path / "other")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["bundle.json", *(f"{name}.npz" for name in RECOGNISERS)]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_a_missing_listener_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"No listener at .* dvc repro --force listen"):
        Listener.load(tmp_path)


@pytest.mark.parametrize("name", ["bundle.json", "digits_noise_trained.npz"])
def test_a_damaged_listener_is_named(listener: Listener, tmp_path: Path, name: str) -> None:
    listener.save(tmp_path / "listener")
    path = tmp_path / "listener" / name
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(BundleError, match=name):
        Listener.load(tmp_path / "listener")


def test_another_format_or_width_is_refused(listener: Listener, tmp_path: Path) -> None:
    listener.save(tmp_path)
    path = tmp_path / "bundle.json"
    description = json.loads(path.read_text())
    for change, message in (({"format": 0}, "not of format 1"), ({"channels": 3}, "does not fit")):
        path.write_text(json.dumps(description | change))
        with pytest.raises(BundleError, match=message):
            Listener.load(tmp_path)
