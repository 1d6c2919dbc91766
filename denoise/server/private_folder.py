"""A folder that only this user may enter and only one server uses, and the files in it.

Jobs have such a folder, and so have the files of requests.
"""

import errno
import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from denoise.errors import UsageError
from denoise.util.atomic import replacing

LOCK = "lock"
LOCK_CONTENT = b"denoise serve holds a lock on this file while it runs.\n"
JOBS, REQUESTS = PURPOSES = ("jobs", "requests")

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _is_mine(_: os.stat_result) -> bool:
        return True  # each user has a folder for temporary files

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_mine(found: os.stat_result) -> bool:
        return found.st_uid == os.geteuid()


def default_folder(port: int, purpose: str) -> Path:
    """Return the default folder for one of PURPOSES; each user and port has its own."""
    return Path(tempfile.gettempdir()) / f"{_prefix(purpose)}{port}"


def make_temporary_folder(purpose: str) -> Path:
    """Create a folder with a random name, for a server that has no default folder.

    The server deletes it when it stops. If the server is killed, `remove_abandoned_folders` of a
    later server deletes it.
    """
    return Path(tempfile.mkdtemp(prefix=f"{_prefix(purpose)}0-"))


def _prefix(purpose: str) -> str:
    user = f"{os.getuid()}-" if sys.platform != "win32" else ""
    return f"denoise-{purpose}-{user}"


def remove_abandoned_folders() -> None:
    """Delete the folders of `make_temporary_folder` that killed servers of this user have left."""
    for purpose in PURPOSES:
        for path in Path(tempfile.gettempdir()).glob(f"{_prefix(purpose)}0-*"):
            if _is_abandoned(path):
                remove_folder(path)


def remove_folder(path: Path) -> None:
    """Delete a folder that a server has locked, its lock file last.

    So if the removal is cut short, `remove_abandoned_folders` of a later server still knows the
    folder. What cannot be deleted stays, and so does what a symbolic link leads to.
    """
    with suppress(OSError):
        if path.is_symlink():
            return
        for each in list(path.iterdir()):
            if each.name != LOCK:
                _remove(each)
        if {each.name for each in path.iterdir()} <= {LOCK}:
            (path / LOCK).unlink(missing_ok=True)
            path.rmdir()


def _remove(path: Path) -> None:
    with suppress(OSError):  # among others, on Windows, a file that is open
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    """Tell whether a server has locked this folder and no longer runs.

    A server writes LOCK_CONTENT only once it holds the lock. A folder whose lock file is empty may
    belong to a server that is just starting; one with other content is not a server's. Both are
    kept.
    """
    try:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or not _is_mine(found):
            return False
        with (path / LOCK).open("r+b") as file:
            if file.read() != LOCK_CONTENT:
                return False
            file.seek(0)  # where the server has locked it, on Windows
            _lock(file)
            return True
    except OSError:  # among others, a server holds the lock
        return False


def open_folder(path: Path) -> IO[bytes]:
    """Create a private folder if there is none, and lock it until the returned file is closed.

    Raises UsageError for a folder that another server uses, that belongs to another user or that
    other users may enter, and where it cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        _check_privacy(path)
        return _open_lock(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UsageError(f"The folder {path} cannot be used: {reason}.") from error


def _check_privacy(path: Path) -> None:
    found = path.stat()
    if not _is_mine(found):
        raise UsageError(f"The folder {path} belongs to another user.")
    if sys.platform != "win32" and stat.S_IMODE(found.st_mode) & 0o077:
        raise UsageError(
            f"Other users may enter the folder {path}, which is to hold recordings; chmod 700 "
            f"{path} keeps them out."
        )


def _open_lock(path: Path) -> IO[bytes]:
    """Open and lock the lock file; raises UsageError where another server holds the lock."""
    lock = path / LOCK
    lock.touch(mode=0o600)
    file = lock.open("r+b", buffering=0)
    try:
        _lock(file)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError | PermissionError):
            raise UsageError(f"Another server uses the folder {path}.") from error
        raise
    _write_content(file)
    return file


def _write_content(lock: IO[bytes]) -> None:
    """Write LOCK_CONTENT to a locked file that is empty.

    A full disk stops no server: the lock works without the content, and `reopened` tries again.
    """
    with suppress(OSError):
        if os.fstat(lock.fileno()).st_size == 0:
            lock.seek(0)
            if os.write(lock.fileno(), LOCK_CONTENT) < len(LOCK_CONTENT):
                lock.truncate(0)


def reopened(path: Path, lock: IO[bytes]) -> IO[bytes]:
    """Return the lock of a folder that `open_folder` has opened.

    If a cleaner of temporary files has removed the folder or its lock file, the folder is opened
    again, and the lock is a new one. Raises UsageError as `open_folder` does.
    """
    try:
        if os.path.samestat((path / LOCK).stat(), os.fstat(lock.fileno())):
            _write_content(lock)
            return lock
    except OSError:
        pass
    another = open_folder(path)
    lock.close()
    return another


def refresh(path: Path) -> None:
    """Set the times of a folder and its lock file to now, since cleaners remove what is old."""
    for each in (path / LOCK, path):
        with suppress(FileNotFoundError):
            os.utime(each)


def write_private(path: Path, text: str) -> None:
    """Write a file, complete or not at all, that no other user may read.

    Raises OSError where that is not possible. The file's folder must exist: `replacing` would
    create one that other users may enter.
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
