"""Import a corpus from a folder or a zip of the user's own recordings.

`filename_parser` lists the layouts that are supported. WAV files are copied unchanged. Other
formats become WAV files of the same rate and channels, with 16 bits per sample, or 24 where the
source has more than 16. Speakers with names get numbers, and the meta file keeps their names. A
recording is left out, counted and reported if its digit or speaker is unknown or its audio cannot
be read.
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
from denoise.corpus.file_index import (
    AUDIO_SUFFIXES,
    NOT_AUDIO,
    SkippedFiles,
    SourceFile,
    list_files,
)
from denoise.corpus.filename_parser import (
    Label,
    LabelError,
    count_shared_folders,
    normalise_speaker,
    number_repetitions,
    number_speakers,
    parse_label,
)
from denoise.corpus.wav import encode_wav
from denoise.dsp.audio import decode
from denoise.errors import AudioError, CorpusError

META_NAMES = frozenset({"audiomnist_meta.txt", "meta.json", "speakers.json"})
SUBTYPES_OVER_16_BITS = frozenset(
    {"PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32"}
)
SUPPORTED_NAMES = (
    f"Looked for {', '.join(sorted(suffix[1:] for suffix in AUDIO_SUFFIXES))} files named like "
    "7_jackson_3, jackson/7_3, jackson/seven_3, seven/jackson_3 or seven/0a7c_nohash_3."
)

LabelledFile = tuple[SourceFile, Label]
SpeakerInfos = Mapping[str, Mapping[str, str]]


@dataclass
class _Report:
    """What was done with the files: copied, converted to WAV, or left out and why."""

    n_copied: int = 0
    n_converted: int = 0
    speakers: dict[str, dict[str, str]] = field(default_factory=dict)
    skipped: SkippedFiles = field(default_factory=SkippedFiles)

    def __str__(self) -> str:
        return (
            f"{self.n_copied} recordings of {len(self.speakers)} speakers, {self.n_converted} of "
            f"them converted to WAV; {self.skipped}"
        )


def import_local(local: str, archive: str | os.PathLike[str]) -> dict[str, Any]:
    """Copy the recordings in the folder or zip `local` to a corpus archive; return its provenance.

    Raises CorpusError if `local` does not exist or has no usable recording.
    """
    source, report = Path(local).expanduser(), _Report()
    with (
        list_files(source, "download.local", report.skipped.add) as files,
        create_archive(archive) as writer,
    ):
        infos = _read_meta(files, report)
        _copy(_label(files, report), infos, writer, report)
        if not report.n_copied:
            raise CorpusError(f"No recording in {source} can be used. {SUPPORTED_NAMES}\n{report}")
    print(f"{source}: {report}", file=sys.stderr)
    return {
        "source": "local",
        "name": source.resolve().name,
        "converted": report.n_converted,
        "left_out": report.skipped.reasons(),
    }


def _read_meta(files: Sequence[SourceFile], report: _Report) -> dict[str, dict[str, str]]:
    """Return the meta files' entries for each speaker; outer files override inner ones."""
    infos: dict[str, dict[str, str]] = {}
    metas = [file for file in files if file.path[-1].lower() in META_NAMES]
    for file in sorted(metas, key=lambda file: (-len(file.path), file.path)):
        try:
            meta = json.loads(file.read())
            for speaker, info in meta.items():
                texts = {key: str(value) for key, value in info.items()}
                infos.setdefault(normalise_speaker(speaker), {}).update(texts)
        except (AudioError, AttributeError, ValueError, RecursionError):
            report.skipped.add(file.name, "It is not a JSON object with one object per speaker.")
    return infos


def _label(files: Sequence[SourceFile], report: _Report) -> list[LabelledFile]:
    """Return the recordings whose digit and speaker are known; report the others.

    Folders that all recordings share are ignored, unless no recording can be labelled without them.
    """
    recordings = []
    for file in files:
        if file.suffix in AUDIO_SUFFIXES:
            recordings.append(file)
        elif file.path[-1].lower() not in META_NAMES:
            report.skipped.add(file.name, NOT_AUDIO)
    depth = count_shared_folders([file.path for file in recordings])
    labelled, errors = _parse_labels(recordings, depth)
    if not labelled and depth:
        labelled, errors = _parse_labels(recordings, 0)
    for name, reason in errors:
        report.skipped.add(name, reason)
    return labelled


def _parse_labels(
    recordings: Sequence[SourceFile], depth: int
) -> tuple[list[LabelledFile], list[tuple[str, str]]]:
    """Return labelled files, and names with reasons, ignoring the outermost `depth` folders."""
    labelled, errors = [], []
    for file in recordings:
        try:
            labelled.append((file, parse_label(file.path[depth:-1], file.stem)))
        except LabelError as error:
            errors.append((file.name, str(error)))
    return labelled, errors


def _copy(
    labelled: Sequence[LabelledFile], infos: SpeakerInfos, writer: ArchiveWriter, report: _Report
) -> None:
    """Write the recordings in the archive's order, then the meta file; report broken recordings."""
    ids = number_speakers(label.speaker for _, label in labelled)
    repetitions = number_repetitions([label for _, label in labelled])
    planned = [
        (Utterance(ids[label.speaker], label.digit, repetition), file, label.speaker)
        for (file, label), repetition in zip(labelled, repetitions, strict=True)
    ]
    for utterance, file, speaker in sorted(planned, key=lambda plan: plan[0]):
        try:
            content = file.read()
            wav = to_wav(content)
        except AudioError as error:
            report.skipped.add(file.name, str(error))
            continue
        writer.add(utterance, wav)
        report.n_copied += 1
        report.n_converted += wav is not content
        name = {} if speaker == utterance.speaker_id else {"name": speaker}
        report.speakers[utterance.speaker_id] = {**infos.get(speaker, {}), **name}
    writer.add_speakers(report.speakers)


def to_wav(content: bytes) -> bytes:
    """Return a WAV file unchanged, and other audio as PCM WAV.

    Raises AudioError if the audio is broken.
    """
    waveform, sample_rate = decode(content)
    if content[:4] in (b"RIFF", b"RIFX", b"RF64") and content[8:12] == b"WAVE":
        return content
    has_over_16_bits = soundfile.info(io.BytesIO(content)).subtype in SUBTYPES_OVER_16_BITS
    return encode_wav(waveform, sample_rate, 24 if has_over_16_bits else 16)
