"""Find all streams of a file, because libsndfile reads only the first one.

OGG, MP3 and FLAC files may be several recordings one after the other.
"""

import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from denoise.containers import mpeg_audio
from denoise.containers.chunk_sizes import examine_aiff, examine_wav, number_at
from denoise.containers.detection import OggPage, read_ogg_page
from denoise.containers.part_file import MAX_PARTS, Part, check_count

MP3_TOLERANCE = 0.005  # of the bytes that a header counts; libmpg123 tolerates 0.01
MAX_OGG_GAPS = 10_000  # between pages; what follows is not searched, since each gap takes time
FLAC_LAST_BLOCK = 0x80  # a flag in the first byte of a block of metadata
FLAC_MAX_KIND = 6  # of such a block
FLAC_STARTS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
SEARCH_BYTES = 1 << 16
MP3_SLACK_FRAMES = 5  # more than an encoder's delay and padding, which the decoder removes


def find_parts(file: BinaryIO, container: str) -> list[Part]:
    """Return the parts of a file, in order; at least one.

    Raises AudioError for more than MAX_PARTS, and for sizes that the file format cannot hold.
    """
    n_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    if container == "mp3":
        return _find_mp3_parts(file, n_bytes)
    if container == "wav":
        return [examine_wav(file, n_bytes)]
    if container == "aiff":
        return [examine_aiff(file, n_bytes)]
    if container == "au":
        is_open = number_at(file, 8, 4, "big") == 0 < n_bytes - number_at(file, 4, 4, "big")
        return [Part(0, n_bytes, {8: b"\xff" * 4} if is_open else {})]
    if container in ("ogg", "flac"):
        found = _find_ogg_starts(file) if container == "ogg" else _find_flac_starts(file)
        starts = list(islice(found, MAX_PARTS + 1))
        check_count(len(starts))
        starts[:1] = [0]
        end = _before_id3v1(file, n_bytes) if container == "flac" else n_bytes
        ends = [*starts[1:], end]
        return [Part(start, end, {}) for start, end in zip(starts, ends, strict=True)]
    return [Part(0, n_bytes, {})]


def _find_mp3_parts(file: BinaryIO, n_bytes: int) -> list[Part]:
    parts = []
    for stream in mpeg_audio.find_streams(file, n_bytes):
        fewest = max(0, stream.n_samples - MP3_SLACK_FRAMES * stream.last_frame_samples)
        replaced, n_used = {}, _before_id3v1(file, stream.end) - stream.first_frame
        header_offset = stream.header_offset - stream.start
        if 0 < stream.header_frames < stream.n_frames:  # the decoder would stop there
            replaced[header_offset] = stream.n_frames.to_bytes(4, "big")
        if stream.header_bytes and abs(n_used / stream.header_bytes - 1) > MP3_TOLERANCE:
            # The decoder would print a warning.
            replaced[header_offset + 4] = n_used.to_bytes(4, "big")
        parts.append(
            Part(
                stream.start,
                stream.end,
                replaced,
                min_samples=fewest,
                counted_samples=stream.n_samples,
            )
        )
    return parts or [Part(0, n_bytes, {})]


def ogg_pages(file: BinaryIO) -> Iterator[tuple[int, OggPage]]:
    """Yield the position of each page and what its header says, from the start of the file.

    Bytes between two pages are skipped, up to MAX_OGG_GAPS times.
    """
    position = n_gaps = 0
    while n_gaps < MAX_OGG_GAPS:
        page = read_ogg_page(file, position)
        if page is not None:
            yield position, page
            position += page.n_bytes
            continue
        found = next(_find_all(file, b"OggS", position=position + 1), None)
        if found is None:
            return
        position = found
        n_gaps += 1


def _find_ogg_starts(file: BinaryIO) -> Iterator[int]:
    """Yield where each chain of pages begins: at a first page that follows no first page."""
    was_first = False
    for position, page in ogg_pages(file):
        if page.is_first and not was_first:
            yield position
        was_first = page.is_first


def _find_flac_starts(file: BinaryIO) -> Iterator[int]:
    """Yield where each stream begins; the metadata of the first may hold another file."""
    audio = 0
    file.seek(0)
    if file.read(4) == b"fLaC":
        yield 0
        is_last, audio = False, 4
        while not is_last and len(header := file.read(4)) == 4:
            is_last, kind = bool(header[0] & FLAC_LAST_BLOCK), header[0] & ~FLAC_LAST_BLOCK
            if kind > FLAC_MAX_KIND:
                break
            audio += 4 + int.from_bytes(header[1:], "big")
            file.seek(audio)
    yield from _find_all(file, *FLAC_STARTS, position=audio)


def _find_all(file: BinaryIO, *marks: bytes, position: int = 0) -> Iterator[int]:
    """Yield each place of one of `marks`, from `position` on; all have the same length.

    Do not move the file's position between.
    """
    pattern = re.compile(b"|".join(map(re.escape, marks)))
    keep = len(marks[0]) - 1
    file.seek(position)
    window = b""
    while block := file.read(SEARCH_BYTES):
        window += block
        yield from (position + match.start() for match in pattern.finditer(window))
        position += max(0, len(window) - keep)
        window = window[-keep:]


def _before_id3v1(file: BinaryIO, n_bytes: int) -> int:
    """Return where `n_bytes` end without the ID3v1 tag, if there is one. libFLAC refuses it."""
    file.seek(max(0, n_bytes - mpeg_audio.ID3V1_BYTES))
    return n_bytes - mpeg_audio.ID3V1_BYTES if file.read(3) == b"TAG" else n_bytes
