"""What is written beside an archive: where it came from, what it holds, its hash."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from denoise.util.atomic import write_text


def write_provenance(
    path: str | os.PathLike[str], archive: str | os.PathLike[str], about: Mapping[str, Any]
) -> None:
    """Write `about` with the archive's SHA-256, as JSON with sorted keys."""
    with Path(archive).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    write_text(path, json.dumps({**about, "sha256": digest}, indent=2, sort_keys=True) + "\n")
