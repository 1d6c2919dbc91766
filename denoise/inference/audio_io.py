"""The properties of recordings, and writing them block by block; `reader` reads them."""

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile

from denoise.dsp.audio import Waveform
from denoise.errors import DenoiseError, FileSizeError
from denoise.inference import exact_header
from denoise.inference.bit_rate import encoder_settings
from denoise.inference.channel_order import REORDERED_SUBTYPES, to_vorbis
from denoise.inference.id3_tags import id3_tag

UNCLIPPED_SUBTYPES = {
    "FLOAT",
    "DOUBLE",
    "VORBIS",
    "OPUS",
    "MPEG_LAYER_I",
    "MPEG_LAYER_II",
    "MPEG_LAYER_III",
}
ROUNDED_BITS = {
    "PCM_S8": 8,
    "PCM_U8": 8,
    "PCM_16": 16,
    "PCM_24": 24,
    "ALAC_16": 16,
    "ALAC_20": 20,
    "ALAC_24": 24,
}
"""Bits per sample of the encodings of integers that float32 samples do not all fit."""
LIMITED_FORMATS = {"WAV", "WAVEX", "AIFF"}  # their headers count bytes in 32 bits
MAX_BYTES = 2**32 - 2**20


@dataclass(frozen=True)
class Encoding:
    """The encoding of a file, by libsndfile's names, and its bit rate where it has one.

    `speakers` are those of more than two channels, as WAVEX states them; 0 if they are unknown.
    """

    format: str
    subtype: str
    bit_rate: float | None = None
    speakers: int = 0

    def with_speakers(self, speakers: int) -> "Encoding":
        """Return the encoding in the kind of WAV that states the speakers, if it is WAV."""
        if self.format not in ("WAV", "WAVEX") or not speakers:
            return self
        return replace(self, format="WAVEX", speakers=speakers)


@dataclass(frozen=True)
class AudioFormat:
    """The sample rate, in Hz, and the number of channels of a recording."""

    sample_rate: int
    channels: int


class ErrorKeepingFile:
    """A file for libsndfile to write to. libsndfile drops errors, above all those on closing.

    The first error is kept, even a KeyboardInterrupt, because no exception passes through
    libsndfile.
    """

    def __init__(self, file: io.FileIO) -> None:
        """Wrap an unbuffered file, so that no error is delayed."""
        self._file = file
        self._start = 0
        self._error: BaseException | None = None
        self.read = file.read

    def put_before(self, head: bytes) -> None:
        """Write bytes before what libsndfile writes, which must be nothing yet."""
        self.seek(0)
        self.write(head)
        self._start += len(head)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the start of what libsndfile writes, or as `whence` says."""
        start = self._start if whence == io.SEEK_SET else 0
        return self._file.seek(start + offset, whence) - self._start

    def tell(self) -> int:
        """Return the position in what libsndfile writes."""
        return self._file.tell() - self._start

    def write(self, samples: bytes) -> int:
        """Write all bytes; return how many were written."""
        left = memoryview(samples)
        try:
            while left:
                left = left[self._file.write(left) :]
        except BaseException as error:
            self._error = self._error or error
        return len(samples) - len(left)

    def check(self) -> None:
        """Raise the error that was kept, if any."""
        if self._error is not None:
            raise self._error


class SystemPath:
    """A path in the encoding of the file system: soundfile alone accepts only valid UTF-8."""

    def __init__(self, path: Path) -> None:
        """Wrap any path."""
        self._path = path

    def __fspath__(self) -> str | bytes:
        """Return the path for the system's open function."""
        return str(self._path) if os.name == "nt" else os.fsencode(self._path)


@dataclass(frozen=True)
class Source:
    """An open recording. `declared_samples` is what its header says, and may be wrong.

    One that `is_converted` cannot be written in its own format; `encoding` is what stands for it.
    """

    path: Path
    audio_format: AudioFormat
    encoding: Encoding
    declared_samples: int | None
    tags: Mapping[str, str]
    _read: Callable[[], Iterator[Waveform]]
    is_converted: bool = False

    def blocks(self) -> Iterator[Waveform]:
        """Yield at least one block, float32 [n_samples, n_channels], up to the file's end.

        The channels are in the order of WAV, whatever that of the file is.

        Raises AudioError as `read_blocks` does, and for a decoder that stops before, and
        DenoiseError where the disk fails.
        """
        try:
            yield from self._read()
        except OSError as error:
            raise DenoiseError(
                f"{self.path} cannot be read: {describe_os_error(error)}."
            ) from error


class Sink:
    """A file that is written block by block. It counts the samples that have to be clipped."""

    def __init__(self, file: ErrorKeepingFile, sound: soundfile.SoundFile) -> None:
        """Wrap a file and the encoder that writes to it."""
        self.clipped_samples = self.n_samples = 0
        self._file = file
        self._sound = sound

    def write_tags(self, tags: Mapping[str, str]) -> None:
        """Write the tags that the format supports. Call this before writing samples."""
        if self._sound.format == "MP3":
            self._file.put_before(id3_tag(tags))
            return
        for name, text in tags.items():
            with suppress(soundfile.LibsndfileError):
                setattr(self._sound, name, text)

    def write(self, samples: Waveform) -> None:
        """Write float32 [n_samples, n_channels], with the channels in the order of WAV.

        Raises OSError if the disk cannot store them, FileSizeError if the format cannot.
        """
        if self._sound.subtype in REORDERED_SUBTYPES:
            samples = to_vorbis(samples)
        if self._sound.subtype not in UNCLIPPED_SUBTYPES:
            self.clipped_samples += int(np.count_nonzero(np.abs(samples) > 1))
            samples = np.clip(samples, -1, 1)  # in some encodings libsndfile wraps them around
            if bits := ROUNDED_BITS.get(self._sound.subtype):
                samples = _round(samples, bits)
        if len(samples):
            self._sound.write(samples)
        self.n_samples += len(samples)
        self._file.check()
        if self._sound.format in LIMITED_FORMATS and self._file.tell() > MAX_BYTES:
            raise FileSizeError(
                f"{self._sound.format} files hold at most 4 GiB, and this recording needs more. "
                "W64 and FLAC files may be longer."
            )


@contextmanager
def writing(path: Path, audio_format: AudioFormat, encoding: Encoding) -> Iterator[Sink]:
    """Open a file to write a recording; raises OSError if anything did not reach the disk."""
    with path.open("w+b", buffering=0) as raw:
        file = ErrorKeepingFile(raw)
        try:
            with _open_encoder(cast(BinaryIO, file), audio_format, encoding) as sound:
                sink = Sink(file, sound)
                yield sink
        except (soundfile.LibsndfileError, AssertionError):  # soundfile asserts that all is written
            file.check()
            raise
        file.check()
        names = (encoding.format, encoding.subtype)
        n_samples, channels = sink.n_samples, audio_format.channels
        exact_header.correct(raw, *names, n_samples, channels, encoding.speakers)


def _round(samples: Waveform, bits: int) -> Waveform:
    """Round samples to the nearest integers of `bits` bits; most of libsndfile's formats floor."""
    full = np.float32(2 ** (bits - 1))
    return np.clip(np.rint(samples * full), -full, full - 1) / full


def can_write(audio_format: AudioFormat, encoding: Encoding) -> bool:
    """Tell whether libsndfile can write this encoding at this sample rate and channel count."""
    try:
        with _open_encoder(io.BytesIO(), audio_format, encoding):
            return True
    except (soundfile.LibsndfileError, ValueError):  # ValueError: no such pair of names
        return False


def _open_encoder(
    file: BinaryIO, audio_format: AudioFormat, encoding: Encoding
) -> soundfile.SoundFile:
    rate, channels = audio_format.sample_rate, audio_format.channels
    settings = encoder_settings(encoding.subtype, encoding.bit_rate, rate, channels)
    return soundfile.SoundFile(
        file, "w", rate, channels, encoding.subtype, format=encoding.format, **settings
    )


def describe_os_error(error: OSError) -> str:
    """Return the system's description of an error, without the names of temporary files."""
    return os.strerror(error.errno) if error.errno else str(error)
