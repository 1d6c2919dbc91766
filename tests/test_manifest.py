"""The manifest: each speaker is in one split, and only the seed decides which."""

import dataclasses
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.corpus.archive import Utterance
from denoise.corpus.manifest import (
    COLUMNS,
    SPLITS,
    make_manifest,
    read_manifest,
    split_speakers,
    utterance_of,
    write_manifest,
)
from denoise.errors import CorpusError
from denoise.params import SampleParams

NO_LIMIT = 1_000_000
PARAMS = SampleParams(200, NO_LIMIT, validation_fraction=0.1, test_fraction=0.15, seed=20)
GENDERS = ("female", "male", "Female ", "", "diverse")

Speakers = dict[str, dict[str, str]]


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[Utterance], Speakers]:
    """Draw speakers, genders and utterances; some speakers are not in the meta file."""
    genders = draw(st.lists(st.sampled_from([*GENDERS, None]), min_size=3, max_size=30))
    utterances, speakers = [], {}
    for number, gender in enumerate(genders):
        name = f"{number:02d}"
        if gender is not None:
            speakers[name] = {"gender": gender, "age": "30"}
        n_digits = draw(st.integers(1, 4))
        utterances += [Utterance(name, digit, 0) for digit in range(n_digits)]
    return utterances, speakers


fractions = st.tuples(st.floats(0.01, 0.8), st.floats(0.01, 0.8)).filter(lambda f: sum(f) <= 0.9)


def make_sixty_speakers() -> tuple[list[Utterance], Speakers]:
    names = [f"{number:02d}" for number in range(1, 61)]
    utterances = [Utterance(n, d, r) for n in names for d in range(10) for r in range(2)]
    return utterances, {n: {"gender": "female" if n < "13" else "male"} for n in names}


def speakers_of(manifest: pd.DataFrame) -> dict[str, set[str]]:
    return {split: set(manifest.speaker_id[manifest.split == split]) for split in SPLITS}


@given(corpus=corpora(), fractions=fractions, seed=st.integers(0, 2**32 - 1))
def test_each_speaker_is_in_one_split_and_each_gender_in_all(
    corpus: tuple[list[Utterance], Speakers], fractions: tuple[float, float], seed: int
) -> None:
    utterances, speakers = corpus
    params = SampleParams(len(utterances), NO_LIMIT, *fractions, seed)
    manifest = make_manifest(utterances, speakers, params)
    assert sorted(manifest.utterance_id) == sorted(u.utterance_id for u in utterances)
    splits = speakers_of(manifest)
    assert sum(map(len, splits.values())) == len(set().union(*splits.values()))
    assert all(splits.values())
    by_gender = manifest.groupby("gender")
    for _, rows in by_gender:
        if rows.speaker_id.nunique() >= 3:
            assert set(rows.split) == set(SPLITS)


@given(corpus=corpora(), data=st.data())
def test_the_sample_has_the_requested_size_and_no_duplicates(
    corpus: tuple[list[Utterance], Speakers], data: st.DataObject
) -> None:
    utterances, speakers = corpus
    size = data.draw(st.integers(3, len(utterances)))
    params = dataclasses.replace(PARAMS, size=size)
    try:
        manifest = make_manifest(utterances, speakers, params)
    except CorpusError as error:
        assert str(error)[0] in "12"
        return
    assert len(manifest) == size == manifest.utterance_id.nunique()
    assert set(manifest.utterance_id) <= {u.utterance_id for u in utterances}
    assert manifest.speaker_id.nunique() >= 3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_manifest_does_not_depend_on_the_order_of_the_corpus(seed: int) -> None:
    utterances, speakers = make_sixty_speakers()
    expected = make_manifest(utterances, speakers, PARAMS)
    order = random.Random(seed)
    shuffled = order.sample(utterances, len(utterances))
    names = order.sample(sorted(speakers), len(speakers))
    manifest = make_manifest(shuffled, {name: speakers[name] for name in names}, PARAMS)
    pd.testing.assert_frame_equal(manifest, expected)


def test_the_sample_and_the_splits_depend_on_the_seed() -> None:
    utterances, speakers = make_sixty_speakers()
    first = make_manifest(utterances, speakers, PARAMS)
    again = make_manifest(utterances, speakers, PARAMS)
    other = make_manifest(utterances, speakers, dataclasses.replace(PARAMS, seed=21))
    pd.testing.assert_frame_equal(first, again)
    assert set(first.utterance_id) != set(other.utterance_id)
    assert speakers_of(first)["test"] != speakers_of(other)["test"]


def test_the_rows_are_shuffled() -> None:
    utterances, speakers = make_sixty_speakers()
    manifest = make_manifest(utterances, speakers, PARAMS)
    assert not manifest.speaker_id.is_monotonic_increasing
    halves = manifest.speaker_id[:100], manifest.speaker_id[100:]
    assert all(half.nunique() > 40 for half in halves)


def test_every_utterance_has_the_same_probability() -> None:
    utterances = sorted(make_sixty_speakers()[0])[:60]
    params = [SampleParams(30, NO_LIMIT, 0.1, 0.1, seed) for seed in range(200)]
    drawn = Counter(i for p in params for i in make_manifest(utterances, {}, p).utterance_id)
    assert len(drawn) == 60
    assert min(drawn.values()) > 70 and max(drawn.values()) < 130


@pytest.mark.parametrize(
    ("validation", "test"), [(0.1, 0.15), (0.01, 0.01), (0.3, 0.6), (0.8, 0.1)]
)
def test_the_splits_have_the_requested_sizes(validation: float, test: float) -> None:
    genders = {f"{n:02d}": "female" if n < 20 else "male" for n in range(60)}
    params = SampleParams(60, NO_LIMIT, validation, test, 1)
    counts = Counter(split_speakers(genders, params, np.random.default_rng(1)).values())
    for split, fraction in (("validation", validation), ("test", test)):
        assert abs(counts[split] - max(2, 60 * fraction)) <= 1
    assert sum(counts.values()) == 60


@pytest.mark.parametrize("n_speakers", [1, 2])
def test_the_error_for_too_few_speakers_has_their_number(n_speakers: int) -> None:
    utterances = [Utterance(f"{n:02d}", digit, 0) for n in range(n_speakers) for digit in range(5)]
    with pytest.raises(CorpusError, match=f"{n_speakers} speakers cannot fill 3 splits"):
        make_manifest(utterances, {}, dataclasses.replace(PARAMS, size=5))


def test_three_speakers_are_enough() -> None:
    utterances = [Utterance(f"{n:02d}", 0, 0) for n in range(3)]
    speakers = {"00": {"gender": "male"}, "01": {"gender": "female"}}
    manifest = make_manifest(utterances, speakers, dataclasses.replace(PARAMS, size=3))
    assert set(manifest.split) == set(SPLITS)
    assert dict(zip(manifest.speaker_id, manifest.gender, strict=True)) == {
        "00": "male",
        "01": "female",
        "02": "unknown",
    }


def test_the_splits_depend_on_the_generator_and_not_on_the_order_of_speakers() -> None:
    genders = {f"{n:02d}": "female" if n % 2 else "male" for n in range(20)}
    reversed_genders = dict(reversed(genders.items()))
    first = split_speakers(genders, PARAMS, np.random.default_rng(0))
    assert split_speakers(reversed_genders, PARAMS, np.random.default_rng(0)) == first
    others = [split_speakers(genders, PARAMS, np.random.default_rng(seed)) for seed in range(60)]
    tested = {who for split in others for who in split if split[who] == "test"}
    assert tested == set(genders)


def test_spellings_of_a_gender_that_differ_in_case_and_spaces_are_equal() -> None:
    utterances = [Utterance(f"{n:02d}", 0, 0) for n in range(6)]
    spellings = ["Male", "male ", " MALE", "female", "Female", "FEMALE"]
    speakers = {u.speaker_id: {"gender": g} for u, g in zip(utterances, spellings, strict=True)}
    manifest = make_manifest(utterances, speakers, dataclasses.replace(PARAMS, size=6))
    assert manifest.groupby("gender").split.nunique().to_dict() == {"female": 3, "male": 3}


def test_a_gender_with_too_few_speakers_is_used_for_training() -> None:
    genders = {"01": "female", "02": "female", "03": "female", "04": "male", "05": "male"}
    for seed in range(20):
        split = split_speakers(genders, PARAMS, np.random.default_rng(seed))
        assert {split[who] for who in ("01", "02", "03")} == set(SPLITS)
        assert split["04"] == split["05"] == "train"


def test_a_sample_larger_than_the_corpus_is_an_error() -> None:
    utterances, speakers = make_sixty_speakers()
    with pytest.raises(CorpusError, match=r"sample\.size: 1201 utterances .* corpus has 1200"):
        make_manifest(utterances, speakers, dataclasses.replace(PARAMS, size=1201))


def test_no_speaker_has_more_utterances_than_the_limit() -> None:
    utterances, speakers = make_sixty_speakers()
    limited = dataclasses.replace(PARAMS, max_per_speaker=7, size=60 * 7)
    counts = make_manifest(utterances, speakers, limited)["speaker_id"].value_counts()
    assert len(counts) == 60 and set(counts) == {7}
    with pytest.raises(CorpusError, match="corpus has 420 with at most 7 of one speaker, sample"):
        make_manifest(utterances, speakers, dataclasses.replace(limited, size=421))


def test_speech_without_digits_is_sampled_as_digits_are() -> None:
    utterances = [Utterance(f"{n:02d}", None, r) for n in range(6) for r in range(3)]
    digits = [Utterance(f"{n:02d}", 7, 0) for n in range(6)]
    params = dataclasses.replace(PARAMS, size=24)
    manifest = make_manifest([*digits, *utterances], {}, params)
    assert set(manifest.utterance_id) == {u.utterance_id for u in [*digits, *utterances]}
    assert {"speech_05_2", "7_05_0"} <= set(manifest.utterance_id)
    assert manifest.digit.isna().sum() == 18 and set(manifest.digit.dropna()) == {7}
    assert set(manifest.gender) == {"unknown"} and set(manifest.split) == set(SPLITS)
    assert {utterance_of(row) for _, row in manifest.iterrows()} == {*digits, *utterances}


rows = st.builds(
    lambda who, digit, repetition, gender, split: (
        f"{'speech' if digit is pd.NA else digit}_{who}_{repetition}",
        who,
        digit,
        gender,
        split,
    ),
    st.integers(1, 200).map("{:02d}".format),
    st.integers(0, 9) | st.just(pd.NA),
    st.integers(0, 999),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
    | st.sampled_from(["NA", "nan", "null", "unknown", 'a "b", c', "1", "-", "True"]),
    st.sampled_from(SPLITS),
)


@given(table=st.lists(rows, min_size=1, max_size=9, unique_by=lambda row: row[0]))
def test_a_manifest_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str, int, str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "manifest.csv"
    manifest = pd.DataFrame(table, columns=COLUMNS)
    write_manifest(manifest, path)
    assert b"\r" not in path.read_bytes()
    back = read_manifest(path)
    assert [tuple(row) for row in back.itertuples(index=False)] == table
    assert [utterance_of(row).utterance_id for _, row in back.iterrows()] == [r[0] for r in table]


def test_the_error_for_a_missing_manifest_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"No manifest at .*Run dvc repro sample"):
        read_manifest(tmp_path / "manifest.csv")


HEADER = ",".join(COLUMNS).encode() + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<<<<<<< HEAD\n",
        HEADER.replace(b"digit", b"word"),
        HEADER + b"3_07_1,07,three,male,train\n",
        HEADER + b"3_07_1,07\n",
        HEADER + b"3_07_1,07,3,male,train,extra\n3_07_1,07,3,male,train\n",
        HEADER + b"3_07_1,07,3,\xff,train\n",
        HEADER + b"3_07_1,07,3,male,tr",
        HEADER + b"other,07,3,male,train\n",
        HEADER + b"3_07_1,07,,male,train\n",
        HEADER + b"speech_07_1,07,3,male,train\n",
        HEADER + b"speech_../07_1,07,,male,train\n",
        HEADER + b"speech_07_1,07,,male,train\n" * 2,
    ],
)
def test_the_error_for_an_invalid_manifest_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.csv"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"manifest\.csv"):
        read_manifest(path)
