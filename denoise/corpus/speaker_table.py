"""Read the speakers and their genders from tables beside the recordings, such as Common Voice's.

A table is a TSV or CSV file whose header has a column of paths and one of speakers. Common Voice
has `client_id`, `path` and `gender` in `validated.tsv` and others.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from denoise.corpus.file_index import SkippedFiles, SourceFile, split_path
from denoise.errors import AudioError

DELIMITERS = {".tsv": "\t", ".csv": ","}
PATH_COLUMNS = ("path_from_data_dir", "path", "file", "filename", "file_name", "audio", "wav")
SPEAKER_COLUMNS = ("client_id", "speaker_id", "speaker")
GENDER_COLUMNS = ("gender", "sex")
NO_TABLE = "It is not a table of speakers."
NO_MATCH = "It is a table of speakers, but none of its rows names a recording."

Path = tuple[str, ...]


class TableEntry(NamedTuple):
    """What a table says of a recording; the gender is an empty string if it is unknown."""

    speaker: str
    gender: str


@dataclass(frozen=True)
class SpeakerTable:
    """A table: its file, the entry of each path that it lists, and by name those in folders."""

    file: SourceFile
    entries: Mapping[Path, TableEntry]
    in_folders: Mapping[str, Sequence[Path]]

    def find(self, recordings: Sequence[Path]) -> list[TableEntry | None]:
        """Return the entry of each recording, or None.

        A row that names a recording in the table's folder names none elsewhere.
        """
        rows = [self._find_rows(path) for path in recordings]
        depth = len(self.file.path) - 1
        is_inside = [self.n_shared_folders(path) == depth for path in recordings]
        taken = {
            row for found, inside in zip(rows, is_inside, strict=True) if inside for row in found
        }
        return [
            _common_entry([self.entries[row] for row in found if inside or row not in taken])
            for found, inside in zip(rows, is_inside, strict=True)
        ]

    def _find_rows(self, path: Path) -> list[Path]:
        """Return the paths of the rows that may name a recording.

        A row names it if one of the two paths is the end of the other: a table may hold file names
        alone, or paths from the root of another machine. The longest one counts.
        """
        longer = self.in_folders.get(path[-1], ())
        if found := [each for each in longer if each[-len(path) :] == path]:
            return found
        ends = (path[start:] for start in range(len(path)))
        return [end for end in ends if end in self.entries][:1]

    def n_shared_folders(self, path: Path) -> int:
        """Return the number of outer folders that the table and a recording share."""
        pairs = zip(self.file.path[:-1], path[:-1], strict=False)
        shared = [ours == theirs for ours, theirs in pairs]
        return (*shared, False).index(False)


def read_tables(tables: Sequence[SourceFile], skipped: SkippedFiles) -> list[SpeakerTable]:
    """Return all TSV and CSV files that are tables of speakers; report the others."""
    found = []
    for file in tables:
        try:
            found.append(_read_table(file))
        except (AudioError, UnicodeDecodeError, csv.Error, _NotATableError) as error:
            skipped.add(file.name, f"{NO_TABLE} {error}".strip())
    return found


class _NotATableError(ValueError):
    """The table has no column of paths, or none of speakers, or it contradicts itself."""


def _read_table(file: SourceFile) -> SpeakerTable:
    """Read a table; raises _NotATableError if it tells no speakers."""
    # Common Voice does not quote its sentences: a quote in one begins no field of several lines.
    is_tsv = file.suffix == ".tsv"
    entries: dict[Path, TableEntry] = {}
    with file.open_copy() as content:
        text = io.TextIOWrapper(content, "utf-8-sig", newline="")
        reader = csv.DictReader(
            text,
            delimiter=DELIMITERS[file.suffix],
            quoting=csv.QUOTE_NONE if is_tsv else csv.QUOTE_MINIMAL,
        )
        names = {_unquoted(name).lower(): name for name in reader.fieldnames or ()}
        path_column, speaker_column, gender_column = (
            next((names[name] for name in choices if name in names), None)
            for choices in (PATH_COLUMNS, SPEAKER_COLUMNS, GENDER_COLUMNS)
        )
        if path_column is None or speaker_column is None:
            raise _NotATableError
        for row in reader:
            path = split_path(_unquoted(row[path_column]).replace("\\", "/"))
            gender = row[gender_column] if gender_column is not None else ""
            entry = TableEntry(_unquoted(row[speaker_column]), _unquoted(gender))
            if not path or not entry.speaker:
                continue
            if entries.setdefault(path, entry).speaker != entry.speaker:
                raise _NotATableError(f"{'/'.join(path)} has two speakers.")
    in_folders: dict[str, list[Path]] = {}
    for path in entries:
        if len(path) > 1:
            in_folders.setdefault(path[-1], []).append(path)
    return SpeakerTable(file, entries, in_folders)


def _unquoted(cell: str | None) -> str:
    return (cell or "").strip().strip('"').strip()


def find_entries(
    tables: Sequence[SpeakerTable], recordings: Sequence[SourceFile], skipped: SkippedFiles
) -> list[TableEntry | None]:
    """Return the entry of each recording; report the tables that name no recording."""
    paths = [file.path for file in recordings]
    found: list[list[tuple[int, TableEntry]]] = [[] for _ in paths]
    for table in tables:
        entries = table.find(paths)
        for path, entry, others in zip(paths, entries, found, strict=True):
            if entry:
                others.append((table.n_shared_folders(path), entry))
        if not any(entries):
            skipped.add(table.file.name, NO_MATCH)
    nearest = [max((n_shared for n_shared, _ in each), default=0) for each in found]
    return [
        _common_entry([entry for n_shared, entry in each if n_shared == most])
        for each, most in zip(found, nearest, strict=True)
    ]


def _common_entry(entries: Sequence[TableEntry]) -> TableEntry | None:
    """Return what rows agree on; None if there are none, or if they name different speakers."""
    if len({entry.speaker for entry in entries}) != 1:
        return None
    genders = [entry.gender for entry in entries if entry.gender]
    return TableEntry(entries[0].speaker, genders[-1] if genders else "")
