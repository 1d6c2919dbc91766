"""The archive format that every corpus is stored in: a zip of WAV files, read in place.

The layout of digits is AudioMNIST's. A corpus may hold digits, other speech, or both.

- `data/NN/D_NN_R.wav` is digit D, spoken by speaker NN, repetition R.
- `speech/NN/speech_NN_R.wav` is utterance R of speaker NN: anything but a single digit.
- `data/audioMNIST_meta.txt` is a JSON object with one key per speaker.
- `oov/N.wav` is out-of-vocabulary (OOV) speech: something other than a digit, by another speaker.
  Only the synthetic corpus has it.

AudioMNIST: https://github.com/soerenab/AudioMNIST
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
SPEECH_NAME = re.compile(r"^speech/(\d{2,})/speech_(\d{2,})_(0|[1-9]\d*)\.wav$")
OOV_NAME = re.compile(r"^oov/(0|[1-9]\d*)\.wav$")
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # a fixed date: the same corpus gives the same bytes

# What zipfile raises for a file that is no whole zip.
ZIP_OPEN_ERRORS = (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError)
# What zipfile raises for damaged bytes, and for members that need a password.
ZIP_READ_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)

SpeakerInfo = Mapping[str, str]


@dataclass(frozen=True)
class Utterance:
    """One utterance: the speaker, the digit or None for other speech, and which repetition it is.

    The repetition counts a speaker's recordings of that digit, or the utterances of other speech.
    Utterances sort by speaker, then other speech before the digits, then by repetition.
    """

    speaker_id: str
    digit: int | None
    repetition: int

    def __lt__(self, other: "Utterance") -> bool:
        """Return whether this one comes first in a corpus."""
        return self._sort_key < other._sort_key

    @property
    def _sort_key(self) -> tuple[str, int, int]:
        return self.speaker_id, -1 if self.digit is None else self.digit, self.repetition

    @property
    def utterance_id(self) -> str:
        """AudioMNIST's name for a digit, `D_NN_R`, and `speech_NN_R` for other speech."""
        content = "speech" if self.digit is None else self.digit
        return f"{content}_{self.speaker_id}_{self.repetition}"

    @property
    def member(self) -> str:
        """The path inside the archive."""
        folder = "speech" if self.digit is None else "data"
        return f"{folder}/{self.speaker_id}/{self.utterance_id}.wav"


@dataclass(frozen=True, order=True)
class OovUtterance:
    """One recording of out-of-vocabulary speech, by a speaker who says nothing else."""

    number: int

    @property
    def member(self) -> str:
        """The path inside the archive."""
        return f"oov/{self.number}.wav"


class Archive:
    """A zip opened for reading, with errors that name the pipeline stage to run.

    Subclasses set `description`, what the archive holds, and `stage`, which writes it. A pickled
    archive is its path: whoever unpickles it opens the file anew.
    """

    description = "archive"
    stage = "download"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open `path`; raises CorpusError for a missing or truncated file."""
        self.path = Path(path)
        try:
            self._zip = zipfile.ZipFile(self.path)
        except FileNotFoundError:
            raise CorpusError(
                f"No {self.description} at {self.path}. Run dvc repro {self.stage}."
            ) from None
        except ZIP_OPEN_ERRORS as error:
            raise CorpusError(
                f"{self.path} is not a whole zip ({error}). Run dvc repro --force {self.stage}."
            ) from error

    def __enter__(self) -> Self:
        """Return the archive itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the file."""
        self._zip.close()

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        """Return how to open the file in another process."""
        return type(self), (self.path,)

    def verify(self) -> None:
        """Check every member's checksum; raises CorpusError with the name of the first bad one."""
        for name in self._zip.namelist():
            with self._translate_read_errors(name), self._zip.open(name) as member:
                while member.read(1 << 20):
                    pass

    def _read(self, name: str) -> bytes:
        with self._translate_read_errors(name):
            return self._zip.read(name)

    @contextmanager
    def _translate_read_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except ZIP_READ_ERRORS as e:
            raise CorpusError(
                f"{self.path}: {name} is damaged ({e}). Run dvc repro --force {self.stage}."
            ) from e


class CorpusArchive(Archive):
    """A corpus zip opened for reading.

    `utterances` and `oov_utterances` are sorted, whatever the order in the file. Most corpora have
    no OOV utterances.
    """

    description = "corpus"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open `path`; raises CorpusError for a missing or truncated file, or another zip."""
        super().__init__(path)
        self._members = _find_utterances(self._zip)
        self.utterances = sorted(self._members)
        matches = map(OOV_NAME.match, self._zip.namelist())
        self.oov_utterances = sorted(OovUtterance(int(match[1])) for match in matches if match)
        if not self.utterances:
            self._zip.close()
            raise CorpusError(
                f"{self.path} is not a corpus: it has no file data/NN/D_NN_R.wav or "
                "speech/NN/speech_NN_R.wav."
            )

    def speakers(self) -> dict[str, dict[str, str]]:
        """Return the meta file's entry for each speaker; `{}` if there is no meta file."""
        names = [name for name in self._zip.namelist() if name.endswith(META_NAME)]
        if not names:
            return {}
        name = min(names, key=lambda n: (len(n), n))
        try:
            meta = json.loads(self._read(name).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{self.path}: {name} is not JSON ({error}).") from error
        if not (isinstance(meta, dict) and all(isinstance(v, dict) for v in meta.values())):
            raise CorpusError(
                f"{self.path}: {name} is not a JSON object with one object per speaker."
            )
        return {
            speaker_id: {key: str(value) for key, value in info.items()}
            for speaker_id, info in meta.items()
        }

    def read(self, utterance: Utterance) -> bytes:
        """Return the bytes of a recording; raises CorpusError if it is missing or damaged."""
        if utterance not in self._members:
            raise CorpusError(f"{self.path} has no {utterance.member}. Run dvc repro sample.")
        return self._read(self._members[utterance])

    def read_any(self, recording: Utterance | OovUtterance) -> bytes:
        """Return the bytes of a recording; raises CorpusError if it is missing or damaged."""
        if isinstance(recording, OovUtterance):
            return self.read_oov(recording)
        return self.read(recording)

    def read_oov(self, oov: OovUtterance) -> bytes:
        """Return the bytes of one of `oov_utterances`; raises CorpusError if it is damaged."""
        return self._read(oov.member)


def _find_utterances(archive: zipfile.ZipFile) -> dict[Utterance, str]:
    """Return the member of each utterance; the shortest path wins where there are several."""
    members: dict[Utterance, str] = {}
    for name in archive.namelist():
        match = UTTERANCE_NAME.search(name)
        if match and match[1] == match[3]:
            utterance = Utterance(match[1], int(match[2]), int(match[4]))
            members[utterance] = min(name, members.get(utterance, name), key=lambda n: (len(n), n))
        match = SPEECH_NAME.match(name)
        if match and match[1] == match[2]:
            members[Utterance(match[1], None, int(match[3]))] = name
    return members


class ArchiveWriter:
    """Writes a corpus zip whose bytes depend only on its content and the order of its members."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Wrap an open zip; use `create_archive` instead of calling this."""
        self._zip = archive

    def add(self, recording: Utterance | OovUtterance, wav: bytes) -> None:
        """Add one recording, the bytes of a WAV file."""
        write_member(self._zip, recording.member, wav)

    def add_speakers(self, speakers: Mapping[str, SpeakerInfo]) -> None:
        """Add the meta file."""
        write_member(self._zip, META_NAME, json.dumps(speakers, indent=1, sort_keys=True).encode())


def write_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Write an uncompressed member with a fixed date: the same content gives the same bytes."""
    info = zipfile.ZipInfo(name, ZIP_DATE)
    info.create_system = 3  # Unix, on every system
    info.external_attr = 0o644 << 16
    archive.writestr(info, content, zipfile.ZIP_STORED)


@contextmanager
def create_archive(path: str | os.PathLike[str]) -> Iterator[ArchiveWriter]:
    """Yield a writer; the zip appears at `path` when the block ends without an error."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        yield ArchiveWriter(archive)
