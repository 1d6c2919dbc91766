"""A range of bytes of a file, read as a file of its own."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from denoise.errors import AudioError

MAX_PARTS = 1000  # of a file, since each takes memory; a recorded radio station has one per title


@dataclass(frozen=True)
class Part:
    """A range of bytes that is a recording of its own, and bytes to read in place of others.

    `header` holds bytes to read before the range. `replaced` maps an offset from `start` to the
    bytes that are read in place of those there. The recording has exactly `n_samples` samples, if
    these are known: the decoder adds less than `slack`. It has `min_samples` or more. For MP3,
    `counted_samples` is the number of samples in all frames, with the encoder's padding.
    """

    start: int
    end: int
    replaced: Mapping[int, bytes]
    n_samples: int | None = None
    slack: int = 0
    min_samples: int = 0
    counted_samples: int = 0
    header: bytes = b""

    @property
    def n_bytes(self) -> int:
        """Return the number of bytes, those of the header included."""
        return len(self.header) + self.end - self.start


def check_count(n_parts: int) -> None:
    """Raise AudioError if a file has more than MAX_PARTS."""
    if n_parts > MAX_PARTS:
        raise AudioError(f"It consists of more than {MAX_PARTS} recordings. Split it.")


class PartFile(io.RawIOBase):
    """The bytes of one part as a file, for libsndfile to read.

    No exception passes through libsndfile, which takes one for the end of the file. So the first
    error is kept, even a KeyboardInterrupt, and `check` raises it.
    """

    def __init__(self, file: BinaryIO, part: Part) -> None:
        """Take the open file that holds the part."""
        self._file, self._part, self._position = file, part, 0
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raise the error that was kept, if any."""
        if self._error is not None:
            raise self._error

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the part's start, the current position or the part's end."""
        length = self._part.n_bytes
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position within the part."""
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Read bytes of the part, with those that are replaced; none after an error."""
        try:
            block = self._read(len(buffer)) if self._error is None else b""
        except BaseException as error:
            self._error, block = error, b""
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)

    def _read(self, n_bytes: int) -> bytes:
        header = self._part.header[self._position :][:n_bytes]
        n_before = max(0, self._position - len(self._part.header))
        first = self._part.start + n_before
        self._file.seek(first)
        n_left = min(n_bytes - len(header), self._part.end - first)
        block = bytearray(self._file.read(max(0, n_left)))
        for offset, new in self._part.replaced.items():
            for i, byte in enumerate(new, offset - n_before):
                if 0 <= i < len(block):
                    block[i] = byte
        return header + block
