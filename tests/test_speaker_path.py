"""Speakers from paths: the layouts of corpora that people have, by general rules."""

import pytest

from denoise.corpus.speaker_path import EACH_RECORDING, find_speakers


def names_of(*files: str) -> list[str]:
    return find_speakers([tuple(file.split("/")) for file in files]).names


LIBRISPEECH = [
    f"LibriSpeech/{part}/{who}/{chapter}/{who}-{chapter}-{n:04d}"
    for part, who, chapter in [
        ("train-clean-100", "19", "198"),
        ("train-clean-100", "19", "227"),
        ("train-clean-100", "26", "495"),
        ("train-other-500", "1006", "135212"),
    ]
    for n in range(3)
]
VCTK = [f"wav48_silence_trimmed/{who}/{who}_{n:03d}_mic{m}" for who in ("p225", "p226", "s5")
        for n in range(3) for m in (1, 2)]  # fmt: skip
TIMIT = [
    f"{part}/DR{region}/{who}/{sentence}"
    for part, region, who in [
        ("TRAIN", 1, "FCJF0"),
        ("TRAIN", 1, "MCPM0"),
        ("TRAIN", 2, "FAEM0"),
        ("TRAIN", 3, "FALK0"),
        ("TEST", 1, "FAKS0"),
    ]
    for sentence in ("SA1", "SA2", f"SI{ord(who[1])}")
]
VOXCELEB = [
    f"wav/{who}/{video}/{n:05d}"
    for who, video in [
        ("id10270", "5r0dWxy17C8"),
        ("id10270", "8jEAjG6SegY"),
        ("id10271", "1gtz-CUIygI"),
        ("id10272", "a8Jk1ne8Wsk"),
    ]
    for n in range(1, 3)
]


@pytest.mark.parametrize("top", ["", "corpora/mine/"])
@pytest.mark.parametrize(
    ("files", "level"),
    [(LIBRISPEECH, 2), (VCTK, 1), (TIMIT, 2), (TIMIT[:12], 2), (VOXCELEB, 1)],
    ids=["LibriSpeech", "VCTK", "TIMIT", "TIMIT's training part", "VoxCeleb"],
)
def test_the_layouts_of_known_corpora(files: list[str], level: int, top: str) -> None:
    expected = [file.split("/")[level] for file in files]
    assert names_of(*(top + file for file in files)) == expected


def test_files_named_otherwise_belong_to_their_top_folder() -> None:
    stray = "LibriSpeech/train-clean-100/40/222/introduction"
    assert names_of(*LIBRISPEECH, stray)[-1] == "40"


def test_a_flat_folder_like_common_voice_tells_no_speaker() -> None:
    files = [f"cv-corpus/en/clips/common_voice_en_{n}" for n in range(4)]
    assert names_of(*files) == files
    assert find_speakers([tuple(f.split("/")) for f in files]).rule == EACH_RECORDING


def test_the_first_words_of_file_names_in_one_folder() -> None:
    files = [f"wavs/{who}_{n}" for who in ("anna", "bob", "eve") for n in range(2)]
    assert names_of(*files) == ["anna", "anna", "bob", "bob", "eve", "eve"]
    assert names_of("memos/monday talk", "memos/shopping", "memos/ideas") == [
        "memos/monday talk", "memos/shopping", "memos/ideas",
    ]  # fmt: skip


def test_dates_and_parts_of_a_corpus_are_no_speakers() -> None:
    memos = [f"{year}-0{n} memo" for year in (2023, 2024, 2025) for n in (1, 2)]
    days = [f"202405{day}_1{n}" for day in ("01", "02", "03") for n in (1, 2)]
    parts = [f"{part}_{n}" for part in ("train", "test", "dev") for n in (1, 2)]
    for files in (memos, days, parts):
        assert find_speakers([(file,) for file in files]).rule == EACH_RECORDING


def test_numbered_words_for_people_are_speakers() -> None:
    folders = ["male1", "male2", "female 1", "child_3"]
    assert names_of(*(f"{who}/{n}" for who in folders for n in "ab")) == [
        who for who in folders for _ in "ab"
    ]
    assert names_of(*(f"{who}/{part}/a" for part in ("male", "female") for who in "xyz")) == [
        *"xyz", *"xyz",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "folder", ["session1", "session 2/flac", "train", "clean_speech/wav48", "2019/female"]
)
def test_the_top_folder_is_the_speaker_whatever_is_inside(folder: str) -> None:
    files = [f"{who}/{folder}/{n}" for who in ("anna", "bob", "eve") for n in range(2)]
    assert names_of(*files) == ["anna", "anna", "bob", "bob", "eve", "eve"]


@pytest.mark.parametrize("folder", ["train", "session1/wav", "female", "disc-2", "DEV"])
def test_folders_named_after_parts_are_no_speakers(folder: str) -> None:
    files = [f"{folder}/{who}/{n}" for who in ("anna", "bob") for n in range(2)]
    assert names_of(*files, "test/eve/0") == ["anna", "anna", "bob", "bob", "eve"]


def test_numbered_folders_without_folders_inside_are_speakers() -> None:
    assert names_of("DR1/a", "DR2/b", "DR3/c") == ["DR1", "DR2", "DR3"]
    assert names_of("speaker1/x/a", "speaker2/y/b", "speaker3/z/c") == [
        "speaker1", "speaker2", "speaker3",
    ]  # fmt: skip


def test_a_file_name_that_only_starts_with_the_same_letters_names_no_folder() -> None:
    files = ["german/ann/annals_1", "french/mar/marvel_1", "dutch/jo/job_1"]
    assert names_of(*files) == ["german", "french", "dutch"]


def test_too_few_top_folders_are_groups() -> None:
    files = ["german/anna/1", "german/bob/1", "french/marie/1"]
    assert names_of(*files) == ["anna", "bob", "marie"]


def test_a_recording_outside_all_folders_is_a_speaker() -> None:
    assert names_of("anna/1", "bob/1", "eve/1", "memo")[-1] == "memo"


@pytest.mark.parametrize("files", [[], ["memo"], ["a/1", "a/2"], ["a/1", "b/1"]])
def test_fewer_than_three_speakers_make_each_recording_one(files: list[str]) -> None:
    assert names_of(*files) == files
