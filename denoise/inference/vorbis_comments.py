"""Read the comment of FLAC and OGG files that FFmpeg wrote: it names the field DESCRIPTION.

The specification of Vorbis does so, too, but libsndfile knows the name COMMENT alone.
"""

import re
from typing import BinaryIO

HEAD_BYTES = 1 << 16
DESCRIPTION = re.compile(rb"(.{4})DESCRIPTION=", re.DOTALL | re.IGNORECASE)  # behind its length
NAME_BYTES = len("DESCRIPTION=")
PAGE_START = b"OggS"


def read_description(file: BinaryIO) -> str:
    """Return the description at the start of a file, or nothing.

    One that lies on several pages of OGG is left out.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    found = DESCRIPTION.search(head)
    if found is None:
        return ""
    size = int.from_bytes(found[1], "little") - NAME_BYTES
    text = head[found.end() : found.end() + max(0, size)]
    is_whole = len(text) == size and PAGE_START not in text
    return text.decode("utf-8", "replace") if is_whole else ""
