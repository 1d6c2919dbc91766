"""The command line: what it writes, what it refuses, what it says and how it ends."""

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
from denoise.cli.io_plan import Task
from denoise.cli.main import main
from denoise.cli.results import line
from denoise.errors import DenoiseError
from denoise.inference.audio_io import AudioFormat, Encoding
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
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def record(name: str, n_samples: int = 2000, channels: int = 1, scale: float = 0.1) -> np.ndarray:
    """Write a recording in the format of its extension; return what it holds."""
    rng = np.random.default_rng(len(name) + n_samples)
    samples = (scale * rng.standard_normal((n_samples, channels))).astype(np.float32)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(name, samples, RATE, format=Path(name).suffix[1:].upper())
    return read(name)


def read(name: str) -> np.ndarray:
    return np.asarray(soundfile.read(name, dtype="float32", always_2d=True)[0])


def files() -> set[str]:
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


def run(model: Path, *arguments: str) -> int:
    return main([*arguments, "--model", str(model)])


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
    (["a.wav", "a.wav", "./a.wav", "-o", "x"], {"x/a.wav"}),
    (["in"], {"in/b-denoised.flac", "in/c-denoised.aif", "in/deep/d-denoised.wav"}),
    (["in", "-o", "x"], {"x/b.flac", "x/c.aif", "x/deep/d.wav"}),
    (["in", "-o", "in/x"], {"in/x/b.flac", "in/x/c.aif", "in/x/deep/d.wav"}),
    (["in", "-o", "x", "--suffix", "_1"], {"x/b_1.flac", "x/c_1.aif", "x/deep/d_1.wav"}),
    (["i*/*.flac", "-o", "x.ogg"], {"x.ogg"}),
    (["i*/*.flac"], {"in/b-denoised.flac"}),
    (["in/**/*.wav", "-o", "x"], {"x/deep/d.wav"}),
    (["*", "-o", "x"], {"x/a.wav", "x/in/b.flac", "x/in/c.aif", "x/in/deep/d.wav", "x/[1].wav"}),
    (["[1].wav"], {"[1]-denoised.wav"}),  # a file's name, though it could be a pattern
]


def recordings() -> set[str]:
    for name in ("a.wav", "in/b.flac", "in/deep/d.wav", "[1].wav", "in/.hidden.wav"):
        record(name)
    record("in/c.aiff")
    Path("in/c.aiff").rename("in/c.aif")
    Path("in/notes.txt").write_text("no audio")
    Path("there").mkdir()
    return files()


def in_order(names: list[str] | set[str]) -> str:
    """Return one id for the same names, in whatever order a set has them in a process."""
    return " ".join(sorted(names) if isinstance(names, set) else names)


@pytest.mark.parametrize(("arguments", "expected"), PLANS, ids=in_order)
def test_where_it_goes(model: Path, arguments: list[str], expected: set[str]) -> None:
    before = recordings()
    assert run(model, *arguments, "--quiet") == 0
    assert files() - before == expected


def test_a_second_run_takes_no_result_for_a_recording(model: Path) -> None:
    recordings()
    assert run(model, "in") == 0
    before = files()
    assert run(model, "in", "--skip-existing") == 0
    assert files() == before
    assert run(model, "in", "--residual") == 0
    assert {name for name in files() - before if "denoised" in name} == set()
    assert run(model, "in", "-o", "in/x", "--format", "mp3") == 0
    before = files()
    assert run(model, "in", "-o", "in/x", "--format", "mp3", "--overwrite") == 0
    assert files() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.wav"], "No file or folder at missing.wav"),
        (["*.mp3"], r"No audio matches \*.mp3"),
        (["empty"], "empty holds no audio .*flac"),
        (["a.wav", "x.flac", "--format", "mp3"], "No file or folder at x.flac"),
        (["in/a.wav", "a.wav", "-o", "x"], "in/a.wav and a.wav would both be written to x/a.wav"),
        (["a.wav", "a.aiff", "--format", "flac"], "both be written to a-denoised.flac"),
        (["a.wav", "--suffix", ""], "a.wav is an input too"),
        (["a.wav", "-o", "./a.wav", "--overwrite"], "is an input too"),
        (["in", "-o", "in", "--overwrite"], "is an input too"),
        (["a.wav", "in/a.wav", "-o", "old.wav"], "old.wav is a file: name a folder"),
        (["a.wav", "-o", "old.wav"], "old.wav would be replaced: say --overwrite"),
        (["a.wav", "-o", "x.flac", "--format", "mp3"], "x.flac and --format mp3 disagree"),
        (["a.wav", "-o", "x.mp4"], "No format is known by the extension of x.mp4"),
        (["-", "a.wav"], "- is one recording"),
        (["in", "-o", "-"], "No file at in; only a file goes to standard output"),
        (["a.wav", "-o", "-", "--json"], "leave out --json"),
        (["-", "-o", "empty"], "empty is a folder"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_any_work(
    model: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.wav", "a.aiff", "in/a.wav", "old.wav"):
        record(name)
    Path("empty").mkdir()
    before = {name: Path(name).read_bytes() for name in files()}
    assert run(model, *arguments) == 2
    assert {name: Path(name).read_bytes() for name in files()} == before
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
        ["a.wav", "--format", "m4a"],
        ["a.wav", "--overwrite", "--skip-existing"],
        ["a.wav", "-q", "-v"],
        ["a.wav", "--nonsense"],
    ],
    ids=str,
)
def test_bad_options_are_usage(arguments: list[str]) -> None:
    record("a.wav")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert files() == {"a.wav"}


def test_strength_and_residual_reach_the_samples(model: Path) -> None:
    noisy = record("a.wav")
    for arguments, gain in [
        (("-o", "1.wav"), 0.5),
        (("-o", "2.wav", "--strength", "0.4"), 0.8),
        (("-o", "3.wav", "--strength", "0.4", "--residual"), 0.2),
    ]:
        assert run(model, "a.wav", *arguments) == 0
        np.testing.assert_allclose(read(arguments[1]), gain * noisy, atol=2e-4)


def test_overwrite_and_skip(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record("a.wav")
    record("b.wav")
    Path("x").mkdir()
    Path("x/a.wav").write_text("former")
    assert run(model, "a.wav", "b.wav", "-o", "x", "--skip-existing", "-v") == 0
    assert Path("x/a.wav").read_text() == "former"
    assert Path("x/b.wav").exists()
    printed = capsys.readouterr().err
    assert "x/a.wav exists: skipped" in printed and "1 done, 0 failed, 1 skipped" in printed
    assert run(model, "a.wav", "b.wav", "-o", "x", "--overwrite") == 0
    assert len(read("x/a.wav")) == 2000


def test_nothing_left_to_do_needs_no_model(here: Path) -> None:
    record("a.wav")
    record("a-denoised.wav")
    assert main(["a.wav", "--skip-existing", "--model", "missing.onnx"]) == 0


def fail_once() -> None:
    for name in ("in/a.wav", "in/b.flac", "in/d.wav"):
        record(name, scale=0.9)
    Path("in/c.wav").write_text("no audio")


@pytest.mark.parametrize("n_jobs", ["1", "3"])
def test_one_that_fails_does_not_stop_the_others(
    model: Path, n_jobs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_once()
    assert run(model, "in", "-o", "x", "--jobs", n_jobs, "-q") == 1
    assert {name for name in files() if name[0] == "x"} == {"x/a.wav", "x/b.flac", "x/d.wav"}
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("denoise: in/c.wav: This is no audio that can be read")
    assert lines[1:] == ["denoise: 3 done, 1 failed, 0 skipped"]


def test_a_report_for_machines(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fail_once()
    record("x/d.wav")
    assert run(model, "in", "-o", "x", "--json", "-q", "--skip-existing", "--jobs", "2") == 1
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
    before = recordings()
    assert main(["in", "-o", "x", "--dry-run", "--model", "missing"]) == 0
    printed = capsys.readouterr().out
    assert "would write x/deep/d.wav from in/deep/d.wav" in printed
    assert main(["in", "-o", "x", "--dry-run", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {entry["status"] for entry in report["files"]} == {"planned"}
    assert report["totals"]["planned"] == 3
    assert files() == before


def test_what_is_said(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record("a.wav", channels=2)
    assert run(model, "a.wav", "--overwrite", "-q") == 0
    assert capsys.readouterr() == ("", "")
    assert run(model, "a.wav", "--overwrite") == 0
    assert capsys.readouterr() == ("", "a.wav -> a-denoised.wav\n")
    assert run(model, "a.wav", "--overwrite", "-v") == 0
    assert "(0.25 s, 8000 Hz, 2 channel(s), WAV PCM_16, in " in capsys.readouterr().err


def test_clipping_is_said() -> None:
    task = Task(Path("a.wav"), Path("b.wav"))
    report = Report(
        Path("a.wav"), Path("b.wav"), AudioFormat(8000, 1), Encoding("WAV", "PCM_16"), 80, 37, 0.1
    )
    assert "37 samples clipped" in line(batch_runner.Outcome(task, report), False)[0]


def test_a_bar_where_a_person_watches(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record("a.wav", n_samples=200_000)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert run(model, "a.wav", "-o", "b.wav") == 0
    assert "%|" in capsys.readouterr().err
    assert run(model, "a.wav", "-o", "c.wav", "-q") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("bad", ["missing.onnx", "text.onnx", "a.wav"])
def test_a_model_that_is_missing_or_bad(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    record("a.wav")
    Path("text.onnx").write_text("no model")
    assert main(["a.wav", "--model", bad]) == 3
    assert bad in capsys.readouterr().err
    assert "a-denoised.wav" not in files()


def test_a_bundle_folder_is_loaded_by_tensorflow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record("a.wav")
    Path("bundle").mkdir()
    loaded = []

    def load_network(path: str) -> MaskNetwork:
        loaded.append(path)
        return gain_network(0.5)

    stand_in = SimpleNamespace(load_network=load_network)
    monkeypatch.setitem(sys.modules, "denoise.network.saved_model", stand_in)
    assert main(["a.wav", "--model", "bundle"]) == 0
    assert loaded == ["bundle"]
    monkeypatch.delitem(sys.modules, "denoise.network.saved_model")
    monkeypatch.setitem(sys.modules, "keras", None)
    assert main(["a.wav", "--model", "bundle", "--overwrite"]) == 3
    assert "needs keras, which is not installed" in capsys.readouterr().err


def test_more_jobs_give_the_same_bytes(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def work(
        clean: batch_runner.Clean, tasks: Sequence[Task], n_threads: int
    ) -> Iterator[batch_runner.Outcome]:
        asked.append(n_threads)
        return batch_runner.work(clean, tasks, n_threads)

    monkeypatch.setattr(cli, "work", work)
    for number in range(6):
        record(f"in/{number}.wav", n_samples=30_000 + number, channels=1 + number % 2)
    assert run(model, "in", "-o", "one", "--jobs", "1", "-q") == 0
    assert run(model, "in", "-o", "four", "--jobs", "4", "-q") == 0
    for path in Path("one").iterdir():
        assert path.read_bytes() == Path("four", path.name).read_bytes()
    assert asked == [1, 4]


def test_jobs_run_side_by_side_and_stop_when_called_off() -> None:
    met = threading.Barrier(3, timeout=20)
    stopped = []

    def clean(task: Task, progress: Progress) -> Report:
        met.wait()
        try:
            while True:
                progress(0, None)
        except batch_runner.Stopped:
            stopped.append(task)
            raise

    def interrupted() -> None:
        tasks = [Task(Path(str(number)), None) for number in range(9)]
        outcomes = batch_runner.work(clean, tasks, 2)
        threading.Thread(target=met.wait, daemon=True).start()
        timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
        timer.start()
        next(outcomes)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(stopped) == 2


def through(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> io.BytesIO:
    """Put bytes into standard input; return what standard output gets."""
    received = io.BytesIO()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sent)))
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(received, write_through=True))
    return received


def test_a_pipe(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = record("a.flac", channels=2)
    received = through(monkeypatch, Path("a.flac").read_bytes())
    assert run(model, "-") == 0
    with soundfile.SoundFile(io.BytesIO(received.getvalue())) as sound:
        assert (sound.format, sound.samplerate, sound.frames) == ("WAV", RATE, len(noisy))
        np.testing.assert_allclose(sound.read(), 0.5 * noisy, atol=2e-4)
    through(monkeypatch, Path("a.flac").read_bytes())
    assert run(model, "-", "-o", "b.aiff") == 0
    assert soundfile.info("b.aiff").format == "AIFF"
    received = through(monkeypatch, b"")
    assert run(model, "a.flac", "-o", "-", "--format", "flac") == 0
    assert received.getvalue()[:4] == b"fLaC"


@pytest.mark.parametrize(
    ("sent", "message"),
    [(b"", "Nothing came through standard input"), (b"x" * 99, "standard input: This is no audio")],
)
def test_a_pipe_of_no_audio_gives_nothing(
    model: Path,
    sent: bytes,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    received = through(monkeypatch, sent)
    assert run(model, "-") == 1
    assert received.getvalue() == b""
    assert message in capsys.readouterr().err


def test_terminals_are_no_place_for_audio(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record("a.wav")
    through(monkeypatch, b"")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert run(model, "-", "-o", "b.wav") == 2
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert run(model, "a.wav", "-o", "-") == 2


def test_python_m_denoise_through_real_pipes(model: Path) -> None:
    record("a.wav", n_samples=100_000)
    done = subprocess.run(
        [sys.executable, "-m", "denoise", "-", "--model", str(model)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=Path("a.wav").read_bytes(),
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"standard input -> standard output\n")
    assert run(model, "a.wav", "-q") == 0
    assert done.stdout == Path("a-denoised.wav").read_bytes()


SLOWLY = r"""
import sys, time
from denoise.inference import audio_io
from denoise.cli.main import main

blocks = audio_io.read_blocks

def slowly(sound):
    for block in blocks(sound):
        yield block
        sys.stdout.write("block\n")
        sys.stdout.flush()
        time.sleep(0.05)

audio_io.read_blocks = slowly
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="a console's Ctrl-C cannot be sent to one process")
@pytest.mark.parametrize("n_jobs", ["1", "2"])
@pytest.mark.parametrize(
    ("number", "message", "status"),
    [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)],
)
def test_a_signal_leaves_nothing_half_written(
    model: Path, n_jobs: str, number: signal.Signals, message: str, status: int
) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        record(name, n_samples=3_000_000)
    command = [sys.executable, "-c", SLOWLY, "a.wav", "b.wav", "c.wav", "-o", "x"]
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
        assert process.stderr.read() == f"denoise: {message}; nothing half-written was kept\n"
    assert process.returncode == status
    assert files() == {"a.wav", "b.wav", "c.wav"}


@pytest.mark.skipif(os.name == "nt", reason="its processes know no SIGTERM")
def test_a_signal_while_a_pipe_is_read_leaves_nothing(model: Path, here: Path) -> None:
    (here / "spool").mkdir()
    record("a.wav")
    with subprocess.Popen(
        [sys.executable, "-m", "denoise", "-", "--model", str(model)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(here / "spool")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(Path("a.wav").read_bytes())
        process.stdin.flush()
        wait_until(lambda: any(here.glob("spool/*/in")))
        process.send_signal(signal.SIGTERM)
        assert b"denoise: terminated" in process.stderr.read()
    assert process.returncode == 143
    assert list(here.glob("spool/denoise*")) == []


def test_what_a_caller_does_at_sigterm_stays_theirs(model: Path) -> None:
    record("a.wav")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert run(model, "a.wav") == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert run(model, "a.wav", "--overwrite") == 0
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


LISTS_MODULES = """
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
AT_WORK = {"numpy", "onnxruntime", "soundfile", "soxr"}


@pytest.mark.parametrize("is_work", [False, True])
def test_nothing_is_imported_that_is_not_needed(model: Path, is_work: bool) -> None:
    record("a.wav")
    arguments = ["a.wav", "--model", str(model)] if is_work else ["--help"]
    done = subprocess.run(
        [sys.executable, "-c", LISTS_MODULES, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stdout.splitlines()[-1].split())
    assert imported & HEAVY == set()
    assert imported & AT_WORK == (AT_WORK if is_work else set())


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    ends = (cli.DONE, cli.SOME_FAILED, cli.USAGE, cli.NO_MODEL, cli.INTERRUPTED, cli.TERMINATED)
    for status in ends:
        assert f"{status} " in printed.split("exit status:")[1].replace("\n", " ")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"denoise {__version__}\n"


def test_an_error_in_the_pipe_s_folder_is_an_error_to_mend(
    monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    through(monkeypatch, b"x")
    monkeypatch.setattr("shutil.copyfileobj", refuse)
    assert run(model, "-", "-o", "x.wav") == 1


def test_the_wheel_holds_every_package_and_the_network() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "denoise").rglob("__init__.py")
    }
    assert set(settings["packages"]) == packages | {"denoise.models"}
    assert settings["package-dir"]["denoise.models"] == "models"
    assert settings["package-data"]["denoise.models"] == ["*.onnx"]


def test_errors_of_the_library_are_errors_of_the_command() -> None:
    assert issubclass(cli.UsageError, DenoiseError)
