"""Tell the container of a recording by its first bytes, whatever its name says."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

HEAD_BYTES = 64
ID3_HEADER_BYTES = 10
MAX_TAGS = 100
MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
W64 = b"riff\x2e\x91\xcf\x11"
MAX_BOXES = 100
BOX_HEADER_BYTES = 8
LARGE_BOX_HEADER_BYTES = 16
MPEG_TS_PACKET = 188
MPEG_TS_CHECKED = 3  # packets, since frames of MP3 may begin like two
STARTS = {
    b"OggS": "ogg",
    b"fLaC": "flac",
    b"caff": "caf",
    b".snd": "au",
    b"\x1a\x45\xdf\xa3": "matroska",
    ASF: "asf",
    b"#!AMR": "amr",
    b"FLV\x01": "flv",
    b"wvpk": "wv",
    b"MAC ": "ape",
    b"TTA1": "tta",
    b"\x0b\x77": "ac3",
    b"\x00\x00\x01\xba": "mpeg",
    W64: "w64",
}


class Container(NamedTuple):
    """A container by FFmpeg's name, and whether libsndfile reads it and what is in it."""

    name: str
    is_read_by_sndfile: bool


READ_BY_SNDFILE = {"wav", "w64", "aiff", "au", "caf", "flac", "ogg", "mp3"}
OGG_HEADER_BYTES = 27
OGG_FIRST_PAGE = 2
MAX_OGG_STREAMS = 20
# how streams begin that libsndfile does not read: FLAC, Speex, and pictures
OGG_OTHERS = (b"\x7fFLAC", b"Speex   ", b"\x80theora", b"\x01video", b"BBCD", b"OVP80")


def sniff(file: BinaryIO) -> Container | None:
    """Return the container of a seekable file, or None if it is unknown."""
    file.seek(0)
    name = _name(file)
    if name is None:
        return None
    has_others = name == "ogg" and any(each.startswith(OGG_OTHERS) for each in _ogg_streams(file))
    return Container(name, name in READ_BY_SNDFILE and not has_others)


class OggPage(NamedTuple):
    """What the header of an OGG page says. `granule_position` is the time at its end in samples."""

    is_first: bool  # of its stream
    granule_position: int
    n_bytes: int


def read_ogg_page(file: BinaryIO, position: int) -> OggPage | None:
    """Return the page at a position, None if there is none; the file is then at its content."""
    file.seek(position)
    header = file.read(OGG_HEADER_BYTES)
    if len(header) < OGG_HEADER_BYTES or not header.startswith(b"OggS"):
        return None
    sizes = file.read(header[26])
    n_bytes = OGG_HEADER_BYTES + len(sizes) + sum(sizes)
    is_first = bool(header[5] & OGG_FIRST_PAGE)
    return OggPage(is_first, int.from_bytes(header[6:14], "little"), n_bytes)


def _ogg_streams(file: BinaryIO) -> Iterator[bytes]:
    """Yield the first bytes of each stream of an OGG file; all of them begin at its start."""
    position = 0
    for _ in range(MAX_OGG_STREAMS):
        page = read_ogg_page(file, position)
        if page is None or not page.is_first:
            return
        yield file.read(HEAD_BYTES)
        position += page.n_bytes


def has_index_first(file: BinaryIO) -> bool:
    """Tell whether a seekable MP4 or MOV file has its index (`moov`) before its media (`mdat`)."""
    position = 0
    for _ in range(MAX_BOXES):
        file.seek(position)
        head = file.read(LARGE_BOX_HEADER_BYTES)
        kind, size = head[4:8], int.from_bytes(head[:4], "big")
        if kind in (b"moov", b"mdat"):
            return kind == b"moov"
        if size == 1:  # a size of 64 bits follows
            size = int.from_bytes(head[8:], "big")
        if size < BOX_HEADER_BYTES:  # 0: up to the end of the file; or no box
            return False
        position += size
    return False


def _name(file: BinaryIO) -> str | None:
    head = file.read(HEAD_BYTES)
    for _ in range(MAX_TAGS):  # before the audio
        if not head.startswith(b"ID3") or len(head) < ID3_HEADER_BYTES:
            break
        file.seek(id3_bytes(head) - len(head), 1)
        head = file.read(HEAD_BYTES)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return {b"WAVE": "wav", b"AVI ": "avi"}.get(head[8:12])
    if head[:4] == b"FORM":
        return "aiff" if head[8:12] in (b"AIFF", b"AIFC") else None
    if head[4:8] in MP4_BOXES:
        return "mov"
    for start, name in STARTS.items():
        if head.startswith(start):
            return name
    if _is_mpeg_ts(file):
        return "mpegts"
    if len(head) >= 2 and head[0] == 0xFF and head[1] >= 0xE0:
        return "aac" if head[1] & 0xF6 == 0xF0 else "mp3"  # layer 0 is ADTS
    return None


def _is_mpeg_ts(file: BinaryIO) -> bool:
    """Tell whether a file begins with packets of an MPEG transport stream."""
    for n_before in (0, 4):  # AVCHD and Blu-ray put a time stamp of 4 bytes before each packet
        n_bytes = n_before + MPEG_TS_PACKET
        if all(_byte(file, n_before + k * n_bytes) == b"G" for k in range(MPEG_TS_CHECKED)):
            return True
    return False


def _byte(file: BinaryIO, position: int) -> bytes:
    file.seek(position)
    return file.read(1)


def id3_bytes(header: bytes) -> int:
    """Return the size of an ID3v2 tag, whose first ten bytes are `header`."""
    footer_bytes = ID3_HEADER_BYTES if header[5] & 0x10 else 0
    return ID3_HEADER_BYTES + id3_number(header[6:10]) + footer_bytes


def id3_number(digits: bytes) -> int:
    """Return a number that ID3v2 writes with seven bits in each byte."""
    number = 0
    for byte in digits:
        number = number << 7 | byte & 0x7F
    return number
