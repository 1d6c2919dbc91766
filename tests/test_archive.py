"""The corpus archive: it returns what was written, in a fixed order, or raises an error."""

import json
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from denoise.corpus.archive import META_NAME, CorpusArchive, OovUtterance, Utterance, create_archive
from denoise.errors import CorpusError
from tests.corpora import wav, write_corpus

NAMES = ["data/02/7_02_1.wav", "data/01/3_01_10.wav", "data/01/3_01_9.wav", "data/01/0_01_0.wav"]


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus.zip")


def test_recordings_and_speakers_are_read_back_as_written(tmp_path: Path) -> None:
    utterance = Utterance("07", 3, 12)
    speakers = {"07": {"gender": "female", "accent": "Ærø"}}
    with create_archive(tmp_path / "corpus.zip") as writer:
        writer.add(utterance, wav(1))
        writer.add_speakers(speakers)
    with CorpusArchive(tmp_path / "corpus.zip") as archive:
        assert archive.utterances == [utterance]
        assert archive.read(utterance) == wav(1)
        assert archive.speakers() == speakers
        archive.verify()


def test_oov_utterances_are_read_separately_from_digits(tmp_path: Path) -> None:
    oov_utterances = [OovUtterance(0), OovUtterance(2), OovUtterance(10)]
    with create_archive(tmp_path / "corpus.zip") as writer:
        for number, oov in enumerate(reversed(oov_utterances)):
            writer.add(oov, wav(number))
        writer.add(Utterance("07", 3, 12), wav(9))
    with CorpusArchive(tmp_path / "corpus.zip") as archive:
        assert archive.utterances == [Utterance("07", 3, 12)]
        assert archive.oov_utterances == oov_utterances
        assert [archive.read_oov(oov) for oov in oov_utterances] == [wav(2), wav(1), wav(0)]


def test_an_archive_with_only_oov_utterances_is_not_a_corpus(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", {OovUtterance(2).member: b"x"})
    with pytest.raises(CorpusError, match="is not a corpus"):
        CorpusArchive(path)


@pytest.mark.parametrize("name", ["oov/02.wav", "oov/7/2.wav", "a/oov/2.wav"])
def test_other_file_names_are_not_oov_utterances(tmp_path: Path, name: str) -> None:
    with CorpusArchive(write_zip(tmp_path / "c.zip", {NAMES[0]: b"x", name: b"y"})) as archive:
        assert archive.oov_utterances == []


def test_speech_and_digits_are_read_in_the_order_of_speakers(tmp_path: Path) -> None:
    digit, first, second = (
        Utterance("07", 3, 5),
        Utterance("07", None, 2),
        Utterance("12", None, 0),
    )
    last = Utterance("07", None, 10)
    with create_archive(tmp_path / "corpus.zip") as writer:
        for number, utterance in enumerate([second, digit, last, first]):
            writer.add(utterance, wav(number))
        writer.add_speakers({"07": {"gender": "male"}})
    with CorpusArchive(tmp_path / "corpus.zip") as archive:
        assert archive.utterances == [first, last, digit, second]
        assert [archive.read(u) for u in archive.utterances] == [wav(3), wav(2), wav(1), wav(0)]
    assert (first.utterance_id, first.member) == ("speech_07_2", "speech/07/speech_07_2.wav")


@pytest.mark.parametrize(
    "name",
    ["speech/07/speech_08_1.wav", "a/speech/07/speech_07_1.wav", "speech/07/speech_07_01.wav",
     "speech/07/speech_7_1.wav", "speech/07/speech_07_1.flac"],
)  # fmt: skip
def test_other_file_names_are_not_speech(tmp_path: Path, name: str) -> None:
    with CorpusArchive(write_zip(tmp_path / "c.zip", {NAMES[0]: b"x", name: b"y"})) as archive:
        assert [u.member for u in archive.utterances] == [NAMES[0]]


def test_members_are_named_as_in_audiomnist() -> None:
    utterance = Utterance("07", 3, 12)
    assert utterance.utterance_id == "3_07_12"
    assert utterance.member == "data/07/3_07_12.wav"


@pytest.mark.parametrize("seed", range(3))
def test_utterances_are_sorted_whatever_their_order_in_the_zip(tmp_path: Path, seed: int) -> None:
    names = random.Random(seed).sample(NAMES, len(NAMES))
    with CorpusArchive(write_zip(tmp_path / "c.zip", {n: n.encode() for n in names})) as archive:
        read = [(u.member, archive.read(u)) for u in archive.utterances]
    in_order = ["data/01/0_01_0.wav", "data/01/3_01_9.wav", "data/01/3_01_10.wav", NAMES[0]]
    assert read == [(name, name.encode()) for name in in_order]


def test_the_same_content_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_corpus(tmp_path / "first.zip")
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert write_corpus(tmp_path / "second.zip").read_bytes() == first.read_bytes()


def test_the_data_folder_may_be_inside_other_folders(tmp_path: Path) -> None:
    members = {
        f"AudioMNIST-main/{NAMES[0]}": b"x",
        "AudioMNIST-main/data/audioMNIST_meta.txt": b"{}",
    }
    with CorpusArchive(write_zip(tmp_path / "c.zip", members)) as archive:
        assert [u.member for u in archive.utterances] == [NAMES[0]]
        assert archive.speakers() == {}


def test_a_file_in_another_speakers_folder_is_not_an_utterance(tmp_path: Path) -> None:
    members = {NAMES[0]: b"x", "data/03/7_02_1.wav": b"y", "data/01/x.wav": b"z"}
    with CorpusArchive(write_zip(tmp_path / "c.zip", members)) as archive:
        assert [u.member for u in archive.utterances] == [NAMES[0]]


def test_numbers_in_the_meta_file_are_read_as_text(tmp_path: Path) -> None:
    meta = json.dumps({"02": {"age": 31, "gender": "male"}}).encode()
    with CorpusArchive(write_zip(tmp_path / "c.zip", {NAMES[0]: b"x", META_NAME: meta})) as archive:
        assert archive.speakers() == {"02": {"age": "31", "gender": "male"}}


def test_a_corpus_without_meta_file_has_no_speaker_entries(tmp_path: Path) -> None:
    with CorpusArchive(write_zip(tmp_path / "c.zip", {NAMES[0]: b"x"})) as archive:
        assert archive.speakers() == {}


@pytest.mark.parametrize("meta", [b"{", b"[1]", b'{"01": 5}', b"\xff", b"[" * 100_000])
def test_a_broken_meta_file_is_an_error(tmp_path: Path, meta: bytes) -> None:
    archive = CorpusArchive(write_zip(tmp_path / "c.zip", {NAMES[0]: b"x", META_NAME: meta}))
    with archive, pytest.raises(CorpusError, match="audioMNIST_meta"):
        archive.speakers()


def test_the_error_for_a_missing_archive_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"No corpus at .*nothing.zip. Run dvc repro download"):
        CorpusArchive(tmp_path / "nothing.zip")


def test_another_zip_is_not_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is not a corpus"):
        CorpusArchive(write_zip(tmp_path / "c.zip", {"readme.txt": b"hello"}))


def test_reading_an_unknown_utterance_is_an_error(corpus: Path) -> None:
    with CorpusArchive(corpus) as archive, pytest.raises(CorpusError, match=r"9_01_0\.wav"):
        archive.read(Utterance("01", 9, 0))


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_zip_is_an_error(corpus: Path, fraction: float) -> None:
    content = corpus.read_bytes()
    corpus.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(CorpusError, match=r"not a whole zip.*dvc repro --force download"):
        CorpusArchive(corpus)


@pytest.mark.parametrize(
    ("offset", "patch"),
    [(6, b"\xff"), (8, b"\x00\x08" + bytes(36) + b"\xff")],
    ids=["future zip version", "undecodable name"],
)
def test_a_damaged_central_directory_is_an_error(corpus: Path, offset: int, patch: bytes) -> None:
    content = bytearray(corpus.read_bytes())
    start = content.index(b"PK\x01\x02") + offset
    content[start : start + len(patch)] = patch
    corpus.write_bytes(content)
    with pytest.raises(CorpusError, match="not a whole zip"):
        CorpusArchive(corpus)


def test_the_error_for_a_damaged_member_names_it(corpus: Path) -> None:
    with CorpusArchive(corpus) as archive:
        damaged = archive.utterances[2]
        content = archive.read(damaged)
    corpus.write_bytes(corpus.read_bytes().replace(content[-100:], bytes(100)))
    with CorpusArchive(corpus) as archive:
        for read in (archive.verify, lambda: archive.read(damaged)):
            with pytest.raises(CorpusError, match=f"{damaged.utterance_id}.wav is damaged"):
                read()
        archive.read(archive.utterances[0])


def test_an_error_while_writing_keeps_the_previous_archive(corpus: Path) -> None:
    before = corpus.read_bytes()
    with pytest.raises(ZeroDivisionError), create_archive(corpus) as writer:
        writer.add(Utterance("01", 1, 1), wav(1))
        raise ZeroDivisionError
    assert corpus.read_bytes() == before
    assert list(corpus.parent.iterdir()) == [corpus]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@example(position=0.998, bit=6)
def test_a_flipped_bit_is_an_error_or_harmless(tmp_path: Path, position: float, bit: int) -> None:
    path = tmp_path / "corpus.zip"
    intact = write_corpus(path, 2, 2, seconds=0.01).read_bytes()
    with CorpusArchive(path) as archive:
        expected = {u: archive.read(u) for u in archive.utterances}
    damaged = bytearray(intact)
    damaged[int(position * len(intact))] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        with CorpusArchive(path) as archive:
            archive.verify()
            read = {u: archive.read(u) for u in archive.utterances}
    except CorpusError:
        return
    assert read.items() <= expected.items()
