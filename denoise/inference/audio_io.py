"""Recordings on disk, block by block: sources to be read and sinks to be written."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile

from denoise.dsp.audio import Waveform, open_audio, read_blocks
from denoise.errors import AudioError, DenoiseError

UNBOUNDED = {"FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"}
SMALL = {"WAV", "WAVEX", "AIFF"}  # their headers count bytes in 32 bits
MAX_BYTES = 2**32 - 2**20
TAGS = (
    "title",
    "artist",
    "album",
    "tracknumber",
    "date",
    "genre",
    "comment",
    "copyright",
    "license",
)
UNKNOWN_LENGTH = 2**63 - 1  # what libsndfile says of a FLAC that was streamed


@dataclass(frozen=True)
class Encoding:
    """How samples lie in a file, in libsndfile's words."""

    format: str
    subtype: str


@dataclass(frozen=True)
class AudioFormat:
    """The rate and the number of channels of a recording."""

    sample_rate: int
    channels: int


class ErrorKeepingFile:
    """A file for libsndfile to write, which forgets errors, those on closing above all.

    The first is kept, an interruption included, since none gets through libsndfile.
    """

    def __init__(self, file: io.FileIO) -> None:
        """Take a file that is not buffered, so that no error comes late."""
        self._file = file
        self._error: BaseException | None = None
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def write(self, samples: bytes) -> int:
        """Write all bytes; return how many could be."""
        left = memoryview(samples)
        try:
            while left:
                left = left[self._file.write(left) :]
        except BaseException as error:
            self._error = self._error or error
        return len(samples) - len(left)

    def check(self) -> None:
        """Raise the error that was kept."""
        if self._error is not None:
            raise self._error


class SystemPath:
    """A path as the system has it: soundfile by itself takes valid UTF-8 alone."""

    def __init__(self, path: Path) -> None:
        """Take any path."""
        self._path = path

    def __fspath__(self) -> str | bytes:
        """Return what the system opens."""
        return str(self._path) if os.name == "nt" else os.fsencode(self._path)


class Source:
    """An open recording."""

    def __init__(self, path: Path, sound: soundfile.SoundFile) -> None:
        """Take a file's path and what libsndfile found there."""
        self.path = path
        self.form = AudioFormat(int(sound.samplerate), int(sound.channels))
        self.encoding = Encoding(sound.format, sound.subtype)
        self.claimed_samples = sound.frames if 0 < sound.frames < UNKNOWN_LENGTH else None
        self.tags = {name: str(getattr(sound, name)) for name in TAGS if getattr(sound, name)}
        self._sound = sound

    def blocks(self) -> Iterator[Waveform]:
        """Yield one block or more, float32 [n_samples, n_channels]; see `read_blocks`."""
        return read_blocks(self._sound)


class Sink:
    """Takes samples to a file, and counts those that its encoding has to clip."""

    def __init__(self, file: ErrorKeepingFile, sound: soundfile.SoundFile) -> None:
        """Take a file and the encoder that writes into it."""
        self.clipped_samples = 0
        self._file = file
        self._sound = sound

    def tag(self, tags: Mapping[str, str]) -> None:
        """Write what a recording says of itself, ahead of all samples, as far as the format can."""
        for name, text in tags.items():
            with suppress(soundfile.LibsndfileError):
                setattr(self._sound, name, text)

    def write(self, samples: Waveform) -> None:
        """Write float32 [n_samples, n_channels].

        Raises OSError where the disk does not take them, DenoiseError where the format cannot.
        """
        if self._sound.subtype not in UNBOUNDED:
            self.clipped_samples += int(np.count_nonzero(np.abs(samples) > 1))
            samples = np.clip(samples, -1, 1)  # libsndfile wraps them in some encodings
        if len(samples):
            self._sound.write(samples)
        self._file.check()
        if self._sound.format in SMALL and self._file.tell() > MAX_BYTES:
            raise DenoiseError(
                f"{self._sound.format} holds 4 GiB at most, and this recording needs more: "
                "end the output's name in .w64, or say --format flac."
            )


@contextmanager
def reading(path: Path) -> Iterator[Source]:
    """Open a recording; raises DenoiseError, with its name, where it cannot be read."""
    try:
        with path.open("rb"):
            pass  # the system's own words, which libsndfile would hide
    except OSError as error:
        raise DenoiseError(f"{path} cannot be read: {reason(error)}.") from error
    try:
        with open_audio(cast(os.PathLike[str], SystemPath(path))) as sound:
            yield Source(path, sound)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error


@contextmanager
def writing(path: Path, form: AudioFormat, encoding: Encoding) -> Iterator[Sink]:
    """Open a recording to be written; raises OSError for whatever did not reach the disk."""
    with path.open("w+b", buffering=0) as raw:
        file = ErrorKeepingFile(raw)
        try:
            with _encoder(cast(BinaryIO, file), form, encoding) as sound:
                yield Sink(file, sound)
        except (soundfile.LibsndfileError, AssertionError):  # soundfile asserts that all is written
            file.check()
            raise
        file.check()


def can_write(form: AudioFormat, encoding: Encoding) -> bool:
    """Tell whether libsndfile writes this encoding of this form."""
    try:
        with _encoder(io.BytesIO(), form, encoding):
            return True
    except (soundfile.LibsndfileError, ValueError):  # ValueError: of a pair that never goes
        return False


def _encoder(file: BinaryIO, form: AudioFormat, encoding: Encoding) -> soundfile.SoundFile:
    return soundfile.SoundFile(
        file, "w", form.sample_rate, form.channels, encoding.subtype, format=encoding.format
    )


def reason(error: OSError) -> str:
    """Return what the system says went wrong, without the names of temporary files."""
    return os.strerror(error.errno) if error.errno else str(error)
