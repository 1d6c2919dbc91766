"""Import spoken digits: recordings whose names tell a digit and a speaker.

`filename_parser` lists the layouts that are supported. WAV files are copied unchanged. Other
formats become WAV files of the same rate and channels, with 16 bits per sample, or 24 where the
source has more than 16.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import soundfile

from denoise.corpus.archive import ArchiveWriter, Utterance
from denoise.corpus.file_index import SkippedFiles, SourceFile
from denoise.corpus.filename_parser import (
    NO_DIGIT,
    Label,
    LabelError,
    count_shared_folders,
    number_repetitions,
    number_speakers,
    parse_label,
)
from denoise.corpus.wav import encode_wav
from denoise.dsp.audio import decode
from denoise.errors import AudioError

SUBTYPES_OVER_16_BITS = frozenset(
    {"PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32"}
)
SUPPORTED_NAMES = (
    "7_jackson_3, jackson/7_3, jackson/seven_3, seven/jackson_3 or seven/0a7c_nohash_3"
)
MIN_DIGIT_SHARE = 0.25  # in Speech Commands, 37 % of the recordings are digits

SpeakerInfos = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Labelling:
    """The recordings whose digit and speaker are known, and those where they are not, with why."""

    labelled: Sequence[tuple[SourceFile, Label]]
    errors: Sequence[tuple[SourceFile, str]]

    @property
    def tells_digits(self) -> bool:
        """Whether the names are those of a corpus of digits.

        At least MIN_DIGIT_SHARE of them tell a digit. A file or folder whose name is a bare number
        does not count if others are larger numbers: 1 to 9 beside 10 and 11 count the recordings.
        """
        counts = {_numbered_part(file) for file, why in self.errors if why == NO_DIGIT} - {None}
        digits = [file for file, _ in self.labelled if _numbered_part(file) not in counts]
        n_recordings = len(self.labelled) + len(self.errors)
        return bool(digits) and len(digits) >= MIN_DIGIT_SHARE * n_recordings


def _numbered_part(file: SourceFile) -> str | None:
    """Return which part of a path is a bare number, the file or a folder, and None if none is."""
    if file.stem.isdecimal():
        return "file"
    is_numbered = not re.search(r"\d", file.stem) and any(map(str.isdecimal, file.path[:-1]))
    return "folder" if is_numbered else None


@dataclass
class DigitsReport:
    """How many recordings were copied, and how many of them were converted to WAV."""

    n_copied: int = 0
    n_converted: int = 0
    speakers: dict[str, dict[str, str]] = field(default_factory=dict)

    def provenance(self) -> dict[str, Any]:
        """Return what the provenance file says of the import."""
        return {"converted": self.n_converted}

    def __str__(self) -> str:
        """Return a readable summary."""
        return (
            f"{self.n_copied} recordings of {len(self.speakers)} speakers, {self.n_converted} of "
            "them converted to WAV"
        )


def label_recordings(recordings: Sequence[SourceFile]) -> Labelling:
    """Parse the names of the recordings.

    Folders that all recordings share are ignored, unless no recording can be labelled without them.
    """
    depth = count_shared_folders([file.path for file in recordings])
    labelling = _parse_labels(recordings, depth)
    return labelling if labelling.labelled or not depth else _parse_labels(recordings, 0)


def _parse_labels(recordings: Sequence[SourceFile], depth: int) -> Labelling:
    """Parse the names, ignoring the outermost `depth` folders."""
    labelled, errors = [], []
    for file in recordings:
        try:
            labelled.append((file, parse_label(file.path[depth:-1], file.stem)))
        except LabelError as error:
            errors.append((file, str(error)))
    return Labelling(labelled, errors)


def import_digits(
    labelling: Labelling, infos: SpeakerInfos, writer: ArchiveWriter, skipped: SkippedFiles
) -> DigitsReport:
    """Write the recordings in the archive's order, then the meta file; skip unusable recordings."""
    report = DigitsReport()
    for file, reason in labelling.errors:
        skipped.add(file.name, reason)
    labels = [label for _, label in labelling.labelled]
    ids = number_speakers(label.speaker for label in labels)
    planned = [
        (Utterance(ids[label.speaker], label.digit, repetition), file, label.speaker)
        for (file, label), repetition in zip(
            labelling.labelled, number_repetitions(labels), strict=True
        )
    ]
    for utterance, file, speaker in sorted(planned, key=lambda plan: plan[0]):
        try:
            content = file.read()
            wav = to_wav(content)
        except AudioError as error:
            skipped.add_damaged(file.name, str(error))
            continue
        writer.add(utterance, wav)
        report.n_copied += 1
        report.n_converted += wav is not content
        name = {} if speaker == utterance.speaker_id else {"name": speaker}
        report.speakers[utterance.speaker_id] = {**infos.get(speaker, {}), **name}
    writer.add_speakers(report.speakers)
    return report


def to_wav(content: bytes) -> bytes:
    """Return a WAV file unchanged, and other audio as PCM WAV.

    Raises AudioError if the audio is broken.
    """
    waveform, sample_rate = decode(content)
    if content[:4] in (b"RIFF", b"RIFX", b"RF64") and content[8:12] == b"WAVE":
        return content
    has_over_16_bits = soundfile.info(io.BytesIO(content)).subtype in SUBTYPES_OVER_16_BITS
    return encode_wav(waveform, sample_rate, 24 if has_over_16_bits else 16)
