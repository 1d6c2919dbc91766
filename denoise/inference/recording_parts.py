"""Find all streams of a file, because libsndfile reads only the first one.

OGG, MP3 and FLAC files may be several recordings one after the other. The header of a WAV file may
give a length of 0, because the program that wrote it was stopped. A WAV file whose codec works in
blocks, such as ADPCM, decodes to more samples than were recorded; the `fact` chunk has the number.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

from denoise.inference import mpeg_audio

MP3_TOLERANCE = 0.005  # of the bytes that a header counts; libmpg123 tolerates 0.01
ByteOrder = Literal["little", "big"]
OGG_HEADER_BYTES = 27
OGG_FIRST_PAGE = 2
FLAC_START = b"fLaC\x00\x00\x00\x22"
SEARCH_BYTES = 1 << 20
MP3_SLACK_FRAMES = 5  # more than an encoder's delay and padding, which the decoder removes
BLOCK_CODES = {0x02, 0x11, 0x31, 0x38, 0x40, 0x45}  # ADPCM, GSM and G.72x in WAV
MIN_LOST_BYTES = 4096  # behind the audio, that are taken for audio rather than for junk
SSND_HEADER_BYTES = 8  # before the audio, in its chunk
MAX_CHUNKS = 1000  # before the audio, and behind it
AIFC_BYTE_CODES = (b"NONE", b"raw ", b"ulaw", b"ULAW", b"alaw", b"ALAW")


@dataclass(frozen=True)
class Part:
    """A range of bytes that is a recording of its own, and bytes to read in place of others.

    It holds exactly `n_samples` samples, if these are known: the decoder adds less than `slack`.
    It holds `min_samples` or more.
    """

    start: int
    end: int
    replaced: Mapping[int, bytes]
    n_samples: int | None = None
    slack: int = 0
    min_samples: int = 0


class PartFile(io.RawIOBase):
    """The bytes of one part as a file, for libsndfile to read."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        """Take the open file that holds the part."""
        self._file, self._part, self._position = file, part, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the part's start, the current position or the part's end."""
        length = self._part.end - self._part.start
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position within the part."""
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Read bytes of the part, with those that are replaced."""
        first = self._part.start + self._position
        self._file.seek(first)
        block = bytearray(self._file.read(max(0, min(len(buffer), self._part.end - first))))
        for offset, new in self._part.replaced.items():
            for i, byte in enumerate(new, offset - first):
                if 0 <= i < len(block):
                    block[i] = byte
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)


def find_parts(file: BinaryIO, container: str) -> list[Part]:
    """Return the parts of a file, in order; at least one."""
    n_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    if container == "mp3":
        return _find_mp3_parts(file, n_bytes)
    if container == "wav":
        return [_examine_wav(file, n_bytes)]
    if container == "aiff":
        return [_examine_aiff(file, n_bytes)]
    if container == "au":
        is_open = _number(file, 8, 4, "big") == 0 < n_bytes - _number(file, 4, 4, "big")
        return [Part(0, n_bytes, {8: b"\xff" * 4} if is_open else {})]
    if container in ("ogg", "flac"):
        find = _find_ogg_starts if container == "ogg" else _find_flac_starts
        starts = list(find(file))
        starts[:1] = [0]
        end = _before_id3v1(file, n_bytes) if container == "flac" else n_bytes
        ends = [*starts[1:], end]
        return [Part(start, end, {}) for start, end in zip(starts, ends, strict=True)]
    return [Part(0, n_bytes, {})]


def _find_mp3_parts(file: BinaryIO, n_bytes: int) -> list[Part]:
    parts = []
    for stream in mpeg_audio.find_streams(file, n_bytes):
        fewest = max(0, stream.n_samples - MP3_SLACK_FRAMES * stream.last_frame_samples)
        replaced, n_used = {}, _before_id3v1(file, stream.end) - stream.start
        header_offset = stream.header_offset - stream.start
        if 0 < stream.header_frames < stream.n_frames:  # the decoder would stop there
            replaced[header_offset] = stream.n_frames.to_bytes(4, "big")
        if stream.header_bytes and abs(n_used / stream.header_bytes - 1) > MP3_TOLERANCE:
            # The decoder would print a warning.
            replaced[header_offset + 4] = n_used.to_bytes(4, "big")
        parts.append(Part(stream.start, stream.end, replaced, min_samples=fewest))
    return parts or [Part(0, n_bytes, {})]


def _find_ogg_starts(file: BinaryIO) -> Iterator[int]:
    """Yield where each chain of pages begins: at a first page that follows no first page."""
    position, was_first = 0, False
    while True:
        file.seek(position)
        header = file.read(OGG_HEADER_BYTES)
        if len(header) < OGG_HEADER_BYTES:
            return
        if not header.startswith(b"OggS"):
            found = _find(file, b"OggS", position + 1)
            if found is None:
                return
            position = found
            continue
        is_first = bool(header[5] & OGG_FIRST_PAGE)
        if is_first and not was_first:
            yield position
        was_first = is_first
        position += OGG_HEADER_BYTES + header[26] + sum(file.read(header[26]))


def _find_flac_starts(file: BinaryIO) -> Iterator[int]:
    position = _find(file, FLAC_START, 0)
    while position is not None:
        yield position
        position = _find(file, FLAC_START, position + 1)


def _find(file: BinaryIO, mark: bytes, position: int) -> int | None:
    """Return where `mark` is next, from `position` on."""
    file.seek(position)
    window = b""
    while block := file.read(SEARCH_BYTES):
        window += block
        if (found := window.find(mark)) >= 0:
            return position + found
        keep = len(mark) - 1
        position += max(0, len(window) - keep)
        window = window[-keep:]
    return None


def _before_id3v1(file: BinaryIO, n_bytes: int) -> int:
    """Return where `n_bytes` end without the ID3v1 tag, if there is one. libFLAC refuses it."""
    file.seek(max(0, n_bytes - mpeg_audio.ID3V1_BYTES))
    return n_bytes - mpeg_audio.ID3V1_BYTES if file.read(3) == b"TAG" else n_bytes


def _chunks(
    file: BinaryIO, position: int, n_bytes: int, order: ByteOrder
) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the position of the content of each chunk, up to the audio's."""
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            return
        yield header[:4], position + 8
        size = int.from_bytes(header[4:], order)
        position += 8 + size + size % 2
        if header[:4] in (b"data", b"SSND") or position >= n_bytes:
            return


def _number(file: BinaryIO, position: int, n_bytes: int, order: ByteOrder) -> int:
    file.seek(position)
    return int.from_bytes(file.read(n_bytes), order)


def _examine_wav(file: BinaryIO, n_bytes: int) -> Part:
    """Return a WAV or RF64 file with the sizes that it lacks, and its exact length if it is told.

    Data of size 0 that bytes follow come from a program that was stopped, or that wrote to a pipe.
    """
    order: ByteOrder = "big" if _is_at(file, 0, b"RIFX") else "little"
    found = dict(_chunks(file, 12, n_bytes, order))
    replaced: dict[int, bytes] = {}
    data = found.get(b"data")
    if data is not None and _ends_early(file, data, n_bytes, order):
        size = min(n_bytes - data, 0xFFFFFFFF)
        replaced[data - 4] = size.to_bytes(4, order)
    ds64 = found.get(b"ds64")
    if ds64 is not None and data is not None and _number(file, ds64 + 8, 8, order) == 0:
        replaced[ds64 + 8] = (n_bytes - data).to_bytes(8, "little")
    n_samples, slack = None, 0
    fmt, fact = found.get(b"fmt "), found.get(b"fact")
    if fmt is not None and fact is not None and _number(file, fmt, 2, order) in BLOCK_CODES:
        n_samples = _number(file, fact, 4, order) or None
        slack = 2 * max(_number(file, fmt + 18, 2, order), 1024)
    return Part(0, n_bytes, replaced, n_samples, slack)


def _ends_early(file: BinaryIO, data: int, n_bytes: int, order: ByteOrder) -> bool:
    """Return whether the audio goes on behind the end that its chunk says.

    With a size of 0 it does, unless chunks follow up to the end of the file. With another size it
    does where the RIFF header counts more bytes, and what follows has no name of a chunk.
    """
    size = _number(file, data - 4, 4, order)
    if size == 0:
        return not _is_chunks(file, data, n_bytes, order)
    end = data + size + size % 2
    if n_bytes - end < MIN_LOST_BYTES or _number(file, 4, 4, order) + 8 < n_bytes:
        return False
    file.seek(end - size % 2)
    following = file.read(5)
    return not any(_is_name(following[i : i + 4]) for i in (0, 1))


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _is_at(file: BinaryIO, position: int, mark: bytes) -> bool:
    file.seek(position)
    return file.read(len(mark)) == mark


def _is_chunks(file: BinaryIO, position: int, n_bytes: int, order: ByteOrder) -> bool:
    """Return whether chunks, and nothing else, lie between `position` and the end of the file."""
    for _ in range(MAX_CHUNKS):
        if position >= n_bytes:
            break
        file.seek(position)
        header = file.read(8)
        if len(header) < 8 or not _is_name(header[:4]):
            return False
        size = int.from_bytes(header[4:], order)
        position += 8 + size + size % 2
    return n_bytes <= position <= n_bytes + 1


def _examine_aiff(file: BinaryIO, n_bytes: int) -> Part:
    """Return an AIFF file with the length in its header, which libsndfile rounds up to even bytes.

    In AIFF-C the header may count blocks instead, and is not used.
    """
    found = dict(_chunks(file, 12, n_bytes, "big"))
    comm, ssnd, replaced = found.get(b"COMM"), found.get(b"SSND"), {}
    if ssnd is not None and _number(file, ssnd - 4, 4, "big") == SSND_HEADER_BYTES:
        audio = ssnd + SSND_HEADER_BYTES
        if not _is_chunks(file, audio, n_bytes, "big"):
            replaced[ssnd - 4] = min(n_bytes - ssnd, 0xFFFFFFFF).to_bytes(4, "big")
    is_plain = _is_at(file, 8, b"AIFF") or (
        comm is not None and any(_is_at(file, comm + 18, code) for code in AIFC_BYTE_CODES)
    )
    if comm is None or not is_plain:
        return Part(0, n_bytes, replaced)
    return Part(0, n_bytes, replaced, _number(file, comm + 2, 4, "big") or None, 2)
