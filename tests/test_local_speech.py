"""Speech of any content from a folder or a zip: utterances, speakers, formats and damaged files."""

import io
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from denoise.corpus.archive import CorpusArchive, Utterance
from denoise.corpus.file_index import NOT_AUDIO, NOT_READ
from denoise.corpus.filename_parser import NO_DIGIT
from denoise.corpus.local import import_local
from denoise.corpus.local_speech import NO_SPEECH
from denoise.corpus.speaker_path import EACH_RECORDING
from denoise.corpus.speaker_table import NO_MATCH, NO_TABLE
from denoise.errors import CorpusError
from tests.corpora import (
    LocalImport,
    encode,
    noise_waveform,
    speech,
    speech_waveform,
    wav,
    write_tree,
)

THREE = {f"{who}/hello {who}.wav": speech(number) for number, who in enumerate(("a", "b", "c"))}
TWO_UTTERANCES = [("speech", 2.0), ("pause", 1.0), ("speech", 3.0)]


class Import(LocalImport):
    """Imports from a folder of the test, and their results."""

    def run(self, files: dict[str, bytes], **options: Any) -> dict[Utterance, bytes]:
        """Import `files`; return the utterances."""
        write_tree(self.source, files)
        self.provenance = import_local(str(self.source), self.archive, **options)
        return self.read()


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    return Import(tmp_path)


def test_utterances_are_numbered_within_a_speaker_and_speakers_by_name(imported: Import) -> None:
    files = {"anna/x/first.wav": speech(1, *TWO_UTTERANCES), "anna/second.flac": speech(2)}
    utterances = imported.run({**files, "17/a.wav": speech(3), "eve/a.wav": speech(4)})
    assert list(utterances) == [
        Utterance("01", None, 0), Utterance("01", None, 1), Utterance("01", None, 2),
        Utterance("02", None, 0), Utterance("17", None, 0),
    ]  # fmt: skip
    assert [u.utterance_id for u in utterances][0::4] == ["speech_01_0", "speech_17_0"]
    assert imported.speakers == {"01": {"name": "anna"}, "02": {"name": "eve"}, "17": {}}
    durations = [soundfile.info(io.BytesIO(content)).duration for content in utterances.values()]
    assert durations == pytest.approx([2.0, 2.1, 3.1, 2.0, 2.0], abs=0.1)  # second.flac comes first
    assert imported.provenance == {
        "source": "local",
        "name": "mine",
        "content": "speech",
        "recordings": 4,
        "damaged": 0,
        "minutes": round(sum(durations) / 60, 2),
        "speakers_by": "folder level 1",
        "left_out": {},
    }


def test_samples_stay_as_they_are_in_one_channel_of_16_bits(imported: Import) -> None:
    stereo = 0.5 * np.stack([speech_waveform(1, ("speech", 3.0))] * 2, axis=1)
    utterances = imported.run({**THREE, "d/x.wav": encode(stereo, sample_rate=44_100)})
    samples, rate = soundfile.read(io.BytesIO(utterances[Utterance("04", None, 0)]), dtype="int16")
    assert (rate, samples.ndim) == (44_100, 1)
    expected = np.rint(stereo[:, 0] * 2**15)
    assert np.abs(samples - expected[: len(samples)] - np.median(samples - expected)).max() <= 1.5


@pytest.mark.parametrize(
    ("suffix", "file_format", "subtype"),
    [
        ("wav", "WAV", "PCM_24"), ("flac", "FLAC", "PCM_16"), ("mp3", "MP3", "MPEG_LAYER_III"),
        ("ogg", "OGG", "VORBIS"), ("opus", "OGG", "OPUS"), ("sph", "NIST", "PCM_16"),
        ("WV1", "NIST", "ULAW"), ("nis", "NIST", "PCM_16"), ("WAV", "NIST", "PCM_16"),
    ],
)  # fmt: skip
def test_every_format_is_read(
    imported: Import, suffix: str, file_format: str, subtype: str
) -> None:
    content = encode(speech_waveform(1, ("speech", 2.0))[:, None], file_format, subtype)
    utterances = imported.run({**THREE, f"d/deep/er/x.{suffix}": content})
    samples, rate = soundfile.read(io.BytesIO(utterances[Utterance("04", None, 0)]))
    assert rate == 8000 and len(samples) == pytest.approx(16_000, abs=1600)


def test_joined_recordings_are_one_recording_with_all_their_utterances(imported: Import) -> None:
    parts = [*TWO_UTTERANCES, ("pause", 1.0)]
    ogg = [encode(speech_waveform(n, *parts), "OGG", "VORBIS") for n in range(2)]
    separate = imported.run({"ann/first.ogg": ogg[0], "ann/second.ogg": ogg[1]})
    joined = imported.run({"ann/first.ogg": b"".join(ogg)})
    assert len(joined) == len(separate) + 2 == 6


def test_sphere_compressed_by_shorten_is_named_as_such(imported: Import) -> None:
    sphere = encode(speech_waveform(1, ("speech", 2.0))[:, None], "NIST")
    header = sphere[:1024].replace(b"-s3 pcm", b"-s26 pcm,embedded-shorten-v2.00")[:1024]
    imported.run({**THREE, "d/x.wv1": header + sphere[1024:]})
    [(reason, summary)] = imported.left_out.items()
    assert "Shorten" in reason and "sph2pipe" in reason
    assert summary == {"files": 1, "examples": ["d/x.wv1"]}


def test_a_zip_gives_the_same_bytes_as_the_folder(imported: Import, tmp_path: Path) -> None:
    files = {**THREE, "a/long.flac": speech(9, *TWO_UTTERANCES, file_format="FLAC"), "x.txt": b"x"}
    imported.run(files)
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in reversed(files.items()):
            archive.writestr(f"top/{name}", content)
    again = tmp_path / "again.zip"
    provenance = import_local(str(path), again)
    assert again.read_bytes() == imported.archive.read_bytes()
    assert provenance["minutes"] == imported.provenance["minutes"]


def test_importing_a_corpus_archive_gives_the_same_archive(imported: Import) -> None:
    imported.run({**THREE, "a/long.wav": speech(9, *TWO_UTTERANCES)})
    again = imported.archive.with_name("again.zip")
    import_local(str(imported.archive), again)
    with CorpusArchive(again) as second, CorpusArchive(imported.archive) as first:
        assert second.utterances == first.utterances


@pytest.mark.parametrize(
    ("names", "is_digits"),
    [
        (["ann/7_1", "ann/3_2", "bob/7_1"], True),
        (["ann/7_1", "bob/hello", "bob/you", "eve/seven"], True),
        (["7/x", "ann/hello", "bob/you", "eve/there", "eve/again"], False),
        (["ann/1", "ann/2", "bob/9", "eve/0"], True),
        (["ann/1", "ann/2", "bob/9", "eve/10"], False),  # they count
        ([*(f"19/198/19-198-{n:04d}" for n in range(4)), "7/1/7-1-0000"], False),
        (["p225/p225_001", "p226/p226_002", "p227/p227_003"], False),
    ],
)
def test_the_names_decide_whether_a_corpus_is_one_of_digits(
    imported: Import, capsys: pytest.CaptureFixture[str], names: list[str], is_digits: bool
) -> None:
    utterances = imported.run({f"{name}.wav": speech(n) for n, name in enumerate(names)})
    assert any(u.digit is not None for u in utterances) == is_digits
    assert all((u.digit is not None) == is_digits for u in utterances)
    expected = ("spoken digits", "speech") if is_digits else ("speech", "digits")
    err = capsys.readouterr().err
    assert f"Treated as {expected[0]}: " in err
    assert f"set download.local_content to {expected[1]}." in err


def test_the_param_overrides_what_the_names_say(imported: Import) -> None:
    files = {f"ann/{n}_memo.wav": speech(n) for n in range(3)}
    assert {u.digit for u in imported.run(files, content="speech")} == {None}
    assert {u.digit for u in imported.run(files)} == {0, 1, 2}
    (imported.source / "ann" / "hello.wav").write_bytes(speech(1))
    assert {u.digit for u in imported.run({}, content="digits")} == {0, 1, 2}
    assert imported.left_out[NO_DIGIT]["files"] == 1


def test_tables_tell_speakers_and_genders_before_paths_do(imported: Import) -> None:
    rows = ["client_id\tpath\tgender", "4f9\tcommon_1.mp3\tfemale", "4f9\tcommon_2.mp3\t",
            "b77\tclips/common_3.mp3\tmale", "c\tnothing.mp3\t", "short",
            "b77\tx\tmale\tmore\tmore"]  # fmt: skip
    files = {f"clips/common_{n}.mp3": speech(n, file_format="FLAC") for n in range(1, 5)}
    table = "\r\n".join(rows).encode("utf-8-sig")
    imported.run({**files, "validated.tsv": table, "other.csv": b"a,b\n1,2\n"})
    assert imported.speakers == {
        "01": {"name": "4f9", "gender": "female"},
        "02": {"name": "b77", "gender": "male"},
        "03": {"name": "clips/common_4"},
    }
    assert imported.provenance["speakers_by"] == f"a table, {EACH_RECORDING}"
    assert imported.left_out == {
        "It is not a table of speakers.": {"files": 1, "examples": ["other.csv"]}
    }


def test_quotes_in_a_sentence_are_part_of_it(imported: Import) -> None:
    rows = ["client_id\tpath\tsentence", '"p"\t"x_0.wav"\t"Go, he said.', "p\tx_1.wav\tNo.",
            'q\tx_2.wav\tWhat is a "dog?']  # fmt: skip
    files = {f"x_{n}.wav": speech(n) for n in range(3)}
    imported.run({**files, "t.tsv": "\n".join(rows).encode()})
    assert imported.speakers == {"01": {"name": "p"}, "02": {"name": "q"}}
    assert imported.provenance["speakers_by"] == "a table"


def test_a_table_counts_in_its_folder_and_absolute_paths_are_recognised(imported: Import) -> None:
    table = "file,speaker\n{}001.wav,{}\n".format
    files = {f"{folder}/{'002' if folder == 'z' else '001'}.wav": speech(n)
             for n, folder in enumerate("xyz")}  # fmt: skip
    tables = {"x/m.csv": table("", "anna"), "y/m.csv": table("/home/me/y/", "carl")}
    imported.run({**files, **{name: text.encode() for name, text in tables.items()}})
    names = {info.get("name") for info in imported.speakers.values()}
    assert names == {"anna", "carl", "z"}


@pytest.mark.parametrize("place", ["a/x.wav", "a/clips/x.wav"])
def test_a_row_names_recordings_elsewhere_only_if_the_table_s_folder_has_none(
    imported: Import, place: str
) -> None:
    rows = b"file,speaker\nx.wav,anna\ny.wav,ben\n"
    files = {place: speech(1), "b/x.wav": speech(2), "c/y.wav": speech(3)}
    imported.run({**files, "a/m.csv": rows})
    names = {info.get("name") for info in imported.speakers.values()}
    assert names == {"anna", "b", "ben"}


def test_typescript_is_no_recording_and_a_transport_stream_is_one(imported: Import) -> None:
    stream = (b"\x47" + bytes(187)) * 4
    imported.run({**THREE, "a.ts": b"export {};\n" * 50, "b.TS": stream, "c.ts": b"G"})
    assert imported.left_out == {
        NOT_AUDIO: {"files": 2, "examples": ["a.ts", "c.ts"]},
        NOT_READ: {"files": 1, "examples": ["b.TS"]},
    }


def test_names_in_a_table_match_files_of_either_unicode_form(imported: Import) -> None:
    decomposed = "zoe\u0308"
    files = {f"{decomposed}_{n}.wav": speech(n) for n in range(2)}
    rows = [f"{decomposed}_{n}.wav,zoe" for n in range(2)]
    imported.run({**files, "t.csv": "\n".join(["path,speaker", *rows]).encode()})
    assert imported.provenance["speakers_by"] == "a table"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("a/SA1.wav,a\nSA1.wav,a\nSA1.wav,b", f"{NO_TABLE} SA1.wav has two speakers."),
        ("elsewhere.wav,a", NO_MATCH),
    ],
)
def test_a_table_that_tells_nothing_is_reported(imported: Import, rows: str, reason: str) -> None:
    imported.run({**THREE, "t.csv": f"path,speaker\n{rows}\n".encode()})
    assert len(imported.speakers) == 3
    assert imported.left_out[reason]["examples"] == ["t.csv"]


def test_the_summary_says_how_much_of_the_recordings_was_kept(
    imported: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [("speech", 0.4), ("pause", 2.0)] * 5
    imported.run({**THREE, "d/words.wav": speech(4, *words)})
    assert "4 utterances, 0.1 minutes, from 4 recordings, 0.3 minutes" in capsys.readouterr().err


def test_numbered_folders_are_no_digits_where_there_are_more_than_nine(imported: Import) -> None:
    files = {f"{n}/{word}.wav": speech(n) for n in range(1, 12) for word in ("hello", "story")}
    assert {u.digit for u in imported.run(files)} == {None}


@pytest.mark.parametrize("table", [b"\xff\xfe", b"path,speaker\n\0,\xe9", b'path,speaker\n"' * 9])
def test_a_broken_table_is_left_out(imported: Import, table: bytes) -> None:
    assert len(imported.run({**THREE, "t.csv": table})) == 3
    assert set(imported.speakers) == {"01", "02", "03"}


def test_meta_files_describe_speakers(imported: Import) -> None:
    meta = json.dumps({"a": {"gender": "female"}, "nobody": {"gender": "male"}}).encode()
    imported.run({**THREE, "speakers.json": meta})
    assert imported.speakers["01"] == {"name": "a", "gender": "female"}


def damaged_flac() -> bytes:
    content = bytearray(encode(noise_waveform(1, 20.0), "FLAC"))
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    return bytes(content)


DAMAGED = {"d/no1.flac": damaged_flac(), "d/no2.mp3": b"no sound at all" * 100, "e/no3.wav": b""}


def test_damaged_files_are_counted_and_named(
    imported: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = encode(np.zeros((16_000, 1)))
    files = {**THREE, **DAMAGED, "e/no4.wav": silent, "e/no5.wav": wav(1), "e/no6.txt": b"text"}
    assert len(imported.run(files)) == 3
    assert imported.provenance["damaged"] == 3
    assert sum(summary["files"] for summary in imported.left_out.values()) == 6
    assert imported.left_out[NO_SPEECH] == {"files": 2, "examples": ["e/no4.wav", "e/no5.wav"]}
    err = capsys.readouterr().err
    assert "3 utterances, 0.1 minutes, from 3 recordings, 0.1 minutes, of 3 speakers" in err
    assert "6 files left out, of which 3 cannot be read." in err
    assert all(name in err for name in DAMAGED)


def test_more_damaged_files_than_are_borne_are_an_error_that_names_them(imported: Import) -> None:
    files = {**THREE, **DAMAGED, "e/no4.wav": encode(np.zeros((16_000, 1)))}  # silent, not damaged
    imported.run(files, max_damaged_fraction=3 / 7)
    before = imported.archive.read_bytes()
    with pytest.raises(CorpusError) as raised:
        imported.run(files, max_damaged_fraction=0.42)
    message = str(raised.value)
    assert "3 of 7 recordings" in message and "42.86%" in message
    assert "download.max_damaged_fraction, 0.42" in message
    assert all(f"  {name}: " in message for name in DAMAGED)
    assert imported.archive.read_bytes() == before
    assert [path.name for path in imported.archive.parent.iterdir()] == ["corpus.zip"]


def test_only_the_first_damaged_files_are_named(imported: Import) -> None:
    broken = {f"d/{n}.wav": b"x" for n in range(10, 40)}
    with pytest.raises(CorpusError, match="30 of 33 recordings") as raised:
        imported.run({**THREE, **broken}, max_damaged_fraction=0.5)
    assert "d/14.wav" in str(raised.value) and "d/15.wav" not in str(raised.value)


def test_damaged_digits_are_counted_too(imported: Import) -> None:
    files = {"anna/7_1.wav": wav(1), "anna/7_2.wav": wav(1)[:30], "anna/hello.wav": wav(2)}
    assert len(imported.run(files, max_damaged_fraction=0.34)) == 1
    with pytest.raises(CorpusError, match=r"1 of 3 recordings(?s:.*)anna/7_2\.wav"):
        imported.run(files, max_damaged_fraction=0.33)


def test_nothing_usable_is_an_error(imported: Import) -> None:
    with pytest.raises(CorpusError, match=r"No recording in .*mine can be used(?s:.*)e/no3\.wav"):
        imported.run(DAMAGED)
    assert list(imported.archive.parent.iterdir()) == []


def test_one_speaker_s_memos_are_a_corpus_and_a_warning_is_given(
    imported: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"{name}.wav": speech(n) for n, name in enumerate(("idea", "letter", "shopping"))}
    assert len(imported.run(files)) == len(imported.speakers) == 3
    assert "so one voice may be in several splits" in capsys.readouterr().err


def test_odd_names_give_safe_members(imported: Import, tmp_path: Path) -> None:
    names = ["../../a/x.wav", "/etc/y.wav", "e\x1b[31m/ü.wav", "a\\b.wav"]
    path = tmp_path / "odd.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, speech(number))
    import_local(str(path), imported.archive)
    with zipfile.ZipFile(imported.archive) as archive:
        members = archive.namelist()
        meta = archive.read("data/audioMNIST_meta.txt").decode()
    assert all(m.isascii() and m.isprintable() and ".." not in m for m in members)
    assert "\\u001b" not in meta and "\\\\x1b" in meta


@pytest.mark.parametrize("zipped", [False, True])
def test_a_long_recording_needs_little_memory(
    imported: Import, tmp_path: Path, zipped: bool
) -> None:
    minute = speech_waveform(1, *[("speech", 4.0), ("pause", 1.0)] * 12)
    source = imported.source
    source.mkdir()
    with soundfile.SoundFile(source / "long.wav", "w", 8000, 1, "PCM_16") as file:
        for _ in range(120):
            file.write(minute)
    if zipped:
        with zipfile.ZipFile(tmp_path / "long.zip", "w") as archive:
            archive.write(source / "long.wav")
        source = tmp_path / "long.zip"
    tracemalloc.start()
    try:
        provenance = import_local(str(source), imported.archive)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert provenance["minutes"] > 96
    assert imported.archive.stat().st_size > 90e6
    assert peak < 40e6
