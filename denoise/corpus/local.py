"""A corpus from a folder or a zip of the user's own recordings, in any layout of `layout`.

Recordings that are WAV files keep their bytes. Others become WAV of the same rate and channels,
with 16 bits a sample, or 24 where theirs are deeper. Speakers with names get numbers, and their
names stand in the meta file. A recording whose digit or speaker cannot be told, or whose sound
cannot be read, is left out, counted and reported.
"""

import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile

from denoise.corpus.archive import ArchiveWriter, Utterance, create_archive
from denoise.corpus.file_index import AUDIO_SUFFIXES, SkippedFiles, SourceFile, list_files
from denoise.corpus.filename_parser import (
    Label,
    LabelError,
    canonical,
    number_repetitions,
    number_speakers,
    parse_label,
    shared_folders,
)
from denoise.corpus.wav import encode_wav
from denoise.dsp.audio import decode
from denoise.errors import AudioError, CorpusError

META_NAMES = frozenset({"audiomnist_meta.txt", "meta.json", "speakers.json"})
DEEP = frozenset({"PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32"})
LOOKED_FOR = (
    f"Looked for {', '.join(sorted(suffix[1:] for suffix in AUDIO_SUFFIXES))} files named like "
    "7_jackson_3, jackson/7_3, jackson/seven_3, seven/jackson_3 or seven/0a7c_nohash_3."
)

Placed = tuple[SourceFile, Label]
About = Mapping[str, Mapping[str, str]]


@dataclass
class _Report:
    """What became of the files: how many were copied and converted, which were left out and why."""

    n_copied: int = 0
    n_converted: int = 0
    speakers: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: SkippedFiles = field(default_factory=SkippedFiles)

    def __str__(self) -> str:
        return (
            f"{self.n_copied} recordings of {len(self.speakers)} speakers, {self.n_converted} of "
            f"them converted to WAV; {self.left_out}"
        )


def import_local(local: str, archive: str | os.PathLike[str]) -> dict[str, Any]:
    """Copy the recordings of the folder or zip `local` to a corpus archive; return its provenance.

    Raises CorpusError where there is nothing at `local`, or nothing that can be used.
    """
    source, report = Path(local).expanduser(), _Report()
    with (
        list_files(source, "download.local", report.left_out.add) as files,
        create_archive(archive) as writer,
    ):
        about = _read_meta(files, report)
        _copy(_label(files, report), about, writer, report)
        if not report.n_copied:
            raise CorpusError(f"No recording in {source} can be used. {LOOKED_FOR}\n{report}")
    print(f"{source}: {report}", file=sys.stderr)
    return {
        "source": "local",
        "name": source.resolve().name,
        "converted": report.n_converted,
        "left_out": report.left_out.reasons(),
    }


def _read_meta(files: Sequence[SourceFile], report: _Report) -> dict[str, dict[str, str]]:
    """Return what meta files tell of each speaker; those further out have the last word."""
    speakers: dict[str, dict[str, str]] = {}
    metas = [file for file in files if file.path[-1].lower() in META_NAMES]
    for file in sorted(metas, key=lambda file: (-len(file.path), file.path)):
        try:
            meta = json.loads(file.read())
            for who, about in meta.items():
                told = {key: str(value) for key, value in about.items()}
                speakers.setdefault(canonical(who), {}).update(told)
        except (AudioError, AttributeError, ValueError, RecursionError):
            report.left_out.add(file.name, "It is no JSON object with an object a speaker.")
    return speakers


def _label(files: Sequence[SourceFile], report: _Report) -> list[Placed]:
    """Return the recordings whose digit and speaker can be told, reporting the others."""
    recordings = []
    for file in files:
        if file.suffix in AUDIO_SUFFIXES:
            recordings.append(file)
        elif file.path[-1].lower() not in META_NAMES:
            report.left_out.add(file.name, "It is no audio file by its name.")
    depth = shared_folders([file.path for file in recordings])
    placed, reasons = _label_below(recordings, depth)
    if not placed and depth:
        placed, reasons = _label_below(recordings, 0)
    for name, reason in reasons:
        report.left_out.add(name, reason)
    return placed


def _label_below(
    recordings: Sequence[SourceFile], depth: int
) -> tuple[list[Placed], list[tuple[str, str]]]:
    placed, reasons = [], []
    for file in recordings:
        try:
            placed.append((file, parse_label(file.path[depth:-1], file.stem)))
        except LabelError as error:
            reasons.append((file.name, str(error)))
    return placed, reasons


def _copy(placed: Sequence[Placed], about: About, writer: ArchiveWriter, report: _Report) -> None:
    """Write the recordings in the archive's order, then the meta file; report what is broken."""
    ids = number_speakers(label.speaker for _, label in placed)
    repetitions = number_repetitions([label for _, label in placed])
    planned = [
        (Utterance(ids[label.speaker], label.digit, repetition), file, label.speaker)
        for (file, label), repetition in zip(placed, repetitions, strict=True)
    ]
    for utterance, file, speaker in sorted(planned, key=lambda plan: plan[0]):
        try:
            content = file.read()
            wav = to_wav(content)
        except AudioError as error:
            report.left_out.add(file.name, str(error))
            continue
        writer.add(utterance, wav)
        report.n_copied += 1
        report.n_converted += wav is not content
        name = {} if speaker == utterance.speaker_id else {"name": speaker}
        report.speakers[utterance.speaker_id] = {**about.get(speaker, {}), **name}
    writer.add_speakers(report.speakers)


def to_wav(content: bytes) -> bytes:
    """Return a WAV file as it is, other audio as PCM WAV; raises AudioError for broken audio."""
    waveform, sample_rate = decode(content)
    if content[:4] in (b"RIFF", b"RIFX", b"RF64") and content[8:12] == b"WAVE":
        return content
    is_deep = soundfile.info(io.BytesIO(content)).subtype in DEEP
    return encode_wav(waveform, sample_rate, 24 if is_deep else 16)
