"""The noise importer: usable recordings are archived, and the others are counted and named."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denoise.dsp.audio import decode, rms
from denoise.errors import CorpusError
from denoise.noise import importer
from denoise.noise.archive import NoiseArchive, create_noise_archive
from denoise.noise.importer import import_noise
from tests.corpora import encode, noise_waveform, wav, write_tree

RATE = 8000
FORMATS = [("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
FORMATS += [("AIFF", "PCM_24"), ("AU", "PCM_16"), ("CAF", "PCM_16"), ("W64", "PCM_16")]
Waveforms = list[list[tuple[np.ndarray, int]]]


def read_archive(path: Path) -> Waveforms:
    """Return the decoded pieces of each recording."""
    with NoiseArchive(path) as archive:
        archive.verify()
        return [[decode(archive.read(piece), 90) for piece in r] for r in archive.recordings]


def import_files(folder: Path, files: dict[str, bytes]) -> tuple[dict[str, Any], Waveforms]:
    """Import `files` from a folder; return the provenance and the recordings."""
    archive = folder / "noise.zip"
    provenance = import_noise(str(write_tree(folder / "mine", files)), archive)
    return provenance, read_archive(archive)


def tone(seconds: float, sample_rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return 0.5 * np.sin(2 * np.pi * 440 * time)[:, None]


def test_without_a_source_the_archive_is_empty(tmp_path: Path) -> None:
    assert import_noise("", tmp_path / "noise.zip")["recordings"] == 0
    assert read_archive(tmp_path / "noise.zip") == []


@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
@pytest.mark.parametrize(("sample_rate", "channels"), [(8000, 1), (48_000, 2), (44_100, 2)])
def test_every_format_becomes_mono_at_its_own_rate(
    tmp_path: Path, file_format: str, subtype: str, sample_rate: int, channels: int
) -> None:
    recording = np.repeat(tone(0.5, sample_rate), channels, axis=1)
    name = f"street/car 1.{file_format.lower()}"
    content = encode(recording, file_format, subtype, sample_rate)
    provenance, recordings = import_files(tmp_path, {name: content})
    (((waveform, rate),),) = recordings
    assert (rate, waveform.shape[1]) == (sample_rate, 1)
    assert len(waveform) == pytest.approx(sample_rate / 2, abs=2500)  # MP3 adds padding
    power = np.abs(np.fft.rfft(waveform[:, 0])) ** 2
    assert np.fft.rfftfreq(len(waveform), 1 / rate)[power.argmax()] == pytest.approx(440, abs=3)
    assert provenance["left_out"] == {}


def test_channels_are_averaged_dc_is_removed_and_loud_noise_is_scaled(tmp_path: Path) -> None:
    noise = noise_waveform(1)
    loud = np.hstack([8 * noise, np.zeros_like(noise)]) + 1
    _, recordings = import_files(tmp_path, {"loud.wav": encode(loud, subtype="FLOAT")})
    (((waveform, _),),) = recordings
    expected = 4 * (noise - noise.mean())
    np.testing.assert_allclose(waveform, expected / np.abs(expected).max(), atol=2**-14)


def test_a_folder_and_a_zip_of_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    files = {"b/1.wav": wav(1), "a/2.flac": encode(noise_waveform(2), "FLAC"), "a/1.wav": wav(3)}
    with zipfile.ZipFile(tmp_path / "mine.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    provenance, recordings = import_files(tmp_path, files)
    from_zip = import_noise(str(tmp_path / "mine.zip"), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "noise.zip").read_bytes()
    assert from_zip == {**provenance, "name": "mine.zip"}
    assert len(recordings) == 3
    expected = decode(wav(3))[0]
    np.testing.assert_allclose(recordings[0][0][0], expected - expected.mean(), atol=2**-15)


def test_members_are_uncompressed_in_order_and_have_one_date(tmp_path: Path) -> None:
    import_files(tmp_path, {f"{n}.wav": wav(n) for n in range(3)})
    with zipfile.ZipFile(tmp_path / "noise.zip") as archive:
        members = archive.infolist()
    assert [m.filename for m in members] == [f"noise/{n:05d}/000.wav" for n in range(3)]
    assert {(m.date_time, m.compress_type) for m in members} == {((1980, 1, 1, 0, 0, 0), 0)}


@pytest.mark.parametrize(
    ("seconds", "pieces"), [(1, [1]), (60, [60]), (89, [89]), (91, [60, 31]), (155, [60, 60, 35])]
)
def test_long_recordings_are_split_into_pieces_without_loss(
    tmp_path: Path, seconds: int, pieces: list[int]
) -> None:
    noise = noise_waveform(1, seconds) - noise_waveform(1, seconds).mean()
    provenance, recordings = import_files(tmp_path, {"long.wav": encode(noise)})
    ((*waveforms,),) = recordings
    assert [round(len(w) / RATE) for w, _ in waveforms] == pieces
    joined = np.concatenate([w for w, _ in waveforms])
    np.testing.assert_allclose(joined, noise, atol=0.01)  # the mean of each piece is removed
    assert provenance["minutes"] == pytest.approx(seconds / 60, abs=0.01)


@pytest.mark.parametrize(("file_format", "subtype"), FORMATS[1:4])  # those that can be joined
def test_joined_recordings_are_imported_with_all_of_them(
    tmp_path: Path, file_format: str, subtype: str
) -> None:
    parts = [encode(tone(seconds), file_format, subtype, RATE) for seconds in (1.0, 2.0, 3.0)]
    _, recordings = import_files(tmp_path, {f"a.{file_format.lower()}": b"".join(parts)})
    ((((waveform, _)),),) = recordings
    assert len(waveform) == pytest.approx(6 * RATE, abs=0.2 * RATE)


def test_joined_recordings_of_two_sample_rates_are_left_out(tmp_path: Path) -> None:
    joined = b"".join(encode(tone(1, rate), "FLAC", "PCM_16", rate) for rate in (8000, 16_000))
    provenance, _ = import_files(tmp_path, {"a.flac": joined, "b.wav": encode(tone(1))})
    (reason,) = provenance["left_out"]
    assert "recordings at 8000 Hz and at 16000 Hz" in str(reason)


def test_a_wav_that_was_never_closed_is_imported_to_its_end(tmp_path: Path) -> None:
    content = bytearray(encode(tone(1)))
    size = content.index(b"data") + 4
    content[size : size + 4] = bytes(4)
    _, recordings = import_files(tmp_path, {"a.wav": bytes(content)})
    ((((waveform, _)),),) = recordings
    assert len(waveform) == RATE


def test_silent_pieces_are_dropped(tmp_path: Path) -> None:
    noise = noise_waveform(1, 60)
    long = np.concatenate([0 * noise, noise, 0 * noise + 0.3, noise])
    provenance, recordings = import_files(tmp_path, {"long.flac": encode(long, "FLAC")})
    assert [len(w) / RATE for w, _ in recordings[0]] == [60, 60]
    assert min(rms(w) for w, _ in recordings[0]) > 0.2
    assert provenance["minutes"] == 2


def test_unusable_files_are_counted_and_named(tmp_path: Path) -> None:
    intact = encode(noise_waveform(0, 1), "FLAC")
    files = {
        "good.wav": wav(1),
        "notes.txt": b"hello",
        "memo.m4a": b"....ftypM4A ",
        "silent.wav": encode(0 * noise_waveform(0)),
        "offset.wav": encode(0 * noise_waveform(0) + 0.5),
        "opposite.wav": encode(np.hstack([tone(1), -tone(1)])),
        "short.wav": wav(2, 0.05),
        "empty.wav": b"",
        "page.mp3": b"<html>404</html>",
        "cut.flac": intact[: len(intact) // 2],
        "nan.wav": encode(np.full((900, 1), np.nan), subtype="FLOAT"),
        "slow.wav": encode(noise_waveform(3), sample_rate=1000),
        ".hidden.wav": wav(4),
    }
    provenance, recordings = import_files(tmp_path, files)
    assert (provenance["recordings"], len(recordings)) == (1, 1)
    left_out = {
        name: reason
        for reason, summary in provenance["left_out"].items()
        for name in summary["examples"]
    }
    assert left_out.keys() == files.keys() - {"good.wav", ".hidden.wav"}
    assert sum(summary["files"] for summary in provenance["left_out"].values()) == len(left_out)
    assert "silent" in left_out["silent.wav"] and "shorter than 0.1 s" in left_out["short.wav"]
    assert left_out["silent.wav"] == left_out["offset.wav"] == left_out["opposite.wav"]
    assert "extension is not that of an audio file" in left_out["notes.txt"]
    assert "convert it to WAV" in left_out["memo.m4a"]
    assert "1000 Hz" in left_out["slow.wav"] and "not finite" in left_out["nan.wav"]


def test_a_recording_with_an_error_at_its_end_leaves_no_piece(tmp_path: Path) -> None:
    broken = noise_waveform(1, 100)
    broken[-1] = np.nan
    files = {"a.wav": encode(broken, subtype="FLOAT"), "b.wav": wav(2)}
    _, recordings = import_files(tmp_path, files)
    assert [[len(w) for w, _ in recording] for recording in recordings] == [[800]]


def test_more_damaged_recordings_than_are_borne_are_an_error(tmp_path: Path) -> None:
    damaged = {"no1.wav": b"", "no2.mp3": b"<html>404</html>"}
    others = {"silent.wav": encode(0 * noise_waveform(0)), "short.wav": wav(2, 0.05), "x.txt": b"x"}
    mine = write_tree(tmp_path / "mine", {"a.wav": wav(1), **damaged, **others})
    import_noise(str(mine), tmp_path / "noise.zip", max_damaged_fraction=2 / 5)
    before = (tmp_path / "noise.zip").read_bytes()
    with pytest.raises(CorpusError, match=r"2 of 5 recordings in .*mine, 40.00%") as raised:
        import_noise(str(mine), tmp_path / "noise.zip", max_damaged_fraction=0.39)
    assert "download.max_damaged_fraction, 0.39" in str(raised.value)
    assert all(f"  {name}: " in str(raised.value) for name in damaged)
    assert (tmp_path / "noise.zip").read_bytes() == before


def test_each_source_of_noise_may_have_its_share_of_damaged_recordings(tmp_path: Path) -> None:
    mine = write_tree(tmp_path / "mine", {"a.wav": wav(1), "no.wav": b""})
    open_folder = write_tree(tmp_path / "open", {f"{n}.wav": wav(n) for n in range(8)})
    archive = tmp_path / "noise.zip"
    import_noise(str(mine), archive, open_folder, max_damaged_fraction=0.5)
    with pytest.raises(CorpusError, match=r"1 of 2 recordings in .*mine"):
        import_noise(str(mine), archive, open_folder, max_damaged_fraction=0.2)
    with pytest.raises(CorpusError, match=r"1 of 2 recordings in .*mine"):
        import_noise(str(open_folder), archive, mine, max_damaged_fraction=0.2)


def test_too_long_recordings_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "MAX_SECONDS", 1.0)
    files = {"just.wav": wav(1, 1.0), "long.flac": encode(noise_waveform(2, 1.001), "FLAC")}
    archive = tmp_path / "noise.zip"
    mine = str(write_tree(tmp_path / "mine", files))
    provenance = import_noise(mine, archive, max_damaged_fraction=0.0)  # it is not damaged
    assert len(read_archive(archive)) == 1
    assert list(provenance["left_out"]) == ["It is longer than 0.000277778 hours."]


@pytest.mark.parametrize("container", ["folder", "zip"])
def test_files_too_large_for_memory_are_copied_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str
) -> None:
    content = encode(noise_waveform(1, 3))
    monkeypatch.setattr("denoise.corpus.file_index.MAX_BYTES", 1000)
    monkeypatch.setattr("denoise.corpus.file_index.BLOCK_BYTES", 700)
    monkeypatch.setattr("denoise.corpus.file_index.MAX_SPOOLED_BYTES", len(content))
    source = write_tree(tmp_path / "mine", {"a.wav": content, "b.wav": content + b"\0"})
    if container == "zip":
        source = tmp_path / "mine.zip"
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.wav", content)
            archive.writestr("b.wav", content + b"\0")
    provenance = import_noise(str(source), tmp_path / "noise.zip")
    (((waveform, _),),) = read_archive(tmp_path / "noise.zip")
    expected = decode(content)[0]
    np.testing.assert_allclose(waveform, expected - expected.mean(), atol=2**-15)
    (summary,) = provenance["left_out"].values()
    assert summary["examples"] == ["b.wav"]


def test_the_error_without_usable_recordings_has_the_reasons(tmp_path: Path) -> None:
    mine = write_tree(tmp_path / "mine", {"a.wav": b"", "b.txt": b"x"})
    with pytest.raises(CorpusError, match=r"No recording in .*mine can be used as noise") as raised:
        import_noise(str(mine), tmp_path / "noise.zip")
    assert "2 files left out" in str(raised.value) and "b.txt" in str(raised.value)
    assert not (tmp_path / "noise.zip").exists()


def test_the_error_for_a_missing_source_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"Set download\.noise to an existing folder or zip"):
        import_noise(str(tmp_path / "nothing"), tmp_path / "noise.zip")
    (tmp_path / "file").write_bytes(b"ustar" * 100)
    with pytest.raises(CorpusError, match=r"Set download\.noise to a folder or another zip"):
        import_noise(str(tmp_path / "file"), tmp_path / "noise.zip")


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX home folder")
def test_a_tilde_stands_for_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path / "mine", {"a.wav": wav(1)})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert import_noise("~/mine", tmp_path / "noise.zip")["recordings"] == 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_damaged_zip_gives_an_error_or_intact_noise(
    tmp_path: Path, position: float, bit: int
) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.wav", wav(number))
    damaged = bytearray(file.getvalue())
    damaged[int(position * len(damaged))] ^= 1 << bit
    (tmp_path / "mine.zip").write_bytes(damaged)
    try:
        import_noise(str(tmp_path / "mine.zip"), tmp_path / "noise.zip")
    except CorpusError:
        return
    originals = [decode(wav(number))[0] for number in range(3)]
    for ((waveform, _),) in read_archive(tmp_path / "noise.zip"):
        assert any(np.abs(waveform - (t - t.mean())).max() < 2**-15 for t in originals)


@pytest.mark.parametrize(
    ("recordings", "training", "held_out"),
    [
        (0, [], []),
        (1, [0], [0]),
        (4, [0, 1, 2, 3], [0, 1, 2, 3]),
        (5, [0, 1, 2, 3], [4]),
        (11, [0, 1, 2, 3, 5, 6, 7, 8, 10], [4, 9]),
    ],
)
def test_every_fifth_recording_is_held_out_for_evaluation(
    tmp_path: Path, recordings: int, training: list[int], held_out: list[int]
) -> None:
    with create_noise_archive(tmp_path / "noise.zip") as writer:
        for number in reversed(range(recordings)):
            for piece in (1, 0):
                writer.add(number, piece, wav(number))
    names = [[f"noise/{n:05d}/{p:03d}.wav" for p in (0, 1)] for n in range(recordings)]
    with NoiseArchive(tmp_path / "noise.zip") as archive:
        assert archive.recordings == names
        assert archive.training == [names[number] for number in training]
        assert archive.held_out == [names[number] for number in held_out]


def test_the_error_for_a_missing_noise_archive_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        CorpusError, match=r"No noise archive at .*\.zip\. Run dvc repro import_noise"
    ):
        NoiseArchive(tmp_path / "noise.zip")
