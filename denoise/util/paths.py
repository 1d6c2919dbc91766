"""The paths that users name: what is at them, and how a file is written there.

The pipeline writes to its own paths with `atomic`. A user's path may also be a link, a device or a
file with a mode of its own.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from denoise.errors import DenoiseError

FILE, FOLDER = "a file", "a folder"
MAX_NAME_BYTES = 200  # of a temporary name; most file systems allow 255


def problem_of_name(name: str | os.PathLike[str]) -> str | None:
    """Return why no file can have a name, as the end of a sentence, or None if one can."""
    text = os.fspath(name)
    if "\0" in text:
        return "contains a null character"
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return "contains a character that file names cannot contain here"
    return None


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """Return what is at a path, links followed: FILE, FOLDER, "a device" and so on, or None.

    None is also the answer for a path that the system does not take, because it is too long for
    example. Reading or writing there gives the system's reason.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - Path drops a slash at the end
    except (OSError, ValueError):  # ValueError: a null character
        return None
    tests = {FILE: stat.S_ISREG, FOLDER: stat.S_ISDIR}
    tests |= {"a named pipe": stat.S_ISFIFO, "a socket": stat.S_ISSOCK}
    return next((kind for kind, is_kind in tests.items() if is_kind(mode)), "a device")


def real_path(path: str | os.PathLike[str]) -> str:
    """Return a path without links, or the path itself if the current folder was removed."""
    try:
        return os.path.realpath(path)
    except OSError:
        return os.path.normpath(path)


def is_same_file(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Tell whether two paths lead to one file that exists."""
    try:
        return Path(path).samefile(other)
    except (OSError, ValueError):
        return False


def is_link(path: str | os.PathLike[str]) -> bool:
    """Tell whether a symbolic link is at a path."""
    return os.path.islink(path)  # noqa: PTH114 - Path's raises if a name is too long


@contextmanager
def replacing_output(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary file name; on success that file becomes `path`, on any error it is removed.

    A symbolic link at `path` stays, and the file that it leads to is replaced. A file that is
    replaced hands down its mode, and its owner where the system allows it. Raises DenoiseError for
    a name that no file can have, and for a folder, a device, a named pipe and a socket, which are
    never replaced; and OSError.
    """
    if problem := problem_of_name(path):
        raise DenoiseError(f"{path} {problem}.")
    if (kind := kind_of(path)) not in (None, FILE):
        raise DenoiseError(f"{path} is {kind} and cannot be replaced by a file.")
    target = Path(real_path(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(_temporary_name(target.name))
    try:
        yield temporary
        if kind == FILE:
            _hand_down(target, temporary)
        elif os.path.lexists(target):  # a link that leads to itself
            target.stat()
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_name(name: str) -> str:
    """Return the name of a hidden file that no other process or thread uses."""
    encoded = os.fsencode(name)
    if len(encoded) > MAX_NAME_BYTES:
        name = hashlib.sha256(encoded).hexdigest()
    return f".{name}.{os.urandom(8).hex()}.partial"


def _hand_down(former: Path, new: Path) -> None:
    """Give a file the mode of another, and its owner where the system allows it.

    On Windows a mode can only say that a file is read-only, and such a file cannot be replaced.
    """
    if os.name == "nt":
        return
    properties = former.stat()
    if new.stat()[4:6] != properties[4:6]:  # the user and the group
        with suppress(OSError):
            os.chown(new, properties.st_uid, properties.st_gid)
    new.chmod(stat.S_IMODE(properties.st_mode))
