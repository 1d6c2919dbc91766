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
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from denoise.containers.decoding import UnsuitableError, decode_mono_blocks
from denoise.corpus.file_index import (
    AUDIO_SUFFIXES,
    SkippedFiles,
    SourceFile,
    check_damage,
    list_files,
    why_not_audio,
)
from denoise.corpus.wav import encode_wav
from denoise.dsp.audio import (
    SILENCE_RMS,
    Block,
    Waveform,
    is_silent,
    limit_peak,
    remove_dc,
)
from denoise.errors import AudioError, CorpusError
from denoise.noise.archive import PIECE_SECONDS, NoiseWriter, create_noise_archive

MIN_SECONDS = 0.1  # a shorter recording, repeated to fill a clip, would sound like a tone
MAX_SECONDS = 4 * 3600  # a small compressed file can hold days of audio


def import_noise(
    noise: str,
    archive: str | os.PathLike[str],
    open_folder: Path | None = None,
    max_damaged_fraction: float = 1.0,
) -> dict[str, Any]:
    """Copy the recordings in the folder or zip `noise` to a noise archive; return its provenance.

    Those in `open_folder`, which holds the open recordings, come after them. If `noise` is an empty
    string and there is no `open_folder`, the archive is empty. Raises CorpusError if either does
    not exist or has no usable recording, and if more than `max_damaged_fraction` of its recordings
    cannot be read.
    """
    sources = {"download.noise": Path(noise).expanduser()} if noise else {}
    if open_folder:
        sources["download.open.noise"] = open_folder
    skipped, durations = SkippedFiles(), list[float]()
    with create_noise_archive(archive) as writer:
        for key, source in sources.items():
            imported = _import_all(source, key, writer, len(durations), skipped)
            check_damage(imported.damaged, source, imported.n_recordings, max_damaged_fraction)
            durations += imported.durations
    if not sources:
        return {"recordings": 0}
    name = {"name": Path(noise).expanduser().resolve().name} if noise else {}
    minutes = round(sum(durations) / 60, 2)
    print(f"{len(durations)} noise recordings, {minutes} minutes; {skipped}", file=sys.stderr)
    left_out = skipped.reasons()
    return {**name, "recordings": len(durations), "minutes": minutes, "left_out": left_out}


class _Imported(NamedTuple):
    """The seconds that each recording of a source keeps, how many it has, and the damaged ones."""

    durations: list[float]
    n_recordings: int
    damaged: list[tuple[str, str]]


def _import_all(
    source: Path, key: str, writer: NoiseWriter, first: int, skipped: SkippedFiles
) -> _Imported:
    """Write the recordings in `source`, numbered from `first`."""
    n_damaged_before = len(skipped.damaged)
    with list_files(source, key, skipped.add) as files:
        recordings = [file for file in files if file.suffix in AUDIO_SUFFIXES]
        for file in files:
            if file.suffix not in AUDIO_SUFFIXES:
                skipped.add(file.name, why_not_audio(file))
        durations = _copy(recordings, writer, first, skipped)
    if not durations:
        suffixes = ", ".join(sorted(suffix[1:] for suffix in AUDIO_SUFFIXES))
        raise CorpusError(
            f"No recording in {source} can be used as noise. Looked for {suffixes} files.\n"
            f"{skipped}"
        )
    return _Imported(durations, len(recordings), skipped.damaged[n_damaged_before:])


def _copy(
    recordings: Sequence[SourceFile], writer: NoiseWriter, first: int, skipped: SkippedFiles
) -> list[float]:
    """Write the usable recordings in order; return the duration in seconds that each keeps."""
    durations: list[float] = []
    for file in recordings:
        try:
            with file.open_copy() as source:
                # Read to its end before any piece is written: the end may be damaged.
                seconds = sum(len(piece) / sample_rate for piece, sample_rate in _pieces(source))
                if reason := _why_unusable(seconds):
                    skipped.add(file.name, reason)
                    continue
                for number, (piece, sample_rate) in enumerate(_pieces(source)):
                    writer.add(first + len(durations), number, encode_wav(piece, sample_rate, 16))
            durations.append(seconds)
        except UnsuitableError as error:
            skipped.add(file.name, str(error))
        except AudioError as error:
            skipped.add_damaged(file.name, str(error))
    return durations


def _why_unusable(seconds: float) -> str | None:
    """Return why an intact recording whose pieces last `seconds` is left out, or None."""
    if not seconds:
        return f"It is silent: its RMS is below {SILENCE_RMS:.0e} throughout."
    return f"It is shorter than {MIN_SECONDS:g} s." if seconds < MIN_SECONDS else None


def _pieces(source: BinaryIO) -> Iterator[Block]:
    """Yield the pieces that are not silent, without DC offset and within full scale."""
    for piece, sample_rate in _split(decode_mono_blocks(source, MAX_SECONDS)):
        centred = remove_dc(piece)
        if not is_silent(centred):
            yield limit_peak(centred), sample_rate


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
