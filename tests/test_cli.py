"""The command line: its outputs, its errors, its messages and its exit status."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from denoise.cli import batch_runner
from denoise.cli import main as cli
from denoise.cli.io_plan import Plan, Task
from denoise.cli.main import main
from denoise.cli.results import Summary, format_outcome
from denoise.errors import DenoiseError
from denoise.inference.audio_io import AudioFormat, Encoding
from denoise.inference.denoiser import Denoiser
from denoise.inference.file_denoiser import Progress, Report
from denoise.network.spec import MaskNetwork
from denoise.version import __version__
from tests.closures import ROOT
from tests.networks import RATE, gain_network, write_halving_model
from tests.project import wait_until


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_halving_model(tmp_path_factory.mktemp("model") / "half.onnx")


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_recording(
    name: str, n_samples: int = 2000, channels: int = 1, scale: float = 0.1
) -> np.ndarray:
    """Write a recording in the format of its extension; return its samples."""
    rng = np.random.default_rng(len(name) + n_samples)
    samples = (scale * rng.standard_normal((n_samples, channels))).astype(np.float32)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(name, samples, RATE, format=Path(name).suffix[1:].upper())
    return read_samples(name)


def read_samples(name: str) -> np.ndarray:
    return np.asarray(soundfile.read(name, dtype="float32", always_2d=True)[0])


def list_files() -> set[str]:
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


def run_denoise(model: Path, *arguments: str) -> int:
    return main(["--model", str(model), *arguments])


PLANS = [
    (["a.wav"], {"a-denoised.wav"}),
    (["a.wav", "--residual"], {"a-residual.wav"}),
    (["a.wav", "--suffix", ".clean"], {"a.clean.wav"}),
    (["a.wav", "-o", "x.flac"], {"x.flac"}),
    (["a.wav", "-o", "x"], {"x"}),
    (["a.wav", "-o", "x/"], {"x/a.wav"}),
    (["a.wav", "-o", "there"], {"there/a.wav"}),
    (["a.wav", "--format", "flac"], {"a-denoised.flac"}),
    (["in/c.aif", "--format", "aiff"], {"in/c-denoised.aif"}),
    (["a.wav", "in/b.flac", "-o", "x"], {"x/a.wav", "x/b.flac"}),
    (["a.wav", "a.wav", "./a.wav", "in/../a.wav", "-o", "x"], {"x"}),  # one recording
    (["a.wav", "a.wav", "-o", "x.flac"], {"x.flac"}),
    (["a.wav", "a.wav", "-o", "there"], {"there/a.wav"}),
    (["a.wav", "in/b.flac", "-o", "x.wav/"], {"x.wav/a.wav", "x.wav/b.flac"}),
    (["in", "in/b.flac", "in/deep", "-o", "x"], {"x/b.flac", "x/c.aif", "x/deep/d.wav"}),
    (["i*/../[[]1].wav", "-o", "x"], {"x/[1].wav"}),  # nothing outside of x
    (["in"], {"in/b-denoised.flac", "in/c-denoised.aif", "in/deep/d-denoised.wav"}),
    (["in", "-o", "x"], {"x/b.flac", "x/c.aif", "x/deep/d.wav"}),
    (["in", "-o", "in/x"], {"in/x/b.flac", "in/x/c.aif", "in/x/deep/d.wav"}),
    (["in", "-o", "x", "--suffix", "_1"], {"x/b_1.flac", "x/c_1.aif", "x/deep/d_1.wav"}),
    (["i*/*.flac", "-o", "x.ogg"], {"x.ogg"}),
    (["i*/*.flac"], {"in/b-denoised.flac"}),
    (["in/**/*.wav", "-o", "x"], {"x/deep/d.wav"}),
    (["*", "-o", "x"], {"x/a.wav", "x/in/b.flac", "x/in/c.aif", "x/in/deep/d.wav", "x/[1].wav"}),
    (["[1].wav"], {"[1]-denoised.wav"}),  # a file name that could also be a pattern
]


def write_recordings() -> set[str]:
    for name in ("a.wav", "in/b.flac", "in/deep/d.wav", "[1].wav", "in/.hidden.wav"):
        write_recording(name)
    write_recording("in/c.aiff")
    Path("in/c.aiff").rename("in/c.aif")
    Path("in/notes.txt").write_text("no audio")
    Path("there").mkdir()
    return list_files()


def in_order(names: list[str] | set[str]) -> str:
    """Return the same test id in every process, although the order of a set varies."""
    return " ".join(sorted(names) if isinstance(names, set) else names)


@pytest.mark.parametrize(("arguments", "expected"), PLANS, ids=in_order)
def test_output_paths(model: Path, arguments: list[str], expected: set[str]) -> None:
    before = write_recordings()
    assert run_denoise(model, *arguments, "--quiet") == 0
    assert list_files() - before == expected


def test_a_second_run_ignores_earlier_outputs(model: Path) -> None:
    write_recordings()
    assert run_denoise(model, "in") == 0
    before = list_files()
    assert run_denoise(model, "in", "--skip-existing") == 0
    assert list_files() == before
    assert run_denoise(model, "in", "--residual") == 0
    assert {name for name in list_files() - before if "denoised" in name} == set()
    assert run_denoise(model, "in", "-o", "in/x", "--format", "mp3") == 0
    before = list_files()
    assert run_denoise(model, "in", "-o", "in/x", "--format", "mp3", "--overwrite") == 0
    assert list_files() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.wav"], "No file or folder at missing.wav"),
        (["*.mp3"], r"No audio file matches \*.mp3"),
        (["empty"], "empty contains no audio .*flac"),
        (["in/a.wav", "a.wav", "-o", "x"], "in/a.wav and a.wav would both be written to x/a.wav"),
        (["a.wav", "a.aiff", "--format", "flac"], "both be written to a-denoised.flac"),
        (["a.wav", "--suffix", ""], "a.wav is also an input"),
        (["a.wav", "-o", "./a.wav", "--overwrite"], "is also an input"),
        (["in", "-o", "in", "--overwrite"], "is also an input"),
        (["a.wav", "in/a.wav", "-o", "old.wav"], "old.wav is a file. Name a folder"),
        (["a.wav", "-o", "old.wav"], "old.wav already exists. Pass --overwrite"),
        (
            ["a.wav", "-o", "x.flac", "--format", "mp3"],
            "x.flac and --format mp3 name different formats",
        ),
        (["a.wav", "-o", "x.mp4"], "x.mp4 cannot be written, because .mp4 files are only read"),
        (["a.wav", "-o", "x.txt"], "The extension of x.txt is not that of a known format"),
        (["-", "a.wav"], "- stands for one recording"),
        (["in", "-o", "-"], "No file at in. Only a file can be written to standard output"),
        (["a.wav", "-o", "-", "--json"], "Omit --json"),
        (["-", "-o", "empty"], "empty is a folder"),
        (["a.wav", "-o", "old.wav/"], "old.wav is a file. Name a folder"),
        (["a.wav", "in/a.wav", "-o", "x.wav"], "x.wav is the name of one file. Name a folder"),
        (["in", "-o", "x.FLAC"], "x.FLAC is the name of one file. Name a folder"),
        (["*.*", "-o", "x.wav"], "x.wav is the name of one file. Name a folder"),
        ([""], "An input has an empty name"),
        (["", "-o", "-"], "The input has an empty name"),
        (["a.wav", "-o", ""], "The output has an empty name"),
        (["a\0.wav"], r"An input a\\x00.wav contains a null character"),
        (["a.wav", "-o", "x\0.wav"], "The output .* contains a null character"),
        (["a.wav", "--suffix", "/../x"], "suffix /../x is not a part of a file name"),
        (["a.wav", "--suffix", "a\0"], "is not a part of a file name"),
        (["n" * 300 + ".wav"], r"n\.wav"),
        (["a.wav/"], "No file or folder at a.wav/"),
        (["a.wav/b.wav"], "No file or folder at a.wav/b.wav"),
        (["none\ntwo.wav"], r"No file or folder at none\\ntwo.wav"),
        (["\udcff.wav"], r"No file or folder at \\udcff.wav"),
        (["--", "-o"], "No file or folder at -o"),
        (["\ud800.wav"], r"An input \\ud800.wav contains a character that"),
        (["a.wav", "-o", "\ud800.wav"], r"The output \\ud800.wav contains a character that"),
        (["a.wav", "--suffix", "\ud800"], "is not a part of a file name"),
    ],
    ids=ascii,
)
def test_an_impossible_command_is_refused_before_any_work(
    model: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.wav", "a.aiff", "in/a.wav", "old.wav"):
        write_recording(name)
    Path("empty").mkdir()
    before = {name: Path(name).read_bytes() for name in list_files()}
    assert run_denoise(model, *arguments) == 2
    assert {name: Path(name).read_bytes() for name in list_files()} == before
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("denoise: ") and printed.err.count("\n") == 1
    assert re.search(message, printed.err)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.wav", "--strength", "1.1"],
        ["a.wav", "--strength", "nan"],
        ["a.wav", "--jobs", "0"],
        ["a.wav", "--threads", "0"],
        ["a.wav", "--threads", "1099511627776"],
        ["a.wav", "--format", "m4a"],
        ["a.wav", "--overwrite", "--skip-existing"],
        ["a.wav", "-q", "-v"],
        ["a.wav", "--nonsense"],
    ],
    ids=str,
)
def test_bad_options_are_usage_errors(arguments: list[str]) -> None:
    write_recording("a.wav")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert list_files() == {"a.wav"}


def test_strength_and_residual_change_the_samples(model: Path) -> None:
    noisy = write_recording("a.wav")
    for arguments, gain in [
        (("-o", "1.wav"), 0.5),
        (("-o", "2.wav", "--strength", "0.4"), 0.8),
        (("-o", "3.wav", "--strength", "0.4", "--residual"), 0.2),
    ]:
        assert run_denoise(model, "a.wav", *arguments) == 0
        np.testing.assert_allclose(read_samples(arguments[1]), gain * noisy, atol=2e-4)


def test_overwrite_and_skip(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recording("a.wav")
    write_recording("b.wav")
    Path("x").mkdir()
    Path("x/a.wav").write_text("former")
    assert run_denoise(model, "a.wav", "b.wav", "-o", "x", "--skip-existing", "-v") == 0
    assert Path("x/a.wav").read_text() == "former"
    assert Path("x/b.wav").exists()
    printed = capsys.readouterr().err
    assert "x/a.wav exists: skipped" in printed and "1 done, 0 failed, 1 skipped" in printed
    assert run_denoise(model, "a.wav", "b.wav", "-o", "x", "--overwrite") == 0
    assert len(read_samples("x/a.wav")) == 2000


def test_no_model_is_needed_if_every_file_is_skipped(working_folder: Path) -> None:
    write_recording("a.wav")
    write_recording("a-denoised.wav")
    assert main(["a.wav", "--skip-existing", "--model", "missing.onnx"]) == 0


def write_recordings_and_a_broken_one() -> None:
    for name in ("in/a.wav", "in/b.flac", "in/d.wav"):
        write_recording(name, scale=0.9)
    Path("in/c.wav").write_text("no audio")


@pytest.mark.parametrize("n_jobs", ["1", "3"])
def test_a_failure_does_not_stop_the_other_files(
    model: Path, n_jobs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recordings_and_a_broken_one()
    assert run_denoise(model, "in", "-o", "x", "--jobs", n_jobs, "-q") == 1
    assert {name for name in list_files() if name[0] == "x"} == {"x/a.wav", "x/b.flac", "x/d.wav"}
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("denoise: in/c.wav: This is no audio that can be read")
    assert lines[1:] == ["denoise: 3 done, 1 failed, 0 skipped"]


def test_the_json_report(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recordings_and_a_broken_one()
    write_recording("x/d.wav")
    assert (
        run_denoise(model, "in", "-o", "x", "--json", "-q", "--skip-existing", "--jobs", "2") == 1
    )
    report = json.loads(capsys.readouterr().out)
    by_input = {entry["input"]: entry for entry in report["files"]}
    assert [entry["input"] for entry in report["files"]] == [
        "in/a.wav", "in/b.flac", "in/c.wav", "in/d.wav",
    ]  # fmt: skip
    done = by_input["in/b.flac"]
    assert done.pop("elapsed_seconds") > 0
    assert done == {
        "input": "in/b.flac",
        "output": "x/b.flac",
        "status": "denoised",
        "seconds": 0.25,
        "samples": 2000,
        "sample_rate": RATE,
        "channels": 1,
        "format": "FLAC",
        "subtype": "PCM_16",
        "clipped_samples": done["clipped_samples"],
    }
    assert by_input["in/c.wav"]["status"] == "failed"
    assert "no audio" in by_input["in/c.wav"]["error"]
    assert by_input["in/d.wav"]["status"] == "skipped"
    totals = report["totals"]
    assert (totals["denoised"], totals["failed"], totals["skipped"]) == (2, 1, 1)
    assert totals["seconds"] == 0.5


def test_a_dry_run_writes_nothing_and_needs_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    before = write_recordings()
    assert main(["in", "-o", "x", "--dry-run", "--model", "missing"]) == 0
    printed = capsys.readouterr().out
    assert "would write x/deep/d.wav from in/deep/d.wav" in printed
    assert main(["in", "-o", "x", "--dry-run", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {entry["status"] for entry in report["files"]} == {"planned"}
    assert report["totals"]["planned"] == 3
    assert list_files() == before


def test_messages_at_each_verbosity(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recording("a.wav", channels=2)
    assert run_denoise(model, "a.wav", "--overwrite", "-q") == 0
    assert capsys.readouterr() == ("", "")
    assert run_denoise(model, "a.wav", "--overwrite") == 0
    assert capsys.readouterr() == ("", "a.wav -> a-denoised.wav\n")
    assert run_denoise(model, "a.wav", "--overwrite", "-v") == 0
    assert "(0.25 s, 8000 Hz, 2 channel(s), WAV PCM_16, in " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("a.wav: It is silent.", "a.wav: It is silent."),
        ("b.wav cannot be written: Full.", "b.wav cannot be written: Full."),
        ("WAV files hold at most 4 GiB.", "a.wav: WAV files hold at most 4 GiB."),
    ],
)
def test_an_error_names_the_file_once(error: str, expected: str) -> None:
    outcome = batch_runner.Outcome(Task(Path("a.wav"), Path("b.wav")), error=error)
    assert format_outcome(outcome, False)[0] == f"denoise: {expected}"


def test_clipping_is_reported() -> None:
    task = Task(Path("a.wav"), Path("b.wav"))
    report = Report(
        Path("a.wav"), Path("b.wav"), AudioFormat(8000, 1), Encoding("WAV", "PCM_16"), 80, 37, 0.1
    )
    assert "37 samples clipped" in format_outcome(batch_runner.Outcome(task, report), False)[0]


@pytest.mark.parametrize(
    ("wanted", "written", "is_told"),
    [(128e3, 64e3, True), (64e3, 128e3, True), (128e3, 112e3, False), (None, 64e3, False)],
)
def test_another_bit_rate_is_told(wanted: float | None, written: float, is_told: bool) -> None:
    task = Task(Path("a.mp3"), Path("b.mp3"))
    encoding = Encoding("MP3", "MPEG_LAYER_III", wanted)
    audio_format = AudioFormat(44_100, 1)
    report = Report(Path("a.mp3"), Path("b.mp3"), audio_format, encoding, 80, 0, 0.1, written)
    text = format_outcome(batch_runner.Outcome(task, report), False)[0]
    expected = f" [{written / 1000:.0f} kbit/s; the input has {(wanted or 0) / 1000:.0f}]"
    assert text == "a.mp3 -> b.mp3" + (expected if is_told else "")
    summary = Summary(Plan((task,)), [batch_runner.Outcome(task, report)])
    assert json.loads(summary.to_json())["files"][0]["bits_per_second"] == written
    verbose = format_outcome(batch_runner.Outcome(task, report), True)[0]
    assert f"MP3 MPEG_LAYER_III {written / 1000:.0f} kbit/s, in" in verbose


def screen_of(printed: str) -> list[str]:
    """Return each state of the bar, without the part that depends on its width and the time."""
    return [line.partition("|")[0].strip() for line in re.split(r"[\r\n]", printed) if "|" in line]


def test_a_progress_bar_appears_only_in_a_terminal(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recording("a.wav", n_samples=200_000)
    assert run_denoise(model, "a.wav", "-o", "a.flac") == 0
    assert screen_of(capsys.readouterr().err) == []
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert run_denoise(model, "a.wav", "-o", "b.wav") == 0
    assert "a.wav: 0 %" in screen_of(capsys.readouterr().err)
    assert run_denoise(model, "a.wav", "-o", "c.wav", "-q") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("n_jobs", ["1", "2"])
def test_the_progress_bar_names_the_file_and_the_whole(
    model: Path, n_jobs: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.wav", "b.wav", "new\nline.wav", f"{'d' * 90}.wav"):
        write_recording("x.wav", n_samples=150_000)
        Path("x.wav").rename(name)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert run_denoise(model, "*.wav", "-o", "x", "--jobs", n_jobs) == 0
    states = screen_of(capsys.readouterr().err)[1:]
    pattern = r"(.*): ([1-4]) of 4, (\d+) %"
    found = [re.fullmatch(pattern, state) for state in states]
    assert states and all(found)
    named = {(match[1], match[2]) for match in found if match}
    long = f"...{'d' * 33}.wav"
    expected = {("a.wav", "1"), ("b.wav", "2"), (long, "3"), (r"new\nline.wav", "4")}
    assert named == expected if n_jobs == "1" else {name for name, _ in named} >= {"a.wav"}
    if n_jobs == "1":  # the percentage is that of all files
        assert "b.wav: 2 of 4, 25 %" in states and states[-1] == r"new\nline.wav: 4 of 4, 100 %"


@pytest.mark.parametrize(
    ("arguments", "n_lines"),
    [
        (["a.wav"], 1),
        (["a.wav", "-v"], 1),
        (["a.wav", "-q"], 0),
        (["a.wav", "-o", "there.wav", "--skip-existing", "-v"], 1),
        (["broken.wav"], 1),
        (["broken.wav", "-q"], 1),
        (["missing.wav"], 1),
    ],
    ids=str,
)
def test_one_file_gives_one_line(
    model: Path, arguments: list[str], n_lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recording("a.wav")
    write_recording("there.wav")
    Path("broken.wav").write_text("no audio")
    run_denoise(model, *arguments)
    assert capsys.readouterr().err.count("\n") == n_lines


@pytest.mark.parametrize("bad", ["missing.onnx", "text.onnx", "a.wav"])
def test_a_missing_or_invalid_model_is_an_error(
    bad: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recording("a.wav")
    Path("text.onnx").write_text("no model")
    assert main(["a.wav", "--model", bad]) == 3
    assert bad in capsys.readouterr().err
    assert "a-denoised.wav" not in list_files()


def test_a_saved_model_folder_is_loaded_by_tensorflow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recording("a.wav")
    Path("saved").mkdir()
    loaded = []

    def load_network(path: str) -> MaskNetwork:
        loaded.append(path)
        return gain_network(0.5)

    stand_in = SimpleNamespace(load_network=load_network)
    monkeypatch.setitem(sys.modules, "denoise.network.saved_model", stand_in)
    assert main(["a.wav", "--model", "saved"]) == 0
    assert loaded == ["saved"]
    monkeypatch.delitem(sys.modules, "denoise.network.saved_model")
    monkeypatch.setitem(sys.modules, "keras", None)
    assert main(["a.wav", "--model", "saved", "--overwrite"]) == 3
    assert "needs keras, which is not installed" in capsys.readouterr().err


def test_more_jobs_give_the_same_bytes(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thread_counts = []

    def run_tasks(
        denoise_task: batch_runner.DenoiseTask, tasks: Sequence[Task], n_threads: int
    ) -> Iterator[batch_runner.Outcome]:
        thread_counts.append(n_threads)
        return batch_runner.run_tasks(denoise_task, tasks, n_threads)

    monkeypatch.setattr(cli, "run_tasks", run_tasks)
    for number in range(6):
        write_recording(f"in/{number}.wav", n_samples=30_000 + number, channels=1 + number % 2)
    assert run_denoise(model, "in", "-o", "one", "--jobs", "1", "-q") == 0
    assert run_denoise(model, "in", "-o", "four", "--jobs", "4", "-q") == 0
    for path in Path("one").iterdir():
        assert path.read_bytes() == Path("four", path.name).read_bytes()
    assert thread_counts == [1, 4]


@pytest.mark.parametrize(
    ("options", "n_threads"),
    [([], 6), (["--jobs", "4"], 3), (["--jobs", "9"], 1), (["--threads", "2"], 2)],
    ids=str,
)
def test_all_jobs_share_the_threads(
    options: list[str], n_threads: int, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded_with = []

    def load_denoiser(path: str | None, threads: int) -> Denoiser:
        loaded_with.append(threads)
        return Denoiser.load(path)

    monkeypatch.setattr(cli, "load_denoiser", load_denoiser)
    monkeypatch.setattr(cli, "count_cores", lambda: 6)
    write_recording("a.wav")
    assert run_denoise(model, "a.wav", "-q", *options) == 0
    assert loaded_with == [n_threads]


def test_jobs_run_in_parallel_and_stop_on_an_interrupt() -> None:
    barrier = threading.Barrier(3, timeout=20)
    stopped = []

    def denoise_task(task: Task, progress: Progress) -> Report:
        barrier.wait()
        try:
            while True:
                progress(0, None)
        except batch_runner.Cancelled:
            stopped.append(task)
            raise

    def run_and_interrupt() -> None:
        tasks = [Task(Path(str(number)), None) for number in range(9)]
        outcomes = batch_runner.run_tasks(denoise_task, tasks, 2)
        threading.Thread(target=barrier.wait, daemon=True).start()
        timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
        timer.start()
        next(outcomes)

    with pytest.raises(KeyboardInterrupt):
        run_and_interrupt()
    assert len(stopped) == 2


def replace_stdio(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> io.BytesIO:
    """Make standard input contain `sent`; return a buffer that receives standard output."""
    received = io.BytesIO()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sent)))
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(received, write_through=True))
    return received


def test_pipes_carry_recordings(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = write_recording("a.flac", channels=2)
    received = replace_stdio(monkeypatch, Path("a.flac").read_bytes())
    assert run_denoise(model, "-") == 0
    with soundfile.SoundFile(io.BytesIO(received.getvalue())) as sound:
        assert (sound.format, sound.samplerate, sound.frames) == ("WAV", RATE, len(noisy))
        np.testing.assert_allclose(sound.read(), 0.5 * noisy, atol=2e-4)
    replace_stdio(monkeypatch, Path("a.flac").read_bytes())
    assert run_denoise(model, "-", "-o", "b.aiff") == 0
    assert soundfile.info("b.aiff").format == "AIFF"
    received = replace_stdio(monkeypatch, b"")
    assert run_denoise(model, "a.flac", "-o", "-", "--format", "flac") == 0
    assert received.getvalue()[:4] == b"fLaC"


@pytest.mark.parametrize(
    ("sent", "message"),
    [(b"", "Standard input is empty"), (b"x" * 99, "standard input: This is no audio")],
)
def test_a_pipe_without_audio_gives_no_output(
    model: Path,
    sent: bytes,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    received = replace_stdio(monkeypatch, sent)
    assert run_denoise(model, "-") == 1
    assert received.getvalue() == b""
    assert message in capsys.readouterr().err


def test_audio_is_not_read_from_or_written_to_a_terminal(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recording("a.wav")
    replace_stdio(monkeypatch, b"")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert run_denoise(model, "-", "-o", "b.wav") == 2
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert run_denoise(model, "a.wav", "-o", "-") == 2


def test_python_m_denoise_works_with_real_pipes(model: Path) -> None:
    write_recording("a.wav", n_samples=100_000)
    finished = subprocess.run(
        [sys.executable, "-m", "denoise", "-", "--model", str(model)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=Path("a.wav").read_bytes(),
        capture_output=True,
    )
    assert (finished.returncode, finished.stderr) == (0, b"standard input -> standard output\n")
    assert run_denoise(model, "a.wav", "-q") == 0
    assert finished.stdout == Path("a-denoised.wav").read_bytes()


PAUSE_AFTER_EACH_BLOCK = r"""
import sys, time
from denoise.containers import decoding
from denoise.cli.main import main

read_blocks = decoding.read_blocks

def read_slowly(sound):
    for block in read_blocks(sound):
        yield block
        sys.stdout.write("block\n")
        sys.stdout.flush()
        time.sleep(0.05)

decoding.read_blocks = read_slowly
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="a console's Ctrl-C cannot be sent to one process")
@pytest.mark.parametrize("n_jobs", ["1", "2"])
@pytest.mark.parametrize(
    ("number", "message", "status"),
    [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)],
)
def test_a_signal_leaves_no_partial_output(
    model: Path, n_jobs: str, number: signal.Signals, message: str, status: int
) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        write_recording(name, n_samples=3_000_000)
    command = [sys.executable, "-c", PAUSE_AFTER_EACH_BLOCK, "a.wav", "b.wav", "c.wav", "-o", "x"]
    with subprocess.Popen(
        [*command, "--jobs", n_jobs, "--model", str(model)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "block\n"
        process.send_signal(number)
        process.stdout.read()
        assert process.stderr.read() == f"denoise: {message}; no partial output was kept\n"
    assert process.returncode == status
    assert list_files() == {"a.wav", "b.wav", "c.wav"}


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGTERM on Windows")
def test_a_signal_while_reading_a_pipe_leaves_no_temporary_file(
    model: Path, working_folder: Path
) -> None:
    (working_folder / "temporary").mkdir()
    write_recording("a.wav")
    with subprocess.Popen(
        [sys.executable, "-m", "denoise", "-", "--model", str(model)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(working_folder / "temporary")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(Path("a.wav").read_bytes())
        process.stdin.flush()
        wait_until(lambda: any(working_folder.glob("temporary/*/in")))
        process.send_signal(signal.SIGTERM)
        assert b"denoise: terminated" in process.stderr.read()
    assert process.returncode == 143
    assert list(working_folder.glob("temporary/denoise*")) == []


def test_the_caller_s_sigterm_handler_is_kept(model: Path) -> None:
    write_recording("a.wav")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert run_denoise(model, "a.wav") == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert run_denoise(model, "a.wav", "--overwrite") == 0
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


LIST_MODULES = """
import sys
from denoise.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""
HEAVY = {
    "tensorflow", "keras", "librosa", "scipy", "pandas", "yaml", "onnx", "matplotlib", "dvc",
    "numba", "tqdm", "shtab",
}  # fmt: skip
NEEDED_TO_DENOISE = {"numpy", "onnxruntime", "soundfile", "soxr"}


@pytest.mark.parametrize("denoises", [False, True])
def test_only_what_is_needed_is_imported(model: Path, denoises: bool) -> None:
    write_recording("a.wav")
    arguments = ["a.wav", "--model", str(model)] if denoises else ["--help"]
    finished = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(finished.stdout.splitlines()[-1].split())
    assert imported & HEAVY == set()
    assert imported & NEEDED_TO_DENOISE == (NEEDED_TO_DENOISE if denoises else set())


def test_help_lists_every_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    statuses = (cli.DONE, cli.SOME_FAILED, cli.USAGE, cli.NO_MODEL, cli.INTERRUPTED, cli.TERMINATED)
    for status in statuses:
        assert f"{status} " in printed.split("exit status:")[1].replace("\n", " ")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"denoise {__version__}\n"


def test_an_error_in_the_temporary_folder_is_reported(
    monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    replace_stdio(monkeypatch, b"x")
    monkeypatch.setattr("shutil.copyfileobj", refuse)
    assert run_denoise(model, "-", "-o", "x.wav") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("options", [["-o", "-"], ["--json", "--dry-run"], ["--dry-run"]])
def test_a_full_standard_output_is_an_error_in_one_line(model: Path, options: list[str]) -> None:
    write_recording("a.wav")
    command = [sys.executable, "-m", "denoise", "a.wav", "--model", str(model), *options]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    expected = "denoise: Standard output cannot be written: No space left on device."
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, expected)
    assert "Traceback" not in done.stderr


def test_without_a_temporary_folder_the_error_names_the_remedy(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    replace_stdio(monkeypatch, b"x")
    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    assert run_denoise(model, "-", "-o", "x.wav") == 1
    assert "No usable temporary directory found. Free some space, or set the environment" in (
        capsys.readouterr().err
    )


def test_the_wheel_contains_every_package_and_both_networks() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "denoise").rglob("__init__.py")
    }
    models = {"denoise.models": "general/models", "denoise.models.live": "general/live/models"}
    assert set(settings["packages"]) == packages | set(models)
    for package, folder in models.items():
        assert settings["package-dir"][package] == folder
        assert settings["package-data"][package] == ["*.onnx", "*.md"]
    assert settings["package-data"]["denoise.corpus"] == ["open_data.yaml"]  # the attributions


def test_usage_errors_are_denoise_errors() -> None:
    assert issubclass(cli.UsageError, DenoiseError)
