"""Denoising files: format, length and tags are kept, and outputs are complete or absent."""

import errno
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from denoise.errors import AudioError, DenoiseError
from denoise.inference import audio_io
from denoise.inference.audio_io import AudioFormat, Encoding
from denoise.inference.bit_rate import encoder_settings
from denoise.inference.denoiser import Denoiser
from denoise.inference.file_denoiser import Options, Report, denoise_file
from tests.closures import ROOT
from tests.networks import RATE, gain_network

HALF = gain_network(0.5)


def make_tone(n_samples: int, channels: int, sample_rate: int, peak: float = 0.4) -> np.ndarray:
    """Return a 300 Hz tone that fades in and out; channel i has 1/i of the amplitude."""
    time = np.arange(n_samples) / sample_rate
    wave = np.sin(2 * np.pi * 300 * time) * np.hanning(n_samples + 2)[1:-1]
    return (peak * wave[:, None] / np.arange(1, channels + 1)).astype(np.float32)


def write_recording(path: Path, samples: np.ndarray, rate: int, format: str, subtype: str) -> Path:
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], subtype, format=format) as file:
        for start in range(0, len(samples), 65_536):
            file.write(samples[start : start + 65_536])
    return path


def make_noise(n_samples: int, channels: int = 1, scale: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(n_samples)
    return (scale * rng.standard_normal((n_samples, channels))).astype(np.float32)


def read_samples(path: Path) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(samples)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


FORMATS = [
    ("wav", "WAV", "PCM_16", 8000, 1, 1e-3),
    ("wav", "WAV", "PCM_24", 44_100, 2, 1e-3),
    ("wav", "WAV", "FLOAT", 16_000, 8, 1e-3),
    ("wav", "WAV", "DOUBLE", 8000, 1, 1e-3),
    ("wav", "WAV", "PCM_U8", 8000, 1, 1e-2),
    ("wav", "WAV", "ULAW", 8000, 1, 2e-2),
    ("wav", "WAVEX", "PCM_16", 48_000, 6, 1e-3),
    ("wav", "RF64", "PCM_16", 8000, 1, 1e-3),
    ("w64", "W64", "PCM_24", 8000, 2, 1e-3),
    ("flac", "FLAC", "PCM_16", 96_000, 2, 1e-3),
    ("flac", "FLAC", "PCM_24", 4000, 1, 1e-3),
    ("ogg", "OGG", "VORBIS", 48_000, 2, 4e-2),
    ("opus", "OGG", "OPUS", 48_000, 1, 4e-2),
    ("mp3", "MP3", "MPEG_LAYER_III", 44_100, 1, 4e-2),
    ("mp3", "MP3", "MPEG_LAYER_III", 32_000, 2, 4e-2),
    ("aiff", "AIFF", "PCM_16", 22_050, 2, 1e-3),
    ("caf", "CAF", "ALAC_16", 8000, 1, 1e-3),
    ("au", "AU", "PCM_16", 8000, 1, 1e-3),
]


@pytest.mark.parametrize(
    ("extension", "format", "subtype", "rate", "channels", "tolerance"), FORMATS
)
def test_format_and_alignment_are_kept(
    tmp_path: Path,
    extension: str,
    format: str,
    subtype: str,
    rate: int,
    channels: int,
    tolerance: float,
) -> None:
    samples = make_tone(rate * 3 // 4 + 1, channels, rate)
    source = write_recording(tmp_path / f"in.{extension}", samples, rate, format, subtype)
    target = tmp_path / f"out.{extension}"
    report = denoise_file(HALF, source, target)
    before, after = soundfile.info(source), soundfile.info(target)
    assert (after.format, after.subtype) == (before.format, before.subtype) == (format, subtype)
    assert (after.samplerate, after.channels) == (rate, channels)
    assert report.n_samples == after.frames == len(samples)
    np.testing.assert_allclose(read_samples(target), 0.5 * read_samples(source), atol=tolerance)


@pytest.mark.parametrize(
    ("extension", "subtype"),
    [("wav", "PCM_16"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")],
)
@pytest.mark.parametrize("n_samples", [1, 2, 63, 64, 65, 1151, 65_536, 65_537, 200_001])
def test_the_exact_length_is_kept(
    tmp_path: Path, extension: str, subtype: str, n_samples: int
) -> None:
    samples = make_tone(n_samples, 1, 16_000)
    source = write_recording(
        tmp_path / f"in.{extension}", samples, 16_000, extension.upper(), subtype
    )
    target = tmp_path / f"out.{extension}"
    assert denoise_file(HALF, source, target).n_samples == n_samples
    assert len(read_samples(target)) == n_samples


@pytest.mark.parametrize("rate", [RATE, 44_100])
@pytest.mark.parametrize("options", [Options(), Options(0.3), Options(0.7, residual=True)])
def test_a_file_gives_the_same_samples_as_an_array(
    tmp_path: Path, rate: int, options: Options
) -> None:
    samples = make_noise(150_000, 2)
    source = write_recording(tmp_path / "in.wav", samples, rate, "WAV", "FLOAT")
    Denoiser(HALF).denoise_file(source, tmp_path / "out.wav", options.strength, options.residual)
    expected = Denoiser(HALF).denoise(samples, rate, options.strength, options.residual)
    np.testing.assert_array_equal(read_samples(tmp_path / "out.wav"), expected)


@pytest.mark.parametrize(
    ("source", "target", "choice", "expected"),
    [
        ("in.wav:WAV:PCM_24", "out.flac", None, ("FLAC", "PCM_24")),
        ("in.wav:WAV:FLOAT", "out.flac", None, ("FLAC", "PCM_24")),
        ("in.wav:WAV:PCM_32", "out.flac", None, ("FLAC", "PCM_24")),
        ("in.wav:WAV:DOUBLE", "out", "flac", ("FLAC", "PCM_24")),
        ("in.wav:WAV:FLOAT", "out.ogg", None, ("OGG", "VORBIS")),
        ("in.wav:WAV:FLOAT", "out.aif", None, ("AIFF", "FLOAT")),
        ("in.wav:WAV:FLOAT", "out", None, ("WAV", "FLOAT")),
        ("in.wav:WAV:PCM_16", "out.OGG", None, ("OGG", "VORBIS")),
        ("in.wav:WAV:PCM_16", "out.opus", None, ("OGG", "OPUS")),
        ("in.mp3:MP3:MPEG_LAYER_III", "out.wav", None, ("WAV", "PCM_16")),
        ("in.wav:WAV:PCM_24", "out", "flac", ("FLAC", "PCM_24")),
        ("in.wav:WAV:PCM_24", "out.wav", "mp3", ("MP3", "MPEG_LAYER_III")),
        ("in.wav:WAVEX:PCM_24", "out", "wav", ("WAVEX", "PCM_24")),
        # The source's extension is wrong, and the output keeps the source's format.
        ("in.wav:FLAC:PCM_24", "out.wav", None, ("FLAC", "PCM_24")),
        ("in.x:FLAC:PCM_16", "out.x", None, ("FLAC", "PCM_16")),
    ],
)
def test_the_extension_or_an_option_chooses_another_format(
    tmp_path: Path, source: str, target: str, choice: str | None, expected: tuple[str, str]
) -> None:
    name, format, subtype = source.split(":")
    path = write_recording(tmp_path / name, make_tone(2000, 1, 16_000), 16_000, format, subtype)
    report = denoise_file(HALF, path, tmp_path / target, Options(format=choice))
    info = soundfile.info(tmp_path / target)
    assert (info.format, info.subtype) == expected
    assert (report.encoding.format, report.encoding.subtype) == expected
    assert info.frames == 2000


@pytest.mark.parametrize(
    ("target", "rate", "channels", "message"),
    [
        ("out.mp3", 96_000, 1, "MP3 .* 1 channel.* 96000 Hz. WAV can"),
        ("out.mp3", 8000, 3, "MP3 .* 3 channel"),
        ("out.opus", 44_100, 1, r"OGG \(OPUS\) .* 44100 Hz"),
        (
            "out.m4a",
            8000,
            1,
            r"out\.m4a cannot be written, because .* only read: .*wav",
        ),
        (
            "out.xyz",
            8000,
            1,
            "The extension of .*out.xyz is not that of a known format: .*--format",
        ),
    ],
)
def test_an_error_names_a_format_that_can_be_written(
    tmp_path: Path, target: str, rate: int, channels: int, message: str
) -> None:
    source = write_recording(
        tmp_path / "in.wav", make_tone(1000, channels, rate), rate, "WAV", "PCM_16"
    )
    with pytest.raises(DenoiseError, match=message):
        denoise_file(HALF, source, tmp_path / target)
    assert names_in(tmp_path) == {"in.wav"}


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "ULAW"])
def test_samples_beyond_full_scale_are_clipped_and_counted(tmp_path: Path, subtype: str) -> None:
    source = write_recording(
        tmp_path / "in.wav", make_tone(20_000, 2, RATE, peak=0.9), RATE, "WAV", subtype
    )
    report = denoise_file(gain_network(2.0), source, tmp_path / "out.wav")
    doubled = 2 * read_samples(source)
    assert report.clipped_samples > 1000
    assert abs(report.clipped_samples - np.count_nonzero(np.abs(doubled) > 1)) < 20
    np.testing.assert_allclose(
        read_samples(tmp_path / "out.wav"), np.clip(doubled, -1, 1), atol=0.05
    )


INTEGERS = [
    ("WAV", "PCM_U8", 8),
    ("WAV", "PCM_16", 16),
    ("WAV", "PCM_24", 24),
    ("AIFF", "PCM_S8", 8),
    ("AIFF", "PCM_16", 16),
    ("W64", "PCM_16", 16),
    ("CAF", "ALAC_16", 16),
    ("CAF", "ALAC_20", 20),
    ("CAF", "ALAC_24", 24),
    ("FLAC", "PCM_16", 16),
]


@pytest.mark.parametrize(("format", "subtype", "bits"), INTEGERS)
def test_samples_are_rounded_to_the_nearest_integer(
    tmp_path: Path, format: str, subtype: str, bits: int
) -> None:
    full, rng = 2.0 ** (bits - 1), np.random.default_rng(0)
    samples = rng.uniform(-0.25, 0.25, (40_000, 1)).astype(np.float32)
    samples[:1000] = 0.4 / full  # silence stays silence
    limits = np.float32([[1.0], [1.5], [-1.0], [-1.5]])
    with audio_io.writing(tmp_path / "a", AudioFormat(RATE, 1), Encoding(format, subtype)) as sink:
        sink.write(samples)
        sink.write(limits)
    assert sink.clipped_samples == 2
    written = full * soundfile.read(tmp_path / "a", always_2d=True)[0]
    errors = written[: len(samples)] - full * samples
    assert abs(errors[1000:].mean()) < 0.01
    assert np.abs(errors).max() <= 0.5
    assert not written[:1000].any()
    np.testing.assert_array_equal(written[-4:, 0], [full - 1, full - 1, -full, -full])


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_results_in_all_lossless_formats_have_the_same_samples(
    tmp_path: Path, subtype: str
) -> None:
    source = write_recording(tmp_path / "in.wav", make_noise(20_000), RATE, "WAV", subtype)
    results = []
    for name in ("out.wav", "out.flac", "out.aiff", "out.w64"):
        denoise_file(HALF, source, tmp_path / name)
        results.append(read_samples(tmp_path / name))
    assert np.abs(results[0]).max() > 0.1
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_floating_point_samples_are_not_clipped(tmp_path: Path) -> None:
    source = write_recording(
        tmp_path / "in.wav", make_tone(20_000, 1, RATE, peak=0.9), RATE, "WAV", "FLOAT"
    )
    report = denoise_file(gain_network(2.0), source, tmp_path / "out.wav")
    assert report.clipped_samples == 0
    assert np.abs(read_samples(tmp_path / "out.wav")).max() > 1.7


def write_broken(path: Path) -> Path:
    """Write a recording with an invalid sample after some blocks."""
    samples = make_noise(300_000)
    samples[250_000] = np.nan
    return write_recording(path, samples, RATE, "WAV", "FLOAT")


def test_a_failure_in_the_middle_keeps_the_old_file(tmp_path: Path) -> None:
    source = write_broken(tmp_path / "in.wav")
    target = tmp_path / "deep" / "out.wav"
    with pytest.raises(AudioError, match=r"in\.wav: .*not finite"):
        denoise_file(HALF, source, target)
    assert names_in(target.parent) == set()
    target.write_text("former")
    with pytest.raises(AudioError):
        denoise_file(HALF, source, target)
    assert target.read_text() == "former"


def test_progress_is_reported_and_can_stop_the_work(tmp_path: Path) -> None:
    source = write_recording(tmp_path / "in.wav", make_noise(200_000), RATE, "WAV", "PCM_16")
    calls: list[tuple[int, int | None]] = []
    denoise_file(HALF, source, tmp_path / "out.wav", None, lambda *each: calls.append(each))
    assert [done for done, _ in calls] == [65_536, 131_072, 196_608, 200_000]
    assert {declared for _, declared in calls} == {200_000}

    def stop(done: int, declared: int | None) -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        denoise_file(HALF, source, tmp_path / "no.wav", None, stop)
    assert names_in(tmp_path) == {"in.wav", "out.wav"}


def test_an_exception_of_progress_is_raised_unchanged(tmp_path: Path) -> None:
    source = write_recording(tmp_path / "in.wav", make_noise(200_000), RATE, "WAV", "PCM_16")
    for error in (BrokenPipeError(errno.EPIPE, "pipe"), AudioError("mine"), KeyboardInterrupt()):
        error.__cause__ = reason = ValueError("the reason")

        def stop(done: int, declared: int | None, error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            denoise_file(HALF, source, tmp_path / "no.wav", None, stop)
        assert caught.value is error
        assert (error.__cause__, error.__context__) == (reason, None)
        assert names_in(tmp_path) == {"in.wav"}


def test_a_header_without_a_length(tmp_path: Path) -> None:
    source = write_recording(
        tmp_path / "in.flac", make_tone(100_000, 1, RATE), RATE, "FLAC", "PCM_16"
    )
    header = bytearray(source.read_bytes())
    header[21] &= 0xF0  # the number of samples is in the 36 bits from here on
    header[22:26] = bytes(4)
    source.write_bytes(header)
    lengths: set[int | None] = set()
    report = denoise_file(
        HALF, source, tmp_path / "out.flac", None, lambda done, declared: lengths.add(declared)
    )
    assert lengths == {None}
    assert report.n_samples == len(read_samples(tmp_path / "out.flac")) == 100_000


def test_a_format_that_is_none_is_an_error(tmp_path: Path) -> None:
    source = write_recording(tmp_path / "in.wav", make_noise(100), RATE, "WAV", "PCM_16")
    with pytest.raises(DenoiseError, match=r"'m4a' is not a format: choose wav, flac"):
        Denoiser(HALF).denoise_file(source, tmp_path / "out.wav", format="m4a")


def test_a_format_may_be_in_capitals(tmp_path: Path) -> None:
    source = write_recording(tmp_path / "in.wav", make_noise(100), RATE, "WAV", "PCM_16")
    report = Denoiser(HALF).denoise_file(source, tmp_path / "out", format="FLAC")
    assert report.encoding == Encoding("FLAC", "PCM_16")


@pytest.mark.parametrize("target", ["", "folder/", "./"])
def test_a_target_that_names_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recording(tmp_path / "in.wav", make_noise(100), RATE, "WAV", "PCM_16")
    for remux in (False, True):
        with pytest.raises(DenoiseError, match=f"'{target}' names no file"):
            Denoiser(HALF).denoise_file("in.wav", target, remux=remux)
    assert names_in(tmp_path) == {"in.wav"}


def test_more_than_four_gibibytes_of_wav_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_io, "MAX_BYTES", 200_000)
    source = write_recording(tmp_path / "in.wav", make_noise(200_000), RATE, "WAV", "PCM_16")
    with pytest.raises(DenoiseError, match=r"4 GiB, .*W64"):
        denoise_file(HALF, source, tmp_path / "out.wav")
    assert names_in(tmp_path) == {"in.wav"}
    assert denoise_file(HALF, source, tmp_path / "out.w64").n_samples == 200_000


def test_unusable_files_are_errors(tmp_path: Path) -> None:
    source = write_recording(tmp_path / "in.wav", make_noise(100), RATE, "WAV", "PCM_16")
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "empty.wav").touch()
    for names, message in [
        (("empty.wav", "out.wav"), r"empty\.wav: The file is empty\."),
        (("missing.wav", "out.wav"), r"missing\.wav cannot be read: No such file"),
        (("text.wav", "out.wav"), r"text\.wav: This is no audio"),
        (("in.wav", "in.wav/out.wav"), r"out\.wav cannot be written: .*another place"),
        (("in.wav", "./in.wav"), "the input itself"),
    ]:
        with pytest.raises(DenoiseError, match=message):
            denoise_file(HALF, tmp_path / names[0], tmp_path / names[1])
    with pytest.raises(ValueError, match="strength of 2"):
        denoise_file(HALF, source, tmp_path / "out.wav", Options(2.0))
    assert names_in(tmp_path) == {"in.wav", "text.wav", "empty.wav"}


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux are file names bytes")
def test_a_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    source = write_recording(tmp_path / "in.wav", make_noise(100), RATE, "WAV", "PCM_16")
    renamed = source.rename(tmp_path / os.fsdecode(b"caf\xe9.wav"))
    denoise_file(HALF, renamed, tmp_path / os.fsdecode(b"clean caf\xe9.wav"))
    assert len(list(tmp_path.glob("clean*.wav"))) == 1


def run_python(script: str, *arguments: object) -> str:
    """Run Python code in another process; return what it prints."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return finished.stdout


FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from denoise.errors import DenoiseError
from denoise.inference.file_denoiser import denoise_file
from tests.networks import gain_network

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for name in sys.argv[1:]:
    source = Path(name)
    target = source.with_stem("out")
    denoise_file(gain_network(0.5), source, target)
    size = target.stat().st_size
    target.unlink()
    for room in (size - 1, size - 40, size // 2, resource.RLIM_INFINITY):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        calls = []
        try:
            denoise_file(gain_network(0.5), source, target, None, lambda *each: calls.append(each))
            target.unlink()
        except DenoiseError as error:
            print(error)
        if room == size // 2:
            assert calls[-1][0] < calls[-1][1], "It did not stop when the disk was full."
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot limit the size of files")
def test_a_full_disk_is_an_error_even_on_closing(tmp_path: Path) -> None:
    subtypes = {"wav": "PCM_16", "flac": "PCM_16", "mp3": "MPEG_LAYER_III", "aiff": "PCM_16"}
    sources = [
        write_recording(
            tmp_path / f"in.{extension}", make_noise(300_000), RATE, extension.upper(), subtype
        )
        for extension, subtype in subtypes.items()
    ]
    errors = run_python(FILL_THE_DISK, *sources).splitlines()
    assert len(errors) == 3 * len(sources)
    assert all("cannot be written: File too large" in error for error in errors)
    assert names_in(tmp_path) == {source.name for source in sources}


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for seconds in (60, 600):
        source = write_recording(
            tmp_path / "in.wav", make_noise(16_000 * seconds), 16_000, "WAV", "PCM_16"
        )
        tracemalloc.start()
        report = denoise_file(HALF, source, tmp_path / "out.wav")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert report.duration_seconds == seconds
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 20e6  # bytes; the recording has 38 MB in float32


def test_the_report_describes_the_result(tmp_path: Path) -> None:
    source = write_recording(tmp_path / "in.wav", make_noise(4000, 2), RATE, "WAV", "PCM_16")
    report = denoise_file(HALF, source, tmp_path / "out.wav")
    assert isinstance(report, Report)
    assert (report.source, report.target) == (source, tmp_path / "out.wav")
    assert (report.audio_format.sample_rate, report.audio_format.channels) == (RATE, 2)
    assert report.duration_seconds == 0.5
    assert 0 < report.elapsed_seconds < 60


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_tags_are_copied(tmp_path: Path, extension: str) -> None:
    source = tmp_path / "talk.flac"
    with soundfile.SoundFile(source, "w", 16_000, 1, "PCM_16", format="FLAC") as sound:
        sound.title, sound.artist, sound.date = "Über alles", "Someone", "2026-11-23"
        sound.write(np.zeros(1600))
    target = tmp_path / f"clean.{extension}"
    denoise_file(gain_network(0.5), source, target)
    with soundfile.SoundFile(target) as sound:
        assert (sound.title, sound.artist, len(sound)) == ("Über alles", "Someone", 1600)


def test_tags_do_not_prevent_a_format_without_them(tmp_path: Path) -> None:
    source = tmp_path / "talk.wav"
    with soundfile.SoundFile(source, "w", 16_000, 1, "PCM_16") as sound:
        sound.title = "A talk"
        sound.write(np.zeros(1600))
    denoise_file(gain_network(0.5), source, tmp_path / "clean.au")
    assert soundfile.info(tmp_path / "clean.au").frames == 1600


BIT_RATES = [
    *(("mp3", "MPEG_LAYER_III", 44_100, 2, kbps) for kbps in (64, 96, 128, 192, 320)),
    *(("mp3", "MPEG_LAYER_III", 16_000, 1, kbps) for kbps in (32, 64, 128)),
    ("mp3", "MPEG_LAYER_III", 8000, 1, 32),
    *(("opus", "OPUS", 48_000, 1, kbps) for kbps in (24, 64, 160)),
    ("opus", "OPUS", 48_000, 2, 128),
    *(("ogg", "VORBIS", 44_100, 2, kbps) for kbps in (80, 160, 500)),
    ("ogg", "VORBIS", 16_000, 1, 40),
]


@pytest.mark.parametrize(("extension", "subtype", "rate", "channels", "kbps"), BIT_RATES)
@pytest.mark.parametrize("tag", ["", "t" * 2000])
def test_the_bit_rate_is_kept(
    tmp_path: Path, extension: str, subtype: str, rate: int, channels: int, kbps: int, tag: str
) -> None:
    source, target = tmp_path / f"in.{extension}", tmp_path / f"out.{extension}"
    settings = encoder_settings(subtype, 1000 * kbps, rate, channels)
    if extension == "mp3":
        settings["bitrate_mode"] = "CONSTANT"  # as most files are
    samples = make_noise(10 * rate, channels)
    file_format = "MP3" if extension == "mp3" else "OGG"
    with soundfile.SoundFile(
        source, "w", rate, channels, subtype, format=file_format, **settings
    ) as file:
        if tag:
            file.title = tag
        for start in range(0, len(samples), 65_536):
            file.write(samples[start : start + 65_536])
    report = denoise_file(gain_network(1.0), source, target)
    assert report.encoding.bit_rate is not None and report.bit_rate is not None
    if extension != "ogg":  # for which the bit rate is the nominal one
        assert report.encoding.bit_rate == pytest.approx(1000 * kbps, rel=0.15)
    assert report.bit_rate == pytest.approx(report.encoding.bit_rate, rel=0.2)
    assert target.stat().st_size == pytest.approx(source.stat().st_size, rel=0.2)
    assert soundfile.info(target).frames == report.n_samples


def test_a_picture_in_the_tags_does_not_raise_the_bit_rate(tmp_path: Path) -> None:
    source = tmp_path / "in.mp3"
    with soundfile.SoundFile(
        source,
        "w",
        44_100,
        1,
        "MPEG_LAYER_III",
        format="MP3",
        **encoder_settings("MPEG_LAYER_III", 64_000, 44_100, 1),
    ) as file:
        file.write(make_noise(441_000))
    size = 300_000
    digits = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    frame = b"PRIV" + (size - 10).to_bytes(4, "big") + bytes(2) + bytes(size - 10)
    source.write_bytes(b"ID3\x03\0\0" + digits + frame + source.read_bytes())
    report = denoise_file(HALF, source, tmp_path / "out.mp3")
    assert report.n_samples == 441_000
    assert report.encoding.bit_rate == pytest.approx(64_000, rel=0.1)
    assert report.bit_rate == pytest.approx(64_000, rel=0.2)


@pytest.mark.parametrize("n_samples", [1, 1000, 20_000])
def test_short_files_keep_their_bit_rate(tmp_path: Path, n_samples: int) -> None:
    source = tmp_path / "in.mp3"
    settings = encoder_settings("MPEG_LAYER_III", 128_000, 44_100, 1)
    soundfile.write(source, make_noise(n_samples), 44_100, "MPEG_LAYER_III", **settings)
    denoise_file(HALF, source, tmp_path / "out.mp3")
    sizes = [path.stat().st_size for path in (source, tmp_path / "out.mp3")]
    assert 0.7 < sizes[1] / sizes[0] < 1.5


def test_files_without_a_bit_rate_have_none(tmp_path: Path) -> None:
    source = write_recording(tmp_path / "in.wav", make_noise(4000), RATE, "WAV", "PCM_16")
    for name in ("out.wav", "out.flac"):
        report = denoise_file(HALF, source, tmp_path / name)
        assert (report.encoding.bit_rate, report.bit_rate) == (None, None)
    report = denoise_file(HALF, source, tmp_path / "out.mp3")  # the encoder's own default
    assert report.encoding.bit_rate is None and report.bit_rate is not None


def test_long_tags_of_mp3_are_copied_whole(tmp_path: Path) -> None:
    source, text = tmp_path / "talk.flac", "Gespräch-mit-Frau-Müller-über-Akustik"
    with soundfile.SoundFile(source, "w", 16_000, 1, "PCM_16", format="FLAC") as sound:
        sound.title, sound.artist, sound.copyright = text, "Jürgen", f"© {text}"
        sound.write(np.zeros(1600))
    denoise_file(HALF, source, tmp_path / "once.mp3")
    denoise_file(HALF, tmp_path / "once.mp3", tmp_path / "twice.mp3")
    with soundfile.SoundFile(tmp_path / "twice.mp3") as sound:
        assert (sound.title, sound.artist, sound.copyright) == (text, "Jürgen", f"© {text}")
        assert len(sound) == 1600
