"""Read recordings block by block: with libsndfile, and what it does not know with PyAV."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import soundfile

from denoise.containers.decoding import UNKNOWN_LENGTH, check_source, read_part
from denoise.containers.detection import Container, sniff
from denoise.containers.mpeg_audio import has_frames
from denoise.containers.part_file import Part, PartFile
from denoise.containers.recording_parts import find_parts
from denoise.dsp.audio import Waveform, open_audio, out_of_range
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
from denoise.inference.channel_order import (
    find_speakers,
    from_vorbis,
    name_speakers,
    needs_reordering,
)
from denoise.inference.id3_tags import repair
from denoise.inference.vorbis_comments import read_description
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
        raise _unreadable(path, error) from error
    with file:
        try:
            with ExitStack() as stack:
                try:
                    source = _open(path, file, stack)
                except OSError as error:
                    raise _unreadable(path, error) from error
                yield source
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from error


def _unreadable(path: Path, error: OSError) -> DenoiseError:
    return DenoiseError(f"{path} cannot be read: {describe_os_error(error)}.")


def probe(path: Path) -> tuple[AudioFormat, Encoding]:
    """Read what the header of a recording says; raises AudioError if it is not one.

    The sample rate and the number of channels are not checked.
    """
    with path.open("rb") as file, ExitStack() as stack:
        container = sniff(file)
        if container is not None and container.is_read_by_sndfile:
            part = PartFile(file, find_parts(file, container.name)[0])
            try:
                return _properties(stack.enter_context(soundfile.SoundFile(part)))
            except soundfile.LibsndfileError:
                part.check()
        source = _open(path, file, stack)
        return source.audio_format, source.encoding


def _open(path: Path, file: BinaryIO, stack: ExitStack) -> Source:
    """Open a recording; `stack` closes it."""
    if not file.seek(0, os.SEEK_END):
        raise AudioError("The file is empty.")
    container = sniff(file)
    if container is not None and not container.is_read_by_sndfile:
        return _open_media(path, file, container, stack)
    parts = None if container is None else find_parts(file, container.name)
    whole = Part(0, file.seek(0, os.SEEK_END), {})
    part = whole if parts is None else parts[0]
    first: SystemPath | PartFile = SystemPath(path)
    is_whole = (part.start, part.end) == (whole.start, whole.end) and not part.replaced
    # By its name, libsndfile would give libmpg123 a file that is no MPEG audio.
    if not is_whole or (_is_named_mpeg(path) and not has_frames(file)):
        first = PartFile(file, part)
    try:
        sound = stack.enter_context(open_audio(cast(BinaryIO, first)))
    except AudioError as error:
        check_source(first)
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
    n_samples = sound.frames
    if part.counted_samples and not part.min_samples <= n_samples <= part.counted_samples:
        n_samples = part.counted_samples  # the file is truncated, or libmpg123 guessed
    declared = n_samples if is_one and 0 < n_samples < UNKNOWN_LENGTH else None
    rate = bit_rate_of(path, sound.subtype, sound.samplerate, declared)
    is_reordered = needs_reordering(sound.subtype, file)
    speakers = find_speakers(file, encoding.format, is_reordered, audio_format.channels)
    encoding = replace(encoding, bit_rate=rate, speakers=speakers)
    tags = {name: str(getattr(sound, name)) for name in TAGS if getattr(sound, name)}
    if container is not None and container.name == "mp3":
        tags = repair(tags, file)
    elif sound.format in ("FLAC", "OGG") and (description := read_description(file)):
        tags.setdefault("comment", description)

    def read() -> Iterator[Waveform]:
        blocks = _read_parts(file, parts or [whole], sound, first)
        return map(from_vorbis, blocks) if is_reordered else blocks

    return Source(path, audio_format, encoding, declared, tags, read)


def _is_named_mpeg(path: Path) -> bool:
    return path.suffix.lower() in (".mp3", ".mp2", ".mp1", ".mpga", ".m1a", ".mpg", ".mpeg")


def _properties(sound: soundfile.SoundFile) -> tuple[AudioFormat, Encoding]:
    audio_format = AudioFormat(int(sound.samplerate), int(sound.channels))
    return audio_format, Encoding(sound.format, sound.subtype)


def _read_parts(
    file: BinaryIO,
    parts: list[Part],
    first_sound: soundfile.SoundFile,
    first_source: SystemPath | PartFile,
) -> Iterator[Waveform]:
    """Yield the blocks of all parts; the first one is open."""
    yield from read_part(first_sound, parts[0], first_source)
    expected = _properties(first_sound)[0]
    for part in parts[1:]:
        source = PartFile(file, part)
        with open_audio(cast(BinaryIO, source)) as sound:
            actual = _properties(sound)[0]
            if actual != expected:
                raise AudioError(
                    "It consists of several recordings in different formats: "
                    f"{expected.sample_rate} Hz with {expected.channels} channel(s), then "
                    f"{actual.sample_rate} Hz with {actual.channels}. Split it."
                )
            yield from read_part(sound, part, source)


def _open_media(path: Path, file: BinaryIO, container: Container, stack: ExitStack) -> Source:
    opened = stack.enter_context(media.open_media(file, container.name))
    if excess := out_of_range(opened.sample_rate, opened.channels):
        raise AudioError(excess.message)
    tags = {name: opened.tags[name] for name in TAGS if opened.tags.get(name)}
    layout = opened.stream.codec_context.layout
    speakers = name_speakers(channel.name for channel in layout.channels)
    encoding = Encoding("WAV", MEDIA_SUBTYPES[opened.bits], speakers=speakers)
    audio_format = AudioFormat(opened.sample_rate, opened.channels)
    declared = opened.declared_samples
    return Source(path, audio_format, encoding, declared, tags, opened.blocks, True)
