"""`denoise live`: the engine with stand-in devices, and the command with files or a stand-in."""

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from denoise.cli.main import main
from denoise.inference import sound_device
from denoise.inference.built_in import LIVE
from denoise.inference.denoiser import Denoiser
from denoise.inference.live import (
    LiveFormat,
    LiveReport,
    PacedBlocks,
    choose_format,
    run,
    split_blocks,
)
from denoise.network.spec import MaskNetwork
from tests.closures import ROOT
from tests.networks import RATE, SPEC, gain_network, write_halving_model
from tests.test_latency import CAUSAL, SYMMETRIC

BLOCK_SECONDS = 0.016


def make_noise(n_samples: int, channels: int = 1) -> np.ndarray:
    shape = (n_samples, channels)
    return 0.1 * np.random.default_rng(n_samples).standard_normal(shape, dtype=np.float32)


class StandInInput:
    """Blocks that are there at once; those whose numbers are in `late` count as late."""

    def __init__(self, blocks: Iterator[np.ndarray], late: tuple[int, ...] = ()) -> None:
        self._blocks, self._late = enumerate(blocks), late

    def read(self) -> tuple[np.ndarray, bool] | None:
        number, block = next(self._blocks, (None, None))
        return None if block is None else (block, number in self._late)


class StandInOutput:
    def __init__(self, late: tuple[int, ...] = ()) -> None:
        self.blocks: list[np.ndarray] = []
        self._late = late

    def write(self, block: np.ndarray) -> bool:
        self.blocks.append(block)
        return len(self.blocks) - 1 in self._late


@pytest.mark.parametrize("spec", [CAUSAL, SYMMETRIC])
@pytest.mark.parametrize("rate", [RATE, 11_025])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_output_is_the_denoised_input_after_the_delay(
    spec: Any, rate: int, channels: int
) -> None:
    denoiser = Denoiser(MaskNetwork(gain_network(0.5).mask, spec))
    live_format = choose_format(denoiser.network, rate, channels, BLOCK_SECONDS)
    stream = denoiser.stream(rate, channels, block_seconds=live_format.block_seconds)
    noisy, sink = make_noise(rate + 17, channels), StandInOutput()
    blocks = split_blocks([noisy], live_format.n_block)
    report = run(stream, StandInInput(blocks), sink, live_format)
    assert report == LiveReport(-(-len(noisy) // live_format.n_block), 0)
    assert {len(block) for block in sink.blocks[:-2]} == {live_format.n_block}
    played = np.concatenate(sink.blocks)
    assert not played[: live_format.n_delay].any()
    denoised = denoiser.denoise(noisy, rate)
    np.testing.assert_allclose(played[live_format.n_delay :], denoised, atol=1e-6)


def test_the_latency_of_a_causal_network_is_short() -> None:
    live_format = choose_format(MaskNetwork(gain_network(1.0).mask, CAUSAL), RATE, 1, 0.008)
    assert live_format.n_block == CAUSAL.spectrogram.hop_length
    assert live_format.latency_seconds == 0.016


def run_halving(source: StandInInput, sink: StandInOutput, **options: Any) -> LiveReport:
    denoiser = Denoiser(gain_network(0.5))
    live_format = choose_format(denoiser.network, RATE, 1, BLOCK_SECONDS)
    stream = denoiser.stream(RATE, block_seconds=live_format.block_seconds)
    return run(stream, source, sink, live_format, **options)


def test_blocks_that_are_late_at_either_end_are_counted_once() -> None:
    source = StandInInput(split_blocks([make_noise(1280)], 128), late=(2, 3))
    assert run_halving(source, StandInOutput(late=(3, 9))) == LiveReport(10, 3)


def test_a_stop_plays_what_was_heard() -> None:
    sink = StandInOutput()
    source = StandInInput(split_blocks([make_noise(12_800)], 128))
    report = run_halving(source, sink, should_stop=lambda: len(sink.blocks) == 7)
    assert report.n_blocks == 7
    heard = np.concatenate(sink.blocks)[-7 * 128 :]
    np.testing.assert_allclose(heard, 0.5 * make_noise(12_800)[: 7 * 128], atol=1e-6)


@pytest.mark.parametrize("sizes", [[5], [100, 1, 99], [37, 63, 100], [0, 3]])
def test_blocks_are_split_without_loss(sizes: list[int]) -> None:
    pieces = [make_noise(size, 2) for size in sizes]
    blocks = list(split_blocks(pieces, 20))
    assert all(len(block) == 20 for block in blocks[:-1])
    np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate(pieces))


class Clock:
    """A clock that moves only while somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


def read_all(working_seconds: list[float]) -> tuple[list[float], list[bool]]:
    """Read blocks of 0.1 s and work after each; return when they came, and which were late."""
    clock, times, late = Clock(), [], []
    blocks = PacedBlocks([make_noise(100)] * len(working_seconds), 1000, clock, clock.work)
    for seconds in working_seconds:
        heard = blocks.read()
        assert heard is not None
        times.append(clock.now - 100)
        late.append(heard[1])
        clock.work(seconds)
    assert blocks.read() is None
    return times, late


def test_a_recording_is_heard_in_real_time() -> None:
    times, late = read_all([0.05, 0.0, 0.09, 0.01])
    np.testing.assert_allclose(times, [0.1, 0.2, 0.3, 0.4])
    assert not any(late)


def test_a_block_is_late_if_the_next_one_is_complete() -> None:
    times, late = read_all([0.15, 0.25, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(times, [0.1, 0.25, 0.5, 0.5, 0.5])
    assert late == [False, False, True, False, False]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_halving_model(tmp_path / "half.onnx")
    soundfile.write("talk.wav", make_noise(2000, 2), RATE, subtype="FLOAT")
    return tmp_path


FILES = ["--play", "talk.wav", "--record", "out.wav", "--model", "half.onnx"]


def test_files_take_the_place_of_devices(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", *FILES, "--strength", "0.5"]) == 0
    played, rate = soundfile.read("out.wav", dtype="float32")
    assert (rate, played.shape[1]) == (RATE, 2)
    delay = len(played) - 2000
    np.testing.assert_allclose(played[delay:], 0.75 * make_noise(2000, 2), atol=1e-4)
    printed = capsys.readouterr().err.splitlines()
    latency_ms = 1000 * (delay / RATE + 0.032)
    assert f"8000 Hz, 2 channel(s), blocks of 32 ms, latency {latency_ms:.0f} ms;" in printed[0]
    assert printed[-1].startswith("denoise: 8 blocks, ")


def test_a_network_that_looks_ahead_suggests_the_causal_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", *FILES[:-1], "general"]) == 0
    printed = capsys.readouterr().err
    assert re.search(r"blocks of 496 ms, latency 3\d{3} ms.*\n.*--model live needs none", printed)


def test_without_an_option_the_live_model_denoises(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write("talk.wav", make_noise(16_000), 16_000, subtype="FLOAT")
    assert main(["live", *FILES[:-2]]) == 0
    start, report = capsys.readouterr().err.splitlines()
    assert re.search(r"blocks of 32 ms, latency \d\d ms; ", start)
    assert report.startswith("denoise: 32 blocks, ")
    denoised, _ = soundfile.read("out.wav", dtype="float32")
    expected = Denoiser.load(LIVE).denoise(make_noise(16_000)[:, 0], 16_000)
    np.testing.assert_allclose(denoised[-16_000:], expected, atol=1e-4)
    assert np.sqrt(np.mean(expected**2)) < 0.03


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--play", "talk.wav", "--input", "1"], "--play takes the place of --input"),
        (["--record", "out.wav", "--output", "x"], "--record takes the place of --output"),
        (["--play", "talk.wav", "--rate", "8000"], "Omit --rate"),
        (["--record", "out.flac"], "Give out.flac the extension .wav"),
        (["--play", "talk.wav", "--record", "talk.wav"], "talk.wav is the input itself"),
        (["--record", "talk.wav"], "talk.wav already exists. Pass --overwrite"),
        (["--record", "out.wav", "--rate", "3"], "3 Hz are not supported"),
        (["--record", "out.wav", "--rate", "0"], "0 Hz are not supported"),
    ],
)
def test_an_impossible_command_is_refused(
    folder: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", make_sounddevice())
    assert main(["live", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out.wav").exists()


@pytest.mark.parametrize("value", ["0", "-1", "nan", "10001"])
def test_a_block_out_of_range_is_a_usage_error(value: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["live", "--block-ms", value])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--play", "none.wav", *FILES[2:]], 1), ([*FILES[:4], "--model", "none.onnx"], 3)],
)
def test_a_missing_file_has_the_status_of_other_commands(
    folder: Path, arguments: list[str], status: int
) -> None:
    assert main(["live", *arguments]) == status
    assert not Path("out.wav").exists()


class PortAudioError(Exception):
    pass


class StandInStream:
    """A stream as sounddevice has it; the microphone hears three blocks, then fails."""

    latency = 0.01
    opened: list[dict[str, Any]] = []  # noqa: RUF012 - the streams of a test

    def __init__(self, **options: Any) -> None:
        if options["device"] == "nowhere":
            raise ValueError("No input device matching 'nowhere'")
        if options["device"] == 7:
            raise PortAudioError("Invalid sample rate")
        self.options, self.written, self.n_read, self.is_open = options, [], 0, False
        StandInStream.opened.append({"stream": self, **options})

    def start(self) -> None:
        self.is_open = True

    def __enter__(self) -> "StandInStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False

    def read(self, n_samples: int) -> tuple[np.ndarray, bool]:
        self.n_read += 1
        if self.n_read == 3:
            signal.raise_signal(signal.SIGINT)
        return np.full((n_samples, 1), 1.5, np.float32), self.n_read == 2

    def write(self, block: np.ndarray) -> bool:
        assert self.is_open and block.flags.c_contiguous and block.dtype == np.float32
        self.written.append(block)
        return False


def make_sounddevice() -> SimpleNamespace:
    StandInStream.opened = []
    return SimpleNamespace(
        InputStream=StandInStream,
        OutputStream=StandInStream,
        PortAudioError=PortAudioError,
        query_devices=lambda: "0 a microphone",
    )


def test_microphone_and_speaker(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", make_sounddevice())
    former = signal.getsignal(signal.SIGINT)
    assert main(["live", "--model", "half.onnx", "--input", "3", "--output", "loud"]) == 0
    assert signal.getsignal(signal.SIGINT) is former
    speaker, microphone = (each["stream"] for each in StandInStream.opened)
    assert (microphone.options["device"], speaker.options["device"]) == (3, "loud")
    assert microphone.options["blocksize"] == 256 and microphone.options["samplerate"] == RATE
    assert not microphone.is_open and not speaker.is_open
    played = np.concatenate(speaker.written)
    n_silent = 2 * 256 + (len(played) - 5 * 256)  # the first blocks, and the delay of the stream
    assert not played[:n_silent].any()
    np.testing.assert_allclose(played[n_silent + 10 : -10], 0.75, atol=1e-4)
    printed = capsys.readouterr().err
    assert "52 ms of it in the sound devices" in printed
    assert "3 blocks, 1 too late. Pass a longer --block-ms" in printed


def test_the_speaker_is_not_driven_beyond_full_scale(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", make_sounddevice())
    assert main(["live", "--model", "half.onnx", "--strength", "0"]) == 0
    assert np.concatenate(StandInStream.opened[0]["stream"].written).max() == 1


@pytest.mark.parametrize(
    ("device", "reason"), [("nowhere", "No input device matching"), ("7", "Invalid sample rate")]
)
def test_a_device_that_cannot_be_used_is_named(
    folder: Path,
    device: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", make_sounddevice())
    arguments = ["--model", "half.onnx", "--input", device, "--record", "out.wav"]
    assert main(["live", *arguments]) == 2
    printed = capsys.readouterr().err
    assert f"Device {device} cannot be used for input at 8000 Hz: {reason}" in printed
    assert "--list-devices" in printed and "--play FILE" in printed
    assert not Path("out.wav").exists()


def test_a_device_that_fails_later_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise PortAudioError("Device unavailable")

    monkeypatch.setattr(StandInStream, "write", fail)
    monkeypatch.setitem(sys.modules, "sounddevice", make_sounddevice())
    assert main(["live", "--model", "half.onnx"]) == 1
    assert "A sound device failed: Device unavailable" in capsys.readouterr().err


def test_what_was_heard_before_the_microphone_failed_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    n_read = 0

    def read(_: object, n_samples: int) -> tuple[np.ndarray, bool]:
        nonlocal n_read
        n_read += 1
        if n_read > 3:
            raise PortAudioError("Device unavailable")
        return np.full((n_samples, 1), 0.5, np.float32), False

    monkeypatch.setattr(StandInStream, "read", read)
    monkeypatch.setitem(sys.modules, "sounddevice", make_sounddevice())
    assert main(["live", "--model", "half.onnx", "--record", "out.wav"]) == 1
    printed = capsys.readouterr().err.splitlines()
    assert printed[-2].startswith("denoise: 3 blocks, 0 too late")
    assert printed[-1].startswith("denoise: The microphone failed: Device unavailable.")
    played, _ = soundfile.read("out.wav")
    assert np.count_nonzero(played > 0.2) >= 3 * 256 - 20


def test_devices_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", make_sounddevice())
    assert main(["live", "--list-devices"]) == 0
    assert capsys.readouterr().out == "0 a microphone\n"
    nothing = SimpleNamespace(query_devices=lambda: "")
    assert sound_device.list_devices(nothing) == "no sound devices"


def test_devices_are_listed_whatever_characters_their_names_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    devices = SimpleNamespace(query_devices=lambda: "> 0 Микрофон\n< 1 Speaker")
    monkeypatch.setitem(sys.modules, "sounddevice", devices)
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="latin-1"))
    assert main(["live", "--list-devices"]) == 0
    first, second = printed.getvalue().splitlines()
    assert first.startswith(b"> 0 \\u041c") and second == b"< 1 Speaker"


def test_devices_that_cannot_be_listed_are_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> str:
        raise PortAudioError("Host error")

    failing = SimpleNamespace(query_devices=fail, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", failing)
    assert main(["live", "--list-devices"]) == 1
    assert "cannot be listed: Host error." in capsys.readouterr().err


def test_samples_that_are_not_finite_are_limited_to_full_scale() -> None:
    heard = np.array([[np.nan], [np.inf], [-np.inf], [0.5]], np.float32)
    stream = SimpleNamespace(read=lambda n_samples: (heard, False))
    live_format = LiveFormat(RATE, 1, 0.016, 4, 0)
    block, _ = sound_device.Microphone(stream, live_format, PortAudioError).read()
    assert block[:, 0].tolist() == [0, 1, -1, 0.5]


@pytest.mark.parametrize("arguments", [[], ["--list-devices"], FILES[:2], FILES[2:4]])
def test_a_missing_sounddevice_says_what_to_install(
    folder: Path,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(["live", *arguments]) == 2
    assert 'pip install ".[live]"' in capsys.readouterr().err


def test_a_missing_portaudio_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    assert main(["live"]) == 2
    printed = capsys.readouterr().err
    assert "PortAudio library not found" in printed and "apt install libportaudio2" in printed


def test_a_sound_system_that_does_not_start_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "class PortAudioError(Exception): pass\nraise PortAudioError('no server')"
    (folder / "sounddevice.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    assert main(["live"]) == 2
    assert "The sound system does not start: no server." in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="a console's Ctrl-C cannot be sent to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_completes_the_recorded_file(folder: Path, number: signal.Signals) -> None:
    soundfile.write("talk.wav", make_noise(60 * RATE), RATE, subtype="FLOAT")
    with subprocess.Popen(
        [sys.executable, "-m", "denoise", "live", *FILES],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "Ctrl-C ends" in process.stderr.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(number)
        assert " blocks, " in process.stderr.read()
    assert process.returncode == 0
    played = soundfile.read("out.wav", dtype="float32", always_2d=True)[0]
    assert RATE / 8 < len(played) < 30 * RATE
    delay = SPEC.spectrogram.n_fft // 2  # hops of half a window end where a block ends
    expected = 0.5 * make_noise(60 * RATE)[: len(played) - delay]
    np.testing.assert_allclose(played[delay:], expected, atol=1e-4)
