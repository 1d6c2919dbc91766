"""The name of a result: the client's own name in any script, made safe for every system."""

import re
import unicodedata
from urllib.parse import quote

from werkzeug.utils import secure_filename

MAX_BYTES = 160  # of the client's part in UTF-8; file systems take 255 for the whole name
FALLBACK = "recording"
JOINERS = "\u200c\u200d"  # Persian, the scripts of India and emoji need them
FORBIDDEN = re.compile(r'[<>:"|?*\ufffd]')  # on Windows; the last marks broken UTF-8


def make_disposition(name: str, suffix: str, extension: str) -> str:
    """Return a Content-Disposition header that names the result after the client's file.

    `filename` is in ASCII. Where that loses something, `filename*` (RFC 6266) has the whole name.
    """
    stem = _make_stem(name)
    full = f"{stem}{suffix}.{extension}"
    plain = f"{secure_filename(stem).strip('.') or FALLBACK}{suffix}.{extension}"
    header = f'attachment; filename="{plain}"'
    return header if plain == full else f"{header}; filename*=UTF-8''{quote(full, safe='')}"


def _make_stem(name: str) -> str:
    """Return a file name without folders, extension, and characters that some system forbids."""
    last = re.split(r"[/\\]", name)[-1]
    stem = unicodedata.normalize("NFC", last.rpartition(".")[0] or last)
    kept = "".join(each for each in stem if each in JOINERS or not _is_invisible(each))
    kept = FORBIDDEN.sub("_", kept).strip(". ")
    return kept.encode()[:MAX_BYTES].decode(errors="ignore").strip(". ") or FALLBACK


def _is_invisible(character: str) -> bool:
    """Tell whether a character is a control, a lone surrogate, or turns the direction of text."""
    category = unicodedata.category(character)
    return category.startswith("C") or category in ("Zl", "Zp")
