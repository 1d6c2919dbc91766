"""Decode a file with libsndfile, with all the recordings that it consists of."""

from collections.abc import Iterator
from typing import BinaryIO, cast

import numpy as np
import soundfile

from denoise.containers.detection import sniff
from denoise.containers.part_file import Part, PartFile
from denoise.containers.recording_parts import find_parts
from denoise.dsp.audio import Block, Waveform, decode_blocks, open_audio, read_blocks
from denoise.errors import AudioError

UNKNOWN_LENGTH = 2**63 - 1  # what libsndfile returns for a streamed FLAC file
OGG_SLACK_SECONDS = 0.1


class UnsuitableError(AudioError):
    """A recording that is intact cannot be used."""


def decode_mono_blocks(source: BinaryIO, max_seconds: float) -> Iterator[Block]:
    """Yield the blocks of a file from its start, with the channels averaged.

    Recordings that were joined follow each other. Raises AudioError as `find_parts` and `read_part`
    do, and UnsuitableError for audio longer than `max_seconds` and for recordings of different
    sample rates.
    """
    n_samples, rate = 0, None
    for block, sample_rate in _decode_parts(source):
        if rate not in (None, sample_rate):
            raise UnsuitableError(
                f"It consists of recordings at {rate} Hz and at {sample_rate} Hz. Split it."
            )
        rate = sample_rate
        n_samples += len(block)
        if n_samples > max_seconds * sample_rate:
            raise UnsuitableError(f"It is longer than {max_seconds / 3600:g} hours.")
        yield block.mean(axis=1, dtype=np.float32), sample_rate


def _decode_parts(source: BinaryIO) -> Iterator[tuple[Waveform, int]]:
    """Yield the blocks of all recordings in a file, float32 [n_samples, n_channels] each."""
    container = sniff(source)
    if container is None or not container.is_read_by_sndfile:  # which then says what it is
        source.seek(0)
        yield from decode_blocks(source)
        return
    for part in find_parts(source, container.name):
        file = PartFile(source, part)
        try:
            with open_audio(cast(BinaryIO, file)) as sound:
                rate = int(sound.samplerate)
                yield from ((block, rate) for block in read_part(sound, part, file))
        except AudioError:
            file.check()
            raise


def read_part(sound: soundfile.SoundFile, part: Part, source: object) -> Iterator[Waveform]:
    """Yield the blocks of a part, of its exact length where that is known.

    `sound` was opened from `source`: a PartFile, or a path if the part is a whole file. Raises
    AudioError if the decoder stops before the end, and OSError where the disk fails.
    """
    rate, n_samples = int(sound.samplerate), 0
    declared = sound.frames if sound.format == "OGG" and sound.frames < UNKNOWN_LENGTH else 0
    blocks = read_blocks(sound)
    if part.n_samples is not None:
        blocks = trim(blocks, part.n_samples, part.slack)
    try:
        for block in blocks:
            check_source(source)
            yield block
            n_samples += len(block)
    except AudioError:
        check_source(source)
        raise
    except soundfile.LibsndfileError as error:
        check_source(source)
        raise AudioError(
            f"The recording is damaged: it cannot be decoded from {n_samples / rate:.1f} s on."
        ) from error
    check_source(source)
    least = max(part.min_samples, declared - OGG_SLACK_SECONDS * rate)
    if n_samples < least:
        raise AudioError(
            f"The recording is damaged: {n_samples / rate:.1f} s of at least {least / rate:.1f} s "
            "can be decoded."
        )


def check_source(source: object) -> None:
    """Raise what reading a PartFile has raised: libsndfile takes it for the end of the file."""
    if isinstance(source, PartFile):
        source.check()


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
