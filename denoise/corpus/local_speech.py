"""Import speech of any content: sentences, conversations, memos, audiobooks.

Each recording is cut at its pauses into utterances of 1 to 10 s (`dsp.segmentation`). They become
mono WAV files with 16 bits per sample, at the recording's own rate. A recording is read in blocks,
so memory use does not grow with its length. A table beside the recordings (`speaker_table`) or
their paths (`speaker_path`) tell the speakers.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from denoise.containers.decoding import UnsuitableError, decode_mono_blocks
from denoise.corpus.archive import ArchiveWriter, Utterance
from denoise.corpus.file_index import SkippedFiles, SourceFile
from denoise.corpus.filename_parser import normalise_speaker, number_speakers
from denoise.corpus.speaker_path import EACH_RECORDING, MIN_SPEAKERS, find_speakers
from denoise.corpus.speaker_table import TableEntry, find_entries, read_tables
from denoise.corpus.wav import encode_wav
from denoise.dsp.audio import limit_peak, remove_dc
from denoise.dsp.segmentation import (
    FRAME_SECONDS,
    MIN_ONLY_SECONDS,
    cut,
    find_utterances,
    measure_levels,
)
from denoise.errors import AudioError

MAX_SECONDS = 24 * 3600  # a small compressed file can hold weeks of audio
NO_SPEECH = f"It is silent, or it has less than {MIN_ONLY_SECONDS:g} s of speech."

SpeakerInfos = Mapping[str, Mapping[str, str]]


@dataclass
class SpeechReport:
    """How many recordings were cut into how many utterances, and how the speakers were found."""

    rule: str
    n_recordings: int = 0
    n_damaged: int = 0
    n_copied: int = 0
    seconds: float = 0.0
    recorded_seconds: float = 0.0
    speakers: dict[str, dict[str, str]] = field(default_factory=dict)

    def provenance(self) -> dict[str, Any]:
        """Return what the provenance file says of the import."""
        return {
            "content": "speech",
            "recordings": self.n_recordings,
            "damaged": self.n_damaged,
            "minutes": round(self.seconds / 60, 2),
            "speakers_by": self.rule,
        }

    def __str__(self) -> str:
        """Return a readable summary, with a warning if there are too few speakers to split."""
        text = (
            f"{self.n_copied} utterances, {self.seconds / 60:.1f} minutes, from "
            f"{self.n_recordings} recordings, {self.recorded_seconds / 60:.1f} minutes, of "
            f"{len(self.speakers)} speakers (told by: {self.rule})"
        )
        if EACH_RECORDING in self.rule:
            text += (
                f". The paths tell fewer than {MIN_SPEAKERS} speakers, so one voice may be in "
                "several splits"
            )
        return text


def import_speech(
    recordings: Sequence[SourceFile],
    tables: Sequence[SourceFile],
    infos: SpeakerInfos,
    writer: ArchiveWriter,
    skipped: SkippedFiles,
) -> SpeechReport:
    """Write the utterances of the recordings, by speaker, then the meta file.

    What `tables`, TSV and CSV files, say of the speakers precedes the paths. `infos` are the
    entries of meta files. Recordings and tables that cannot be used are skipped.
    """
    entries = find_entries(read_tables(tables, skipped), recordings, skipped)
    names, rule = _find_names(recordings, entries)
    ids = number_speakers(names)
    report, n_written = SpeechReport(rule), Counter[str]()
    by_speaker = sorted(zip(names, recordings, entries, strict=True), key=lambda row: ids[row[0]])
    for name, file, entry in tqdm(by_speaker, unit="recording", disable=not sys.stderr.isatty()):
        speaker_id = ids[name]
        try:
            durations, recorded = _copy(file, speaker_id, n_written[speaker_id], writer)
        except UnsuitableError as error:
            skipped.add(file.name, str(error))
            continue
        except AudioError as error:
            skipped.add_damaged(file.name, str(error))
            report.n_damaged += 1
            continue
        if not durations:
            skipped.add(file.name, NO_SPEECH)
            continue
        n_written[speaker_id] += len(durations)
        report.n_recordings += 1
        report.n_copied += len(durations)
        report.seconds += sum(durations)
        report.recorded_seconds += recorded
        described = _describe(name, speaker_id, infos, entry)
        report.speakers.setdefault(speaker_id, {}).update(described)
    writer.add_speakers(report.speakers)
    return report


def _find_names(
    recordings: Sequence[SourceFile], entries: Sequence[TableEntry | None]
) -> tuple[list[str], str]:
    """Return the speaker's name or number of each recording, and how they were found."""
    found = find_speakers([(*file.path[:-1], file.stem) for file in recordings])
    names = [
        normalise_speaker(entry.speaker if entry else name)
        for name, entry in zip(found.names, entries, strict=True)
    ]
    n_found = sum(entry is not None for entry in entries)
    if n_found == len(recordings):
        return names, "a table"
    return names, f"a table, {found.rule}" if n_found else found.rule


def _describe(
    name: str, speaker_id: str, infos: SpeakerInfos, entry: TableEntry | None
) -> dict[str, str]:
    """Return a speaker's entry in the meta file."""
    info = dict(infos.get(name, {}))
    if entry and entry.gender:
        info["gender"] = entry.gender
    return info if name == speaker_id else {**info, "name": name}


def _copy(
    file: SourceFile, speaker_id: str, first: int, writer: ArchiveWriter
) -> tuple[list[float], float]:
    """Write the utterances of a recording, numbered from `first`.

    Return their durations and that of the recording, in s. Raises AudioError if the recording
    cannot be read to its end; nothing is written then.
    """
    durations: list[float] = []
    with file.open_copy() as source:
        levels = measure_levels(decode_mono_blocks(source, MAX_SECONDS))
        spans = find_utterances(levels)
        for samples, sample_rate in cut(decode_mono_blocks(source, MAX_SECONDS), spans):
            waveform = limit_peak(remove_dc(samples))
            utterance = Utterance(speaker_id, None, first + len(durations))
            writer.add(utterance, encode_wav(waveform, sample_rate, 16))
            durations.append(len(waveform) / sample_rate)
    return durations, len(levels) * FRAME_SECONDS
