"""The tags of MP3 files, in any language."""

import io
from pathlib import Path

import pytest
import soundfile

from denoise.errors import DenoiseError
from denoise.inference.audio_io import AudioFormat, Encoding, writing
from denoise.inference.file_denoiser import denoise_file
from denoise.inference.id3_tags import id3_tag
from denoise.inference.reader import reading
from tests.networks import RATE, gain_network
from tests.test_file_denoiser import make_noise

TEXT = "Gespräch mit Frau Müller — über 漢字 😀"
TAGS = {
    "title": TEXT,
    "artist": TEXT * 100,
    "album": "Größe",
    "tracknumber": "3/9",
    "date": "2024-05-06",
    "genre": "Rede, für alle",
    "comment": f"über {TEXT}",
    "copyright": "© Jürgen",
}
V1 = {"title": 3, "artist": 33, "album": 63, "comment": 97}  # offsets


def write_mp3(path: Path, tags: dict[str, str]) -> Path:
    encoding = Encoding("MP3", "MPEG_LAYER_III")
    with writing(path, AudioFormat(RATE, 1), encoding) as sink:
        sink.write_tags(tags)
        sink.write(make_noise(RATE).astype("float32"))
    return path


def encode_mp3() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, make_noise(RATE), RATE, format="MP3")
    return file.getvalue()


def read_tags(path: Path) -> dict[str, str]:
    with reading(path) as source:
        return dict(source.tags)


def test_tags_in_any_language_survive_two_runs(tmp_path: Path) -> None:
    source = write_mp3(tmp_path / "in.mp3", TAGS)
    assert read_tags(source) == TAGS
    once, twice = tmp_path / "once.mp3", tmp_path / "twice.mp3"
    denoise_file(gain_network(0.5), source, once)
    report = denoise_file(gain_network(0.5), once, twice)
    assert read_tags(twice) == TAGS
    assert report.n_samples == RATE
    assert report.bit_rate == pytest.approx(report.encoding.bit_rate, rel=0.2)


def test_ffmpeg_reads_the_tags(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    source = write_mp3(tmp_path / "in.mp3", {**TAGS, "license": "frei für alle"})
    with av.open(str(source)) as file:
        named = {name.lower(): text for name, text in file.metadata.items()}
    assert named.pop("license") == "frei für alle"
    assert named.pop("track") == TAGS["tracknumber"]
    assert named == {name: text for name, text in TAGS.items() if name != "tracknumber"}


def test_without_tags_there_is_none_and_a_tag_too_long_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert id3_tag({}) == id3_tag({"title": ""}) == id3_tag({"mood": "good"}) == b""
    monkeypatch.setattr("denoise.inference.id3_tags.MAX_BYTES", 100)
    assert id3_tag({"title": "t" * 100, "artist": "a"}) == id3_tag({"artist": "a"})


def test_a_full_disk_while_tags_are_written_is_an_error(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no full device")
    with (
        pytest.raises((OSError, DenoiseError), match="No space"),
        writing(full, AudioFormat(RATE, 1), Encoding("MP3", "MPEG_LAYER_III")) as sink,
    ):
        sink.write_tags(TAGS)


@pytest.mark.parametrize(
    ("version", "encoded"),
    [
        (3, b"\0" + "Müller".encode("latin-1")),
        (3, b"\1" + "Müller".encode("utf-16")),
        (4, b"\2" + "Müller".encode("utf-16-be")),
        (4, b"\3" + "Müller".encode()),
    ],
)
def test_tags_that_others_wrote_are_read(version: int, encoded: bytes, tmp_path: Path) -> None:
    frame = b"TIT2\0\0\0" + bytes([len(encoded)]) + b"\0\0" + encoded
    path = tmp_path / "in.mp3"
    path.write_bytes(b"ID3" + bytes([version, 0, 0, 0, 0, 0, len(frame)]) + frame + encode_mp3())
    assert read_tags(path) == {"title": "Müller"}


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        ("Müller".encode("latin-1"), "Müller"),
        ("Müller".encode(), "Müller"),
        (("x" * 25 + "Größe").encode()[:28], "x" * 25 + "Gr"),
        (("Größe" + "x" * 20 + "漢").encode()[:28], "Größe" + "x" * 20),
        ("Muß".encode("latin-1"), "Muß"),
    ],
)
@pytest.mark.parametrize("name", V1)
def test_short_tags_without_an_encoding_are_read(
    name: str, encoded: bytes, expected: str, tmp_path: Path
) -> None:
    tag = bytearray(b"TAG" + bytes(124) + b"\xff")
    tag[V1[name] : V1[name] + len(encoded)] = encoded
    path = tmp_path / "in.mp3"
    path.write_bytes(encode_mp3() + tag)
    assert read_tags(path) == {name: expected}
