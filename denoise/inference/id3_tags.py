"""Write the tags of MP3 files, and read those that libsndfile cannot.

libsndfile gives LAME UTF-8, which writes it as Latin-1, keeps only 30 bytes of a short tag, and has
no copyright. It does not read frames that have a name in their text, such as licenses.
"""

import codecs
import io
import re
from collections.abc import Mapping
from typing import BinaryIO

from denoise.containers.detection import ID3_HEADER_BYTES, id3_number

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
NAMES = ("license", "comment")  # FFmpeg writes comments so, too
ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")  # by the first byte of a frame's text
NAMED_TEXT = re.compile(rb"TXXX(.{4}).(.)", re.DOTALL)  # a frame's header: size and flags
NAMED_TEXT_2 = re.compile(rb"TXX(.{3})", re.DOTALL)  # the same in version 2.2
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
ESCAPED_TAG = 0x80  # a flag of a tag ("unsynchronisation")
COUNTED, ESCAPED = 0x01, 0x02  # flags of a frame: its size follows, and it is escaped
MAX_READ_BYTES = 2**24  # of a tag, in which a cover may come before the license
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
    """Return `tags` with the license and comment from named texts, and undecoded texts decoded.

    ID3v1 names no encoding: it is UTF-8, cut after 30 bytes, or else Latin-1.
    """
    repaired = {**_read_named_texts(file), **tags}
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


def _read_named_texts(file: BinaryIO) -> dict[str, str]:
    """Return the texts called as one of NAMES in the ID3v2 tag at the start of a file."""
    texts: dict[str, str] = {}
    file.seek(0)
    header = file.read(ID3_HEADER_BYTES)
    if not header.startswith(b"ID3") or len(header) < ID3_HEADER_BYTES:
        return texts
    version, is_escaped = header[3], bool(header[5] & ESCAPED_TAG)
    tag = file.read(min(id3_number(header[6:]), MAX_READ_BYTES))
    if is_escaped and version < 4:  # 4 escapes each frame on its own, and counts its bytes after
        tag = _unescape(tag)
    for frame in re.finditer(NAMED_TEXT_2 if version == 2 else NAMED_TEXT, tag):
        size = id3_number(frame[1]) if version == 4 else int.from_bytes(frame[1], "big")
        body = tag[frame.end() : frame.end() + size]
        flags = frame[2][0] if version == 4 else 0
        if flags & COUNTED:
            body = body[4:]
        if flags & ESCAPED or (version == 4 and is_escaped):
            body = _unescape(body)
        if body and body[0] < len(ENCODINGS):
            name, *values = body[1:].decode(ENCODINGS[body[0]], "replace").split("\0")
            if name.lower() in NAMES and values and values[0]:
                texts.setdefault(name.lower(), values[0].removeprefix(BYTE_ORDER_MARK))
    return texts


def _unescape(escaped: bytes) -> bytes:
    """Remove the zeros that keep a tag from looking like a frame of MP3."""
    return escaped.replace(b"\xff\0", b"\xff")


def _decode(text: bytes) -> str:
    is_whole = len(text) < V1_FULL_BYTES
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(text, final=is_whole)
    except UnicodeDecodeError:
        return text.decode("latin-1")
