"""Write files and folders so that they appear complete or not at all.

A new version is written under a temporary name beside its target and then renamed. What a killed
process leaves under such a name is removed by the next one that writes the target. A folder cannot
be renamed over another one, so `replacing_folder` needs two renames: the old folder is moved away,
then the new one takes its place. A process that is killed between the two leaves no folder at the
target; `recover_folder` moves the old one back.
"""

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RENAME_SECONDS = 1.0  # far longer than a running process takes from one rename to the next
LEFTOVER_SECONDS = 3600.0  # without a write; the writer may run on another host or in a container


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary file name beside `path`; on success rename it, on any error remove it.

    Files that killed processes left behind are removed first, an hour after their last write.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(path)
    for leftover in _leftovers(path):
        with suppress(OSError):  # another writer has just removed it, or Windows holds it open
            is_file = leftover.suffix == ".partial" and leftover.is_file()
            if is_file and leftover != temporary and _is_old(leftover) and not _is_in_use(leftover):
                leftover.unlink()
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary empty folder beside `path`; on success move it to `path`.

    On any error the folder at `path` stays as it was. Folders that killed processes left behind
    are recovered or removed first; see `recover_folder`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    recover_folder(path)
    temporary = _temporary_beside(path)
    temporary.mkdir()
    try:
        yield temporary
        _exchange(path, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(path: Path, temporary: Path) -> None:
    """Move `temporary` to `path`, and the folder at `path`, if there is one, to `temporary`.

    The old folder is called `.former` only while it is complete. It is renamed again before it is
    removed, so a removal that is interrupted leaves nothing that could be recovered by mistake.
    """
    former = temporary.with_suffix(".former")
    try:
        if path.exists():
            path.replace(former)
        temporary.replace(path)
    finally:
        if not path.exists() and former.exists():  # an error or Ctrl-C between the two renames
            former.replace(path)
        with suppress(OSError):  # Windows, while a file in it is open: the next writer removes it
            former.replace(temporary)


def recover_folder(path: str | os.PathLike[str]) -> None:
    """Undo what a killed process left of `replacing_folder(path)`. Call it before reading `path`.

    If there is no folder at `path`, the newest former one is moved back, even if the new folder
    beside it was complete: the write had not ended. All other leftovers are removed, except those
    of processes that still run. Raises OSError if a folder cannot be moved back.
    """
    path = Path(path)
    leftovers = [each for each in _leftovers(path) if each.is_dir()]
    formers = [each for each in leftovers if each.suffix == ".former"]
    is_being_replaced = any(_is_in_use(each) for each in formers)
    if formers and not _appears(path, RENAME_SECONDS if is_being_replaced else 0.0):
        with suppress(FileNotFoundError):  # another process has just moved it
            max(formers, key=_modified).replace(path)
    for leftover in leftovers:
        if not _is_in_use(leftover):
            shutil.rmtree(leftover, ignore_errors=True)


def _leftovers(path: Path) -> list[Path]:
    """Return the temporary files and folders and the former folders beside `path`.

    A folder that may not be listed has none.
    """
    name = re.compile(rf"\.{re.escape(path.name)}\.\d+\.(partial|former)")
    try:
        return [each for each in path.parent.iterdir() if name.fullmatch(each.name)]
    except OSError:
        return []


def _is_old(file: Path) -> bool:
    return time.time() - file.stat().st_mtime > LEFTOVER_SECONDS


def _appears(path: Path, seconds: float) -> bool:
    """Tell whether `path` exists, or is created within `seconds`.

    A running writer does its second rename at once. If nothing appears, the number in the
    leftover's name now belongs to another process: numbers are reused, above all in containers.
    """
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


def _modified(folder: Path) -> int:
    """Return when files were last added to a folder, in nanoseconds; 0 if it is gone."""
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _is_in_use(leftover: Path) -> bool:
    """Tell whether the process that made a leftover may still run.

    A leftover with the number of this process is from an earlier process with the same number.
    """
    process_id = int(leftover.name.split(".")[-2])
    return process_id != os.getpid() and _is_running(process_id)


if sys.platform == "win32":

    def _is_running(process_id: int) -> bool:
        """Ask the system, since os.kill(process_id, 0) sends Ctrl-C on Windows."""
        import ctypes

        synchronise, access_denied, timed_out = 0x0010_0000, 5, 0x102
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        process = kernel32.OpenProcess(synchronise, False, process_id)
        if not process:
            return ctypes.get_last_error() == access_denied
        try:
            return bool(kernel32.WaitForSingleObject(process, 0) == timed_out)
        finally:
            kernel32.CloseHandle(process)

else:

    def _is_running(process_id: int) -> bool:
        try:
            os.kill(process_id, 0)  # sends no signal, only checks
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:  # the process belongs to another user
            pass
        return True


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, complete or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
