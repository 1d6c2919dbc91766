"""How long a track of an open container is by its header, and whether all of it was decoded."""

import re
from typing import Any

MIN_SHARE = 0.98  # of the duration in the container's index
SLACK_SECONDS = 0.5
MIN_PAUSE_SECONDS = 0.005  # less is the rounding of time stamps
DURATION = re.compile(r"\d+:\d\d:\d\d(\.\d+)?")
MICROSECONDS = 1_000_000  # FFmpeg's unit for the duration of a container
MATROSKA = "matroska"
TIMED = {"mov", MATROSKA}  # containers that say how long a track is, and never too long
MAX_HEADER_BYTES = 1024  # between two packets
# what is recorded while it is received has no length, and may end within a frame
LIVE = {"aac", "amr", "flv", "mpeg", "mpegts"}
MAX_FRAME_BYTES = 8191  # of AAC


def track_seconds(opened: Any, stream: Any) -> float:
    """Return how long a track is by the header, from its first sample on; 0 if it is not told."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    text = stream.metadata.get("DURATION", "")  # of Matroska
    if DURATION.fullmatch(text):
        hours, minutes, seconds = text.split(":")
        end = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    else:
        end = (opened.duration or 0) / MICROSECONDS if len(opened.streams) == 1 else 0.0
    # FFmpeg writes the time of the end to Matroska, others a duration, which is the least then
    is_end = opened.format.name.startswith(MATROSKA)
    return max(0.0, end - start_seconds(stream)) if is_end else end


def start_seconds(stream: Any) -> float:
    """Return the time stamp at which a track begins by the header, or 0."""
    is_told = stream.start_time is not None and stream.time_base
    return float(stream.start_time * stream.time_base) if is_told else 0.0


class LengthCheck:
    """Adds up what was decoded of a track, and the pauses between the time stamps of its packets.

    A header counts pauses as sound. In Matroska, a damaged part of a file looks like a pause, but
    the bytes there belong to no packet.
    """

    def __init__(self, container: str, track: Any, seconds: float) -> None:
        """Check `track`, of `seconds` by the header, in a container of FFmpeg's name."""
        self.least_seconds = seconds if container in TIMED else 0.0
        self.needs_all_streams = container == MATROSKA and self.least_seconds > 0
        self._is_live = container in LIVE
        self.seconds = 0.0
        self._index = track.index
        self._longest = 0.0  # seconds that were decoded from one packet
        self._time: float | None = None
        self._end = 0  # of the last packet, in bytes
        self._has_hole = False  # since the last packet of the track

    @property
    def is_incomplete(self) -> bool:
        """Tell whether less was decoded than the header tells."""
        return self.seconds < MIN_SHARE * self.least_seconds - SLACK_SECONDS

    def may_be_cut(self, packet: Any) -> bool:
        """Tell whether a packet that cannot be decoded may be the incomplete end of a recording."""
        return self._is_live and 0 < packet.size <= MAX_FRAME_BYTES

    def add_packet(self, packet: Any) -> None:
        """Count a packet before it is decoded: of the track or, where all are needed, of others."""
        if not packet.size:
            return
        if self.needs_all_streams:
            self._follow_bytes(packet)
        if packet.stream_index != self._index or packet.pts is None:
            return
        time = float(packet.pts * packet.time_base)
        if self._time is not None and self._longest:
            pause = time - self._time - self._longest
            if pause > MIN_PAUSE_SECONDS and not self._has_hole:
                self.seconds += pause
        self._time, self._has_hole = time, False

    def add_decoded(self, seconds: float) -> None:
        """Count what was decoded from the last packet."""
        self._longest = max(self._longest, seconds)
        self.seconds += seconds

    def _follow_bytes(self, packet: Any) -> None:
        position = self._end if packet.pos is None else max(packet.pos, self._end)  # or one block
        self._has_hole |= 0 < self._end < position - MAX_HEADER_BYTES
        self._end = position + packet.size
