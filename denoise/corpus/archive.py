"""The one form a corpus has: a zip laid out as AudioMNIST's, read in place.

`data/NN/D_NN_R.wav` is digit D by speaker NN, repetition R; `data/audioMNIST_meta.txt` is JSON with
a key a speaker. https://github.com/soerenab/AudioMNIST

The built-in corpus has something besides, `words/N.wav`: other words that other people say.
"""

import json
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from denoise.errors import CorpusError
from denoise.util.atomic import replacing

META_NAME = "data/audioMNIST_meta.txt"
UTTERANCE_NAME = re.compile(r"(?:^|/)data/(\d{2,})/(\d)_(\d{2,})_(\d+)\.wav$")
OOV_NAME = re.compile(r"^words/(0|[1-9]\d*)\.wav$")
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # a fixed date: the same corpus gives the same bytes

# What zipfile raises for bytes that are not as they were, and for members locked with a password.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)

Speaker = Mapping[str, str]


@dataclass(frozen=True, order=True)
class Utterance:
    """One recording: who said which digit, for the how-manieth time."""

    speaker_id: str
    digit: int
    repetition: int

    @property
    def utterance_id(self) -> str:
        """AudioMNIST's own name for it, `D_NN_R`."""
        return f"{self.digit}_{self.speaker_id}_{self.repetition}"

    @property
    def member(self) -> str:
        """Its path inside the archive."""
        return f"data/{self.speaker_id}/{self.utterance_id}.wav"


@dataclass(frozen=True, order=True)
class OovUtterance:
    """One recording of something else than a digit, by someone else."""

    number: int

    @property
    def member(self) -> str:
        """Its path inside the archive."""
        return f"words/{self.number}.wav"


class Archive:
    """A zip that a stage, named in errors, has put in place, opened for reading."""

    holds = "archive"
    stage = "download"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open `path`; raises CorpusError for a missing or truncated file."""
        self.path = Path(path)
        try:
            self._zip = zipfile.ZipFile(self.path)
        except FileNotFoundError:
            raise CorpusError(
                f"No {self.holds} at {self.path}. Run dvc repro {self.stage}."
            ) from None
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
            raise CorpusError(
                f"{self.path} is not a whole zip ({error}). Run dvc repro --force {self.stage}."
            ) from error

    def __enter__(self) -> Self:
        """Return the archive itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the file."""
        self._zip.close()

    def verify(self) -> None:
        """Check every member against its checksum; raises CorpusError naming the first bad one."""
        for name in self._zip.namelist():
            with self._reporting_damage(name), self._zip.open(name) as member:
                while member.read(1 << 20):
                    pass

    def _read(self, name: str) -> bytes:
        with self._reporting_damage(name):
            return self._zip.read(name)

    @contextmanager
    def _reporting_damage(self, name: str) -> Iterator[None]:
        try:
            yield
        except DAMAGE as e:
            raise CorpusError(
                f"{self.path}: {name} is damaged ({e}). Run dvc repro --force {self.stage}."
            ) from e


class CorpusArchive(Archive):
    """A corpus zip opened for reading.

    `utterances` and `words`, of which most corpora have none, are sorted, whatever the order in the
    file.
    """

    holds = "corpus"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open `path`; raises CorpusError for a missing, truncated or foreign file."""
        super().__init__(path)
        self._members = _utterance_members(self._zip)
        self.utterances = sorted(self._members)
        matches = map(OOV_NAME.match, self._zip.namelist())
        self.oov_utterances = sorted(OovUtterance(int(match[1])) for match in matches if match)
        if not self.utterances:
            self._zip.close()
            raise CorpusError(f"{self.path} holds no data/NN/D_NN_R.wav: it is no such corpus.")

    def speakers(self) -> dict[str, dict[str, str]]:
        """Return what is known of each speaker; `{}` where a version has no meta file."""
        names = [name for name in self._zip.namelist() if name.endswith(META_NAME)]
        if not names:
            return {}
        name = min(names, key=lambda n: (len(n), n))
        try:
            meta = json.loads(self._read(name).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{self.path}: {name} is not JSON ({error}).") from error
        if not (isinstance(meta, dict) and all(isinstance(v, dict) for v in meta.values())):
            raise CorpusError(f"{self.path}: {name} is not an object with a key a speaker.")
        return {who: {k: str(v) for k, v in about.items()} for who, about in meta.items()}

    def read(self, utterance: Utterance) -> bytes:
        """Return the bytes of the recording; raises CorpusError if they fail their checksum."""
        if utterance not in self._members:
            raise CorpusError(f"{self.path} has no {utterance.member}. Run dvc repro sample.")
        return self._read(self._members[utterance])

    def read_oov(self, oov: OovUtterance) -> bytes:
        """Return the bytes of one of `words`; raises CorpusError if they fail their checksum."""
        return self._read(oov.member)


def _utterance_members(archive: zipfile.ZipFile) -> dict[Utterance, str]:
    members: dict[Utterance, str] = {}
    for name in archive.namelist():
        match = UTTERANCE_NAME.search(name)
        if match and match[1] == match[3]:
            utterance = Utterance(match[1], int(match[2]), int(match[4]))
            members[utterance] = min(name, members.get(utterance, name), key=lambda n: (len(n), n))
    return members


class ArchiveWriter:
    """Writes a corpus zip whose bytes depend on its content and order alone: stored, one date."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Use `create_archive` instead."""
        self._zip = archive

    def add(self, recording: Utterance | OovUtterance, wav: bytes) -> None:
        """Add one recording, the bytes of a WAV file."""
        write_member(self._zip, recording.member, wav)

    def add_speakers(self, speakers: Mapping[str, Speaker]) -> None:
        """Add the meta file."""
        write_member(self._zip, META_NAME, json.dumps(speakers, indent=1, sort_keys=True).encode())


def write_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Write a member whose bytes depend on its name and content alone: stored, one date."""
    info = zipfile.ZipInfo(name, ZIP_DATE)
    info.create_system = 3
    info.external_attr = 0o644 << 16
    archive.writestr(info, content, zipfile.ZIP_STORED)


@contextmanager
def create_archive(path: str | os.PathLike[str]) -> Iterator[ArchiveWriter]:
    """Yield a writer; the zip appears at `path` when the block ends without an error."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        yield ArchiveWriter(archive)
