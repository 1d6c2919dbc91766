"""The tags of MP3 files, in any language."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from denoise.errors import DenoiseError
from denoise.inference.audio_io import AudioFormat, Encoding, writing
from denoise.inference.file_denoiser import denoise_file
from denoise.inference.id3_tags import id3_tag
from denoise.inference.reader import reading
from denoise.inference.vorbis_comments import read_description
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
    "license": "frei für alle",
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
    source = write_mp3(tmp_path / "in.mp3", TAGS)
    with av.open(str(source)) as file:
        named = {name.lower(): text for name, text in file.metadata.items()}
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


def test_the_license_goes_from_mp3_to_flac(tmp_path: Path) -> None:
    source, target = write_mp3(tmp_path / "in.mp3", TAGS), tmp_path / "out.flac"
    denoise_file(gain_network(0.5), source, target)
    assert read_tags(target)["license"] == TAGS["license"]


UTF_16 = "License\0für ÿ alle".encode("utf-16-le")
BOM = b"\xff\xfe"


@pytest.mark.parametrize(
    ("version", "flags", "frame_flags", "body"),
    [
        (2, 0, 0, b"\0" + "License\0für ÿ alle".encode("latin-1")),
        (3, 0, 0, b"\0" + "License\0für ÿ alle\0".encode("latin-1")),
        (3, 0, 0, b"\1" + BOM + UTF_16[:16] + BOM + UTF_16[16:]),
        (3, 0x80, 0, b"\1" + BOM + UTF_16[:16] + BOM + UTF_16[16:]),
        (4, 0, 0, b"\2" + "LICENSE\0für ÿ alle\0".encode("utf-16-be")),
        (4, 0, 0, b"\3" + "license\0für ÿ alle\0gratis".encode()),
        (4, 0x80, 0, b"\1" + BOM + UTF_16[:16] + BOM + UTF_16[16:]),
        (4, 0, 3, b"\1" + BOM + UTF_16[:16] + BOM + UTF_16[16:]),
    ],
)
def test_licenses_that_others_wrote_are_read(
    version: int, flags: int, frame_flags: int, body: bytes, tmp_path: Path
) -> None:
    """With the flags 0x80 of a tag and 2 of a frame, a zero follows each byte 0xFF."""
    if version == 4 and (flags or frame_flags):
        body = body.replace(b"\xff", b"\xff\0")
    if frame_flags & 1:
        body = b"\0\0\0\x7f" + body
    frames = b""
    for content in (b"\3mood\0good", body, b"\3LICENSE\0another one"):
        if version == 2:
            frames += b"TXX" + len(content).to_bytes(3, "big") + content
        else:
            own_flags = frame_flags if content is body else 0
            frames += b"TXXX\0\0\0" + bytes([len(content), 0, own_flags]) + content
    if version == 3 and flags:
        frames = frames.replace(b"\xff", b"\xff\0")
    path = tmp_path / "in.mp3"
    header = b"ID3" + bytes([version, 0, flags, 0, 0, len(frames) >> 7, len(frames) & 0x7F])
    path.write_bytes(header + frames + encode_mp3())
    assert read_tags(path) == {"license": "für ÿ alle"}


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp3", "libmp3lame"), ("a.flac", "flac"), ("a.opus", "libopus")]
)
def test_comments_of_ffmpeg_are_kept(name: str, codec: str, tmp_path: Path) -> None:
    """They are named texts in MP3, and descriptions in FLAC and OGG."""
    av = pytest.importorskip("av")
    source, target = tmp_path / name, tmp_path / f"out-{name}"
    with av.open(str(source), "w") as file:
        file.metadata.update({"comment": TEXT, "title": "Größe"})
        sound = file.add_stream(codec, rate=48_000, layout="mono")
        samples = make_noise(48_000).astype(np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, "flt", "mono")
        frame.sample_rate = 48_000
        file.mux([*sound.encode(frame), *sound.encode(None)])
    denoise_file(gain_network(0.5), source, target)
    assert read_tags(target) == {"comment": TEXT, "title": "Größe"}


def test_a_comment_is_preferred_to_a_description(tmp_path: Path) -> None:
    source = tmp_path / "a.flac"
    with soundfile.SoundFile(source, "w", RATE, 1) as sound:
        sound.comment, sound.title = "comment", "123456"
        sound.write(make_noise(RATE))
    described, n = re.subn(rb"(?i)title=123456", b"DESCRIPTION=", source.read_bytes())
    assert n == 1
    source.write_bytes(described)
    assert read_tags(source) == {"comment": "comment"}


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"fLaC\x0d\0\0\0Description=d\x07\0\0\0TITLE=t", "d"),
        (b"fLaC\x0d\0\0\0Description=", ""),
        (b"fLaC\0\0\0\0Description=d", ""),
        (b"fLaC\xff\xff\xff\xffDescription=d", ""),
        (b"OggS\x10\0\0\0Description=OggS", ""),
        (b"fLaC\x07\0\0\0TITLE=t", ""),
    ],
)
def test_descriptions_that_are_whole_are_read(head: bytes, expected: str) -> None:
    assert read_description(io.BytesIO(head)) == expected


@pytest.mark.parametrize(
    "frames",
    [b"TXXX\0\0\0\0\0\0", b"TXXX\0\0\0\1\0\0\3", b"TXXX\0\0\0\x08\0\0\3license", b"TXXX"],
)
def test_a_broken_license_is_none(frames: bytes, tmp_path: Path) -> None:
    path = tmp_path / "in.mp3"
    path.write_bytes(b"ID3\4\0\0\0\0\0" + bytes([len(frames)]) + frames + encode_mp3())
    assert read_tags(path) == {}


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
