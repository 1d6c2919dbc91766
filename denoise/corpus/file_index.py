"""The files of a folder or of a zip, listed alike, in one order, and read in place."""

import functools
import os
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from denoise.corpus.archive import DAMAGE
from denoise.errors import AudioError, CorpusError

MAX_BYTES = 128 << 20  # beyond any minute of sound, and little enough to hold in memory
MAX_SPOOLED_BYTES = 4 << 30  # as much as a WAV file can hold
BLOCK_BYTES = 1 << 20
N_EXAMPLES = 3
AUDIO_SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"}
    | {".au", ".snd", ".caf", ".w64", ".rf64"}
)

SkipFile = Callable[[str, str], None]


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
        return b"".join(self._blocks(MAX_BYTES))

    @contextmanager
    def copied(self) -> Iterator[BinaryIO]:
        """Yield a copy, whole to its last byte, on disk where it is too large for memory.

        Raises AudioError as `read` does, at a limit for long recordings.
        """
        with tempfile.SpooledTemporaryFile(MAX_BYTES) as copy:
            for block in self._blocks(MAX_SPOOLED_BYTES):
                copy.write(block)
            copy.seek(0)
            yield cast(BinaryIO, copy)

    def _blocks(self, most_bytes: int) -> Iterator[bytes]:
        n_bytes = 0
        with _reporting_damage():
            file = self.open()
        with file:
            while True:
                with _reporting_damage():
                    block = file.read(BLOCK_BYTES)
                if not block:
                    return
                n_bytes += len(block)
                if n_bytes > most_bytes:
                    raise AudioError(f"It is larger than {most_bytes >> 20} MiB.")
                yield block


@contextmanager
def _reporting_damage() -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise AudioError(f"Its bytes cannot be read ({type(error).__name__}).") from error


class SkippedFiles:
    """The files that cannot be used, by reason."""

    def __init__(self) -> None:
        """Start with none."""
        self._names: dict[str, list[str]] = {}

    def add(self, name: str, reason: str) -> None:
        """Note a file and why it is left out."""
        self._names.setdefault(reason, []).append(name)

    def reasons(self) -> dict[str, Any]:
        """Return for each reason how many files it concerns, and the first few."""
        return {
            reason: {"files": len(names), "examples": sorted(names)[:N_EXAMPLES]}
            for reason, names in sorted(self._names.items())
        }

    def __str__(self) -> str:
        """Return lines for people: how many, and the reasons."""
        lines = [f"{sum(map(len, self._names.values()))} files left out."]
        for reason, about in self.reasons().items():
            lines.append(f"  {about['files']}: {reason} Such as {', '.join(about['examples'])}")
        return "\n".join(lines)


@contextmanager
def list_files(source: Path, key: str, skip_file: SkipFile) -> Iterator[list[SourceFile]]:
    """Yield the files of a folder or zip sorted by path, without hidden ones and `__MACOSX`.

    What cannot be listed goes to `leave_out` with its name and the reason. Raises CorpusError where
    `source`, which the params name under `key`, is neither a folder nor a whole zip.
    """
    if source.is_dir():
        yield _sorted(_of_folder(source, skip_file))
        return
    try:
        opened = zipfile.ZipFile(source)
    except FileNotFoundError:
        raise CorpusError(f"No folder or zip at {source}. Set {key} to one.") from None
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise CorpusError(
            f"{source} is no whole zip ({error}). Set {key} to a folder or another zip."
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


def _of_folder(folder: Path, skip_file: SkipFile) -> Iterator[SourceFile]:
    def name_of(path: str | Path) -> str:
        return Path(path).relative_to(folder).as_posix()

    def complain(error: OSError) -> None:
        skip_file("/".join(_parts(name_of(error.filename))), "Its folder cannot be opened.")

    for parent, subfolders, names in os.walk(folder, onerror=complain):
        for path in [Path(parent, name) for name in subfolders]:
            if path.is_symlink():
                skip_file("/".join(_parts(name_of(path))), "It is a link to a folder.")
        for path in [Path(parent, name) for name in names]:
            name, parts = name_of(path), _parts(name_of(path))
            if os.path.isfile(path):  # noqa: PTH113 - where Path.is_file raises, this says no
                yield SourceFile(parts, (name, 0), functools.partial(_open, path))
            else:
                skip_file("/".join(parts), "It is no plain file.")


def _of_zip(opened: zipfile.ZipFile) -> Iterator[SourceFile]:
    for info in opened.infolist():
        if not info.is_dir():
            parts = _parts(info.filename.replace("\\", "/"))
            tie = (info.filename, info.CRC)
            yield SourceFile(parts, tie, functools.partial(opened.open, info))
