"""Videos with a cleaned sound: the picture is copied, the sound keeps its time, losses are told."""

import io
import json
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from denoise.cli.main import main
from denoise.containers.detection import has_index_first
from denoise.errors import AudioError, DenoiseError
from denoise.inference.denoiser import Denoiser
from denoise.inference.file_denoiser import Report
from denoise.inference.remux import has_picture
from denoise.inference.sound_encoder import choose_codec
from denoise.inference.video_streams import read_packets
from tests.closures import ROOT
from tests.networks import gain_network, write_halving_model

av = pytest.importorskip("av")
resource: Any = pytest.importorskip("resource") if sys.platform != "win32" else None

FRAME_RATE, SECONDS = 10, 3
CLICKS = (1.0, 2.0)  # seconds
HALF = Denoiser(gain_network(0.5))
MILLISECOND = 0.001
SAMPLES = 2.1  # by which a codec may move the top of a click


@dataclass(frozen=True)
class Video:
    """What PyAV writes: a file name, which names the container, codecs, and what is unusual."""

    name: str
    sound: str
    picture: str = "libx264"
    rate: int = 48_000
    layout: str = "mono"
    bit_rate: int | None = None
    delay: float = 0.0  # of the sound, in seconds
    pause: float = 0.0  # in the sound after 1.5 s, in seconds
    seconds: int = SECONDS
    noise: float = 0.001
    options: tuple[tuple[str, str], ...] = ()


def make_sound(video: Video) -> np.ndarray:
    """Return a tone and noise with two clicks, one up and one down, float32 [n_samples]."""
    n_samples = video.seconds * video.rate
    sound = 0.1 * np.sin(2 * np.pi * 300 * np.arange(n_samples) / video.rate)
    sound += video.noise * np.random.default_rng(0).standard_normal(n_samples)
    click = 0.8 * np.hanning(2 * round(0.0005 * video.rate) + 1)  # codecs smear shorter ones
    for seconds, sign in zip(CLICKS, (1, -1), strict=True):
        start = round(seconds * video.rate) - len(click) // 2
        sound[start : start + len(click)] = sign * click
    return sound.astype(np.float32)


def write(
    folder: Path, video: Video, add: Callable[[Any], Callable[[], None] | None] | None = None
) -> Path:
    """Write a video; `add` adds streams to its container and returns what writes their packets."""
    path = folder / video.name
    container = {".mpg": "mpeg", ".ts": "mpegts"}.get(path.suffix)
    with av.open(str(path), "w", format=container) as file:
        rate = 25 if video.picture == "mpeg1video" else FRAME_RATE  # it knows no lower one
        picture = file.add_stream(video.picture, rate=rate)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = file.add_stream(
            video.sound, rate=video.rate, layout=video.layout, options=dict(video.options)
        )
        if video.bit_rate is not None:
            sound.bit_rate = video.bit_rate
        finish = add(file) if add is not None else None
        _write_packets(file, picture, sound, video)
        if finish is not None:
            finish()
    return path


def _write_packets(file: Any, picture: Any, sound: Any, video: Video) -> None:
    samples, step = make_sound(video), video.rate // FRAME_RATE
    n_channels = sound.codec_context.channels
    for i in range(video.seconds * FRAME_RATE):
        pixels = np.full((48, 64, 3), 7 * i % 255, np.uint8)
        file.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        block = np.tile(samples[None, i * step : (i + 1) * step], (n_channels, 1))
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=video.layout)
        frame.sample_rate, frame.time_base = video.rate, Fraction(1, video.rate)
        frame.pts = i * step + round(video.delay * video.rate)
        _mux_sound(file, sound.encode(frame), video)
    file.mux(picture.encode(None))
    _mux_sound(file, sound.encode(None), video)


def _mux_sound(file: Any, packets: list[Any], video: Video) -> None:
    for packet in packets:
        if packet.pts * packet.time_base > 1.5:
            packet.pts += round(video.pause / packet.time_base)
            packet.dts = packet.pts
        file.mux(packet)


def picture_packets(path: Path) -> list[tuple[int | None, int | None, int | None, bytes]]:
    with av.open(str(path)) as file:
        packets = [each for each in file.demux(video=0) if each.size]
        return [(each.pts, each.dts, each.duration, bytes(each)) for each in packets]


@dataclass(frozen=True)
class Sound:
    """The decoded first sound track: when it begins and its clicks are, in seconds."""

    codec: str
    start: float
    clicks: tuple[float, ...]
    n_samples: int
    rms: float


def decode(path: Path) -> Sound:
    with av.open(str(path)) as file:
        frames = list(file.decode(audio=0))
        codec = file.streams.audio[0].codec_context.codec.canonical_name
    rate = frames[0].sample_rate
    blocks = [_to_mono(each) for each in frames]
    times = [frames[0].time]
    for frame, before in zip(frames[1:], frames, strict=False):
        expected = times[-1] + before.samples / rate  # Matroska rounds times to milliseconds
        is_late = frame.time is not None and frame.time - expected > 0.1  # None ends WMA
        times.append(frame.time if is_late else expected)
    clicks = []
    for sign in (1, -1):
        time, block = max(zip(times, blocks, strict=True), key=lambda pair: (sign * pair[1]).max())
        clicks.append(time + int(np.argmax(sign * block)) / rate)
    samples = np.concatenate(blocks)
    return Sound(codec, frames[0].time, tuple(clicks), len(samples), float(np.std(samples)))


def _to_mono(frame: Any) -> np.ndarray:
    samples = frame.to_ndarray()
    is_planar = frame.format.is_planar
    first = samples[0] if is_planar else samples.reshape(-1, frame.layout.nb_channels)[:, 0]
    scale = 1.0 if samples.dtype.kind == "f" else 2.0 ** (8 * samples.dtype.itemsize - 1)
    return np.asarray(first, np.float64) / scale


def remux(source: Path, target: Path, **settings: Any) -> Report:
    return HALF.denoise_file(source, target, remux=True, **settings)


KINDS = [
    (Video("a.mp4", "aac"), "aac"),
    (Video("stereo.mp4", "aac", rate=44_100, layout="stereo"), "aac"),
    (Video("ac3.mp4", "ac3"), "ac3"),
    (Video("a.m4v", "aac", "mpeg4", 16_000), "aac"),
    (Video("a.3gp", "aac", "mpeg4"), "aac"),
    (Video("a.mov", "aac"), "aac"),
    (Video("pcm.mov", "pcm_s16le"), "pcm_s16le"),
    (Video("alac.mov", "alac"), "alac"),
    (Video("a.mkv", "aac"), "aac"),
    (Video("mp3.mkv", "libmp3lame"), "mp3"),
    (Video("mp2.mkv", "mp2"), "mp2"),
    (Video("opus.mkv", "libopus"), "opus"),
    (Video("flac.mkv", "flac"), "flac"),
    (Video("wavpack.mkv", "wavpack"), "aac"),  # which PyAV's muxer takes, but not losslessly
    (Video("a.webm", "libopus", "libvpx-vp9"), "opus"),
    (Video("vp8.webm", "libopus", "libvpx"), "opus"),
]


@pytest.mark.parametrize(("video", "codec"), KINDS, ids=lambda each: getattr(each, "name", each))
def test_the_picture_is_copied_and_the_sound_keeps_its_time(
    video: Video, codec: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, target = write(tmp_path, video), tmp_path / f"out-{video.name}"
    capfd.readouterr()  # x265 and others print
    report = remux(source, target)
    assert capfd.readouterr() == ("", "")
    assert picture_packets(target) == picture_packets(source)
    assert len(picture_packets(target)) == FRAME_RATE * SECONDS
    before, after = decode(source), decode(target)
    assert after.codec == codec == report.encoding.subtype.lower()
    assert after.clicks == pytest.approx(before.clicks, abs=SAMPLES / video.rate)
    assert after.clicks == pytest.approx(CLICKS, abs=1.01 * MILLISECOND)
    assert after.n_samples == pytest.approx(before.n_samples, abs=2048)
    assert after.n_samples >= min(before.n_samples, SECONDS * video.rate)
    assert after.rms == pytest.approx(before.rms / 2, rel=0.05)
    assert report.notes == ()
    if video.name in ("a.mp4", "stereo.mp4", "a.mov"):  # whose header tells the encoder's padding
        assert report.n_samples == SECONDS * video.rate


@pytest.mark.parametrize(
    "video",
    [
        Video("a.avi", "libmp3lame", "mpeg4"),
        Video("a.mpg", "mp2", "mpeg1video"),
        Video("a.ts", "aac"),
        Video("a.flv", "aac", rate=44_100),
    ],
    ids=lambda each: each.name,
)
def test_other_containers_become_matroska(video: Video, tmp_path: Path) -> None:
    source, target = write(tmp_path, video), tmp_path / "out.mkv"
    report = remux(source, target)
    before, after = decode(source), decode(target)
    assert (report.encoding.format, report.notes) == ("MATROSKA", ())
    assert after.clicks == pytest.approx(before.clicks, abs=MILLISECOND)
    assert after.n_samples >= before.n_samples
    assert after.codec == before.codec
    assert len(picture_packets(target)) == len(picture_packets(source))


@pytest.mark.parametrize(
    "video",
    [
        Video("a.mp4", "aac", delay=0.5),
        Video("a.mov", "pcm_s16le", delay=0.5),
        Video("opus.mp4", "libopus", delay=0.5),
        Video("short.mp4", "aac", delay=0.03),
        Video("a.mkv", "aac", delay=0.5),
        Video("late.mkv", "aac", delay=1.3),
        Video("late.mp4", "aac", delay=1.3),
        Video("a.webm", "libopus", "libvpx", delay=0.5),
    ],
    ids=lambda each: each.name,
)
def test_sound_that_begins_late_stays_late(video: Video, tmp_path: Path) -> None:
    source, target = write(tmp_path, video), tmp_path / f"out-{video.name}"
    remux(source, target)
    before, after = decode(source), decode(target)
    tolerance = SAMPLES / video.rate
    assert after.clicks == pytest.approx(before.clicks, abs=tolerance)
    assert after.clicks[0] == pytest.approx(CLICKS[0] + video.delay, abs=1.1 * MILLISECOND)
    assert before.start - 0.025 <= after.start <= before.start + tolerance
    assert picture_packets(target) == picture_packets(source)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("pause", [0.7, 2.5])
def test_a_pause_in_the_sound_becomes_silence(name: str, pause: float, tmp_path: Path) -> None:
    source = write(tmp_path, Video(name, "aac", pause=pause))
    target = tmp_path / f"out-{name}"
    report = remux(source, target)
    before, after = decode(source), decode(target)
    assert before.clicks == pytest.approx((CLICKS[0], CLICKS[1] + pause), abs=MILLISECOND)
    assert after.clicks == pytest.approx(before.clicks, abs=MILLISECOND)
    assert after.n_samples - before.n_samples == pytest.approx(pause * 48_000, abs=2048)
    assert report.n_samples == pytest.approx((SECONDS + pause) * 48_000, abs=1500)
    denoise = HALF.denoise_file(source, tmp_path / "sound.wav")
    assert denoise.n_samples == before.n_samples


@pytest.mark.parametrize(
    ("video", "least"),
    [
        (Video("low.mp4", "aac", bit_rate=48_000, noise=0.1), 40_000),
        (Video("high.mp4", "aac", bit_rate=160_000, layout="stereo", noise=0.1), 140_000),
        (Video("low.webm", "libopus", "libvpx", bit_rate=24_000, noise=0.1), 18_000),
        (Video("high.mkv", "libopus", bit_rate=128_000, layout="stereo", noise=0.1), 85_000),
        (Video("mp3.mkv", "libmp3lame", bit_rate=192_000, layout="stereo"), 180_000),
    ],
    ids=lambda each: getattr(each, "name", each),
)
def test_the_bit_rate_is_kept(video: Video, least: int, tmp_path: Path) -> None:
    report = remux(write(tmp_path, video), tmp_path / f"out-{video.name}")
    assert report.encoding.bit_rate is not None and report.encoding.bit_rate > least
    assert report.encoding.bit_rate < 1.4 * least
    assert report.bit_rate == pytest.approx(report.encoding.bit_rate, rel=0.25)


def test_the_codec_of_lossless_sound_has_no_bit_rate(tmp_path: Path) -> None:
    report = remux(write(tmp_path, Video("a.mkv", "flac")), tmp_path / "out.mkv")
    assert (report.bit_rate, report.encoding.bit_rate) == (None, None)
    assert report.clipped_samples == 0


def test_opus_replaces_a_codec_of_another_rate(tmp_path: Path) -> None:
    options = (("strict", "-2"),)
    video = Video("a.webm", "vorbis", "libvpx", 44_100, "stereo", 96_000, options=options)
    source, target = write(tmp_path, video), tmp_path / "out.webm"
    report = remux(source, target)
    before, after = decode(source), decode(target)
    assert (before.codec, after.codec) == ("vorbis", "opus")
    assert after.clicks == pytest.approx(before.clicks, abs=1.1 * MILLISECOND)
    assert after.n_samples / 48_000 == pytest.approx(before.n_samples / 44_100, abs=0.03)
    assert report.audio_format.sample_rate == 44_100


def add_everything(file: Any) -> Callable[[], None]:
    """Add a second sound track, subtitles, chapters, tags and, in Matroska, attachments."""
    is_mp4, millisecond = file.format.name == "mp4", Fraction(1, 1000)
    file.metadata.update({"title": "Déjà vu", "artist": "A", "comment": "C"})
    if not is_mp4:
        file.metadata["MOOD"] = "good"
    file.streams.audio[0].metadata.update({"language": "deu", "title": "Stimme"})
    second = file.add_stream("aac", rate=48_000, layout="mono")
    second.metadata["language"] = "fra"
    file.streams.audio[0].disposition = av.stream.Disposition.default.value
    second.disposition = av.stream.Disposition.comment.value
    subtitles = file.add_mux_stream("mov_text" if is_mp4 else "subrip")
    subtitles.time_base = millisecond
    subtitles.metadata["language"] = "ita"
    if not is_mp4:
        file.add_attachment("a.ttf", "font/ttf", b"a font")
        file.add_attachment("cover.jpg", "image/jpeg", make_jpeg())
    cover = add_cover(file) if is_mp4 else None
    chapters = ((1, 0, 1000, {"title": "1"}), (2, 1000, 3000, {}))
    file.set_chapters(
        [
            {"id": i, "start": start, "end": end, "time_base": millisecond, "metadata": titles}
            for i, start, end, titles in chapters
        ]
    )

    def finish() -> None:
        block = np.full((1, 3 * 48_000), 0.1, np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), 0
        file.mux([*second.encode(frame), *second.encode(None)])
        if cover is not None:
            file.mux(cover)
        packet = av.Packet(b"\x00\x05Hallo" if is_mp4 else b"Hallo")
        packet.stream, packet.time_base = subtitles, millisecond
        packet.pts = packet.dts = 1000
        packet.duration = 500
        file.mux(packet)

    return finish


def add_cover(file: Any) -> Any:
    """Add a stream for a cover to an MP4 file; return its packet."""
    stream = file.add_mux_stream("mjpeg", width=16, height=16)
    stream.time_base = Fraction(1, 1000)
    stream.disposition = av.stream.Disposition.attached_pic.value
    packet = av.Packet(make_jpeg())
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = 0
    packet.is_keyframe = True
    return packet


def make_jpeg() -> bytes:
    context = av.CodecContext.create("mjpeg", "w")
    context.width = context.height = 16
    context.pix_fmt, context.time_base = "yuvj420p", Fraction(1, 1)
    frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
    return b"".join(bytes(each) for each in [*context.encode(frame), *context.encode(None)])


def describe(path: Path) -> dict[str, Any]:
    """Return what a video holds beside its picture and its first sound track."""
    with av.open(str(path)) as file:
        text = {key.lower(): value for key, value in file.metadata.items()}
        chapters = [
            (float(each["start"] * each["time_base"]), each["metadata"].get("title"))
            for each in file.chapters()
        ]
        streams = [
            (each.type, each.metadata.get("language"), each.disposition.value)
            for each in file.streams
            if each.type != "data"
        ]
        names = [each.metadata.get("title", each.metadata.get("name")) for each in file.streams]
        attached = [each.data for each in file.streams if each.type == "attachment"]
    with av.open(str(path)) as file:
        chosen = list(file.streams.subtitles)
        packets = [(each.pts, bytes(each)) for each in file.demux(chosen) if each.size]
        packets = packets if chosen else []
    with av.open(str(path)) as file:
        second = [bytes(each) for each in file.demux(audio=1)]
    with av.open(str(path)) as file:
        covers = [bytes(each) for each in file.demux(file.streams.video[-1]) if each.size]
    kept = {key: value for key, value in text.items() if key not in ("encoder",)}
    return {
        "tags": kept,
        "chapters": chapters,
        "streams": streams,
        "names": names,
        "attached": attached,
        "subtitles": packets,
        "second": second,
        "covers": covers,
    }


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_everything_else_is_kept(name: str, tmp_path: Path) -> None:
    source = write(tmp_path, Video(name, "aac"), add_everything)
    target = tmp_path / f"out-{name}"
    report = remux(source, target)
    before, after = describe(source), describe(target)
    assert before["tags"]["title"] == "Déjà vu" and len(before["chapters"]) == 2
    assert before["subtitles"] and len(before["second"]) > 100
    assert "Stimme" in before["names"]
    if name == "a.mkv":
        assert before["attached"] == [b"a font"] and before["tags"]["mood"] == "good"
    assert [kind for kind, *_ in before["streams"]].count("video") == 2  # the cover
    assert before["covers"] == [make_jpeg()]
    assert after == before
    assert decode(target).clicks == pytest.approx(CLICKS, abs=MILLISECOND)
    assert decode(target).start == decode(source).start
    assert report.notes == ("1 other sound track(s) copied with their noise",)


def test_what_the_container_cannot_hold_is_told(tmp_path: Path) -> None:
    source = write(tmp_path, Video("a.mkv", "aac"), add_everything)
    report = remux(source, tmp_path / "out.mp4")
    told = " ".join(report.notes)
    for part in ("subtitles (stream 3", "attachment (stream 4, a.ttf)", "tags left out: MOOD"):
        assert part in told
    after = describe(tmp_path / "out.mp4")
    assert after["subtitles"] == after["attached"] == []
    assert len(after["chapters"]) == 2


def test_the_shape_of_the_pixels_is_kept_or_told(tmp_path: Path) -> None:
    def squeeze(file: Any) -> None:
        file.streams.video[0].codec_context.sample_aspect_ratio = Fraction(3, 2)

    source = write(tmp_path, Video("a.mp4", "aac", "libvpx-vp9"), squeeze)
    notes = {name: remux(source, tmp_path / name).notes for name in ("out.mp4", "out.mkv")}
    assert notes == {"out.mp4": (), "out.mkv": ("aspect ratio of the pixels left out: 3/2",)}
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert file.streams.video[0].sample_aspect_ratio == Fraction(3, 2)


def test_a_time_code_is_kept(tmp_path: Path) -> None:
    def add_time_code(file: Any) -> None:
        file.streams.video[0].metadata["timecode"] = "01:02:03:04"

    source = write(tmp_path, Video("a.mov", "aac"), add_time_code)
    assert remux(source, tmp_path / "out.mov").notes == ()
    for path in (source, tmp_path / "out.mov"):
        with av.open(str(path)) as file:
            assert [each.metadata["timecode"] for each in file.streams.data] == ["01:02:03:4"]


def test_data_that_is_left_out_is_told(tmp_path: Path) -> None:
    def add_data(file: Any) -> Callable[[], None]:
        stream = file.add_data_stream("klv")

        def finish() -> None:
            packet = av.Packet(b"data")
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1), 1, 1
            file.mux(packet)

        return finish

    source = write(tmp_path, Video("a.ts", "aac"), add_data)
    assert remux(source, tmp_path / "out.mkv").notes == ("data (stream 2, klv) left out",)


def test_a_sound_track_of_an_unknown_codec_is_left_out_with_a_note(tmp_path: Path) -> None:
    """Phones that record spatial sound write such a track beside one of AAC."""
    tracks: list[Any] = []

    def add_track(file: Any) -> Callable[[], None]:
        tracks.append(file.add_stream("aac", rate=48_000, layout="mono"))

        def finish() -> None:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 48_000
            file.mux(tracks[0].encode(frame) + tracks[0].encode(None))

        return finish

    source = write(tmp_path, Video("a.mov", "aac"), add_track)
    content = source.read_bytes()
    description, details = content.rindex(b"stsd") + 16, content.rindex(b"esds")
    assert content[description : description + 4] == b"mp4a" and description < details
    changed = bytearray(content)
    changed[description : description + 4], changed[details : details + 4] = b"apac", b"free"
    source.write_bytes(changed)
    with av.open(str(source)) as file:
        assert [each.codec_context is None for each in file.streams.audio] == [False, True]
    report = remux(source, tmp_path / "out.mov")
    assert report.notes == ("sound track (stream 2) left out",)
    assert decode(tmp_path / "out.mov").n_samples == decode(source).n_samples


def test_a_picture_of_an_unknown_codec_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    source = write(tmp_path, Video("a.avi", "pcm_s16le", "mpeg4"))
    content = source.read_bytes()
    source.write_bytes(content.replace(b"FMP4", b"QQQQ"))
    with pytest.raises(DenoiseError, match=r"cannot hold the picture \(stream 0\)\. Omit --remux"):
        remux(source, tmp_path / "out.mkv")


def test_a_picture_that_the_container_cannot_hold_is_an_error(tmp_path: Path) -> None:
    source = write(tmp_path, Video("a.mp4", "aac"))
    with pytest.raises(DenoiseError, match=r"webm files cannot hold the picture .*h264"):
        remux(source, tmp_path / "out.webm")
    assert {each.name for each in tmp_path.iterdir()} == {"a.mp4"}


@pytest.mark.parametrize(
    ("video", "target", "advice"),
    [
        (Video("a.avi", "pcm_s16le", "ffvhuff"), "out.mkv", "JOIN"),
        (Video("a.avi", "pcm_s16le", "ffvhuff"), "out.wmv", "JOIN"),
        (Video("a.wmv", "wmav2", "wmv2", bit_rate=64_000), "out.mkv", r"extension: \.wmv\."),
        (Video("a.flv", "aac", "flv", 44_100), "out.mp4", r"extension: \.flv\."),
        (Video("a.mp4", "aac"), "out.wmv", r"extension: \.mp4 or .*\.mkv\."),
        (Video("a.mov", "aac", "mpeg4"), "out.webm", r"extension: \.mp4 or .*\.mkv\."),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_advice_for_a_picture_that_does_not_fit_works(
    video: Video, target: str, advice: str, tmp_path: Path
) -> None:
    source, result = tmp_path / video.name, tmp_path / Path(video.name).stem
    if advice == "JOIN":
        files = (f"-i {source} -i {result}-denoised.wav", f"-c:v copy {result}-denoised.mkv")
        advice = f"ffmpeg {files[0]} -map 0:v -map 1:a {files[1]}"
    write(tmp_path, video)
    with pytest.raises(DenoiseError, match=rf"cannot hold the picture .*{advice}"):
        remux(source, tmp_path / target)


@pytest.mark.parametrize("pixels", ["yuv420p", "bgr24"])
def test_a_picture_that_is_not_coded_is_kept(pixels: str, tmp_path: Path) -> None:
    source, target = tmp_path / "raw.avi", tmp_path / "out.mkv"
    with av.open(str(source), "w") as file:
        picture = file.add_stream("rawvideo", rate=FRAME_RATE)
        picture.width, picture.height, picture.pix_fmt = 64, 48, pixels
        sound = file.add_stream("pcm_s16le", rate=48_000, layout="mono")
        _write_packets(file, picture, sound, Video("raw.avi", "pcm_s16le"))
    assert remux(source, target).notes == ()
    frames = []
    for path in (source, target):
        with av.open(str(path)) as file:
            frames.append([each.to_ndarray(format="rgb24") for each in file.decode(video=0)])
    np.testing.assert_array_equal(*frames)


@pytest.mark.parametrize(
    ("video", "codec"),
    [
        (Video("a.wmv", "wmav2", "wmv2", 44_100, bit_rate=64_000), "wmav2"),
        (Video("stereo.wmv", "wmav1", "wmv1", 22_050, "stereo", bit_rate=64_000), "wmav1"),
        (Video("low.wmv", "wmav2", "wmv2", 8000, bit_rate=24_000), "wmav2"),
        (Video("late.wmv", "wmav2", "wmv2", 44_100, bit_rate=64_000, delay=0.5), "wmav2"),
        (Video("pause.wmv", "wmav2", "wmv2", 44_100, bit_rate=64_000, pause=0.5), "wmav2"),
        (Video("mp3.asf", "libmp3lame", "msmpeg4v2", 44_100), "mp3"),
        (Video("mpeg.asf", "pcm_s16le", "mpeg4"), "pcm_s16le"),
        (Video("a.flv", "aac", "flv", 44_100), "aac"),
        (Video("mp3.flv", "libmp3lame", "flv", 44_100, "stereo"), "mp3"),
        (Video("h264.flv", "aac", "libx264", 16_000), "aac"),
        (Video("late.flv", "aac", "libx264", 44_100, delay=0.5), "aac"),
        (Video("pause.flv", "aac", "flv", 44_100, pause=0.5), "aac"),
        (Video("swf.flv", "adpcm_swf", "flv", 22_050), "aac"),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_videos_of_windows_and_flash_keep_their_container(
    video: Video, codec: str, tmp_path: Path
) -> None:
    """These hold no negative times: what an encoder puts before the sound delays the picture."""
    source, target = write(tmp_path, video), tmp_path / f"out-{video.name}"
    assert remux(source, target).notes == ()
    before, after = decode(source), decode(target)
    pictures, copies = picture_packets(source), picture_packets(target)
    assert after.codec == codec
    assert [each[3] for each in copies] == [each[3] for each in pictures]
    shift = copies[0][0] - pictures[0][0]  # in milliseconds
    assert 0 <= shift <= 150
    for copy, picture in zip(copies, pictures, strict=True):
        assert copy[0] - picture[0] == pytest.approx(shift, abs=1)
    clicks = [time + shift / 1000 for time in before.clicks]
    assert after.clicks == pytest.approx(clicks, abs=1.01 * MILLISECOND)
    assert after.n_samples >= before.n_samples + round(video.pause * video.rate)
    assert after.rms > before.rms / 3


@pytest.mark.parametrize(
    ("name", "codec"), [("a.wmv", "wmv3"), ("b.wmv", "vc1"), ("a.flv", "vp6f")]
)
def test_pictures_that_nobody_can_encode_are_copied(name: str, codec: str, tmp_path: Path) -> None:
    """The pictures are of another codec here, but copying does not look into them."""
    is_flash, source = name.endswith(".flv"), tmp_path / name
    if is_flash:
        write(tmp_path, Video(name, "aac", "flv", 44_100))
        source.write_bytes(as_vp6(source.read_bytes()))
    else:
        write(tmp_path, Video(name, "wmav2", "wmv2", 44_100, bit_rate=64_000))
        tag = {"wmv3": b"WMV3", "vc1": b"WVC1"}[codec]
        source.write_bytes(source.read_bytes().replace(b"WMV2", tag))
    target = tmp_path / f"out-{name}"
    remux(source, target)
    for path in (source, target):
        with av.open(str(path)) as file:
            assert file.streams.video[0].codec_context.name == codec
            assert file.streams.video[0].width == 64
    assert [each[3] for each in picture_packets(target)] == [
        each[3] for each in picture_packets(source)
    ]


def as_vp6(video: bytes) -> bytes:
    """Return an FLV file with pictures that begin like those of VP6, of 64 times 48 pixels."""
    head = b"\x14\0" + b"\x10\x46\3\4\3\4"
    changed, position = bytearray(video), 13
    while position < len(video):
        size = int.from_bytes(video[position + 1 : position + 4], "big")
        position += 11
        if video[position - 11] == 9:
            changed[position : position + size] = head + bytes(size - len(head))
        position += size + 4
    return bytes(changed)


def test_sound_that_flash_and_windows_do_not_hold_is_changed(tmp_path: Path) -> None:
    source = write(tmp_path, Video("a.mkv", "libmp3lame"))  # Flash has no MP3 at 48 kHz
    remux(source, tmp_path / "out.flv")
    assert decode(tmp_path / "out.flv").codec == "aac"
    with av.open(str(source)) as file, av.open(io.BytesIO(), "w", format="asf") as output:
        assert choose_codec(av, file.streams.audio[0], output, None).codec == "mp3"
        sound = SimpleNamespace(
            codec=SimpleNamespace(canonical_name="wmapro"),
            layout=SimpleNamespace(name="stereo"),
            format=SimpleNamespace(name="fltp"),
            channels=2,
            sample_rate=96_000,
        )
        choice = choose_codec(av, SimpleNamespace(codec_context=sound), output, 8000.0)
    assert (choice.codec, choice.sample_rate, choice.bit_rate) == ("wmav2", 48_000, 24_000)


def ogg_page(packets: list[bytes], number: int, position: int, flags: int = 0) -> bytes:
    """Return a page of an OGG stream with packets of less than 255 bytes."""
    head = b"OggS\0" + bytes([flags]) + struct.pack("<qIII", position, 7, number, 0)
    page = head + bytes([len(packets), *map(len, packets)]) + b"".join(packets)
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum >> 31 else 0)) & 0xFFFFFFFF
    return page[:22] + struct.pack("<I", checksum) + page[26:]


def write_theora(path: Path) -> Path:
    """Write an OGG video of one second; PyAV cannot encode Theora, so it holds no real pictures."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(48_000)
    soundfile.write(path, noise, 48_000, format="OGG", subtype="VORBIS")
    sound = path.read_bytes()
    size = struct.pack(">HH", 4, 3) + b"\0\0\x40\0\0\x30\0\0"  # in blocks, then in pixels
    rate = struct.pack(">II", FRAME_RATE, 1) + bytes(6)
    head = b"\x80theora\x03\x02\x01" + size + rate + bytes(4) + b"\0\xc0"
    headers = [b"\x81theora" + bytes(8), b"\x82theora" + bytes(20)]
    frames = [bytes([0, i, 1, 2]) for i in range(FRAME_RATE)]
    end = sound.index(b"OggS", 1)
    pages = [ogg_page([head], 0, 0, 2), sound[:end], ogg_page(headers, 1, 0), sound[end:]]
    pages += [ogg_page([each], i + 2, (i + 1) << 6) for i, each in enumerate(frames)]
    path.write_bytes(b"".join(pages))
    return path


@pytest.mark.parametrize("name", ["a.ogv", "a.ogg"])
def test_theora_becomes_matroska(
    name: str, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_theora(tmp_path / name)
    assert has_picture(source)
    assert main(["--model", str(model), "--remux", str(source)]) == 0
    with av.open(str(tmp_path / "a-denoised.mkv")) as file:
        codecs = [each.codec_context.name for each in file.streams]
        packets = [(each.pts, bytes(each)) for each in file.demux(video=0) if each.size]
    assert codecs == ["theora", "aac"]
    assert packets == [(100 * i, bytes([0, i, 1, 2])) for i in range(FRAME_RATE)]
    assert main(["--model", str(model), str(source)]) == 0
    assert soundfile.info(tmp_path / "a-denoised.wav").frames == 48_000
    assert not has_picture(write_vorbis(tmp_path / "b.ogg"))


def write_vorbis(path: Path) -> Path:
    soundfile.write(path, np.zeros(8000), 8000)
    return path


@pytest.mark.parametrize(("tune", "is_noted"), [("zerolatency", False), ("film", True)])
def test_h264_in_avi_is_shown_when_it_is_decoded(tune: str, is_noted: bool, tmp_path: Path) -> None:
    source, target = tmp_path / "a.avi", tmp_path / "out.mkv"
    with av.open(str(source), "w") as file:
        options = {"tune": tune, "x264-params": "bframes=0" if not is_noted else "bframes=2"}
        picture = file.add_stream("libx264", rate=FRAME_RATE, options=options)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = file.add_stream("pcm_s16le", rate=48_000, layout="mono")
        _write_packets(file, picture, sound, Video("a.avi", "pcm_s16le"))
    notes = remux(source, target).notes
    assert any("B-frames" in each for each in notes) == is_noted
    if not is_noted:
        n_frames = FRAME_RATE * SECONDS
        assert [each[0] for each in picture_packets(target)] == [100 * i for i in range(n_frames)]


def write_asp(path: Path, n_b_pictures: int) -> Path:
    """Write an AVI file with MPEG-4 whose B-pictures are shown before the picture before them."""
    with av.open(str(path), "w") as file:
        options = {"bf": str(n_b_pictures), "b_strategy": "0", "sc_threshold": "1000000000"}
        picture = file.add_stream("mpeg4", rate=FRAME_RATE, options=options)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = file.add_stream("pcm_s16le", rate=48_000, layout="mono")
        _write_packets(file, picture, sound, Video(path.name, "pcm_s16le"))
    return path


def pack(source: Path, target: Path) -> Path:
    """Copy an AVI file with each B-picture in the packet before, and an empty one in its place."""
    empty = b"\0\0\1\xb6\x50\x80"
    with av.open(str(source)) as file, av.open(str(target), "w") as output:
        copies = {each.index: output.add_stream_from_template(each, True) for each in file.streams}
        extradata = file.streams.video[0].codec_context.extradata or b""
        copies[0].codec_context.extradata = extradata + b"\0\0\1\xb2DivX503b1393p"
        packets = [each for each in file.demux() if each.size]
        pictures = [each for each in packets if each.stream_index == 0]
        contents = [bytes(each) for each in pictures]
        for i in range(1, len(contents)):
            if contents[i][contents[i].index(b"\0\0\1\xb6") + 4] >> 6 == 2:
                contents[i - 1], contents[i] = contents[i - 1] + contents[i], empty
        for packet in packets:
            if packet.stream_index == 0:
                picture = av.Packet(contents[pictures.index(packet)])
                picture.pts = picture.dts = packet.dts
                picture.time_base, picture.is_keyframe = packet.time_base, packet.is_keyframe
                packet, picture.stream = picture, copies[0]
            else:
                packet.stream = copies[packet.stream_index]
            output.mux(packet)
    return target


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
@pytest.mark.parametrize("kind", ["none", "one", "two", "packed"])
def test_mpeg_4_in_avi_is_shown_in_time(kind: str, name: str, tmp_path: Path) -> None:
    source = write_asp(tmp_path / "a.avi", {"none": 0, "two": 2}.get(kind, 1))
    if kind == "packed":
        source = pack(source, tmp_path / "packed.avi")
    assert remux(source, tmp_path / name).notes in ((), ("tags left out: software",))
    with av.open(str(tmp_path / name)) as file:
        assert b"1393p" not in (file.streams.video[0].codec_context.extradata or b"")
    shown = list_levels(tmp_path / name)
    assert [time for time, _ in shown] == [i / FRAME_RATE for i in range(FRAME_RATE * SECONDS)]
    assert [level for _, level in shown] == [level for _, level in list_levels(tmp_path / "a.avi")]


def list_levels(path: Path) -> list[tuple[float, float]]:
    """Return the time and the brightness of each picture, in the order in which they are shown."""
    with av.open(str(path)) as file:
        frames = file.decode(video=0)
        return [(each.time, float(each.to_ndarray(format="gray").mean())) for each in frames]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_the_rotation_of_the_picture_is_kept(name: str, tmp_path: Path) -> None:
    def rotate(file: Any) -> None:
        if not hasattr(file.streams.video[0], "set_display_rotation"):
            pytest.skip("this PyAV writes no rotation")
        file.streams.video[0].set_display_rotation(90)

    source = write(tmp_path, Video(name, "aac"), rotate)
    remux(source, tmp_path / f"out-{name}")
    for path in (source, tmp_path / f"out-{name}"):
        with av.open(str(path)) as file:
            assert next(file.decode(video=0)).rotation == 90


def test_the_tag_of_hevc_for_apple_s_players_is_kept(tmp_path: Path) -> None:
    def tag(file: Any) -> None:
        file.streams.video[0].codec_context.codec_tag = "hvc1"

    source = write(tmp_path, Video("a.mp4", "aac", "libx265"), tag)
    remux(source, tmp_path / "out.mp4")
    remux(source, tmp_path / "out.mkv")
    remux(tmp_path / "out.mkv", tmp_path / "again.mp4")
    for name in ("a.mp4", "out.mp4", "again.mp4"):
        with av.open(str(tmp_path / name)) as file:
            assert file.streams.video[0].codec_context.codec_tag == "hvc1"


def test_apple_s_tags_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "phone.mov"
    plain = write(tmp_path, Video("a.mov", "aac"))
    options = {"movflags": "use_metadata_tags"}
    with av.open(str(plain)) as file, av.open(str(path), "w", container_options=options) as tagged:
        tagged.metadata["com.apple.quicktime.make"] = "Apple"
        copies = [tagged.add_stream_from_template(each, opaque=True) for each in file.streams]
        for packet in file.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                tagged.mux(packet)
    report = remux(path, tmp_path / "out.mov")
    assert report.notes == ()
    with av.open(str(tmp_path / "out.mov")) as file:
        assert file.metadata["com.apple.quicktime.make"] == "Apple"


def test_an_index_at_the_front_stays_there(tmp_path: Path) -> None:
    source = write(tmp_path, Video("a.mp4", "aac"))
    front, again = tmp_path / "front.mp4", tmp_path / "again.mp4"
    options = {"movflags": "faststart"}
    with av.open(str(source)) as file, av.open(str(front), "w", container_options=options) as copy:
        streams = [copy.add_stream_from_template(each, opaque=True) for each in file.streams]
        for packet in file.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                copy.mux(packet)
    remux(source, tmp_path / "end.mp4")
    remux(front, again)
    for path, is_first in {source: 0, tmp_path / "end.mp4": 0, front: 1, again: 1}.items():
        with path.open("rb") as opened:
            assert has_index_first(opened) == is_first
        content = path.read_bytes()
        assert (content.index(b"moov") < content.index(b"mdat")) == is_first
    assert picture_packets(again) == picture_packets(source)
    assert decode(again).clicks == pytest.approx(CLICKS, abs=MILLISECOND)


@pytest.mark.parametrize(
    ("content", "is_first"),
    [
        (b"", False),
        (bytes(64), False),
        (b"\0\0\0\x08free" * 200, False),
        (b"\0\0\0\x08free\0\0\0\x08moov", True),
        (b"\0\0\0\1free" + (20).to_bytes(8, "big") + b"moov\0\0\0\x08moov", True),
        (b"\0\0\0\1mdat" + (20).to_bytes(8, "big") + b"moov\0\0\0\x08moov", False),
    ],
)
def test_where_the_index_is(content: bytes, is_first: bool) -> None:
    assert has_index_first(io.BytesIO(content)) == is_first


def test_sound_and_picture_lie_side_by_side_in_the_file(tmp_path: Path) -> None:
    """The network lags by seconds; packets in memory would grow with them."""
    source = write(tmp_path, Video("a.mkv", "aac", rate=16_000, seconds=40))
    remux(source, tmp_path / "out.mkv")
    newest = {"video": 0.0, "audio": 0.0}
    with av.open(str(tmp_path / "out.mkv")) as file:
        for packet in file.demux():
            if packet.size and packet.pts is not None:
                kind = packet.stream.type
                newest[kind] = max(newest[kind], float(packet.pts * packet.time_base))
                assert abs(newest["video"] - newest["audio"]) < 1.5


def test_strength_and_residual_change_the_sound(tmp_path: Path) -> None:
    source = write(tmp_path, Video("a.mov", "pcm_s16le", rate=8000))
    levels = {}
    for name, settings in {
        "none.mov": {"strength": 0.0},
        "half.mov": {},
        "rest.mov": {"strength": 0.5, "residual": True},
    }.items():
        remux(source, tmp_path / name, **settings)
        levels[name] = decode(tmp_path / name).rms / decode(source).rms
    assert levels == pytest.approx({"none.mov": 1, "half.mov": 0.5, "rest.mov": 0.25}, rel=0.01)


def test_samples_beyond_full_scale_are_clipped_and_counted(tmp_path: Path) -> None:
    source = write(tmp_path, Video("a.mov", "pcm_s16le", rate=8000))
    with av.open(str(source)) as file:
        samples = np.concatenate([_to_mono(each) for each in file.decode(audio=0)])
    louder = Denoiser(gain_network(2.0))
    report = louder.denoise_file(source, tmp_path / "out.mov", remux=True)
    assert report.clipped_samples == np.count_nonzero(np.abs(samples) > 0.5) > 4
    with av.open(str(tmp_path / "out.mov")) as file:
        clipped = np.concatenate([_to_mono(each) for each in file.decode(audio=0)])
    np.testing.assert_allclose(clipped, np.clip(2 * samples, -1, 1), atol=0.001)
    floats = write(tmp_path, Video("a.mkv", "aac"))
    assert louder.denoise_file(floats, tmp_path / "out.mkv", remux=True).clipped_samples == 0


def test_impossible_settings_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path, Video("a.mp4", "aac"))
    with pytest.raises(ValueError, match="strength of 2"):
        remux(source, tmp_path / "out.mp4", strength=2.0)
    with pytest.raises(DenoiseError, match=r"a\.mp4 is a video, whose sound keeps its format"):
        remux(source, tmp_path / "out.mp4", format="flac")
    assert {each.name for each in tmp_path.iterdir()} == {"a.mp4"}


def test_an_interrupted_run_keeps_what_was_there(tmp_path: Path) -> None:
    source, target = write(tmp_path, Video("a.mp4", "aac")), tmp_path / "out.mp4"
    target.write_text("former")
    calls: list[tuple[int, int | None]] = []

    def stop(done: int, declared: int | None) -> None:
        calls.append((done, declared))
        if done > 48_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remux(source, target, progress=stop)
    assert target.read_text() == "former"
    assert {each.name for each in tmp_path.iterdir()} == {"a.mp4", "out.mp4"}
    assert calls[-1][1] == SECONDS * 48_000


def test_an_exception_of_progress_is_raised_unchanged(tmp_path: Path) -> None:
    source, error = write(tmp_path, Video("a.mp4", "aac")), BrokenPipeError("pipe")

    def stop(done: int, declared: int | None) -> None:
        raise error

    with pytest.raises(BrokenPipeError) as caught:
        remux(source, tmp_path / "out.mp4", progress=stop)
    assert caught.value is error and error.__context__ is None
    assert {each.name for each in tmp_path.iterdir()} == {"a.mp4"}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_damage_is_an_error_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    source = write(tmp_path, Video(name, "aac", seconds=6))
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    with pytest.raises(DenoiseError, match=name):
        remux(source, tmp_path / f"out-{name}")
    assert {each.name for each in tmp_path.iterdir()} == {name}


def test_damage_between_the_packets_of_the_picture_says_where() -> None:
    packet = SimpleNamespace(stream_index=0, size=1, stream=SimpleNamespace(type="video"))
    packet.pts = packet.dts = 25
    packet.time_base = Fraction(1, 10)

    def demux(_: list[Any]) -> Iterator[Any]:
        yield packet
        raise av.error.InvalidDataError(av.error.InvalidDataError, "damaged")

    source = SimpleNamespace(streams=["picture"], demux=demux, format=SimpleNamespace(name="mp4"))
    packets = read_packets(av, source, {0: "copy"})
    assert next(packets) is packet
    with pytest.raises(AudioError, match=r"It is damaged: it cannot be read from 2\.5 s on"):
        next(packets)


@pytest.mark.skipif(resource is None, reason="Windows has no limit for files")
def test_a_disk_error_leaves_nothing(tmp_path: Path) -> None:
    source = write(tmp_path, Video("a.mp4", "aac"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(DenoiseError, match=r"out\.mp4 cannot be written: File too large"):
            remux(source, tmp_path / "out.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {each.name for each in tmp_path.iterdir()} == {"a.mp4"}
    with pytest.raises(DenoiseError, match="is the input itself"):
        remux(source, source)


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as file:
        picture = file.add_stream("mpeg4", rate=5)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        pixels = np.zeros((32, 32, 3), np.uint8)
        file.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(picture.encode(None))
    with pytest.raises(AudioError, match=r"silent\.mp4: It has no sound"):
        remux(path, tmp_path / "out.mp4")


def write_album(path: Path, has_cover: bool) -> None:
    """Write an M4A file, whose cover FFmpeg shows as a stream of pictures."""
    with av.open(str(path), "w", format="mp4") as file:
        sound = file.add_stream("aac", rate=16_000, layout="mono")
        if has_cover:
            file.mux(add_cover(file))
        frame = av.AudioFrame.from_ndarray(np.full((1, 16_000), 0.1, np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16_000, 0
        file.mux([*sound.encode(frame), *sound.encode(None)])


def test_a_cover_is_no_picture(tmp_path: Path) -> None:
    for name, has_cover in {"cover.mp4": True, "plain.mp4": False}.items():
        write_album(tmp_path / name, has_cover)
        with av.open(str(tmp_path / name)) as file:
            assert len(file.streams.video) == has_cover
        assert not has_picture(tmp_path / name)
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    assert not any(has_picture(tmp_path / each) for each in ("a.wav", "broken.mp4", "no.mp4"))
    assert has_picture(write(tmp_path, Video("film.mp4", "aac")))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_halving_model(tmp_path_factory.mktemp("model") / "half.onnx")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with videos and recordings in the subfolder `in`."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    write(Path("in"), Video("film.mp4", "aac", "mpeg4", 16_000))
    write(Path("in"), Video("old.avi", "libmp3lame", "mpeg4", 16_000))
    write_album(Path("in/album.mp4"), has_cover=True)
    soundfile.write("in/a.flac", np.full(8000, 0.1), 8000)
    return tmp_path


def list_files() -> set[str]:
    return {each.as_posix() for each in Path().rglob("*") if each.is_file()}


PLANS = [
    (["in/film.mp4"], {"in/film-denoised.mp4"}),
    (["in/film.mp4", "--residual"], {"in/film-residual.mp4"}),
    (["in/film.mp4", "--suffix", ".x"], {"in/film.x.mp4"}),
    (["in/film.mp4", "-o", "x.mkv"], {"x.mkv"}),
    (["in/film.mp4", "-o", "x"], {"x"}),
    (["in/old.avi"], {"in/old-denoised.mkv"}),
    (["in/album.mp4"], {"in/album-denoised.wav"}),
    (["in/a.flac", "-o", "x.ogg"], {"x.ogg"}),
    (["in", "-o", "x"], {"x/film.mp4", "x/old.mkv", "x/album.wav", "x/a.flac"}),
    (["in/fi*", "-o", "x.mov"], {"x.mov"}),
]


@pytest.mark.parametrize(("arguments", "expected"), PLANS, ids=lambda each: " ".join(sorted(each)))
def test_names_of_results(
    folder: Path, model: Path, arguments: list[str], expected: set[str]
) -> None:
    before = list_files()
    assert main(["--model", str(model), "--remux", *arguments, "--quiet"]) == 0
    assert list_files() - before == expected
    for name in expected:
        is_video = not name.endswith((".wav", ".flac", ".ogg"))
        assert has_picture(name) == is_video
    again = ["--model", str(model), "--remux", *arguments, "--quiet"]
    assert main(again) == 2  # they exist
    assert main([*again, "--skip-existing"]) == 0
    assert main([*again, "--overwrite"]) == 0
    assert list_files() - before == expected


def test_videos_of_one_name_keep_their_extensions(folder: Path, model: Path) -> None:
    write(Path("in"), Video("old.mkv", "aac", "mpeg4", 16_000))
    assert main(["--model", str(model), "--remux", "in/old.avi", "in/old.mkv", "-q"]) == 0
    assert {"in/old.avi-denoised.mkv", "in/old-denoised.mkv"} <= list_files()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in/film.mp4", "--format", "mp3"], "--remux and --format exclude each other"),
        (["in/film.mp4", "-o", "-"], "--remux writes no video to standard output"),
        (["-"], "--remux writes no video to standard output"),
        (["in/film.mp4", "-o", "x.wav"], r"x\.wav is not the name of a video: use \.mp4"),
        (["in", "-o", "x.mp4"], r"x\.mp4 is the name of one file"),
        (["in/album.mp4", "-o", "x.mp4"], "files are only read"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_what_cannot_be_is_refused_before_any_work(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list_files()
    assert main(["--remux", *arguments]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert list_files() == before


def test_notes_are_printed_and_in_the_report(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(Path("in"), Video("rich.mkv", "aac"), add_everything)
    arguments = ["--model", str(model), "--remux", str(source), "-o", "x.mp4"]
    assert main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    (entry,) = json.loads(printed.out)["files"]
    assert (entry["format"], entry["subtype"], entry["status"]) == ("MP4", "AAC", "denoised")
    assert "tags left out: MOOD" in entry["notes"]
    assert printed.err.startswith(f"{source} -> x.mp4 [subtitles (stream 3")
    assert printed.err.count("\n") == 1


def test_a_dry_run_names_videos_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list_files()
    assert main(["--remux", "in", "-n"]) == 0
    assert "would write in/film-denoised.mp4 from in/film.mp4" in capsys.readouterr().out
    assert list_files() == before


def test_a_video_comes_through_standard_input(folder: Path, model: Path) -> None:
    command = [sys.executable, "-m", "denoise", "--model", str(model), "--remux", "-", "-o"]
    with Path("in/film.mp4").open("rb") as file:
        subprocess.run(
            [*command, str(folder / "x.mp4")], cwd=ROOT, stdin=file, check=True, timeout=120
        )
    assert picture_packets(Path("x.mp4")) == picture_packets(Path("in/film.mp4"))


def test_a_light_install_says_what_to_install(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    before = list_files()
    assert main(["--model", str(model), "--remux", "in/film.mp4", "in/a.flac"]) == 1
    error = capsys.readouterr().err
    assert 'in/film.mp4: It is read with PyAV, which is not installed: pip install ".[media]"' in (
        error
    )
    assert list_files() - before == {"in/a-denoised.flac"}
    assert main(["--model", str(model), "--remux", "in/film.mp4", "-o", "x.mp4"]) == 1
    assert 'pip install ".[media]"' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "av", av)
    monkeypatch.setattr(av, "__version__", "15.0.0")
    assert main(["--model", str(model), "--remux", "in/film.mp4"]) == 1
    assert "--remux needs PyAV 18.1 or later, and 15.0.0 is installed" in capsys.readouterr().err
    program = "import sys, denoise.inference.remux; assert 'av' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
