"""Write the provenance file beside an archive: its source, its contents and its hash."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from denoise.util.atomic import write_text


def write_provenance(
    path: str | os.PathLike[str], archive: str | os.PathLike[str], provenance: Mapping[str, Any]
) -> None:
    """Write `provenance` and the archive's SHA-256 as JSON with sorted keys."""
    with Path(archive).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    write_text(path, json.dumps({**provenance, "sha256": digest}, indent=2, sort_keys=True) + "\n")
