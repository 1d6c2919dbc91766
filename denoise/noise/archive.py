"""The archive format of noise recordings: a zip of WAV files, read in place; it may be empty.

`noise/NNNNN/MMM.wav` is piece MMM of recording NNNNN. Pieces last about a minute, so that drawing a
short stretch of noise reads little.
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
HELD_OUT_STEP = 5  # every fifth recording is held out for evaluation

Recording = list[str]
"""The member names of a recording's pieces, in order."""


class NoiseArchive(Archive):
    """A noise zip opened for reading; `recordings` is sorted, whatever the order in the file."""

    description = "noise archive"
    stage = "import_noise"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open `path`; raises CorpusError for a missing or truncated file."""
        super().__init__(path)
        pieces: dict[str, Recording] = {}
        for name in sorted(self._zip.namelist()):
            if match := PIECE_NAME.search(name):
                pieces.setdefault(match[1], []).append(name)
        self.recordings = list(pieces.values())

    @property
    def training(self) -> list[Recording]:
        """The recordings for training and validation: all but every fifth."""
        return [r for number, r in enumerate(self.recordings, 1) if number % HELD_OUT_STEP]

    @property
    def held_out(self) -> list[Recording]:
        """The recordings for evaluation: every fifth, or all if there are fewer than five."""
        return self.recordings[HELD_OUT_STEP - 1 :: HELD_OUT_STEP] or self.recordings

    def read(self, piece: str) -> bytes:
        """Return the bytes of a piece; raises CorpusError if it is damaged."""
        return self._read(piece)


class NoiseWriter:
    """Writes a noise zip whose bytes depend only on its content and the order of its members."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Wrap an open zip; use `create_noise_archive` instead of calling this."""
        self._zip = archive

    def add(self, recording: int, piece: int, wav: bytes) -> None:
        """Add a piece of a recording, the bytes of a WAV file."""
        write_member(self._zip, f"noise/{recording:05d}/{piece:03d}.wav", wav)


@contextmanager
def create_noise_archive(path: str | os.PathLike[str]) -> Iterator[NoiseWriter]:
    """Yield a writer; the zip appears at `path` when the block ends without an error."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        yield NoiseWriter(archive)
