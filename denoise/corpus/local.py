"""Import a corpus from a folder or a zip of the user's own recordings: digits, or any speech.

A corpus whose file names tell digits is imported by `local_digits`, any other by `local_speech`.
Speakers with names get numbers, and the meta file keeps their names. A recording that cannot be
used is left out, counted and reported.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from denoise.corpus.archive import create_archive
from denoise.corpus.file_index import (
    AUDIO_SUFFIXES,
    SkippedFiles,
    SourceFile,
    check_damage,
    list_files,
    why_not_audio,
)
from denoise.corpus.filename_parser import normalise_speaker
from denoise.corpus.local_digits import (
    SUPPORTED_NAMES,
    Labelling,
    import_digits,
    label_recordings,
)
from denoise.corpus.local_speech import import_speech
from denoise.corpus.speaker_table import DELIMITERS
from denoise.errors import AudioError, CorpusError

META_NAMES = frozenset({"audiomnist_meta.txt", "meta.json", "speakers.json"})
SUPPORTED = (
    f"Looked for {', '.join(sorted(suffix[1:] for suffix in AUDIO_SUFFIXES))} files of speech, or "
    f"of digits named like {SUPPORTED_NAMES}."
)


def import_local(
    local: str,
    archive: str | os.PathLike[str],
    content: str = "auto",
    max_damaged_fraction: float = 1.0,
) -> dict[str, Any]:
    """Copy the recordings in the folder or zip `local` to a corpus archive; return its provenance.

    `content` says what they hold: `digits`, `speech`, or `auto` where their names decide. Raises
    CorpusError if `local` does not exist or has no usable recording, and if more than
    `max_damaged_fraction` of the recordings cannot be read.
    """
    source, skipped = Path(local).expanduser(), SkippedFiles()
    with (
        list_files(source, "download.local", skipped.add) as files,
        create_archive(archive) as writer,
    ):
        groups = _group(files)
        labelling, infos = label_recordings(groups.recordings), _read_meta(groups.metas, skipped)
        is_digits = labelling.tells_digits if content == "auto" else content == "digits"
        report = (
            import_digits(labelling, infos, writer, skipped)
            if is_digits
            else import_speech(groups.recordings, groups.tables, infos, writer, skipped)
        )
        for file in groups.others + (groups.tables if is_digits else []):
            skipped.add(file.name, why_not_audio(file))
        if not report.n_copied:
            raise CorpusError(f"No recording in {source} can be used. {SUPPORTED}\n{skipped}")
        check_damage(skipped.damaged, source, len(groups.recordings), max_damaged_fraction)
    choice = _explain_choice(labelling, is_digits) if content == "auto" else ""
    print(f"{source}: {report}; {skipped}{choice}", file=sys.stderr)
    return {
        "source": "local",
        "name": source.resolve().name,
        **report.provenance(),
        "left_out": skipped.reasons(),
    }


class _Files(NamedTuple):
    """The files of the source by what they are for."""

    recordings: list[SourceFile]
    metas: list[SourceFile]
    tables: list[SourceFile]
    others: list[SourceFile]


def _group(files: Sequence[SourceFile]) -> _Files:
    groups = _Files([], [], [], [])
    for file in files:
        if file.suffix in AUDIO_SUFFIXES:
            groups.recordings.append(file)
        elif file.path[-1].lower() in META_NAMES:
            groups.metas.append(file)
        elif file.suffix in DELIMITERS:
            groups.tables.append(file)
        else:
            groups.others.append(file)
    return groups


def _read_meta(metas: Sequence[SourceFile], skipped: SkippedFiles) -> dict[str, dict[str, str]]:
    """Return the meta files' entries for each speaker; outer files override inner ones."""
    infos: dict[str, dict[str, str]] = {}
    for file in sorted(metas, key=lambda file: (-len(file.path), file.path)):
        try:
            meta = json.loads(file.read())
            for speaker, info in meta.items():
                texts = {key: str(value) for key, value in info.items()}
                infos.setdefault(normalise_speaker(speaker), {}).update(texts)
        except (AudioError, AttributeError, ValueError, RecursionError):
            skipped.add(file.name, "It is not a JSON object with one object per speaker.")
    return infos


def _explain_choice(labelling: Labelling, is_digits: bool) -> str:
    """Return a line that says why the recordings are treated as digits or as other speech."""
    n_digits = len(labelling.labelled)
    n_recordings = n_digits + len(labelling.errors)
    taken_for, other = ("spoken digits", "speech") if is_digits else ("speech", "digits")
    return (
        f"\nTreated as {taken_for}: {n_digits} of {n_recordings} names contain a digit. "
        f"If that is wrong, set download.local_content to {other}."
    )
