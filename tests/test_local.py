"""The local source: which files of a folder or zip are imported, and which are left out and why."""

import io
import json
import os
import random
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denoise.corpus.archive import CorpusArchive, Utterance
from denoise.corpus.filename_parser import NO_DIGIT, NO_SPEAKER
from denoise.corpus.local import import_local
from denoise.errors import CorpusError
from tests.corpora import LocalImport, encode, noise_waveform, wav, write_corpus, write_tree

FSDD = {
    "recordings/7_jackson_0.wav": wav(1),
    "recordings/7_jackson_1.wav": wav(2),
    "recordings/3_theo_0.wav": wav(3),
}

MALE = b'{"theo": {"gender": "male"}}'


class Import(LocalImport):
    """Imports from a folder or zip of the test, and their results."""

    def import_folder(self, files: dict[str, bytes]) -> dict[Utterance, bytes]:
        """Import `files` from a folder; return the recordings."""
        self.provenance = import_local(str(write_tree(self.source, files)), self.archive)
        return self.read()

    def import_zip(self, files: list[tuple[str, bytes]]) -> dict[Utterance, bytes]:
        """Import `files` from a zip that holds them in this order; return the recordings."""
        path = self.source.with_suffix(".zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                archive.writestr(name, content)
        self.provenance = import_local(str(path), self.archive)
        return self.read()


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    return Import(tmp_path)


def test_wav_files_are_copied_unchanged_and_speakers_get_numbers(imported: Import) -> None:
    assert imported.import_folder(FSDD) == {
        Utterance("01", 7, 0): wav(1),
        Utterance("01", 7, 1): wav(2),
        Utterance("02", 3, 0): wav(3),
    }
    assert imported.speakers == {"01": {"name": "jackson"}, "02": {"name": "theo"}}
    assert imported.provenance == {
        "source": "local", "name": "mine", "converted": 0, "left_out": {}
    }  # fmt: skip


def test_a_zip_in_any_order_gives_the_same_bytes_as_the_folder(imported: Import) -> None:
    files = {
        **FSDD,
        "notes.txt": b"x",
        "recordings/4_theo_0.flac": encode(noise_waveform(4), "FLAC"),
    }
    imported.import_folder(files)
    expected, left_out = imported.archive.read_bytes(), imported.left_out
    for seed in range(3):
        imported.import_zip(random.Random(seed).sample(sorted(files.items()), len(files)))
        assert imported.archive.read_bytes() == expected
        assert imported.left_out == left_out


def test_importing_a_corpus_archive_gives_the_same_archive(imported: Import) -> None:
    imported.import_folder({**FSDD, "recordings/audioMNIST_meta.txt": MALE})
    again = imported.archive.with_name("again.zip")
    import_local(str(imported.archive), again)
    assert again.read_bytes() == imported.archive.read_bytes()


LOSSLESS = [
    ("flac", "FLAC", "PCM_16", 16),
    ("flac", "FLAC", "PCM_24", 24),
    ("aiff", "AIFF", "PCM_16", 16),
    ("AIF", "AIFF", "PCM_24", 24),
    ("aiff", "AIFF", "PCM_S8", 16),
]


@pytest.mark.parametrize(("suffix", "file_format", "subtype", "bits"), LOSSLESS)
def test_lossless_formats_are_converted_to_wav_with_the_same_samples(
    imported: Import, tmp_path: Path, suffix: str, file_format: str, subtype: str, bits: int
) -> None:
    waveform = noise_waveform(5, channels=2)
    waveform[:2] = [[1.0, -1.0], [-1.0, 1.0]]
    source = tmp_path / f"x.{suffix}"
    source.write_bytes(encode(waveform, file_format, subtype))
    [content] = imported.import_folder({f"anna/7.{suffix}": source.read_bytes()}).values()
    (tmp_path / "x.wav").write_bytes(content)
    assert soundfile.info(tmp_path / "x.wav").subtype == f"PCM_{bits}"
    expected, rate = soundfile.read(source, dtype="int32")
    np.testing.assert_array_equal(soundfile.read(tmp_path / "x.wav", dtype="int32")[0], expected)
    assert rate == soundfile.info(tmp_path / "x.wav").samplerate == 8000
    assert imported.provenance["converted"] == 1


def test_samples_beyond_full_scale_are_clipped(imported: Import, tmp_path: Path) -> None:
    loud = encode(np.array([[1.5], [-1.5], [0.25]]), "AIFF", "FLOAT")
    [content] = imported.import_folder({"anna/7.aiff": loud}).values()
    samples, _ = soundfile.read(io.BytesIO(content), dtype="float64")
    assert samples.tolist() == [1 - 2.0**-23, -1.0, 0.25]


@pytest.mark.parametrize(
    ("suffix", "file_format", "subtype"),
    [("ogg", "OGG", "VORBIS"), ("mp3", "MP3", "MPEG_LAYER_III"), ("opus", "OGG", "OPUS")],
)
def test_lossy_formats_are_converted_to_wav(
    imported: Import, tmp_path: Path, suffix: str, file_format: str, subtype: str
) -> None:
    tone = 0.5 * np.sin(np.arange(8000)[:, None] * np.array([[0.3, 0.5]]))
    [content] = imported.import_folder(
        {f"anna/7.{suffix}": encode(tone, file_format, subtype)}
    ).values()
    (tmp_path / "x.wav").write_bytes(content)
    decoded, rate = soundfile.read(tmp_path / "x.wav")
    assert (soundfile.info(tmp_path / "x.wav").subtype, rate) == ("PCM_16", 8000)
    assert decoded.shape[1] == 2
    assert np.std(decoded) == pytest.approx(np.std(tone), rel=0.1)


def test_a_wrong_extension_does_not_matter(imported: Import) -> None:
    flac = encode(noise_waveform(6), "FLAC")
    [content] = imported.import_folder({"anna/7.wav": flac}).values()
    assert content[:4] == b"RIFF"


def test_the_length_in_a_flac_header_is_ignored(imported: Import) -> None:
    flac = bytearray(encode(noise_waveform(6), "FLAC"))
    flac[21] |= 0x0F  # the number of samples starts with the low four bits of byte 13 of STREAMINFO
    flac[22:26] = b"\xff" * 4
    assert soundfile.info(io.BytesIO(flac)).frames > 2**35
    [content] = imported.import_folder({"anna/7.flac": bytes(flac)}).values()
    assert len(content) == len(wav(6))


def test_unusable_files_are_counted_with_the_reason(
    imported: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "anna/7_1.wav": wav(1),
        "anna/7_2.wav": wav(1)[:30],
        "anna/7_3.wav": b"",
        "anna/7_4.wav": encode(np.zeros((0, 1))),
        "anna/7_5.mp3": b"no sound at all" * 100,
        "anna/7_6.wav": encode(np.zeros((8000 * 60 + 1, 1))),
        "anna/7_7.wav": encode(np.full((80, 1), np.nan), subtype="FLOAT"),
        "anna/hello.wav": wav(2),
        "7_8.wav": wav(2),
        "README.md": b"hello",
        **{f"bed/0a_nohash_{n}.wav": wav(3) for n in range(4)},
    }
    assert list(imported.import_folder(files)) == [Utterance("01", 7, 1)]
    assert sum(summary["files"] for summary in imported.left_out.values()) == len(files) - 1
    assert imported.left_out[NO_DIGIT] == {
        "files": 5,
        "examples": ["anna/hello.wav", "bed/0a_nohash_0.wav", "bed/0a_nohash_1.wav"],
    }
    assert imported.left_out[NO_SPEAKER]["examples"] == ["7_8.wav"]
    assert imported.left_out["It is longer than 60 s."]["examples"] == ["anna/7_6.wav"]
    assert imported.left_out["This audio holds no samples."]["examples"] == ["anna/7_4.wav"]
    err = capsys.readouterr().err
    assert "1 recordings of 1 speakers" in err
    assert f"5: {NO_DIGIT} Such as anna/hello.wav" in err


def test_hidden_files_and_those_of_macos_are_ignored(imported: Import) -> None:
    hidden = {
        "__MACOSX/recordings/._7_jackson_0.wav": b"\x00\x05\x16\x07",
        "recordings/._7_jackson_0.wav": b"\x00\x05\x16\x07",
        "__MACOSX/7_jackson_8.wav": wav(1),
        ".git/7_jackson_9.wav": wav(1),
        ".DS_Store": b"x",
    }
    assert len(imported.import_folder({**FSDD, **hidden})) == 3
    assert imported.left_out == {}


def test_paths_that_leave_the_zip_are_harmless(imported: Import, tmp_path: Path) -> None:
    names = ["../../7_anna_0.wav", "/etc/7_anna_1.wav", "a\\7_anna_2.wav", "7_\x1b[31m_3.wav"]
    recordings = imported.import_zip([(name, wav(i)) for i, name in enumerate(names)])
    assert len(recordings) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"mine.zip", "out"}
    with zipfile.ZipFile(imported.archive) as archive:
        assert all(name.startswith("data/") and ".." not in name for name in archive.namelist())
    assert imported.speakers["01"] == {"name": "\\x1b[31m"}


def test_recordings_with_equal_labels_get_the_next_free_repetition(imported: Import) -> None:
    files = {"a/7_ann_0.wav": wav(1), "b/7_ann_0.wav": wav(2), "c/7_ann_1.wav": wav(3)}
    assert imported.import_folder(files) == {
        Utterance("01", 7, 0): wav(1),
        Utterance("01", 7, 1): wav(3),
        Utterance("01", 7, 2): wav(2),
    }


@pytest.mark.parametrize("top", ["", "mine/", "all/of/mine/"])
def test_a_folder_that_all_recordings_share_is_not_a_speaker(imported: Import, top: str) -> None:
    imported.import_folder({f"{top}zero/ann_0.wav": wav(1), f"{top}one/bob_0.wav": wav(2)})
    assert [info["name"] for info in imported.speakers.values()] == ["ann", "bob"]


def test_a_folder_that_all_recordings_share_is_the_speaker_if_there_is_no_other(
    imported: Import,
) -> None:
    imported.import_folder({"ann/0_0.wav": wav(1), "ann/1_0.wav": wav(2)})
    assert [info["name"] for info in imported.speakers.values()] == ["ann"]


def test_the_entries_of_the_meta_file_are_assigned_to_the_renumbered_speakers(
    imported: Import,
) -> None:
    meta = {
        "1": {"gender": "female", "age": 31},
        "zoe": {"gender": "male", "name": "Zoë"},
        "nobody": {"gender": "male"},
    }
    files = {"data/01/0_01_0.wav": wav(1), "data/zoe/0.wav": wav(2)}
    imported.import_folder({**files, "data/audioMNIST_meta.txt": json.dumps(meta).encode()})
    assert imported.speakers == {
        "01": {"gender": "female", "age": "31"},
        "02": {"gender": "male", "name": "zoe"},
    }


def test_an_outer_meta_file_overrides_an_inner_one(imported: Import) -> None:
    metas = {"x/speakers.json": b'{"theo": {"age": "3", "gender": "?"}}', "meta.json": MALE}
    imported.import_folder({**FSDD, **metas})
    assert imported.speakers["02"] == {"name": "theo", "age": "3", "gender": "male"}


def test_a_name_in_two_unicode_normal_forms_is_one_speaker(imported: Import) -> None:
    names = [unicodedata.normalize(form, "7_Zoë_0.wav") for form in ("NFC", "NFD")]
    imported.import_zip([(name, wav(i)) for i, name in enumerate(names)])
    assert len(imported.speakers) == 1


@pytest.mark.parametrize("meta", [b"{", b"[1]", b'{"jackson": 5}', b"\xff\x00", b"[" * 100_000])
def test_a_broken_meta_file_is_left_out(imported: Import, meta: bytes) -> None:
    assert len(imported.import_folder({**FSDD, "speakers.json": meta})) == 3
    [summary] = imported.left_out.values()
    assert summary == {"files": 1, "examples": ["speakers.json"]}


def test_the_error_without_usable_recordings_lists_the_supported_names(imported: Import) -> None:
    with pytest.raises(CorpusError, match=r"7_jackson_3.*\n.*(?s:.*)bed/hello\.wav"):
        imported.import_folder({"bed/hello.wav": wav(1)})
    assert list(imported.archive.parent.iterdir()) == []


def test_a_missing_source_is_an_error(imported: Import) -> None:
    with pytest.raises(CorpusError, match=r"No folder or zip at .*mine\. Set download\.local"):
        import_local(str(imported.source), imported.archive)


def test_a_file_that_is_not_a_zip_is_an_error(imported: Import) -> None:
    imported.source.write_bytes(b"ustar" * 100)
    with pytest.raises(CorpusError, match="not a whole zip"):
        import_local(str(imported.source), imported.archive)


def test_a_file_that_is_too_large_is_left_out(
    imported: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denoise.corpus.file_index.MAX_BYTES", len(wav(1)))
    assert (
        len(imported.import_folder({**FSDD, "recordings/9_theo_0.wav": wav(1, seconds=0.2)})) == 3
    )
    assert list(imported.left_out.values()) == [
        {"files": 1, "examples": ["recordings/9_theo_0.wav"]}
    ]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX links and pipes")
def test_links_to_folders_broken_links_and_pipes_are_left_out(
    imported: Import, tmp_path: Path
) -> None:
    write_tree(imported.source, FSDD)
    (imported.source / "loop").symlink_to(imported.source)
    (imported.source / "7_theo_8.wav").symlink_to(tmp_path / "nothing")
    os.mkfifo(imported.source / "7_theo_9.wav")
    assert len(imported.import_folder({})) == 3
    assert {reason: summary["files"] for reason, summary in imported.left_out.items()} == {
        "It is a link to a folder.": 1,
        "It is not a regular file.": 2,
    }


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_damaged_zip_gives_an_error_or_intact_recordings(
    tmp_path: Path, position: float, bit: int
) -> None:
    source, archive = tmp_path / "source.zip", tmp_path / "corpus.zip"
    damaged = bytearray(write_corpus(source, 2, 2, seconds=0.01).read_bytes())
    damaged[int(position * len(damaged))] ^= 1 << bit
    source.write_bytes(damaged)
    try:
        provenance = import_local(str(source), archive)
    except CorpusError:
        return
    with CorpusArchive(archive) as opened:
        kept = [opened.read(utterance) for utterance in opened.utterances]
    assert set(kept) <= {wav(10, 0.01), wav(11, 0.01), wav(20, 0.01), wav(21, 0.01)}
    assert len(kept) == 4 or provenance["left_out"]
