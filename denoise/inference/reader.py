"""Read recordings block by block: with libsndfile, and what it does not know with PyAV."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile

from denoise.dsp.audio import Waveform, open_audio, out_of_range, read_blocks
from denoise.errors import AudioError, DenoiseError
from denoise.inference import media
from denoise.inference.audio_io import (
    AudioFormat,
    Encoding,
    Source,
    SystemPath,
    describe_os_error,
)
from denoise.inference.bit_rate import bit_rate_of
from denoise.inference.containers import Container, sniff
from denoise.inference.mpeg_audio import has_frames
from denoise.inference.recording_parts import Part, PartFile, find_parts
from denoise.util.paths import FILE, FOLDER, kind_of, problem_of_name

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
MISSING = "File does not exist"  # what libsndfile says of an MP3 file without audio
NO_AUDIO = "This is no audio that can be read: it holds no complete frame of MP3."
UNKNOWN_LENGTH = 2**63 - 1  # what libsndfile returns for a streamed FLAC file
OGG_SLACK_SECONDS = 0.1
MEDIA_SUBTYPES = {0: "FLOAT", 16: "PCM_16", 24: "PCM_24"}  # by the bits of a sample


@contextmanager
def reading(path: Path) -> Iterator[Source]:
    """Open a recording; raises DenoiseError, with the file's name, if it cannot be read."""
    if problem := problem_of_name(path):
        raise DenoiseError(f"{path} {problem}.")
    if (kind := kind_of(path)) not in (None, FILE, FOLDER):
        raise DenoiseError(f"{path} is {kind}. Only files can be read.")  # opening it may not end
    try:
        file = path.open("rb")  # gives the system's error message, which libsndfile would hide
    except OSError as error:
        raise DenoiseError(f"{path} cannot be read: {describe_os_error(error)}.") from error
    with file:
        try:
            with ExitStack() as stack:
                yield _open(path, file, stack)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from error


def probe(path: Path) -> tuple[AudioFormat, Encoding]:
    """Read what the header of a recording says; raises AudioError if it is not one.

    The sample rate and the number of channels are not checked.
    """
    with path.open("rb") as file, ExitStack() as stack:
        container = sniff(file)
        if container is not None and container.is_read_by_sndfile:
            part = find_parts(file, container.name)[0]
            try:
                sound = stack.enter_context(soundfile.SoundFile(_as_file(path, file, part)))
                return _properties(sound)
            except soundfile.LibsndfileError:
                pass
        source = _open(path, file, stack)
        return source.audio_format, source.encoding


def _open(path: Path, file: BinaryIO, stack: ExitStack) -> Source:
    """Open a recording; `stack` closes it."""
    container = sniff(file)
    if container is not None and not container.is_read_by_sndfile:
        return _open_media(path, file, container, stack)
    parts = None if container is None else find_parts(file, container.name)
    first: SystemPath | BinaryIO = SystemPath(path)
    if parts is not None:
        first = _as_file(path, file, parts[0])
    if _is_named_mpeg(path) and not has_frames(file):
        file.seek(0)
        first = file  # without the name, for which libsndfile would try libmpg123
    try:
        sound = stack.enter_context(open_audio(cast(os.PathLike[str], first)))
    except AudioError as error:
        is_ours = not isinstance(error.__cause__, soundfile.LibsndfileError)
        if container is None or is_ours:
            raise
        reason = str(error) if MISSING not in str(error) else NO_AUDIO
        try:
            return _open_media(path, file, container, stack)
        except AudioError as media_error:
            if isinstance(media_error.__cause__, ImportError):
                raise AudioError(f"{reason} PyAV may read it: {media.INSTALL}") from media_error
            raise AudioError(reason) from error
    audio_format, encoding = _properties(sound)
    is_one = parts is None or len(parts) == 1
    declared = sound.frames if is_one and 0 < sound.frames < UNKNOWN_LENGTH else None
    rate = bit_rate_of(path, sound.subtype, sound.samplerate, declared)
    encoding = replace(encoding, bit_rate=rate)
    tags = {name: str(getattr(sound, name)) for name in TAGS if getattr(sound, name)}

    def read() -> Iterator[Waveform]:
        return _read_parts(file, parts or [], sound)

    return Source(path, audio_format, encoding, declared, tags, read)


def _is_named_mpeg(path: Path) -> bool:
    return path.suffix.lower() in (".mp3", ".mp2", ".mp1", ".mpga", ".m1a", ".mpg", ".mpeg")


def _properties(sound: soundfile.SoundFile) -> tuple[AudioFormat, Encoding]:
    audio_format = AudioFormat(int(sound.samplerate), int(sound.channels))
    return audio_format, Encoding(sound.format, sound.subtype)


def _as_file(path: Path, file: BinaryIO, part: Part) -> SystemPath | BinaryIO:
    """Return the path where a part is all of a file, else a file of the part's bytes."""
    is_all = part.start == 0 and part.end == file.seek(0, os.SEEK_END) and not part.replaced
    return SystemPath(path) if is_all else cast(BinaryIO, PartFile(file, part))


def _read_parts(
    file: BinaryIO, parts: list[Part], first: soundfile.SoundFile
) -> Iterator[Waveform]:
    """Yield the blocks of all parts; the first is open. No parts stand for all of the file."""
    if len(parts) <= 1:
        yield from _read_part(first, parts[0] if parts else None)
        return
    yield from _read_part(first, parts[0])
    expected = _properties(first)[0]
    for part in parts[1:]:
        with open_audio(cast(BinaryIO, PartFile(file, part))) as sound:
            actual = _properties(sound)[0]
            if actual != expected:
                raise AudioError(
                    "It consists of several recordings in different formats: "
                    f"{expected.sample_rate} Hz with {expected.channels} channel(s), then "
                    f"{actual.sample_rate} Hz with {actual.channels}. Split it."
                )
            yield from _read_part(sound, part)


def _read_part(sound: soundfile.SoundFile, part: Part | None) -> Iterator[Waveform]:
    """Yield the blocks of a part, of its exact length where that is known.

    Raises AudioError if the decoder stops before the end.
    """
    rate, n_samples = int(sound.samplerate), 0
    declared = sound.frames if sound.format == "OGG" and sound.frames < UNKNOWN_LENGTH else 0
    blocks = read_blocks(sound)
    if part is not None and part.n_samples is not None:
        blocks = trim(blocks, part.n_samples, part.slack)
    try:
        for block in blocks:
            yield block
            n_samples += len(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"The recording is damaged: it cannot be decoded from {n_samples / rate:.1f} s on."
        ) from error
    least = max(part.min_samples if part is not None else 0, declared - OGG_SLACK_SECONDS * rate)
    if n_samples < least:
        raise AudioError(
            f"The recording is damaged: {n_samples / rate:.1f} s of at least {least / rate:.1f} s "
            "can be decoded."
        )


def trim(blocks: Iterator[Waveform], n_samples: int, slack: int) -> Iterator[Waveform]:
    """Yield `n_samples` of the blocks, or all of them if more than `slack` samples are left over.

    In the latter case, `n_samples` is wrong.
    """
    left, held, n_held = n_samples, [], 0
    for block in blocks:
        if left:
            yield block[:left]
        rest = block[left:]
        left = max(0, left - len(block))
        if len(rest):
            held.append(rest)
            n_held += len(rest)
        if n_held > slack:
            yield np.concatenate(held)
            held = []


def _open_media(path: Path, file: BinaryIO, container: Container, stack: ExitStack) -> Source:
    opened = stack.enter_context(media.open_media(file, container.name))
    if excess := out_of_range(opened.sample_rate, opened.channels):
        raise AudioError(excess.message)
    tags = {name: opened.tags[name] for name in TAGS if opened.tags.get(name)}
    encoding = Encoding("WAV", MEDIA_SUBTYPES[opened.bits])
    audio_format = AudioFormat(opened.sample_rate, opened.channels)
    declared = opened.declared_samples
    return Source(path, audio_format, encoding, declared, tags, opened.blocks, True)
