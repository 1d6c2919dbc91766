"""A folder that is private to this user, and used by one server at a time: that of all jobs."""

import errno
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from denoise.errors import UsageError
from denoise.util.atomic import replacing

LOCK = "lock"

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def default_folder(port: int, purpose: str = "jobs") -> Path:
    """Return the default folder for jobs, or for another purpose: one for each user and port."""
    user = f"{os.getuid()}-" if sys.platform != "win32" else ""
    return Path(tempfile.gettempdir()) / f"denoise-{purpose}-{user}{port}"


def open_folder(path: Path) -> IO[bytes]:
    """Create a folder for jobs if there is none, and lock it until the returned file is closed.

    Raises UsageError for a folder that another server uses, that belongs to another user or lets
    other users in, and where it cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        _check_privacy(path)
        return _open_lock(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UsageError(
            f"Jobs cannot be kept in {path}: {reason}. Choose another folder with --jobs-dir."
        ) from error


def _check_privacy(path: Path) -> None:
    if sys.platform == "win32":
        return
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise UsageError(f"{path} belongs to another user. Choose another folder with --jobs-dir.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise UsageError(
            f"Other users may enter {path}, which is to hold recordings. Run chmod 700 {path}, or "
            "choose another folder with --jobs-dir."
        )


def _open_lock(path: Path) -> IO[bytes]:
    """Open the lock file; raises UsageError where another server holds it."""
    lock = path / LOCK
    lock.touch(mode=0o600)
    file = lock.open("r+b")
    try:
        _lock(file)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise UsageError(
            f"Another server keeps its jobs in {path}. Choose another folder with --jobs-dir."
        ) from error
    return file


def reopened(path: Path, lock: IO[bytes]) -> IO[bytes]:
    """Return the lock of a folder that `open_folder` opened.

    It is another one if the folder or its lock file was removed, as by a cleaner of temporary
    files: the folder is then opened again.
    """
    try:
        if os.path.samestat((path / LOCK).stat(), os.fstat(lock.fileno())):
            return lock
    except OSError:
        pass
    another = open_folder(path)
    lock.close()
    return another


def refresh(path: Path) -> None:
    """Give a folder and its lock file the time of now, since cleaners remove what is old."""
    for each in (path / LOCK, path):
        with suppress(FileNotFoundError):
            os.utime(each)


def write_private(path: Path, text: str) -> None:
    """Write a file, complete or not at all, that no other user may read.

    Raises OSError where that is not possible, or where its folder is gone: a new one might let
    other users in.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    with replacing(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(text, encoding="utf-8", newline="\n")
        sync(temporary)


def sync(path: Path) -> None:
    """Wait until the content of a file is on the disk, so that it survives a loss of power."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
