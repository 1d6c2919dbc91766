"""The recognisers' data sets: clean and noisy versions of training speech, and augmentation."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from denoise.corpus.archive import CorpusArchive, Utterance
from denoise.corpus.loader import Rejections
from denoise.corpus.manifest import COLUMNS
from denoise.dsp.audio import rms
from denoise.dsp.log_mel import log_mel_features
from denoise.errors import CorpusError
from denoise.noise.mixing import NoiseSources, draw_noisy_versions, no_recordings
from denoise.params import Params, RecogniserParams
from denoise.recogniser.data import (
    BAND_SHIFT,
    BAND_STRETCH,
    MAX_MASK,
    DigitDataset,
    augment,
    has_digits,
    noise_distribution,
    prepare_datasets,
)
from tests.corpora import encode, noise_waveform, wav, write_recordings
from tests.speechlike import SAMPLE_RATE, voice

SPLIT_OF = {"01": "train", "02": "train", "03": "validation", "04": "test"}
SILENT = encode(0 * noise_waveform(0))


@pytest.fixture
def recogniser(tiny_params: Params) -> RecogniserParams:
    """Return params for three noisy versions of each clip."""
    noise_types = ("white", "babble")
    return dataclasses.replace(
        tiny_params.recogniser, noise_types=noise_types, snr_db=(0.0, 10.0), noisy_versions=3
    )


def prepare(
    folder: Path, params: Params, recogniser: RecogniserParams, silent: tuple[str, ...] = ()
) -> tuple[DigitDataset, DigitDataset, Rejections]:
    """Prepare data sets of four speakers who say four digits each; some clips are silent."""
    said = [Utterance(who, digit, 0) for who in SPLIT_OF for digit in range(4)]
    content = {
        u: SILENT if u.speaker_id in silent or u.utterance_id in silent else wav(number)
        for number, u in enumerate(said)
    }
    rows = [(u.utterance_id, u.speaker_id, u.digit, "", SPLIT_OF[u.speaker_id]) for u in said]
    manifest, rejections = pd.DataFrame(rows, columns=COLUMNS), Rejections()
    with CorpusArchive(write_recordings(folder / "corpus.zip", content, {})) as corpus:
        return *prepare_datasets(corpus, manifest, params.audio, recogniser, rejections), rejections


def test_each_split_has_its_speakers_clips_clean_then_noisy(
    tmp_path: Path, tiny_params: Params, recogniser: RecogniserParams
) -> None:
    training, validation, _ = prepare(tmp_path, tiny_params, recogniser)
    assert training.versions.shape[:2] == (4, 8) and validation.versions.shape[:2] == (4, 4)
    assert training.digits.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    np.testing.assert_array_equal(training.clean().versions, training.versions[:1])
    assert all((training.versions[i] != training.versions[0]).any() for i in (1, 2, 3))


def test_data_sets_repeat_and_depend_on_the_seed(
    tmp_path: Path, tiny_params: Params, recogniser: RecogniserParams
) -> None:
    first, again = (prepare(tmp_path, tiny_params, recogniser)[0] for _ in range(2))
    np.testing.assert_array_equal(first.versions, again.versions)
    other = prepare(tmp_path, tiny_params, dataclasses.replace(recogniser, seed=99))[0]
    np.testing.assert_array_equal(first.versions[0], other.versions[0])
    assert (first.versions[1:] != other.versions[1:]).any(axis=(0, 2, 3)).all()


def test_size_limits_the_number_of_clips(
    tmp_path: Path, tiny_params: Params, recogniser: RecogniserParams
) -> None:
    training, _, _ = prepare(tmp_path, tiny_params, dataclasses.replace(recogniser, size=5))
    assert training.digits.tolist() == [0, 1, 2, 3, 0]


def test_silent_clips_are_left_out_and_counted(
    tmp_path: Path, tiny_params: Params, recogniser: RecogniserParams
) -> None:
    training, _, rejections = prepare(tmp_path, tiny_params, recogniser, silent=("0_01_0",))
    assert training.digits.tolist() == [1, 2, 3, 0, 1, 2, 3]
    assert list(rejections.reasons) == ["0_01_0"]


@pytest.mark.parametrize("silent", [("01", "02"), ("03",)])
def test_a_split_without_a_usable_clip_is_an_error(
    tmp_path: Path, tiny_params: Params, recogniser: RecogniserParams, silent: tuple[str, ...]
) -> None:
    with pytest.raises(CorpusError, match=r"recordings? were rejected.*silent"):
        prepare(tmp_path, tiny_params, recogniser, silent)


def test_noise_has_an_snr_within_the_params_range(recogniser: RecogniserParams) -> None:
    clean = voice()
    sources = NoiseSources(lambda rng, n: voice(3), no_recordings)
    distribution = noise_distribution(recogniser)
    for version in draw_noisy_versions(clean, "0_01_0", SAMPLE_RATE, distribution, sources):
        assert -0.1 <= 20 * np.log10(rms(clean) / rms(version.waveform - clean)) <= 10.1


def test_augmentation_keeps_the_shape_and_depends_on_the_seed() -> None:
    features = log_mel_features(np.stack([voice(seed) for seed in range(6)]), SAMPLE_RATE)
    one, again, other = (augment(features, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert one.shape == features.shape and one.dtype == np.float32
    assert (one != other).any(axis=(1, 2)).all()
    assert np.abs(one).max() <= np.abs(features).max()  # interpolated, never extrapolated
    for original, augmented in zip(features, one, strict=True):
        assert 0.1 < np.corrcoef(original.ravel(), augmented.ravel())[0, 1] < 0.999


def test_all_noise_types_are_drawn(recogniser: RecogniserParams) -> None:
    sources = NoiseSources(lambda rng, n: voice(3), no_recordings)
    params = dataclasses.replace(recogniser, noise_types=("white", "babble", "hum"))
    distribution, clean = noise_distribution(params), voice()
    versions = [
        version
        for number in range(10)
        for version in draw_noisy_versions(
            clean, f"0_01_{number}", SAMPLE_RATE, distribution, sources
        )
    ]
    assert {version.noise_type for version in versions} == {"white", "babble", "hum"}


def test_one_range_of_frames_and_one_of_bands_are_masked() -> None:
    ones = np.ones((300, 60, 40), np.float32)
    augmented = augment(ones, np.random.default_rng(0))
    for axis, longest in zip((2, 1), MAX_MASK, strict=True):
        is_masked = (augmented == 0).all(axis=axis)
        assert set(is_masked.sum(axis=1)) == set(range(longest + 1))
        edges = np.diff(is_masked, axis=1, prepend=False, append=False).sum(axis=1)
        assert edges.max() == 2  # one range
    rows, columns = ((augmented == 0).all(axis=axis) for axis in (2, 1))
    expected = ~rows[:, :, None] & ~columns[:, None, :]
    np.testing.assert_allclose(augmented, expected, atol=1e-6)


def test_a_bright_band_moves_by_at_most_the_range() -> None:
    bright, middle = 30, 19.5
    features = np.zeros((500, 60, 40), np.float32)
    features[:, :, bright] = 1
    augmented = augment(features, np.random.default_rng(0))
    levels = augmented.max(axis=1)
    found = levels[levels.max(axis=1) > 0]  # the others are masked
    places = (found * np.arange(40)).sum(axis=1) / found.sum(axis=1)
    # Band b of the result is band (b - middle) * stretch + middle + shift of the original.
    lowest = (bright - BAND_SHIFT - middle) / BAND_STRETCH[1] + middle
    highest = (bright + BAND_SHIFT - middle) / BAND_STRETCH[0] + middle
    assert lowest - 0.5 < places.min() < lowest + 0.5
    assert highest - 0.5 < places.max() < highest + 0.5


def test_the_smallest_features_can_be_augmented() -> None:
    tiny = np.ones((2, 1, 2), np.float32)
    assert augment(tiny, np.random.default_rng(0)).shape == (2, 1, 2)


def test_only_digits_are_used_and_both_splits_need_some(
    tmp_path: Path, tiny_params: Params, recogniser: RecogniserParams
) -> None:
    said = [Utterance(who, digit, 0) for who in SPLIT_OF for digit in (None, 4)]
    content = {utterance: wav(number) for number, utterance in enumerate(said)}
    rows = [(u.utterance_id, u.speaker_id, u.digit, "", SPLIT_OF[u.speaker_id]) for u in said]
    manifest = pd.DataFrame(rows, columns=COLUMNS).astype({"digit": "Int64"})
    assert has_digits(manifest)
    assert not has_digits(manifest[manifest["digit"].isna()])
    assert not has_digits(manifest[manifest["digit"].isna() | (manifest["split"] != "validation")])
    with CorpusArchive(write_recordings(tmp_path / "corpus.zip", content, {})) as corpus:
        training, validation = prepare_datasets(
            corpus, manifest, tiny_params.audio, recogniser, Rejections()
        )
    assert training.digits.tolist() == [4, 4] and validation.digits.tolist() == [4]
