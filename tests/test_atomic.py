"""Files and folders that appear whole or not at all, whatever happens in the middle."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from denoise.util.atomic import replacing, replacing_folder, write_text
from tests.closures import ROOT

WRITES_A_FILE = """
with replacing({path!r}) as temporary:
    file = temporary.open("wb")
    file.write(b"half")
    file.flush()
    pause()
"""
WRITES_A_FOLDER = """
with replacing_folder({path!r}) as temporary:
    (temporary / "half").write_bytes(b"half")
    pause()
"""
REMOVES_THE_FORMER = """
remove = shutil.rmtree

def remove_a_part(folder, **options):
    if any(Path(folder).glob("old*")):
        sorted(Path(folder).iterdir())[0].unlink()
        pause()
    remove(folder, **options)

shutil.rmtree = remove_a_part
with replacing_folder({path!r}) as temporary:
    (temporary / "new").write_bytes(b"new")
"""
PRELUDE = """
import shutil, sys
from pathlib import Path
from denoise.util.atomic import replacing, replacing_folder

def pause():
    print("paused", flush=True)
    sys.stdin.read()
"""


def kill_in_the_middle(script: str, path: Path) -> None:
    """Run `script` until it pauses, and end it with SIGKILL (TerminateProcess on Windows)."""
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script.format(path=str(path))],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"paused"
        process.kill()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_bytes(name.encode())
    return path


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    with replacing(path) as temporary:
        temporary.write_bytes(b"whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert contents(path.parent) == {"file": b"whole"}


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert contents(tmp_path) == {"file": b"new"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_error_leaves_the_old_file_and_no_other(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert contents(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_error_leaves_the_old_folder_and_no_other(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = write_folder(tmp_path / "folder", "old")
    with pytest.raises(error), replacing_folder(path) as temporary:
        (temporary / "half").write_bytes(b"half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    assert contents(path) == {"old": b"old"}


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "folder", "old", "both")
    with replacing_folder(path) as temporary:
        (temporary / "both").write_bytes(b"new")
        assert contents(path) == {"old": b"old", "both": b"both"}
    assert contents(path) == {"both": b"new"}
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "new" / "folder") as temporary:
        (temporary / "file").write_bytes(b"whole")
    assert contents(tmp_path / "new" / "folder") == {"file": b"whole"}


def test_what_a_killed_process_left_is_not_taken_over(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "folder") as temporary:
        name = temporary.name
    write_folder(tmp_path / name, "left")
    with replacing_folder(tmp_path / "folder") as temporary:
        assert temporary.name == name
        assert contents(temporary) == {}


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_kill_leaves_no_half_file(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "file"
    if old:
        path.write_bytes(old)
    kill_in_the_middle(WRITES_A_FILE, path)
    assert (path.read_bytes() if path.exists() else None) == old
    with replacing(path) as temporary:
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize("script", [WRITES_A_FOLDER, REMOVES_THE_FORMER])
def test_a_kill_leaves_no_half_folder(tmp_path: Path, script: str) -> None:
    path = write_folder(tmp_path / "folder", "old1", "old2")
    whole = contents(path)
    kill_in_the_middle(script, path)
    assert contents(path) in (whole, {"new": b"new"})
    with replacing_folder(path) as temporary:
        (temporary / "next").write_bytes(b"next")
    assert contents(path) == {"next": b"next"}


def test_text_is_utf8_with_unix_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "text", "ä\n\r\n" + os.linesep)
    assert (tmp_path / "text").read_bytes() == ("ä\n\r\n" + os.linesep).encode()
