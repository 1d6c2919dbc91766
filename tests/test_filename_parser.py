"""The filename parser: digits, speakers and repetitions from file and folder names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.corpus.filename_parser import (
    DIGIT_WORDS,
    NO_DIGIT,
    NO_SPEAKER,
    TWO_DIGITS,
    Label,
    LabelError,
    count_shared_folders,
    number_repetitions,
    number_speakers,
    parse_label,
)


@pytest.mark.parametrize(
    ("path", "digit", "speaker", "repetition"),
    [
        ("data/01/7_01_3", 7, "01", 3),  # AudioMNIST
        ("1/7_1_3", 7, "01", 3),
        ("recordings/7_jackson_32", 7, "jackson", 32),  # Free Spoken Digit Dataset
        ("george/take_1/7_jackson_32", 7, "jackson", 32),
        ("zero/0a7c2a8d_nohash_2", 0, "0a7c2a8d", 2),  # Speech Commands
        ("zero/00176480_nohash_2", 0, "00176480", 2),
        ("jackson/7_3", 7, "jackson", 3),  # one folder per speaker
        ("jackson/7-3", 7, "jackson", 3),
        ("jackson/7 (3)", 7, "jackson", 3),
        ("jackson/7", 7, "jackson", None),
        ("jackson/Seven", 7, "jackson", None),
        ("jackson/\u017feven", 7, "jackson", None),  # a long s matches s if case is ignored
        ("jackson/seven_3", 7, "jackson", 3),
        ("jackson/seven03", 7, "jackson", 3),
        ("jackson/7/3", 7, "jackson", 3),
        ("jackson/7/seven_2", 7, "jackson", 2),
        ("jackson/7_take_3", 7, "jackson", 3),
        ("jackson/seven/take_3", 7, "jackson", 3),
        ("jackson/session1/seven", 7, "jackson", None),
        ("speaker 12/seven", 7, "speaker 12", None),
        ("5/seven", 7, "05", None),
        ("7/seven", 7, "07", None),
        ("seven/jackson_3", 7, "jackson", 3),  # one folder per digit
        ("7/jackson", 7, "jackson", None),
        ("digit_7/jackson-3", 7, "jackson", 3),
        ("seven/12_3", 7, "12", 3),
        ("seven/1_3", 7, "01", 3),
        ("seven/²", 7, "²", None),
        ("seven/s01", 7, "s01", None),
        ("seven/05/3", 7, "05", 3),
        ("train/seven/jackson_3", 7, "jackson", 3),
        ("jackson_seven_2", 7, "jackson", 2),  # no folder
        ("seven_jackson", 7, "jackson", None),
        ("7_李小龙_2", 7, "李小龙", 2),
    ],
)
def test_common_layouts_are_parsed(
    path: str, digit: int, speaker: str, repetition: int | None
) -> None:
    *folders, stem = path.split("/")
    assert parse_label(folders, stem) == Label(digit, speaker, repetition)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("bed/0a7c2a8d_nohash_0", NO_DIGIT),
        ("_background_noise_/white_noise", NO_DIGIT),
        ("19/198/19-198-0000", NO_DIGIT),
        ("jackson/72", NO_DIGIT),
        ("jackson/hello", NO_DIGIT),
        ("7_3", NO_SPEAKER),
        ("seven", NO_SPEAKER),
        ("recordings/7_3", NO_SPEAKER),
        ("seven/12", NO_SPEAKER),
        ("seven/3", NO_SPEAKER),
        ("seven/20240131235959", NO_SPEAKER),
        ("zero/0_12", NO_SPEAKER),
        ("1/7_3", TWO_DIGITS),
        ("one/seven_jackson", TWO_DIGITS),
        ("jackson/7/3_1", TWO_DIGITS),
        ("jackson/7_3" + "x" * 100_000, NO_DIGIT),
    ],
)
def test_the_error_for_an_unknown_label_has_a_reason(path: str, reason: str) -> None:
    *folders, stem = path.split("/")
    with pytest.raises(LabelError) as caught:
        parse_label(folders, stem)
    assert str(caught.value) == reason


# The long s and the dotless i match s and i if case is ignored.
parts = st.sampled_from(
    [*DIGIT_WORDS, "7", "3", "12", "\u017fix", "f\u0131ve", "²", "٣", "ann", "take"]
)
gaps = st.sampled_from(["", "_", " ", "-", "(", ")", "_nohash_"])
names = st.lists(st.tuples(parts, gaps), min_size=1).map(lambda p: "".join(map("".join, p)))


@given(st.lists(names | st.text(min_size=1), max_size=3), names | st.text(min_size=1))
def test_any_name_gives_a_label_or_an_error(folders: list[str], stem: str) -> None:
    try:
        label = parse_label(folders, stem)
    except LabelError:
        return
    assert 0 <= label.digit <= 9
    assert label.speaker


def test_speaker_numbers_are_kept_and_names_get_the_free_ones_in_order() -> None:
    ids = number_speakers(["zoe", "01", "anna", "03", "20240131"])
    assert ids == {"01": "01", "03": "03", "20240131": "02", "anna": "04", "zoe": "05"}


speakers = st.lists(st.sampled_from(["01", "02", "1000", "a", "b", "c", "12345"]))


@given(speakers)
def test_no_two_speakers_share_a_number(names: list[str]) -> None:
    ids = number_speakers(names)
    assert len(set(ids.values())) == len(ids) == len(set(names))
    assert number_speakers(reversed(names)) == ids


def test_the_first_recording_keeps_its_repetition_and_others_get_free_ones() -> None:
    labels = [Label(7, "01", None), Label(7, "01", 0), Label(7, "01", 0), Label(7, "01", 2)]
    assert number_repetitions(labels) == [1, 0, 3, 2]


labels = st.builds(
    Label, st.integers(0, 1), st.sampled_from(["01", "02"]), st.none() | st.integers(0, 4)
)


@given(st.lists(labels))
def test_no_two_recordings_share_a_repetition(labels: list[Label]) -> None:
    numbers = number_repetitions(labels)
    numbered = {(x.digit, x.speaker, n) for x, n in zip(labels, numbers, strict=True)}
    assert len(numbered) == len(labels)


@pytest.mark.parametrize(
    ("paths", "depth"),
    [
        (["a/b/x", "a/b/y"], 2),
        (["a/b/x", "a/c/y"], 1),
        (["a/x", "b/x"], 0),
        (["a/x", "x"], 0),
        (["a/zero/x", "a/zero/y"], 1),
        ([], 0),
    ],
)
def test_shared_folders_are_counted(paths: list[str], depth: int) -> None:
    assert count_shared_folders([tuple(path.split("/")) for path in paths]) == depth
