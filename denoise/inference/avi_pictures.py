"""Compute the display times of MPEG-4 pictures (Xvid, DivX) from AVI.

AVI stores only decoding times. A picture precedes the B-pictures that are made from it and
shown before it. From the times of decoding, FFmpeg derives times that are one frame late.
"""

import re
from collections.abc import Iterator
from typing import Any

PICTURE_START = b"\0\0\1\xb6"
B_PICTURE = 2  # in the two bits behind the mark
PACKED = re.compile(rb"(DivX\d+(?:b|Build)\d+)p")  # what encoders write who pack B-pictures


def has_wrong_times(stream: Any, source: Any) -> bool:
    """Tell whether the packets of a stream of the open video `source` need a `PictureTimes`."""
    if source.format.name != "avi" or stream.type != "video" or stream.codec_context is None:
        return False
    return stream.codec_context.name == "mpeg4" and bool(stream.codec_context.has_b_frames)


def without_packing(header: bytes) -> bytes:
    """Return the header of a stream that `PictureTimes` has unpacked, given its former one."""
    return PACKED.sub(rb"\1\0", header)


class PictureTimes:
    """Gives the packets of one stream the times of their pictures.

    The n-th picture that is shown gets the time that the file has for the n-th one. Some encoders
    pack a B-picture into the packet before it, and put an empty picture in its place: these are
    unpacked.
    """

    def __init__(self, av: Any, stream: Any) -> None:
        """Begin with no packet of `stream`."""
        self._unpacking = av.BitStreamFilterContext("mpeg4_unpack_bframes", stream)
        self._held: list[Any] = []  # a picture, and the B-pictures that are shown before it
        self._last: int | None = None  # time in the file of the packet before

    def add(self, packet: Any | None) -> Iterator[Any]:
        """Add a packet, or None at the end; yield those whose times are known."""
        for unpacked in self._unpacking.filter(packet):
            if not _is_b_picture(bytes(unpacked)):
                yield from self._release()
            self._held.append(unpacked)
        if packet is None:
            yield from self._release()

    def _release(self) -> Iterator[Any]:
        times = [packet.dts for packet in self._held]
        for packet, time, shown in zip(self._held, times, times[-1:] + times[:-1], strict=True):
            packet.pts = shown
            packet.dts = time - 1 if self._last is None else self._last
            self._last = time
            yield packet
        self._held = []


def _is_b_picture(content: bytes) -> bool:
    kind = content.find(PICTURE_START) + len(PICTURE_START)
    return len(PICTURE_START) <= kind < len(content) and content[kind] >> 6 == B_PICTURE
