"""The one form that noise recordings have: a zip of WAV files, perhaps an empty one, read in place.

`noise/NNNNN/MMM.wav` is piece MMM of recording NNNNN: about a minute, so that a draw reads no more.
"""

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from denoise.corpus.archive import Archive, write_member
from denoise.util.atomic import replacing

PIECE_NAME = re.compile(r"^noise/(\d+)/\d+\.wav$")
PIECE_SECONDS = 60
MAX_PIECE_SECONDS = 1.5 * PIECE_SECONDS
HELD_OUT = 5

Recording = list[str]
"""The names of a recording's pieces, in their order."""


class NoiseArchive(Archive):
    """A noise zip opened for reading; `recordings` is sorted, whatever the order in the file."""

    holds = "noise archive"
    stage = "import_noise"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open `path`; raises CorpusError for a missing or truncated file."""
        super().__init__(path)
        found: dict[str, Recording] = {}
        for name in sorted(self._zip.namelist()):
            if match := PIECE_NAME.search(name):
                found.setdefault(match[1], []).append(name)
        self.recordings = list(found.values())

    @property
    def training(self) -> list[Recording]:
        """The recordings that training and validation may hear: all but every fifth."""
        return [r for number, r in enumerate(self.recordings, 1) if number % HELD_OUT]

    @property
    def held_out(self) -> list[Recording]:
        """Every fifth recording, for the evaluation; all of them if they are fewer."""
        return self.recordings[HELD_OUT - 1 :: HELD_OUT] or self.recordings

    def read(self, piece: str) -> bytes:
        """Return the bytes of a piece; raises CorpusError if they fail their checksum."""
        return self._read(piece)


class NoiseWriter:
    """Writes a noise zip whose bytes depend on its content and order alone."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Use `create_noise_archive` instead."""
        self._zip = archive

    def add(self, recording: int, piece: int, wav: bytes) -> None:
        """Add a piece of a recording, the bytes of a WAV file."""
        write_member(self._zip, f"noise/{recording:05d}/{piece:03d}.wav", wav)


@contextmanager
def create_noise_archive(path: str | os.PathLike[str]) -> Iterator[NoiseWriter]:
    """Yield a writer; the zip appears at `path` when the block ends without an error."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        yield NoiseWriter(archive)
