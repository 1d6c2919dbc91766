"""M4A, MP4, WebM and others, which PyAV decodes; the samples are held to FFmpeg's own count."""

import io
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile
from flask.testing import FlaskClient

from denoise.cli.main import main
from denoise.containers.detection import sniff
from denoise.errors import AudioError, DenoiseError
from denoise.inference import media
from denoise.inference.file_denoiser import Options, denoise_file
from denoise.inference.reader import probe, reading
from tests.closures import ROOT
from tests.networks import gain_network
from tests.test_server import client_of, make_context

av = pytest.importorskip("av")

N = 100_000


@dataclass(frozen=True)
class Kind:
    """What PyAV writes: a file name, which names the container, a codec and a sample rate."""

    name: str
    codec: str
    rate: int = 16_000
    exact: bool = False
    video: bool = False
    container: str | None = None
    bit_rate: int | None = None
    options: dict[str, str] = field(default_factory=dict, hash=False)


KINDS = [
    Kind("a.m4a", "aac"),
    Kind("front.m4a", "aac", options={"movflags": "faststart"}),
    Kind("parts.mp4", "aac", options={"movflags": "frag_keyframe+empty_moov"}),
    Kind("alac.m4a", "alac", 44_100, exact=True),
    Kind("film.mp4", "aac", 48_000, video=True),
    Kind("film.mov", "pcm_s16le", video=True, exact=True),
    Kind("a.3gp", "amr_nb", 8000),
    Kind("a.aac", "aac", 44_100),
    Kind("a.webm", "libopus", 48_000, exact=True),
    Kind("film.mkv", "libopus", 48_000, video=True, exact=True),
    Kind("flac.mka", "flac", exact=True),
    Kind("float.mka", "pcm_f32le", exact=True),
    Kind("a.wma", "wmav2", bit_rate=64_000),
    Kind("film.avi", "pcm_s16le", video=True, exact=True),
    Kind("a.flv", "aac", 44_100),
    Kind("a.mts", "aac", container="mpegts"),
    Kind("cam.mts", "ac3", 48_000, container="mpegts", options={"mpegts_m2ts_mode": "1"}),
    Kind("a.amr", "amr_nb", 8000),
    Kind("a.ac3", "ac3", 48_000),
    Kind("a.eac3", "eac3", 48_000),
    Kind("a.wv", "wavpack"),
    Kind("a.tta", "tta"),
    Kind("aac.mp3", "aac", container="adts"),
    Kind("g726.wav", "adpcm_g726", 8000),
    Kind("mp3.wav", "libmp3lame"),
    Kind("alac.caf", "alac", exact=True),
    Kind("flac.oga", "flac", container="ogg", exact=True),
]
BY_NAME = {kind.name: kind for kind in KINDS}


def make_samples(rate: int) -> np.ndarray:
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(N) / rate)
    return ((tone + 0.02 * np.random.default_rng(0).standard_normal(N)) * 32767).astype(np.int16)


def write(folder: Path, kind: Kind, title: str = "", delay: int = 0, track_title: str = "") -> Path:
    path, samples = folder / kind.name, make_samples(kind.rate)
    with av.open(str(path), "w", format=kind.container, options=kind.options) as file:
        if title:
            file.metadata["title"] = title
        picture = file.add_stream("mpeg4", rate=5) if kind.video else None
        sound = file.add_stream(kind.codec, rate=kind.rate, layout="mono")
        if track_title:
            sound.metadata["title"] = track_title
        if kind.bit_rate is not None:
            sound.bit_rate = kind.bit_rate
        if picture is not None:
            picture.width = picture.height = 32
            picture.pix_fmt = "yuv420p"
            for i in range(5 * N // kind.rate):
                pixels = np.full((32, 32, 3), i, np.uint8)
                file.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(picture.encode(None))
        for start in range(0, N, 4096):
            block = samples[None, start : start + 4096]
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = kind.rate, start + delay
            file.mux(sound.encode(frame))
        file.mux(sound.encode(None))
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("media")
    return {kind.name: write(folder, kind) for kind in KINDS}


def read_all(path: Path) -> np.ndarray:
    with reading(path) as source:
        return np.concatenate(list(source.blocks()))


def count_by_ffmpeg(path: Path) -> int:
    with av.open(str(path)) as file:
        return sum(frame.samples for frame in file.decode(audio=0))


@pytest.mark.parametrize("name", BY_NAME)
def test_all_samples_come_back(
    name: str, written: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    kind, path = BY_NAME[name], written[name]
    samples = read_all(path)
    assert samples.shape == (count_by_ffmpeg(path), 1)
    assert samples.dtype == np.float32
    assert N - 2100 <= len(samples) <= N + 3 * 1152
    expected = make_samples(kind.rate)[:, None] / 32768
    if kind.exact and kind.codec != "libopus":
        np.testing.assert_array_equal(samples, expected.astype(np.float32))
    elif kind.exact:
        assert len(samples) == N
    else:
        assert np.std(samples) == pytest.approx(np.std(expected), rel=0.1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", BY_NAME)
def test_denoising_writes_a_file_of_the_same_length(
    name: str, written: dict[str, Path], tmp_path: Path
) -> None:
    path, target = written[name], tmp_path / "out.wav"
    report = denoise_file(gain_network(0.5), path, target, Options(format="wav"))
    info = soundfile.info(target)
    assert info.frames == report.n_samples == count_by_ffmpeg(path)
    depths = {"float.mka": "FLOAT", "alac.m4a": "PCM_24", "alac.caf": "PCM_24"}
    if name in depths:
        assert report.encoding.subtype == depths[name]


def test_mp3_in_a_wav_gets_advice_that_works(written: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    with pytest.raises(DenoiseError, match=r"cannot be written .* WAV can: pass --format wav\."):
        denoise_file(gain_network(0.5), written["mp3.wav"], target)
    report = denoise_file(gain_network(0.5), written["mp3.wav"], target, Options(format="wav"))
    assert soundfile.info(target).frames == report.n_samples


def test_the_name_says_the_format_of_the_result(written: dict[str, Path], tmp_path: Path) -> None:
    for name, expected in {"o.mp3": "MP3", "o.flac": "FLAC", "o.opus": "OGG", "o": "WAV"}.items():
        denoise_file(gain_network(0.5), written["film.mp4"], tmp_path / name)
        assert soundfile.info(tmp_path / name).format == expected
    denoise_file(gain_network(0.5), written["aac.mp3"], tmp_path / "is-one.mp3")
    assert soundfile.info(tmp_path / "is-one.mp3").subtype == "MPEG_LAYER_III"
    for name in ("o.mp4", "o.ts"):
        with pytest.raises(DenoiseError, match=r"use \.wav, \.flac, \.ogg, \.mp3 or \.aiff"):
            denoise_file(gain_network(0.5), written["film.mp4"], tmp_path / name)


def damage(encoded: bytes) -> dict[str, bytes]:
    middle, junk = len(encoded) // 2, np.random.default_rng(3).bytes(1000)
    return {
        "half": encoded[:middle],
        "flipped": encoded[:middle] + junk[:64] + encoded[middle + 64 :],
        "zeroed": encoded[:middle] + bytes(2000) + encoded[middle + 2000 :],
        "header": bytes(64) + encoded[64:],
        "empty": encoded[:16],
    }


LIVE = ["a.aac", "a.mts", "a.flv", "a.amr", "cam.mts", "a.ac3"]


@pytest.mark.parametrize("name", LIVE)
def test_a_stream_that_ends_within_a_frame_is_read_to_there(
    name: str, written: dict[str, Path], tmp_path: Path
) -> None:
    """As a recording of a radio station does, or one of a camera whose battery is empty."""
    path, whole = tmp_path / name, read_all(written[name])
    encoded = written[name].read_bytes()
    for n_bytes in (0.5, 0.6, 0.7):
        n_kept = round(n_bytes * len(encoded))
        for n_more in range(0, 200, 40):
            path.write_bytes(encoded[: n_kept + n_more])
            samples = read_all(path)
            assert len(samples) == pytest.approx(n_bytes * len(whole), abs=0.15 * len(whole))
            n_equal = len(samples) - BY_NAME[name].rate // 10  # the rest may be concealed
            np.testing.assert_array_equal(samples[:n_equal], whole[:n_equal])


@pytest.mark.parametrize("name", ["a.m4a", "front.m4a", "film.mp4", "a.aac", "a.webm", "a.wma"])
@pytest.mark.parametrize("how", ["half", "flipped", "zeroed", "header", "empty"])
def test_damage_is_an_error_and_never_a_shorter_recording(
    name: str, how: str, written: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(damage(written[name].read_bytes())[how])
    try:
        n_samples = len(read_all(path))
    except AudioError as error:
        assert str(path) in str(error)
    else:
        is_cut = how == "half" and name in LIVE
        assert n_samples > (0.4 if is_cut else 0.9) * N, "a decoder that stopped"


@pytest.mark.parametrize("name", ["a.m4a", "front.m4a", "a.aac", "a.webm", "a.wma"])
def test_what_follows_the_audio_is_no_damage(
    name: str, written: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(written[name].read_bytes() + b"TAG" + b" " * 125)
    assert len(read_all(path)) == count_by_ffmpeg(written[name])


@pytest.mark.parametrize("name", ["film.mov", "film.mkv", "film.mp4"])
def test_sound_that_begins_later_than_the_picture_keeps_its_time(
    name: str, tmp_path: Path, written: dict[str, Path]
) -> None:
    kind = BY_NAME[name]
    path = write(tmp_path, kind, delay=kind.rate)
    samples, usual = read_all(path), read_all(written[name])
    assert len(samples) - len(usual) == pytest.approx(kind.rate, abs=0.03 * kind.rate)
    lead = len(samples) - len(usual)
    assert not samples[: lead - 1024].any()  # AAC begins with a frame that fades in
    np.testing.assert_allclose(np.std(samples[lead:]), np.std(usual), rtol=0.01)


def test_tags_are_kept(tmp_path: Path) -> None:
    source = write(tmp_path, BY_NAME["a.m4a"], title="Déjà vu")
    denoise_file(gain_network(0.5), source, tmp_path / "out.flac")
    with soundfile.SoundFile(tmp_path / "out.flac") as result:
        assert result.title == "Déjà vu"


def test_a_cover_in_an_opus_file_does_not_raise_the_bit_rate(tmp_path: Path) -> None:
    kind = Kind("a.opus", "libopus", 48_000, container="ogg", bit_rate=64_000)
    bit_rates, sizes = [], []
    for title in ("", "t" * 300_000):  # as long as a cover, which is a tag, too
        path = write(tmp_path, kind, title=title)
        sizes.append(path.stat().st_size)
        with reading(path) as source:
            bit_rates.append(source.encoding.bit_rate)
    assert sizes[1] > sizes[0] + 300_000
    assert bit_rates[0] == pytest.approx(8 * sizes[0] * kind.rate / N, rel=0.05)
    assert bit_rates[1] == pytest.approx(bit_rates[0], rel=0.01)


def test_the_title_of_a_track_is_not_that_of_the_recording(tmp_path: Path) -> None:
    kind = BY_NAME["flac.mka"]
    for title, expected in (("A talk", "A talk"), ("", "Stereo")):
        path = write(tmp_path, kind, title=title, track_title="Stereo")
        with reading(path) as source:
            assert source.tags["title"] == expected


@pytest.mark.parametrize(("samples", "subtype"), [("fltp", "FLOAT"), ("s32p", "PCM_24")])
def test_the_depth_of_wavpack_is_kept(samples: str, subtype: str, tmp_path: Path) -> None:
    path, tone = tmp_path / "in.wv", np.sin(np.arange(8000) / 8)
    scaled = 2.5 * tone if samples == "fltp" else 2**30 * tone
    block = scaled[None].astype(np.float32 if samples == "fltp" else np.int32)
    with av.open(str(path), "w") as file:
        sound = file.add_stream("wavpack", rate=16_000, layout="mono")
        sound.codec_context.format = samples
        frame = av.AudioFrame.from_ndarray(block, format=samples, layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        file.mux(sound.encode(frame))
        file.mux(sound.encode(None))
    report = denoise_file(gain_network(1.0), path, tmp_path / "out.wav")
    assert (report.encoding.subtype, report.clipped_samples) == (subtype, 0)
    peak = np.abs(read_all(path)).max()
    assert peak == pytest.approx(2.5 if samples == "fltp" else 0.5, rel=1e-3)


def test_eight_channels_are_read(tmp_path: Path) -> None:
    path, levels = tmp_path / "in.wv", np.arange(1, 9) / 16
    samples = (levels * np.sin(np.arange(8000) / 8)[:, None] * 2**15).astype(np.int16)
    with av.open(str(path), "w") as file:
        sound = file.add_stream("wavpack", rate=16_000, layout="7.1")
        sound.codec_context.format = "s16p"
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="7.1")
        frame.sample_rate, frame.pts = 16_000, 0
        file.mux(sound.encode(frame))
        file.mux(sound.encode(None))
    assert np.array_equal(read_all(path), samples / np.float32(2**15))


def test_a_playlist_opens_nothing_else(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, np.full(8000, 0.1), 8000)
    for name, text in {
        "list.m4a": f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "list.mp4": f"ffconcat version 1.0\nfile {secret}\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioError, match="no audio"):
            read_all(tmp_path / name)


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as file:
        picture = file.add_stream("mpeg4", rate=5)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuv420p"
        pixels = np.zeros((32, 32, 3), np.uint8)
        file.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(picture.encode(None))
    with pytest.raises(AudioError, match="no sound"):
        read_all(path)


def test_the_header_is_probed_without_decoding(written: dict[str, Path]) -> None:
    audio_format, encoding = probe(written["film.mp4"])
    assert (audio_format.sample_rate, audio_format.channels) == (48_000, 1)
    assert (encoding.format, encoding.subtype) == ("WAV", "PCM_16")


def test_the_kind_is_told_by_the_first_bytes(written: dict[str, Path]) -> None:
    names = {}
    for name, path in written.items():
        with path.open("rb") as file:
            container = sniff(file)
            names[name] = container and container.name
    assert names["aac.mp3"] == names["a.aac"] == "aac"
    assert names["a.m4a"] == names["a.3gp"] == names["film.mov"] == "mov"
    assert None not in names.values()


def test_a_light_install_imports_no_pyav_and_says_what_to_install(
    written: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        AudioError, match=r'PyAV, which is not installed: pip install "\.\[media\]"'
    ):
        read_all(written["a.m4a"])
    program = (
        "import sys, denoise.inference.denoiser, denoise.cli.main; assert 'av' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_a_folder_leaves_out_nothing_that_looks_like_a_recording(
    written: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("a.m4a", "film.mp4", "a.eac3"):
        Path("in", name).write_bytes(written[name].read_bytes())
    Path("in/notes.txt").write_text("no recording")
    soundfile.write("in/a.wav", np.full(8000, 0.1), 8000)
    Path("in/broken.webm").write_bytes(b"nothing")
    assert main(["in", "-o", "out"]) == 1
    results = sorted(path.name for path in Path("out").iterdir())
    assert results == ["a.eac3.wav", "a.m4a.wav", "a.wav", "film.wav"]
    error = capsys.readouterr().err
    assert "broken.webm: This is no audio that can be read" in error
    assert "4 done, 1 failed, 0 skipped" in error
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["in", "-o", "light"]) == 1
    assert "1 done, 4 failed, 0 skipped" in capsys.readouterr().err


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    kind = Kind("long.mka", "flac", exact=True)
    path = write(tmp_path, kind)
    with path.open("rb") as file, media.open_media(file, "matroska") as opened:
        assert max(len(block) for block in opened.blocks()) < 2 * 65_536


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return client_of(make_context(gain_network(0.5)))


@pytest.mark.parametrize("name", ["a.m4a", "film.mp4", "a.webm"])
def test_the_server_reads_media(name: str, client: FlaskClient, written: dict[str, Path]) -> None:
    body, n_samples = written[name].read_bytes(), count_by_ffmpeg(written[name])
    response = client.post("/v1/denoise", data=body, content_type="video/mp4")
    assert (response.status_code, response.mimetype) == (200, "audio/wav")
    assert soundfile.info(io.BytesIO(response.data)).frames == n_samples
    preview = client.post("/v1/spectrogram", data=body)
    assert preview.get_json()["duration_seconds"] == n_samples / BY_NAME[name].rate
    samples = client.post("/", data={"file": (io.BytesIO(body), name)})
    assert len(samples.get_json()["data"]) == n_samples


def test_a_server_without_pyav_says_what_it_lacks(
    client: FlaskClient, written: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    response = client.post("/v1/denoise", data=written["a.m4a"].read_bytes())
    assert response.status_code == 415
    assert "needs PyAV, which this server does not have" in response.get_json()["detail"]


def test_the_server_says_that_media_are_damaged(
    client: FlaskClient, written: dict[str, Path]
) -> None:
    whole = written["front.m4a"].read_bytes()
    response = client.post("/v1/denoise", data=whole[: len(whole) // 2])
    assert response.status_code == 422
    assert "damaged" in response.get_json()["detail"]


def repack(source: Path, target: Path, offset: float = 0.0, pause: float = 0.0) -> Path:
    """Copy a sound track to begin `offset` seconds later, with a pause after the first second."""
    with av.open(str(source)) as file, av.open(str(target), "w") as output:
        sound = file.streams.audio[0]
        copy = output.add_stream_from_template(sound)
        for packet in file.demux(sound):
            if packet.size:
                later = offset + (pause if packet.pts * packet.time_base > 1 else 0)
                packet.pts += round(later / packet.time_base)
                packet.dts = packet.pts
                packet.stream = copy
                output.mux(packet)
    return target


@pytest.mark.parametrize("name", ["a.webm", "flac.mka", "a.m4a", "front.m4a"])
@pytest.mark.parametrize(("offset", "pause"), [(10.0, 0.0), (0.0, 3.0), (10.0, 3.0)])
def test_a_late_start_and_pauses_are_no_damage(
    name: str, offset: float, pause: float, written: dict[str, Path], tmp_path: Path
) -> None:
    path = repack(written[name], tmp_path / name, offset, pause)
    samples = read_all(path)
    assert len(samples) == pytest.approx(len(read_all(written[name])), abs=1024)  # AAC's padding
    rate = BY_NAME[name].rate
    with reading(path) as source:
        assert source.declared_samples == pytest.approx(len(samples) + pause * rate, abs=0.1 * rate)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match="incomplete"):
        read_all(path)


@pytest.mark.parametrize("is_film", [False, True])
def test_a_damaged_part_of_matroska_is_no_pause(is_film: bool, tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    noise = (6000 * np.random.default_rng(0).standard_normal((1, 16_000))).astype(np.int16)
    with av.open(str(path), "w", container_options={"cluster_time_limit": "1000"}) as file:
        sound = file.add_stream("libopus", rate=16_000, layout="mono")
        picture = file.add_stream("mpeg4", rate=5) if is_film else None
        for i in range(20):
            frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, i * 16_000
            file.mux(sound.encode(frame))
            for _ in range(5 if picture is not None else 0):
                pixels = np.resize(noise, (480, 640, 3)).astype(np.uint8)
                file.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(sound.encode(None))
        if picture is not None:
            file.mux(picture.encode(None))
    assert len(read_all(path)) == pytest.approx(20 * 48_000, abs=1000)
    content, third = path.read_bytes(), path.stat().st_size // 3
    path.write_bytes(content[:third] + bytes(third) + content[2 * third :])
    with pytest.raises(AudioError, match="damaged"):
        read_all(path)


def test_zeros_that_decode_to_shorter_frames_are_damage(
    written: dict[str, Path], tmp_path: Path
) -> None:
    path = repack(written["a.webm"], tmp_path / "a.mp4")
    content = path.read_bytes()
    start = content.index(b"mdat") + 8
    start += (len(content) - start) // 8
    n_zeros = (len(content) - start) * 3 // 4
    path.write_bytes(content[:start] + bytes(n_zeros) + content[start + n_zeros :])
    with pytest.raises(AudioError, match="damaged"):
        read_all(path)


def list_plan(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> set[str]:
    assert main([*arguments, "-n"]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line.removeprefix("would write ") for line in lines}


def test_the_default_name_of_what_is_only_read_is_wav(
    written: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    films = ["memo.qta", "gopro.lrv", "memo.xyz", "memo.2024", "memo"]
    for name in films:
        Path(name).write_bytes(written["a.m4a"].read_bytes())
    Path("a.oga").write_bytes(written["flac.oga"].read_bytes())
    soundfile.write("b.ogg", np.full(8000, 0.1), 8000)
    soundfile.write("c.xyz", np.full(8000, 0.1), 8000, format="WAV")
    for name, expected in {
        "memo.qta": "memo-denoised.wav",
        "gopro.lrv": "gopro-denoised.wav",
        "memo.xyz": "memo-denoised.wav",
        "memo": "memo-denoised",
        "a.oga": "a-denoised.wav",
        "b.ogg": "b-denoised.ogg",
        "c.xyz": "c-denoised.xyz",
    }.items():
        assert list_plan([name], capsys) == {f"{expected} from {name}"}
    assert list_plan(["memo.xyz", "memo.2024"], capsys) == {
        "memo.xyz-denoised.wav from memo.xyz",
        "memo.2024-denoised.wav from memo.2024",
    }
    soundfile.write("a.wav", np.full(8000, 0.1), 8000)
    for arguments, expected in {
        ("a.oga", "a.wav"): {"a.oga-denoised.wav from a.oga", "a-denoised.wav from a.wav"},
        ("a.oga", "--format", "flac"): {"a-denoised.flac from a.oga"},
        ("a.oga", "-o", "x.oga"): {"x.oga from a.oga"},
        ("a.oga", "-o", "x/"): {"x/a.wav from a.oga"},
    }.items():
        assert list_plan([*arguments], capsys) == expected


def test_a_folder_takes_transport_streams_but_no_typescript(
    written: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/film.ts").write_bytes(written["a.mts"].read_bytes())
    Path("in/index.ts").write_text("export const text = 'Go';\n" * 20)
    Path("in/Go.ts").write_text("Go")
    Path("in/empty.ts").touch()
    Path("in/memo.qta").write_bytes(written["a.m4a"].read_bytes())
    soundfile.write("in/radio.bwf", np.full(8000, 0.1), 8000, format="WAV")
    assert list_plan(["in"], capsys) == {
        "in/film-denoised.wav from in/film.ts",
        "in/memo-denoised.wav from in/memo.qta",
        "in/radio-denoised.bwf from in/radio.bwf",
    }
    assert main(["in/index.ts"]) == 1
    assert "This is no audio" in capsys.readouterr().err
