"""Where outputs go: devices and links are left alone, and any name gives work or a clear error."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from denoise.cli.io_plan import make_plan
from denoise.cli.main import main
from denoise.cli.recordings import Request
from denoise.errors import DenoiseError
from denoise.inference.file_denoiser import Options, denoise_file
from denoise.util import paths
from denoise.util.paths import replacing_output
from tests.closures import ROOT
from tests.networks import gain_network
from tests.test_cli import (  # noqa: F401 - two of them are fixtures
    list_files,
    model,
    run_denoise,
    working_folder,
    write_recording,
)

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files or modes")
pytestmark = pytest.mark.usefixtures("working_folder")


def make_pipe(name: str) -> None:
    os.mkfifo(name)


def make_socket(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(name)


def link_to_a_device(name: str) -> None:
    Path(name).symlink_to(os.devnull)


def link_to_a_pipe(name: str) -> None:
    make_pipe("pipe")
    Path(name).symlink_to("pipe")


SPECIAL = {
    "a folder": os.mkdir,
    "a named pipe": make_pipe,
    "a socket": make_socket,
    "a device": link_to_a_device,
    "named pipe": link_to_a_pipe,  # as "a named pipe"
}


@posix_only
@pytest.mark.parametrize(("kind", "make"), SPECIAL.items(), ids=SPECIAL)
def test_what_is_no_file_is_never_replaced(
    model: Path,  # noqa: F811 - the fixture
    kind: str,
    make: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_recording("a.wav")
    make("x.wav")
    before = os.lstat("x.wav"), os.lstat(os.devnull)
    if "folder" not in kind:  # one that exists is where several recordings go
        assert run_denoise(model, "a.wav", "-o", "x.wav", "--overwrite") == 2
        client = ["client", "http://127.0.0.1:1", "a.wav", "-o", "x.wav", "--overwrite"]
        assert main(client) == 2
        assert capsys.readouterr().err.count(kind) == 2
    assert main(["live", "--play", "a.wav", "--record", "x.wav", "--overwrite"]) == 2
    assert kind in capsys.readouterr().err
    with pytest.raises(DenoiseError, match=kind):
        denoise_file(gain_network(0.5), "a.wav", "x.wav")
    after = os.lstat("x.wav"), os.lstat(os.devnull)
    assert [each[:3] for each in after] == [each[:3] for each in before]  # mode, inode and device


@posix_only
def test_a_target_that_is_no_file_does_not_stop_the_others(
    model: Path,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        write_recording(name)
    make_pipe("a-denoised.wav")
    Path("b-denoised.wav").mkdir()
    assert run_denoise(model, "a.wav", "b.wav", "c.wav", "--overwrite") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("denoise: a-denoised.wav is a named pipe and cannot be replaced")
    assert lines[1].startswith("denoise: b-denoised.wav is a folder and cannot be replaced")
    assert lines[2:] == ["c.wav -> c-denoised.wav", "denoise: 1 done, 2 failed, 0 skipped"]


@posix_only
def test_a_recording_is_read_from_a_file_only(capsys: pytest.CaptureFixture[str]) -> None:
    make_pipe("a.wav")
    assert main(["a.wav"]) == 2
    assert "a.wav is a named pipe. Pipe it in and pass - instead." in capsys.readouterr().err
    with pytest.raises(DenoiseError, match=r"is a named pipe\. Only files can be read"):
        denoise_file(gain_network(0.5), "a.wav", "x.wav")
    assert main([os.devnull]) == 2
    assert f"{os.devnull} is a device" in capsys.readouterr().err


@posix_only
def test_a_pipe_in_a_folder_does_not_stop_the_others(model: Path) -> None:  # noqa: F811
    write_recording("in/a.wav")
    make_pipe("in/b.wav")
    assert run_denoise(model, "in", "-o", "x", "-q") == 1
    assert [path.name for path in Path("x").iterdir()] == ["a.wav"]


@posix_only
@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_leads_to_the_output(model: Path, there: bool) -> None:  # noqa: F811
    write_recording("a.wav")
    Path("deep").mkdir()
    if there:
        Path("deep/real.wav").write_bytes(b"former")
        Path("deep/real.wav").chmod(0o640)
    Path("x.wav").symlink_to("y.wav")
    Path("y.wav").symlink_to("deep/real.wav")
    assert run_denoise(model, "a.wav", "-o", "x.wav", *(["--overwrite"] if there else [])) == 0
    assert Path("x.wav").is_symlink() and Path("y.wav").is_symlink()
    assert soundfile.info("deep/real.wav").frames == 2000
    assert not there or stat.S_IMODE(Path("deep/real.wav").stat().st_mode) == 0o640
    assert {path.name for path in Path("deep").iterdir()} == {"real.wav"}


@posix_only
def test_a_link_to_an_input_is_that_input(model: Path) -> None:  # noqa: F811 - the fixture
    write_recording("a.wav")
    Path("x.wav").symlink_to("a.wav")
    before = Path("a.wav").read_bytes()
    assert run_denoise(model, "a.wav", "-o", "x.wav", "--overwrite") == 2
    assert main(["client", "http://127.0.0.1:1", "a.wav", "-o", "x.wav", "--overwrite"]) == 2
    assert Path("a.wav").read_bytes() == before


@posix_only
def test_a_link_that_leads_to_itself_is_an_error(model: Path) -> None:  # noqa: F811 - the fixture
    write_recording("a.wav")
    Path("x.wav").symlink_to("x.wav")
    assert run_denoise(model, "a.wav", "-o", "x.wav", "--overwrite") == 1
    assert run_denoise(model, "x.wav") == 2
    assert Path("x.wav").is_symlink()
    assert {path.name for path in Path().iterdir()} == {"a.wav", "x.wav"}


@posix_only
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444, 0o777])
def test_the_mode_of_what_is_replaced_is_kept(model: Path, mode: int) -> None:  # noqa: F811
    write_recording("a.wav")
    Path("x.wav").write_bytes(b"former")
    Path("x.wav").chmod(mode)
    assert run_denoise(model, "a.wav", "-o", "x.wav", "--overwrite") == 0
    assert soundfile.info("x.wav").frames == 2000
    assert stat.S_IMODE(Path("x.wav").stat().st_mode) == mode


@posix_only
def test_a_new_file_has_the_usual_mode() -> None:
    Path("usual").touch()
    with replacing_output("x") as temporary:
        temporary.touch()
    assert Path("x").stat().st_mode == Path("usual").stat().st_mode


@posix_only
def test_the_owner_of_what_is_replaced_is_kept_where_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[tuple[int, int]] = []

    def refuse(path: Path, user: int, group: int) -> None:
        given.append((user, group))
        raise PermissionError

    Path("x").touch()
    owner = Path("x").stat()
    monkeypatch.setattr(paths.os, "chown", refuse)
    temporary_owner = os.stat_result((0o100644, 0, 0, 1, owner.st_uid + 1, 0, 0, 0, 0, 0))
    real_stat = Path.stat
    monkeypatch.setattr(
        Path,
        "stat",
        lambda path, **options: (
            temporary_owner if path.suffix == ".partial" else real_stat(path, **options)
        ),
    )
    with replacing_output("x") as temporary:
        temporary.touch()
    assert given == [(owner.st_uid, owner.st_gid)]


def test_an_error_leaves_what_was_there() -> None:
    Path("x").write_text("former")

    def fail() -> None:
        with replacing_output("x") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert Path("x").read_text() == "former" and list_files() == {"x"}


RUNS = [
    ["in"],
    ["in", "--suffix", "_c"],
    ["in", "-o", "in", "--suffix", "_c"],
    ["in", "-o", "in/x"],
    ["in", "-o", "in/x", "--format", "flac"],
    ["in/*", "-o", "in/x"],
    ["in/**/*.wav", "-o", "in/x"],
    ["in/**", "-o", "in/deep/x"],
    ["in/*.wav", "-o", "in", "--suffix", "_c"],
    ["in/*/*.wav", "-o", "in/deep"],
    ["in", "--residual"],
    ["in/a.wav", "in/deep", "-o", "in/x"],
]


@pytest.mark.parametrize("arguments", RUNS, ids=" ".join)
@pytest.mark.parametrize("existing", ["--skip-existing", "--overwrite"])
def test_running_twice_cleans_nothing_twice(
    model: Path,  # noqa: F811 - the fixture
    arguments: list[str],
    existing: str,
) -> None:
    for name in ("in/a.wav", "in/deep/b.wav"):
        write_recording(name)
    first = run_denoise(model, *arguments, "-q", existing)
    before = list_files()
    assert run_denoise(model, *arguments, "-q", existing) == first
    assert list_files() == before


@pytest.mark.parametrize("options", [[], ["-o", "in/x"]], ids=" ".join)
def test_running_twice_over_names_that_a_shell_found(
    model: Path,  # noqa: F811 - the fixture
    options: list[str],
) -> None:
    for name in ("in/a.wav", "in/b.wav"):
        write_recording(name)
    for _ in range(3):
        names = sorted(str(path) for path in Path("in").iterdir())
        assert run_denoise(model, *names, *options, "--skip-existing", "-q") == 0
    assert len(list_files()) == 4


def test_results_beside_the_recordings_are_not_denoised_into_another_folder(
    model: Path,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_recording("in/a.wav")
    assert run_denoise(model, "in") == run_denoise(model, "in", "--residual") == 0
    assert run_denoise(model, "in", "-o", "x") == 0
    assert [path.name for path in Path("x").iterdir()] == ["a.wav"]
    Path("in/a.wav").unlink()
    capsys.readouterr()
    assert run_denoise(model, "in", "-o", "y") == 2
    assert "Names that end in -denoised or -residual are left out" in capsys.readouterr().err
    assert run_denoise(model, "in/a-denoised.wav", "-o", "y") == 0  # it was named itself


NAMES = [
    "new\nline.wav",
    "tab\t and space .wav",
    "-dash.wav",
    "--overwrite.wav",
    "quote'\".wav",
    "$(echo).wav",
    "*.wav",
    "[a-z].wav",
    "~.wav",
    "%s{}.wav",
    "\u202egnp.wav",
    "\x1b[31m.wav",
    "a" * 251 + ".wav",
    "\u65e5" * 80 + ".wav",
    ".hidden.wav",
    "dots...wav",
    "#.wav",
]


@posix_only
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_odd_names_are_worked_on(
    model: Path,  # noqa: F811 - the fixture
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_recording("a.wav")
    Path("a.wav").rename(name)
    assert run_denoise(model, "-o", "x/", "--", name) == 0
    assert soundfile.info(Path("x", name)).frames == 2000
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and printed[:-1].isprintable()
    assert run_denoise(model, "-o", "x", "--dry-run", "--overwrite", "--", name) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert run_denoise(model, "-o", "x", "--json", "--overwrite", "--", name) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["input"] == name


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux are file names bytes")
@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_names_that_the_output_cannot_encode(
    model: Path,  # noqa: F811 - the fixture
    encoding: str,
) -> None:
    write_recording("a.wav")
    name = "\u00e9 \udce9.wav"
    Path("a.wav").rename(name)
    for options in (["-n"], ["-n", "--json"], ["-q", "--json"], ["-v", "--overwrite"]):
        finished = subprocess.run(
            [sys.executable, "-m", "denoise", "--model", model, *options, name],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding},
            capture_output=True,
        )
        assert (finished.returncode, b"Traceback" in finished.stderr) == (0, False)
    assert list_files() == {name, name.replace(".wav", "-denoised.wav")}


def test_names_that_cannot_be_read_do_not_stop_the_others(
    model: Path,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_recording("a.wav")
    Path("empty").mkdir()
    bad = ["missing.wav", "", "n" * 300, "*.mp3", "empty", "\udcff.wav", "a.wav/b.wav", "a\0b"]
    assert run_denoise(model, *bad[:4], "a.wav", *bad[4:], "-n", "-o", "x") == 1
    planned = capsys.readouterr()
    assert planned.out == "would write x/a.wav from a.wav\n"
    assert planned.err.count("\n") == len(bad)
    assert run_denoise(model, *bad[:4], "a.wav", *bad[4:], "-o", "x", "--json") == 1
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) == len(bad) + 2 and all(line.isprintable() for line in lines)
    assert "No file or folder at missing.wav" in lines[0]
    assert lines[-2:] == ["a.wav -> x/a.wav", "denoise: 1 done, 8 failed, 0 skipped"]
    report = json.loads(printed.out)
    assert [entry["input"] for entry in report["files"]] == ["a.wav", *bad]
    assert (report["totals"]["denoised"], report["totals"]["failed"]) == (1, len(bad))
    assert soundfile.info("x/a.wav").frames == 2000


def test_a_command_whose_names_are_all_bad_needs_no_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["one.wav", "two.wav", "--model", "missing.onnx"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "denoise: No file or folder at one.wav.",
        "denoise: No file or folder at two.wav.",
        "denoise: 0 done, 2 failed, 0 skipped",
    ]


def test_a_folder_that_cannot_be_read_does_not_stop_the_others(
    model: Path,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("in/a.wav", "in/closed/b.wav", "in/open/c.wav"):
        write_recording(name)
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr("os.scandir", refuse)
        assert run_denoise(model, "in", "-o", "x", "-q") == 1
    assert "The folder in/closed cannot be read: Permission denied." in capsys.readouterr().err
    assert {name for name in list_files() if name[0] == "x"} == {"x/a.wav", "x/open/c.wav"}


def test_a_name_that_is_too_long_for_the_output_is_an_error(
    model: Path,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_recording("a.wav")
    write_recording("b" * 250 + ".wav")
    assert run_denoise(model, "a.wav", "b" * 250 + ".wav") == 1
    printed = capsys.readouterr().err
    assert "a.wav -> a-denoised.wav" in printed and "File name too long" in printed
    assert run_denoise(model, "a.wav", "--suffix", "s" * 300) == 1
    assert "File name too long" in capsys.readouterr().err
    assert run_denoise(model, "a.wav", "-o", "x" * 300) == 1
    assert not [name for name in list_files() if "partial" in name]


@pytest.mark.parametrize("name", ["a\0.wav", "\ud800.wav", "", "n" * 300 + ".wav", ".", "a.wav/b"])
def test_names_that_no_file_has_are_denoise_errors_of_the_python_api(name: str) -> None:
    write_recording("a.wav")
    for source, target in ((name, "x.wav"), ("a.wav", name)):
        with pytest.raises(DenoiseError):
            denoise_file(gain_network(0.5), source, target, Options(format="wav"))
    assert list_files() == {"a.wav"}


def test_a_recording_that_is_missing_is_an_error_of_live_even_if_the_output_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_recording("x.wav")
    assert main(["live", "--play", "missing.wav", "--record", "x.wav", "--overwrite"]) == 1
    assert "missing.wav cannot be read" in capsys.readouterr().err
    for name in ("", "x\0.wav", "\ud800.wav"):
        assert main(["live", "--play", "x.wav", "--record", name]) == 2


def test_the_plan_of_many_files_looks_each_up_a_few_times_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twice as many files take twice as many calls of the system, and no comparison of all."""
    calls: dict[int, int] = {}
    comparisons = 0
    equal = Path.__eq__

    def count_comparison(path: Path, other: object) -> bool:
        nonlocal comparisons
        comparisons += 1
        return equal(path, other)

    monkeypatch.setattr(Path, "__eq__", count_comparison)
    for n_files in (200, 400):
        folder = Path(f"in{n_files}")
        folder.mkdir()
        for number in range(n_files):
            (folder / f"{number}.wav").touch()
        for existing in ("overwrite", "skip"):
            comparisons = 0
            assert make_plan(Request((str(folder),), existing=existing)).n_files == n_files
            assert len(make_plan(Request((str(folder),), "out", existing="skip")).tasks) == n_files
            calls[n_files] = comparisons
        for number in range(n_files):
            (folder / f"{number}-denoised.wav").touch()
        comparisons = 0
        assert len(make_plan(Request((str(folder),), existing="skip")).skipped) == n_files
        calls[n_files] += comparisons
    assert calls[400] <= 2.5 * calls[200] + 100


@posix_only
@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("- -o x.wav <&-", 2, b"Standard input is closed"),
        ("a.wav -o - >&-", 2, b"Standard output is closed"),
        ("a.wav -n >&-", 0, b""),
        ("a.wav -q --json >&-", 0, b""),
        ("a.wav 2>&-", 0, b""),
        ("missing.wav 2>&-", 2, b""),
        ("a.wav -o - 2>&-", 0, b""),
    ],
)
def test_closed_streams_are_no_tracebacks(
    model: Path,  # noqa: F811 - the fixture
    command: str,
    status: int,
    message: bytes,
) -> None:
    write_recording("a.wav")
    finished = subprocess.run(
        ["sh", "-c", f'"$0" -m denoise --model "$1" {command}', sys.executable, model],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=b"",
        capture_output=True,
    )
    assert finished.returncode == status
    assert message in finished.stderr and b"Traceback" not in finished.stderr
    assert finished.stdout[:4] == (b"RIFF" if command.startswith("a.wav -o - 2") else b"")


@posix_only
def test_a_current_folder_that_was_removed_is_no_traceback(
    model: Path,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    write_recording("a.wav")
    there = tmp_path / "a.wav"
    for arguments, status in (
        (["a.wav"], 2),
        ([str(there), "-o", "x.wav"], 1),
        ([str(there), "-o", "x/"], 1),
        ([str(there), "*.wav", "-o", "x"], 1),
        ([str(there), "-o", str(tmp_path / "x.wav")], 0),
    ):
        program = "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); "
        program += "from denoise.cli.main import main; sys.exit(main(sys.argv[1:]))"
        finished = subprocess.run(
            [sys.executable, "-c", program, "--model", model, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert (finished.returncode, "Traceback" in finished.stderr) == (status, False)
