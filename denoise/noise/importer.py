"""Import noise from folders or a zip of recordings, whatever their names.

Each recording becomes mono with 16 bits per sample, at its own sample rate, in pieces of about a
minute. It is read in blocks, so memory use does not grow with its length. Silent pieces are
dropped. A recording is left out, counted and reported if it cannot be read to its end or is silent
throughout.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from denoise.corpus.file_index import (
    AUDIO_SUFFIXES,
    SkippedFiles,
    SourceFile,
    list_files,
    why_not_audio,
)
from denoise.corpus.wav import encode_wav
from denoise.dsp.audio import SILENCE_RMS, Waveform, decode_blocks, is_silent, remove_dc
from denoise.errors import AudioError, CorpusError
from denoise.noise.archive import PIECE_SECONDS, NoiseWriter, create_noise_archive

MIN_SECONDS = 0.1  # a shorter recording, repeated to fill a clip, would sound like a tone
MAX_SECONDS = 4 * 3600  # a small compressed file can hold days of audio

Block = tuple[Waveform, int]
"""Samples, float32 [n_samples], and their sample rate."""


def import_noise(
    noise: str, archive: str | os.PathLike[str], open_folder: Path | None = None
) -> dict[str, Any]:
    """Copy the recordings in the folder or zip `noise` to a noise archive; return its provenance.

    Those in `open_folder`, which holds the open recordings, come after them. If `noise` is an empty
    string and there is no `open_folder`, the archive is empty. Raises CorpusError if either does
    not exist or has no usable recording.
    """
    sources = {"download.noise": Path(noise).expanduser()} if noise else {}
    if open_folder:
        sources["download.open.noise"] = open_folder
    skipped, durations = SkippedFiles(), list[float]()
    with create_noise_archive(archive) as writer:
        for key, source in sources.items():
            durations += _import_all(source, key, writer, len(durations), skipped)
    if not sources:
        return {"recordings": 0}
    name = {"name": Path(noise).expanduser().resolve().name} if noise else {}
    minutes = round(sum(durations) / 60, 2)
    print(f"{len(durations)} noise recordings, {minutes} minutes; {skipped}", file=sys.stderr)
    left_out = skipped.reasons()
    return {**name, "recordings": len(durations), "minutes": minutes, "left_out": left_out}


def _import_all(
    source: Path, key: str, writer: NoiseWriter, first: int, skipped: SkippedFiles
) -> list[float]:
    """Write the recordings in `source`, numbered from `first`; return the duration of each."""
    with list_files(source, key, skipped.add) as files:
        durations = _copy(files, writer, first, skipped)
    if not durations:
        suffixes = ", ".join(sorted(suffix[1:] for suffix in AUDIO_SUFFIXES))
        raise CorpusError(
            f"No recording in {source} can be used as noise. Looked for {suffixes} files.\n"
            f"{skipped}"
        )
    return durations


def _copy(
    files: Sequence[SourceFile], writer: NoiseWriter, first: int, skipped: SkippedFiles
) -> list[float]:
    """Write the usable recordings in order; return the duration in seconds that each keeps."""
    durations: list[float] = []
    for file in files:
        if file.suffix not in AUDIO_SUFFIXES:
            skipped.add(file.name, why_not_audio(file))
            continue
        try:
            with file.open_copy() as source:
                duration = _check(source)
                for number, (piece, sample_rate) in enumerate(_read_pieces(source)):
                    writer.add(first + len(durations), number, encode_wav(piece, sample_rate, 16))
            durations.append(duration)
        except AudioError as error:
            skipped.add(file.name, str(error))
    return durations


def _check(source: BinaryIO) -> float:
    """Read a recording to its end; return how many seconds its pieces last.

    No piece may be written before the end has been read. Raises AudioError if it is not usable.
    """
    seconds = sum(len(piece) / sample_rate for piece, sample_rate in _read_pieces(source))
    if not seconds:
        raise AudioError(f"It is silent: its RMS is below {SILENCE_RMS:.0e} throughout.")
    if seconds < MIN_SECONDS:
        raise AudioError(f"It is shorter than {MIN_SECONDS:g} s.")
    return seconds


def _read_pieces(source: BinaryIO) -> Iterator[Block]:
    """Yield the pieces that are not silent, without DC offset and within full scale."""
    source.seek(0)
    for piece, sample_rate in _split(_read_mono(source)):
        centred = remove_dc(piece)
        if not is_silent(centred):
            peak = np.max(np.abs(centred))
            yield centred / np.maximum(peak, np.float32(1)), sample_rate


def _read_mono(source: BinaryIO) -> Iterator[Block]:
    n_samples = 0
    for block, sample_rate in decode_blocks(source):
        n_samples += len(block)
        if n_samples > MAX_SECONDS * sample_rate:
            raise AudioError(f"It is longer than {MAX_SECONDS / 3600:g} hours.")
        yield block.mean(axis=1, dtype=np.float32), sample_rate


def _split(blocks: Iterator[Block]) -> Iterator[Block]:
    """Join blocks into pieces of a minute; the last of several has half a minute more or less."""
    pending: list[Waveform] = []
    for block, sample_rate in blocks:
        pending.append(block)
        n_samples = PIECE_SECONDS * sample_rate
        while sum(map(len, pending)) >= 3 * n_samples // 2:
            joined = np.concatenate(pending)
            yield joined[:n_samples], sample_rate
            pending = [joined[n_samples:]]
    yield np.concatenate(pending), sample_rate
