"""What the listener learns from: clean and noisy takes of training speech, and their variations."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from denoise.audio import rms
from denoise.clips import Rejected
from denoise.corpus.archive import CorpusArchive, Utterance
from denoise.errors import CorpusError
from denoise.lessons import Lessons, noisy_takes, prepare_lessons, vary
from denoise.manifest import COLUMNS
from denoise.mel import patterns
from denoise.noise import Recorded, no_recordings
from denoise.params import ListenerParams, Params
from tests.corpora import encode, noise_waveform, wav, write_recordings
from tests.speechlike import SAMPLE_RATE, voice

SPLIT_OF = {"01": "train", "02": "train", "03": "validation", "04": "test"}
SILENT = encode(0 * noise_waveform(0))


@pytest.fixture
def listener(tiny_params: Params) -> ListenerParams:
    """Return params for three noisy takes of each clip."""
    kinds = ("white", "babble")
    return dataclasses.replace(tiny_params.listener, kinds=kinds, snr_db=(0.0, 10.0), copies=3)


def prepare(
    folder: Path, params: Params, listener: ListenerParams, silent: tuple[str, ...] = ()
) -> tuple[Lessons, Lessons, Rejected]:
    """Prepare lessons from four speakers, each saying four digits, some of whom are silent."""
    said = [Utterance(who, digit, 0) for who in SPLIT_OF for digit in range(4)]
    content = {
        u: SILENT if u.speaker_id in silent or u.utterance_id in silent else wav(number)
        for number, u in enumerate(said)
    }
    rows = [(u.utterance_id, u.speaker_id, u.digit, "", SPLIT_OF[u.speaker_id]) for u in said]
    manifest, rejected = pd.DataFrame(rows, columns=COLUMNS), Rejected()
    with CorpusArchive(write_recordings(folder / "corpus.zip", content, {})) as corpus:
        return *prepare_lessons(corpus, manifest, params.audio, listener, rejected), rejected


def test_each_split_has_its_speakers_clips_clean_then_noisy(
    tmp_path: Path, tiny_params: Params, listener: ListenerParams
) -> None:
    training, validation, _ = prepare(tmp_path, tiny_params, listener)
    assert training.takes.shape[:2] == (4, 8) and validation.takes.shape[:2] == (4, 4)
    assert training.digits.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    np.testing.assert_array_equal(training.clean().takes, training.takes[:1])
    assert all((training.takes[take] != training.takes[0]).any() for take in (1, 2, 3))


def test_the_same_lessons_twice_and_others_from_another_seed(
    tmp_path: Path, tiny_params: Params, listener: ListenerParams
) -> None:
    first, again = (prepare(tmp_path, tiny_params, listener)[0] for _ in range(2))
    np.testing.assert_array_equal(first.takes, again.takes)
    other = prepare(tmp_path, tiny_params, dataclasses.replace(listener, seed=99))[0]
    np.testing.assert_array_equal(first.takes[0], other.takes[0])
    assert (first.takes[1:] != other.takes[1:]).any(axis=(0, 2, 3)).all()


def test_no_more_clips_than_asked_for(
    tmp_path: Path, tiny_params: Params, listener: ListenerParams
) -> None:
    training, _, _ = prepare(tmp_path, tiny_params, dataclasses.replace(listener, size=5))
    assert training.digits.tolist() == [0, 1, 2, 3, 0]


def test_silent_clips_are_left_out_and_counted(
    tmp_path: Path, tiny_params: Params, listener: ListenerParams
) -> None:
    training, _, rejected = prepare(tmp_path, tiny_params, listener, silent=("0_01_0",))
    assert training.digits.tolist() == [1, 2, 3, 0, 1, 2, 3]
    assert list(rejected.reasons) == ["0_01_0"]


@pytest.mark.parametrize("silent", [("01", "02"), ("03",)])
def test_a_split_without_a_usable_clip_is_an_error(
    tmp_path: Path, tiny_params: Params, listener: ListenerParams, silent: tuple[str, ...]
) -> None:
    with pytest.raises(CorpusError, match=r"recordings? were rejected.*silent"):
        prepare(tmp_path, tiny_params, listener, silent)


def test_noise_is_of_the_params_own_snr(listener: ListenerParams) -> None:
    clean = voice()
    recorded = Recorded(lambda rng: voice(3), no_recordings)
    for noisy in noisy_takes(clean, "0_01_0", SAMPLE_RATE, listener, recorded):
        assert -0.1 <= 20 * np.log10(rms(clean) / rms(noisy - clean)) <= 10.1


def test_variations_are_others_of_the_same_shape_and_seeded() -> None:
    heard = patterns(np.stack([voice(seed) for seed in range(6)]), SAMPLE_RATE)
    one, again, other = (vary(heard, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert one.shape == heard.shape and one.dtype == np.float32
    assert (one != other).any(axis=(1, 2)).all()
    assert np.abs(one).max() <= np.abs(heard).max()  # interpolated, never made up
    for pattern, varied in zip(heard, one, strict=True):
        assert 0.1 < np.corrcoef(pattern.ravel(), varied.ravel())[0, 1] < 0.999


def test_the_smallest_patterns_can_be_varied() -> None:
    tiny = np.ones((2, 1, 2), np.float32)
    assert vary(tiny, np.random.default_rng(0)).shape == (2, 1, 2)
