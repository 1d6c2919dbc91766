"""Noise from a folder or a zip of the user's own recordings, whatever they are called.

Each becomes mono, 16 bits a sample, at its own rate, in pieces of about a minute, and never lies in
memory as a whole. Silent pieces are dropped. A recording that cannot be read to its end, or is
silent throughout, is left out, counted and reported.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from denoise.corpus.file_index import AUDIO_SUFFIXES, SkippedFiles, SourceFile, list_files
from denoise.corpus.wav import encode_wav
from denoise.dsp.audio import SILENCE_RMS, Waveform, decode_blocks, is_silent, remove_dc
from denoise.errors import AudioError, CorpusError
from denoise.noise.archive import PIECE_SECONDS, NoiseWriter, create_noise_archive

MIN_SECONDS = 0.1  # a shorter one, looped, is a tone and no longer the noise it was
MAX_SECONDS = 4 * 3600  # a few bytes can hold days

Piece = tuple[Waveform, int]


def import_noise(noise: str, archive: str | os.PathLike[str]) -> dict[str, Any]:
    """Copy the recordings of the folder or zip `noise` to a noise archive; return its provenance.

    Where `noise` is empty, so is the archive. Raises CorpusError where there is nothing at `noise`,
    or nothing that can be used.
    """
    with create_noise_archive(archive) as writer:
        return _copy_all(Path(noise).expanduser(), writer) if noise else {"recordings": 0}


def _copy_all(source: Path, writer: NoiseWriter) -> dict[str, Any]:
    left_out = SkippedFiles()
    with list_files(source, "download.noise", left_out.add) as files:
        lengths = _copy(files, writer, left_out)
    if not lengths:
        suffixes = ", ".join(sorted(suffix[1:] for suffix in AUDIO_SUFFIXES))
        raise CorpusError(
            f"No recording in {source} can be used as noise. Looked for {suffixes} files.\n"
            f"{left_out}"
        )
    minutes = round(sum(lengths) / 60, 2)
    found = f"{len(lengths)} noise recordings, {minutes} minutes"
    print(f"{source}: {found}; {left_out}", file=sys.stderr)
    return {
        "name": source.resolve().name,
        "recordings": len(lengths),
        "minutes": minutes,
        "left_out": left_out.reasons(),
    }


def _copy(files: Sequence[SourceFile], writer: NoiseWriter, left_out: SkippedFiles) -> list[float]:
    """Write the usable recordings in their order; return how many seconds of each are kept."""
    lengths: list[float] = []
    for file in files:
        if file.suffix not in AUDIO_SUFFIXES:
            left_out.add(file.name, "It is no audio file by its name.")
            continue
        try:
            with file.copied() as sound:
                seconds = _check(sound)
                for number, (piece, sample_rate) in enumerate(_pieces(sound)):
                    writer.add(len(lengths), number, encode_wav(piece, sample_rate, 16))
            lengths.append(seconds)
        except AudioError as error:
            left_out.add(file.name, str(error))
    return lengths


def _check(sound: BinaryIO) -> float:
    """Read a recording to its end before any piece is written; return how many seconds are kept."""
    seconds = sum(len(piece) / sample_rate for piece, sample_rate in _pieces(sound))
    if not seconds:
        raise AudioError(f"It is silent: its RMS is under {SILENCE_RMS:.0e} throughout.")
    if seconds < MIN_SECONDS:
        raise AudioError(f"It is shorter than {MIN_SECONDS:g} s.")
    return seconds


def _pieces(sound: BinaryIO) -> Iterator[Piece]:
    """Yield what is not silent, free of DC and within full scale, float32 [n_samples]."""
    sound.seek(0)
    for piece, sample_rate in _cut(_mono(sound)):
        alternating = remove_dc(piece)
        if not is_silent(alternating):
            peak = np.max(np.abs(alternating))
            yield alternating / np.maximum(peak, np.float32(1)), sample_rate


def _mono(sound: BinaryIO) -> Iterator[Piece]:
    n_samples = 0
    for block, sample_rate in decode_blocks(sound):
        n_samples += len(block)
        if n_samples > MAX_SECONDS * sample_rate:
            raise AudioError(f"It is longer than {MAX_SECONDS / 3600:g} hours.")
        yield block.mean(axis=1, dtype=np.float32), sample_rate


def _cut(blocks: Iterator[Piece]) -> Iterator[Piece]:
    """Join blocks to pieces of a minute; the last of several is half a minute more or less."""
    held: list[Waveform] = []
    for block, sample_rate in blocks:
        held.append(block)
        n_samples = PIECE_SECONDS * sample_rate
        while sum(map(len, held)) >= 3 * n_samples // 2:
            joined = np.concatenate(held)
            yield joined[:n_samples], sample_rate
            held = [joined[n_samples:]]
    yield np.concatenate(held), sample_rate
