"""Files and folders appear complete or not at all, whatever interrupts the writer."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from denoise.util import atomic
from denoise.util.atomic import recover_folder, replacing, replacing_folder, write_text
from tests.closures import ROOT

PRELUDE = """
import shutil, sys
from pathlib import Path
from denoise.util.atomic import replacing, replacing_folder

def pause():
    print("paused", flush=True)
    sys.stdin.read()
"""
PAUSE_WHILE_WRITING_A_FILE = """
with replacing({path!r}) as temporary:
    file = temporary.open("wb")
    file.write(b"half")
    file.flush()
    pause()
"""
PAUSE_WHILE_WRITING_A_FOLDER = """
with replacing_folder({path!r}) as temporary:
    (temporary / "half").write_bytes(b"half")
    pause()
"""
PAUSE_BETWEEN_THE_RENAMES = """
rename = Path.replace

def rename_and_pause(path, target):
    rename(path, target)
    pause()

with replacing_folder({path!r}) as temporary:
    (temporary / "new").write_bytes(b"new")
    Path.replace = rename_and_pause
"""
PAUSE_WHILE_REMOVING_THE_OLD_FOLDER = """
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


def start_and_pause(script: str, path: Path) -> subprocess.Popen[bytes]:
    """Run `script` in another process until it pauses; return the process."""
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script.format(path=str(path))],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"paused"
    return process


def kill_at_the_pause(script: str, path: Path) -> None:
    """Run `script` until it pauses, then end it with SIGKILL (TerminateProcess on Windows)."""
    with start_and_pause(script, path) as process:
        process.kill()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def write_folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_bytes(name.encode())
    return path


@pytest.fixture(scope="module")
def dead_process_id() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


@pytest.fixture
def running_process_id() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        yield process.pid
        process.kill()


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
    assert names_in(tmp_path) == ["folder"]
    assert contents(path) == {"old": b"old"}


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "folder", "old", "both")
    with replacing_folder(path) as temporary:
        (temporary / "both").write_bytes(b"new")
        assert contents(path) == {"old": b"old", "both": b"both"}
    assert contents(path) == {"both": b"new"}
    assert names_in(tmp_path) == ["folder"]


def test_a_missing_folder_is_created(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "new" / "folder") as temporary:
        (temporary / "file").write_bytes(b"whole")
    assert contents(tmp_path / "new" / "folder") == {"file": b"whole"}


def test_a_leftover_temporary_folder_is_not_reused(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "folder") as temporary:
        name = temporary.name
    write_folder(tmp_path / name, "left")
    with replacing_folder(tmp_path / "folder") as temporary:
        assert temporary.name == name
        assert contents(temporary) == {}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("is_renamed", [False, True])
def test_an_error_in_the_second_rename_leaves_a_complete_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], is_renamed: bool
) -> None:
    path = write_folder(tmp_path / "folder", "old")
    rename = Path.replace

    def fail_once(source: Path, target: Path) -> Path:
        if not target.name.endswith(".former"):
            monkeypatch.undo()
            if is_renamed:
                rename(source, target)
            raise error
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", fail_once)
    with pytest.raises(error), replacing_folder(path) as temporary:
        (temporary / "new").write_bytes(b"new")
    assert contents(path) == ({"new": b"new"} if is_renamed else {"old": b"old"})
    assert names_in(tmp_path) == ["folder"]


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_kill_leaves_no_half_file(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "file"
    if old:
        path.write_bytes(old)
    kill_at_the_pause(PAUSE_WHILE_WRITING_A_FILE, path)
    assert (path.read_bytes() if path.exists() else None) == old
    with replacing(path) as temporary:
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    kill_at_the_pause(PAUSE_WHILE_WRITING_A_FILE, path)
    (leftover,) = tmp_path.iterdir()
    with replacing(path) as temporary:
        temporary.write_bytes(b"first")
        assert leftover.exists()  # its writer might run on another host, and still write
    os.utime(leftover, (0, 0))
    with replacing(path) as temporary:
        temporary.write_bytes(b"whole")
        assert sorted(names_in(tmp_path)) == [temporary.name, "file"]
    assert contents(tmp_path) == {"file": b"whole"}


def test_files_of_running_processes_and_other_files_are_kept(
    tmp_path: Path, dead_process_id: int
) -> None:
    path = tmp_path / "f.le"
    kept = [f".{name}.{dead_process_id}.partial" for name in ("f", "file", "my f.le")]
    kept += [
        f".f.le.{dead_process_id}.former",
        ".f.le.x.partial",
        f"f.le.{dead_process_id}.partial",
    ]
    for name in kept:
        (tmp_path / name).write_bytes(b"kept")
    write_folder(tmp_path / f".f.le.{dead_process_id}.partial", "kept")
    with start_and_pause(PAUSE_WHILE_WRITING_A_FILE, path) as process:
        with replacing(path) as temporary:
            temporary.write_bytes(b"new")
        names = {*kept, f".f.le.{dead_process_id}.partial", f".f.le.{process.pid}.partial"}
        assert set(names_in(tmp_path)) == {"f.le", *names}
        process.communicate()  # ends the pause
        assert process.returncode == 0
    assert path.read_bytes() == b"half"


@pytest.mark.parametrize(
    "script", [PAUSE_WHILE_WRITING_A_FOLDER, PAUSE_WHILE_REMOVING_THE_OLD_FOLDER]
)
def test_a_kill_leaves_no_half_folder(tmp_path: Path, script: str) -> None:
    path = write_folder(tmp_path / "folder", "old1", "old2")
    whole = contents(path)
    kill_at_the_pause(script, path)
    assert contents(path) in (whole, {"new": b"new"})
    with replacing_folder(path) as temporary:
        (temporary / "next").write_bytes(b"next")
    assert contents(path) == {"next": b"next"}
    assert names_in(tmp_path) == ["folder"]


def test_a_folder_is_recovered_after_a_kill_between_the_renames(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "folder", "old1", "old2")
    whole = contents(path)
    kill_at_the_pause(PAUSE_BETWEEN_THE_RENAMES, path)
    assert not path.exists()
    recover_folder(path)
    assert contents(path) == whole
    assert names_in(tmp_path) == ["folder"]


def test_the_next_writer_recovers_the_folder_before_it_writes(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "folder", "old1", "old2")
    whole = contents(path)
    kill_at_the_pause(PAUSE_BETWEEN_THE_RENAMES, path)
    with pytest.raises(RuntimeError), replacing_folder(path):
        assert contents(path) == whole
        raise RuntimeError
    assert contents(path) == whole
    assert names_in(tmp_path) == ["folder"]


def test_a_half_removed_old_folder_is_never_recovered(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "folder", "old1", "old2")
    kill_at_the_pause(PAUSE_WHILE_REMOVING_THE_OLD_FOLDER, path)
    path.rename(tmp_path / "elsewhere")
    recover_folder(path)
    assert names_in(tmp_path) == ["elsewhere"]


def test_recovery_without_leftovers_does_nothing(tmp_path: Path) -> None:
    recover_folder(tmp_path / "no parent" / "folder")
    recover_folder(tmp_path / "missing")
    path = write_folder(tmp_path / "folder", "old")
    recover_folder(path)
    assert contents(path) == {"old": b"old"}
    assert names_in(tmp_path) == ["folder"]


def test_an_existing_folder_wins_over_a_former_one(tmp_path: Path, dead_process_id: int) -> None:
    path = write_folder(tmp_path / "folder", "new")
    write_folder(tmp_path / f".folder.{dead_process_id}.former", "old")
    recover_folder(path)
    assert contents(path) == {"new": b"new"}
    assert names_in(tmp_path) == ["folder"]


def test_the_newest_of_several_former_folders_is_recovered(
    tmp_path: Path, dead_process_id: int
) -> None:
    for process_id, modified in ((dead_process_id, 200), (os.getpid(), 300), (4_000_000_000, 100)):
        former = write_folder(tmp_path / f".folder.{process_id}.former", str(modified))
        os.utime(former, (modified, modified))
        write_folder(tmp_path / f".folder.{process_id}.partial", "whole")
    recover_folder(tmp_path / "folder")
    assert contents(tmp_path / "folder") == {"300": b"300"}
    assert names_in(tmp_path) == ["folder"]


def test_leftovers_of_other_folders_are_kept(tmp_path: Path, dead_process_id: int) -> None:
    for name in ("f", "f.lder.1", "my f.lder", "folder"):
        write_folder(tmp_path / f".{name}.{dead_process_id}.former", "old")
    before = sorted(names_in(tmp_path))
    recover_folder(tmp_path / "f.lder")
    assert sorted(names_in(tmp_path)) == before


def test_a_running_process_keeps_its_temporary_folder(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "folder", "old")
    with start_and_pause(PAUSE_WHILE_WRITING_A_FOLDER, path) as process:
        with replacing_folder(path) as temporary:
            (temporary / "new").write_bytes(b"new")
        assert (tmp_path / f".folder.{process.pid}.partial" / "half").exists()
        process.communicate()  # ends the pause
        assert process.returncode == 0
    assert contents(path) == {"half": b"half"}
    assert names_in(tmp_path) == ["folder"]


def test_recovery_waits_for_the_second_rename_of_a_running_process(
    tmp_path: Path, running_process_id: int
) -> None:
    path = tmp_path / "folder"
    former = write_folder(tmp_path / f".folder.{running_process_id}.former", "old")
    temporary = write_folder(tmp_path / f".folder.{running_process_id}.partial", "new")
    timer = threading.Timer(0.2, temporary.replace, [path])
    timer.start()
    recover_folder(path)
    timer.join()
    assert contents(path) == {"new": b"new"}
    assert contents(former) == {"old": b"old"}  # its own process removes it


def test_a_process_number_that_is_used_again_does_not_prevent_recovery(
    tmp_path: Path, running_process_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "RENAME_SECONDS", 0.2)
    write_folder(tmp_path / f".folder.{running_process_id}.former", "old")
    start = time.monotonic()
    recover_folder(tmp_path / "folder")
    assert time.monotonic() - start >= 0.2
    assert contents(tmp_path / "folder") == {"old": b"old"}


def test_text_is_utf8_with_unix_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "text", "ä\n\r\n" + os.linesep)
    assert (tmp_path / "text").read_bytes() == ("ä\n\r\n" + os.linesep).encode()
