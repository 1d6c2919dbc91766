"""Read the speakers and their genders from tables beside the recordings, such as Common Voice's.

A table is a TSV or CSV file whose header has a column of paths and one of speakers. Common Voice
has `client_id`, `path` and `gender` in `validated.tsv` and others.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from denoise.corpus.file_index import SkippedFiles, SourceFile
from denoise.errors import AudioError

DELIMITERS = {".tsv": "\t", ".csv": ","}
PATH_COLUMNS = ("path", "file", "filename", "file_name", "audio", "wav")
SPEAKER_COLUMNS = ("client_id", "speaker_id", "speaker")
GENDER_COLUMNS = ("gender", "sex")


class TableEntry(NamedTuple):
    """What a table says of a recording; the gender is an empty string if it is unknown."""

    speaker: str
    gender: str


Entries = dict[tuple[str, ...], TableEntry]
"""The entry of each path as the tables write it, which may be the file name alone."""


def read_tables(tables: Sequence[SourceFile], skipped: SkippedFiles) -> Entries:
    """Return the entries of all TSV and CSV files; report those that have none."""
    entries: Entries = {}
    for file in tables:
        try:
            with file.open_copy() as content:
                text = io.TextIOWrapper(content, "utf-8-sig", newline="")
                entries.update(_read_table(csv.DictReader(text, delimiter=DELIMITERS[file.suffix])))
        except (AudioError, UnicodeDecodeError, csv.Error, _NoSpeakersError) as error:
            skipped.add(file.name, f"It is not a table of speakers. {error}".strip())
    return entries


class _NoSpeakersError(ValueError):
    """The table has no column of paths, or none of speakers."""


def _read_table(rows: "csv.DictReader[str]") -> Entries:
    """Return the entries of a table; raises _NoSpeakersError if it lacks a column."""
    columns = {str(name).strip().lower(): name for name in rows.fieldnames or ()}
    path, speaker, gender = (
        next((columns[name] for name in names if name in columns), None)
        for names in (PATH_COLUMNS, SPEAKER_COLUMNS, GENDER_COLUMNS)
    )
    if path is None or speaker is None:
        raise _NoSpeakersError
    return {
        split_path(row[path]): TableEntry(row[speaker].strip(), _text(row, gender))
        for row in rows
        if row[path] and row[speaker] and row[speaker].strip()
    }


def _text(row: Mapping[str, str | None], column: str | None) -> str:
    return (row[column] or "").strip() if column is not None else ""


def split_path(path: str) -> tuple[str, ...]:
    """Return the parts of a path that a table holds."""
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))


def find_entry(entries: Entries, file: SourceFile) -> TableEntry | None:
    """Return the entry of a recording: that of the longest end of its path that a table holds."""
    ends = (file.path[start:] for start in range(len(file.path)))
    return next((entries[end] for end in ends if end in entries), None)
