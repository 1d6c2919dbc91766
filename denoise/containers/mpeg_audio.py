"""Find the frames of MPEG audio (MP3, MP2, MP1) without decoding them.

libmpg123, which libsndfile uses, trusts the length in the header of the first frame and stops
there. So of several joined files it decodes only the first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from denoise.containers.detection import id3_bytes
from denoise.containers.part_file import check_count

SEARCH_BYTES = 1 << 10
MAX_MISSES = 50_000  # places without a frame; a file with more is no MPEG audio
ID3V1_BYTES = 128
APE_HEADER_BYTES = 32
INFO_MARKS = (b"Xing", b"Info", b"VBRI")
INFO_OFFSETS = (13, 21, 36)  # behind the frame's header and its side information, which is 0
# kbit/s by (is MPEG 1, layer) and the index in the header
BITRATES = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = (44_100, 48_000, 32_000)
RATE_DIVISORS = {3: 1, 2: 2, 0: 4}  # by the version's bits: MPEG 1, 2 and 2.5


class Frame(NamedTuple):
    """What the header of a frame says; frames of one stream share their `kind`."""

    kind: tuple[int, int, int]
    n_bytes: int
    n_samples: int


@dataclass
class Stream:
    """One stream of a file: where it starts and ends, and how many samples its frames hold.

    A tag may precede its first frame, which begins at `first_frame`.
    A VBR header, if it has one, gives the number of frames, `header_frames`, at `header_offset` and
    the number of bytes, `header_bytes`, behind it; 0 stands for a number that it does not give.
    """

    start: int
    first_frame: int
    end: int = 0
    n_frames: int = 0
    n_samples: int = 0
    header_offset: int = 0
    header_frames: int = 0
    header_bytes: int = 0
    last_frame_samples: int = field(default=0, repr=False)


def parse_header(head: bytes) -> Frame | None:
    """Return what four bytes say of a frame, or None if they are not the header of one."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bitrate_index, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate_index in (0, 15) or rate_index == 3:
        return None
    is_mpeg_1 = version == 3
    bits = 1000 * BITRATES[is_mpeg_1, layer][bitrate_index - 1]
    rate = RATES[rate_index] // RATE_DIVISORS[version]
    n_samples = 384 if layer == 1 else 1152 if layer == 2 or is_mpeg_1 else 576
    slot = 4 if layer == 1 else 1
    n_bytes = (n_samples // 8 // slot * bits // rate + padding) * slot
    return Frame((version, layer, rate), n_bytes, n_samples)


def find_streams(file: BinaryIO, n_bytes: int) -> list[Stream]:
    """Return the streams of a file one after the other, none if it holds no frames.

    A stream begins at the start, at a header of its own (Xing, Info or VBRI), behind a tag, and
    where the version, the layer or the sample rate changes. Raises AudioError for too many of them.
    """
    streams: list[Stream] = []
    kind: tuple[int, int, int] | None = None
    begin, is_behind_tag = 0, True
    for position, frame in _find_items(file):
        if frame is None:  # a tag
            begin, is_behind_tag = position, True
            continue
        info = _find_info(file, position)
        if is_behind_tag or info is not None or frame.kind != kind:
            start = begin if is_behind_tag else position
            if streams:
                streams[-1].end = start
            streams.append(Stream(start if streams else 0, position))
            check_count(len(streams))
            kind, is_behind_tag = frame.kind, False
        if info is not None:
            _read_info(file, info, streams[-1])
        else:
            streams[-1].n_frames += 1
            streams[-1].n_samples += frame.n_samples
            streams[-1].last_frame_samples = frame.n_samples
    if streams:
        streams[-1].end = n_bytes
    return [stream for stream in streams if stream.n_samples]


def has_frames(file: BinaryIO) -> bool:
    """Return whether a file begins with a frame, or holds one that others follow."""
    file.seek(0)
    return parse_header(file.read(4)) is not None or any(
        frame is not None for _, frame in _find_items(file)
    )


def _find_info(file: BinaryIO, position: int) -> int | None:
    """Return where the mark is in a frame that holds a header in place of audio, else None."""
    file.seek(position)
    head = file.read(max(INFO_OFFSETS) + 4)
    for offset in INFO_OFFSETS:
        if head[offset : offset + 4] in INFO_MARKS and not any(head[6:offset]):
            return position + offset
    return None


def _read_info(file: BinaryIO, info: int, stream: Stream) -> None:
    """Note what the header at `info` says of its stream."""
    file.seek(info)
    header = file.read(18)
    if header.startswith(b"VBRI"):
        stream.header_offset = info + 14
        stream.header_frames = int.from_bytes(header[14:18], "big")
    elif len(header) == 18 and header[7] & 1:
        stream.header_offset = info + 8
        stream.header_frames = int.from_bytes(header[8:12], "big")
        stream.header_bytes = int.from_bytes(header[12:16], "big") if header[7] & 2 else 0


def _find_items(file: BinaryIO) -> Iterator[tuple[int, Frame | None]]:
    """Yield the position of each frame, and of each ID3v2 tag with None; skip what is neither."""
    position, kind = 0, None  # the kind of the frame that ends here, None after anything else
    n_misses = 0
    while n_misses < MAX_MISSES:
        file.seek(position)
        head = file.read(APE_HEADER_BYTES)
        if len(head) < 4:
            return
        n_misses += 1
        frame = parse_header(head)
        if frame is not None and (frame.kind == kind or _is_followed(file, position, frame)):
            yield position, frame
            position, kind = position + frame.n_bytes, frame.kind
            n_misses -= 1
        elif head.startswith(b"ID3") and len(head) > 10:
            yield position, None
            position += id3_bytes(head)
        elif head.startswith(b"TAG"):
            position += ID3V1_BYTES
        elif head.startswith(b"APETAGEX"):
            position += int.from_bytes(head[12:16], "little") + APE_HEADER_BYTES
        else:
            kind = None
            position = _find_candidate(file, position + 1)


def _is_followed(file: BinaryIO, position: int, frame: Frame) -> bool:
    """Return whether two frames of the same kind follow, which tells a frame from chance."""
    following: Frame | None = frame
    for _ in range(2):
        if following is None or following.kind != frame.kind:
            return False
        position += following.n_bytes
        file.seek(position)
        following = parse_header(file.read(4))
    return following is not None and following.kind == frame.kind


def _find_candidate(file: BinaryIO, position: int) -> int:
    """Return where a frame or a tag may begin, from `position` on; the end if nowhere."""
    file.seek(position)
    while block := file.read(SEARCH_BYTES):
        found = [at for mark in (b"\xff", b"ID3", b"TAG") if (at := block.find(mark)) >= 0]
        if found:
            return position + min(found)
        position += len(block) - (2 if len(block) > 2 else 0)
        if len(block) <= 2:
            return position + len(block)
        file.seek(position)
    return position
