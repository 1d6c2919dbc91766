"""List the files of a folder or a zip in the same way and order, and read them in place."""

import functools
import os
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from denoise.corpus.archive import ZIP_OPEN_ERRORS, ZIP_READ_ERRORS
from denoise.dsp.formats import READ_ONLY, TS_PACKET, is_transport_stream
from denoise.errors import AudioError, CorpusError

MAX_BYTES = 128 << 20  # more than any minute of audio needs, and small enough to hold in memory
MAX_MEMORY_BYTES = 8 << 20  # of a copy; a longer one is on disk
MAX_SPOOLED_BYTES = 4 << 30  # the largest size of a WAV file
BLOCK_BYTES = 1 << 20
N_EXAMPLES = 3
N_DAMAGED_SHOWN = 5
AUDIO_SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"}
    | {".au", ".snd", ".caf", ".w64", ".rf64"}
    | {".sph", ".nist", ".nis", ".wv1", ".wv2"}  # NIST SPHERE
)
NOT_AUDIO = "Its extension is not that of an audio file."
NOT_READ = "Files of this format are not read here: convert it to WAV or FLAC, such as with ffmpeg."


SkipFile = Callable[[str, str], None]
"""Called with a file's name and the reason why it is skipped."""


@dataclass(frozen=True)
class SourceFile:
    """A file: its path in printable parts, and a function that opens it.

    `tie_breaker` orders files whose printable paths are equal.
    """

    path: tuple[str, ...]
    tie_breaker: tuple[str, int]
    open: Callable[[], IO[bytes]]

    @property
    def name(self) -> str:
        """The path as one string."""
        return "/".join(self.path)

    @property
    def stem(self) -> str:
        """The file name without folders and suffix."""
        return PurePosixPath(self.path[-1]).stem

    @property
    def suffix(self) -> str:
        """The suffix in lower case, such as `.wav`."""
        return PurePosixPath(self.path[-1]).suffix.lower()

    def read(self) -> bytes:
        """Return the content; raises AudioError if it is damaged, encrypted or over MAX_BYTES."""
        return b"".join(self._blocks(MAX_BYTES))

    def read_head(self, n_bytes: int) -> bytes:
        """Return the first `n_bytes`, or fewer; nothing if they cannot be read."""
        with suppress(*ZIP_READ_ERRORS), self.open() as file:
            return file.read(n_bytes)
        return b""

    @contextmanager
    def open_copy(self) -> Iterator[BinaryIO]:
        """Yield a complete, seekable copy, which is on disk if it is too large for memory.

        Raises AudioError as `read` does, with the limit MAX_SPOOLED_BYTES.
        """
        with tempfile.SpooledTemporaryFile(MAX_MEMORY_BYTES) as copy:
            for block in self._blocks(MAX_SPOOLED_BYTES):
                copy.write(block)
            copy.seek(0)
            yield cast(BinaryIO, copy)

    def _blocks(self, max_bytes: int) -> Iterator[bytes]:
        n_bytes = 0
        with _translate_read_errors():
            file = self.open()
        with file:
            while True:
                with _translate_read_errors():
                    block = file.read(BLOCK_BYTES)
                if not block:
                    return
                n_bytes += len(block)
                if n_bytes > max_bytes:
                    raise AudioError(f"It is larger than {max_bytes >> 20} MiB.")
                yield block


def why_not_audio(file: SourceFile) -> str:
    """Return the reason why a file whose suffix is not one of AUDIO_SUFFIXES is left out."""
    if file.suffix == ".ts" and not is_transport_stream(file.read_head(TS_PACKET + 1)):
        return NOT_AUDIO  # TypeScript
    return NOT_READ if file.suffix[1:] in READ_ONLY else NOT_AUDIO


@contextmanager
def _translate_read_errors() -> Iterator[None]:
    try:
        yield
    except ZIP_READ_ERRORS as error:
        raise AudioError(f"Its bytes cannot be read ({type(error).__name__}).") from error


class SkippedFiles:
    """The files that cannot be used, grouped by reason."""

    def __init__(self) -> None:
        """Start empty; `damaged` holds the names and reasons of recordings that cannot be read."""
        self._names: dict[str, list[str]] = {}
        self.damaged: list[tuple[str, str]] = []

    def add(self, name: str, reason: str) -> None:
        """Record a file and the reason why it is left out."""
        self._names.setdefault(reason, []).append(name)

    def add_damaged(self, name: str, reason: str) -> None:
        """Record a recording that cannot be read and the reason."""
        self.add(name, reason)
        self.damaged.append((name, reason))

    def reasons(self) -> dict[str, Any]:
        """Return the number of files and the first few names for each reason."""
        return {
            reason: {"files": len(names), "examples": sorted(names)[:N_EXAMPLES]}
            for reason, names in sorted(self._names.items())
        }

    def __str__(self) -> str:
        """Return a readable summary: the total, then one line per reason."""
        damaged = f", of which {len(self.damaged)} cannot be read" if self.damaged else ""
        lines = [f"{sum(map(len, self._names.values()))} files left out{damaged}."]
        for reason, summary in self.reasons().items():
            examples = ", ".join(summary["examples"])
            lines.append(f"  {summary['files']}: {reason} Such as {examples}")
        return "\n".join(lines)


def check_damage(
    damaged: Sequence[tuple[str, str]], source: Path, n_recordings: int, max_fraction: float
) -> None:
    """Raise CorpusError if more of the recordings in `source` than `max_fraction` are damaged.

    `damaged` holds the names and reasons of those that cannot be read.
    """
    if len(damaged) <= max_fraction * n_recordings:
        return
    examples = "\n".join(f"  {name}: {why}" for name, why in sorted(damaged)[:N_DAMAGED_SHOWN])
    raise CorpusError(
        f"{len(damaged)} of {n_recordings} recordings in {source}, "
        f"{len(damaged) / n_recordings:.2%}, cannot be read, more than "
        f"download.max_damaged_fraction, {max_fraction:g}. Repair or remove them, or raise that "
        f"value. The first are:\n{examples}"
    )


@contextmanager
def list_files(source: Path, key: str, skip_file: SkipFile) -> Iterator[list[SourceFile]]:
    """Yield the files of a folder or zip, sorted by path, without hidden ones and `__MACOSX`.

    `skip_file` is called for what cannot be listed. `key` is the params key that names `source`.
    Raises CorpusError if `source` is neither a folder nor a whole zip.
    """
    if source.is_dir():
        yield _sort_visible(_list_folder(source, skip_file))
        return
    try:
        archive = zipfile.ZipFile(source)
    except FileNotFoundError:
        raise CorpusError(
            f"No folder or zip at {source}. Set {key} to an existing folder or zip."
        ) from None
    except ZIP_OPEN_ERRORS as error:
        raise CorpusError(
            f"{source} is not a whole zip ({error}). Set {key} to a folder or another zip."
        ) from error
    with archive:
        yield _sort_visible(_list_zip(archive))


def _sort_visible(files: Iterable[SourceFile]) -> list[SourceFile]:
    visible = [file for file in files if file.path and not any(map(_is_hidden, file.path))]
    return sorted(visible, key=lambda file: (file.path, file.tie_breaker))


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def split_path(path: str) -> tuple[str, ...]:
    """Split a path into parts that print and compare alike on every system, without `..`."""
    printable = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in path)
    parts = unicodedata.normalize("NFC", printable).split("/")
    return tuple(part for part in parts if part not in ("", ".", ".."))


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _list_folder(folder: Path, skip_file: SkipFile) -> Iterator[SourceFile]:
    def relative_name(path: str | Path) -> str:
        return Path(path).relative_to(folder).as_posix()

    def skip(path: str | Path, reason: str) -> None:
        skip_file("/".join(split_path(relative_name(path))), reason)

    def skip_folder(error: OSError) -> None:
        skip(error.filename, "The folder cannot be opened.")

    for parent, subfolders, names in os.walk(folder, onerror=skip_folder):
        for path in [Path(parent, name) for name in subfolders]:
            if path.is_symlink():
                skip(path, "It is a link to a folder.")
        for path in [Path(parent, name) for name in names]:
            if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where this returns False
                name = relative_name(path)
                yield SourceFile(split_path(name), (name, 0), functools.partial(_open, path))
            else:
                skip(path, "It is not a regular file.")


def _list_zip(archive: zipfile.ZipFile) -> Iterator[SourceFile]:
    for info in archive.infolist():
        if not info.is_dir():
            path = split_path(info.filename.replace("\\", "/"))
            tie_breaker = (info.filename, info.CRC)
            yield SourceFile(path, tie_breaker, functools.partial(archive.open, info))
