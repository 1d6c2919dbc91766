"""The files of a folder or of a zip, listed alike, in one order, and read in place."""

import functools
import os
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from denoise.corpus.archive import DAMAGE
from denoise.errors import AudioError, CorpusError

LARGEST_BYTES = 128 << 20  # beyond any minute of sound, and little enough to hold in memory

LeaveOut = Callable[[str, str], None]


@dataclass(frozen=True)
class SourceFile:
    """A file: its path in printable parts, what orders files of one path, and how to open it."""

    path: tuple[str, ...]
    tie: tuple[str, int]
    open: Callable[[], IO[bytes]]

    @property
    def name(self) -> str:
        """Its path as one string."""
        return "/".join(self.path)

    @property
    def stem(self) -> str:
        """Its name without folders and suffix."""
        return PurePosixPath(self.path[-1]).stem

    @property
    def suffix(self) -> str:
        """Its suffix in lower case, `.wav`."""
        return PurePosixPath(self.path[-1]).suffix.lower()

    def read(self) -> bytes:
        """Return its bytes; raises AudioError where they are damaged, locked or too many."""
        try:
            with self.open() as file:
                content = file.read(LARGEST_BYTES + 1)
        except DAMAGE as error:
            raise AudioError(f"Its bytes cannot be read ({type(error).__name__}).") from error
        if len(content) > LARGEST_BYTES:
            raise AudioError(f"It is larger than {LARGEST_BYTES >> 20} MiB.")
        return content


@contextmanager
def listed(source: Path, leave_out: LeaveOut) -> Iterator[list[SourceFile]]:
    """Yield the files of a folder or zip sorted by path, without hidden ones and `__MACOSX`.

    What cannot be listed goes to `leave_out` with its name and the reason. Raises CorpusError where
    `source` is neither a folder nor a whole zip.
    """
    if source.is_dir():
        yield _sorted(_of_folder(source, leave_out))
        return
    try:
        opened = zipfile.ZipFile(source)
    except FileNotFoundError:
        raise CorpusError(f"No folder or zip at {source}. Set download.local to one.") from None
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise CorpusError(
            f"{source} is no whole zip ({error}). Set download.local to a folder or another zip."
        ) from error
    with opened:
        yield _sorted(_of_zip(opened))


def _sorted(files: Iterable[SourceFile]) -> list[SourceFile]:
    seen = [file for file in files if file.path and not any(map(_is_hidden, file.path))]
    return sorted(seen, key=lambda file: (file.path, file.tie))


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _parts(name: str) -> tuple[str, ...]:
    """Split a path into parts that print and compare alike everywhere; `..` means nothing."""
    printable = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in name)
    parts = unicodedata.normalize("NFC", printable).split("/")
    return tuple(part for part in parts if part not in ("", ".", ".."))


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _of_folder(folder: Path, leave_out: LeaveOut) -> Iterator[SourceFile]:
    def name_of(path: str | Path) -> str:
        return Path(path).relative_to(folder).as_posix()

    def complain(error: OSError) -> None:
        leave_out("/".join(_parts(name_of(error.filename))), "Its folder cannot be opened.")

    for parent, subfolders, names in os.walk(folder, onerror=complain):
        for path in [Path(parent, name) for name in subfolders]:
            if path.is_symlink():
                leave_out("/".join(_parts(name_of(path))), "It is a link to a folder.")
        for path in [Path(parent, name) for name in names]:
            name, parts = name_of(path), _parts(name_of(path))
            if os.path.isfile(path):  # noqa: PTH113 - where Path.is_file raises, this says no
                yield SourceFile(parts, (name, 0), functools.partial(_open, path))
            else:
                leave_out("/".join(parts), "It is no plain file.")


def _of_zip(opened: zipfile.ZipFile) -> Iterator[SourceFile]:
    for info in opened.infolist():
        if not info.is_dir():
            parts = _parts(info.filename.replace("\\", "/"))
            tie = (info.filename, info.CRC)
            yield SourceFile(parts, tie, functools.partial(opened.open, info))
