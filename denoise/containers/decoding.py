"""Decode a file with libsndfile, with all the recordings that it consists of."""

from collections.abc import Iterator
from typing import BinaryIO, cast

import numpy as np

from denoise.containers.detection import sniff
from denoise.containers.part_file import PartFile
from denoise.containers.recording_parts import find_parts
from denoise.dsp.audio import Block, Waveform, decode_blocks
from denoise.errors import AudioError


def decode_mono_blocks(source: BinaryIO, max_seconds: float) -> Iterator[Block]:
    """Yield the blocks of a file from its start, with the channels averaged.

    Recordings that were joined follow each other. Raises AudioError as `decode_blocks` and
    `find_parts` do, for audio longer than `max_seconds`, and for recordings of different sample
    rates.
    """
    n_samples, rate = 0, None
    for block, sample_rate in _decode_parts(source):
        if rate not in (None, sample_rate):
            raise AudioError(f"It consists of recordings at {rate} Hz and at {sample_rate} Hz.")
        rate = sample_rate
        n_samples += len(block)
        if n_samples > max_seconds * sample_rate:
            raise AudioError(f"It is longer than {max_seconds / 3600:g} hours.")
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
        yield from decode_blocks(cast(BinaryIO, file))
        file.check()
