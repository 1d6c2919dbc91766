"""Write the tags of MP3 files, and read those that libsndfile cannot.

libsndfile gives LAME UTF-8, which writes it as Latin-1, keeps only 30 bytes of a short tag, and has
no copyright.
"""

import codecs
import io
from collections.abc import Mapping
from typing import BinaryIO

from denoise.inference.containers import ID3_HEADER_BYTES

FRAMES = {
    "title": b"TIT2",
    "artist": b"TPE1",
    "album": b"TALB",
    "tracknumber": b"TRCK",
    "date": b"TDRC",
    "genre": b"TCON",
    "comment": b"COMM",
    "copyright": b"TCOP",
    "license": b"TXXX",  # a license is text, and the frames for one hold addresses only
}
PREFIXES = {b"COMM": b"XXX\0", b"TXXX": b"LICENSE\0"}  # unknown language, no description; a name
UTF_8 = b"\x03"
VERSION = b"ID3\x04\x00\x00"  # 2.4, the first one with UTF-8
MAX_BYTES = 2**28 - ID3_HEADER_BYTES  # of what the four digits of a size can count
V1_BYTES = 128
V1_OFFSETS = {"title": 3, "artist": 33, "album": 63, "comment": 97}
V1_TEXT_BYTES = 30
V1_FULL_BYTES = 28  # of a text that may have been cut: a comment has two bytes less
UNDECODED = "\N{REPLACEMENT CHARACTER}"  # what soundfile puts for bytes that are not UTF-8


def id3_tag(tags: Mapping[str, str]) -> bytes:
    """Return the ID3v2 tag to put before an MP3 stream, nothing if there are no tags."""
    frames = b""
    for name, text in tags.items():
        if name in FRAMES and text:
            kind = FRAMES[name]
            body = UTF_8 + PREFIXES.get(kind, b"") + text.encode("utf-8", "replace")
            if len(frames) + ID3_HEADER_BYTES + len(body) <= MAX_BYTES:
                frames += kind + _digits(len(body)) + bytes(2) + body
    return VERSION + _digits(len(frames)) + frames if frames else b""


def _digits(size: int) -> bytes:
    """Return a size as ID3v2 writes it: seven bits in each of four bytes."""
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def repair(tags: Mapping[str, str], file: BinaryIO) -> dict[str, str]:
    """Return the tags of an MP3 file, with those that libsndfile could not decode decoded.

    ID3v1 names no encoding: it is UTF-8, cut after 30 bytes, or else Latin-1.
    """
    repaired = dict(tags)
    undecoded = [name for name in V1_OFFSETS if UNDECODED in tags.get(name, "")]
    n_bytes = file.seek(0, io.SEEK_END)
    if undecoded and n_bytes >= V1_BYTES:
        file.seek(n_bytes - V1_BYTES)
        tag = file.read(V1_BYTES)
        for name in undecoded:
            text = tag[V1_OFFSETS[name] :][:V1_TEXT_BYTES].split(b"\0")[0]
            if tag.startswith(b"TAG") and text.decode("utf-8", "replace") == tags[name]:
                repaired[name] = _decode(text)
    return repaired


def _decode(text: bytes) -> str:
    is_whole = len(text) < V1_FULL_BYTES
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(text, final=is_whole)
    except UnicodeDecodeError:
        return text.decode("latin-1")
