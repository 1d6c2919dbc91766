"""What is written beside a corpus archive: where it came from, what it holds, its hash."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from denoise.atomic import write_text
from denoise.corpus.archive import CorpusArchive


def write_provenance(
    path: str | os.PathLike[str], archive: str | os.PathLike[str], source: Mapping[str, Any]
) -> dict[str, Any]:
    """Write and return `source` with the archive's counts and SHA-256, as JSON with sorted keys.

    Raises CorpusError where `archive` is no corpus.
    """
    with CorpusArchive(archive) as opened:
        speakers = {utterance.speaker_id for utterance in opened.utterances}
        counts = {"files": len(opened.utterances), "speakers": len(speakers)}
    provenance = {**source, **counts, "sha256": sha256_of(archive)}
    write_text(path, json.dumps(provenance, indent=2, sort_keys=True) + "\n")
    return provenance


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the hash of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
