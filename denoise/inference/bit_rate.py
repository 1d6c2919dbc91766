"""Keep the bit rate of MP3, Vorbis and Opus files, which libsndfile can neither report nor set.

libsndfile has one setting for all encoders, a compression level from 0 to 1, whose meaning differs
between them.
"""

import functools
import io
import os
import struct
from pathlib import Path
from typing import Any

import soundfile

from denoise.containers.detection import ID3_HEADER_BYTES, id3_bytes
from denoise.containers.recording_parts import ogg_pages

MAX_LEVEL = 0.99  # libsndfile refuses 1 for MP3
VORBIS_LEVELS = [step / 20 for step in range(21)]  # quality 10 to 0, in halves
VORBIS_HEADER = struct.Struct("<7sIBIiii")  # its last numbers: highest, nominal, lowest bit rate
HEAD_BYTES = 4096
MP3_PADDING_SAMPLES = 3 * 1152  # frames that encoders add: a header, and silence at both ends
OGG_NO_AUDIO = (0, 2**64 - 1)  # granule positions of pages at the start that hold no audio


def bit_rate_of(
    path: str | os.PathLike[str], subtype: str, sample_rate: int, n_samples: int | None
) -> float | None:
    """Return the bit rate of a recording in bits per second, or None if it has none or none known.

    For Vorbis it is the nominal one: the encoder's setting, from which the true one may differ.
    """
    if subtype not in ("MPEG_LAYER_III", "OPUS", "VORBIS"):
        return None
    with Path(path).open("rb") as file:
        head = file.read(HEAD_BYTES)
    if subtype == "VORBIS":
        return _nominal_bit_rate(head)
    if not n_samples:
        return None
    # Tags before the audio may hold a picture that is larger than the audio.
    if subtype == "OPUS":
        n_padding, n_tag_bytes = 0, _count_ogg_header_bytes(path)
    else:
        n_padding = MP3_PADDING_SAMPLES
        has_id3 = head.startswith(b"ID3") and len(head) >= ID3_HEADER_BYTES
        n_tag_bytes = id3_bytes(head) if has_id3 else 0
    n_bytes = Path(path).stat().st_size - n_tag_bytes
    return 8 * n_bytes * sample_rate / (n_samples + n_padding)


def _count_ogg_header_bytes(path: str | os.PathLike[str]) -> int:
    """Return the size of the pages before the audio of an OGG file, 0 if none has audio."""
    with Path(path).open("rb") as file:
        for position, page in ogg_pages(file):
            if page.granule_position not in OGG_NO_AUDIO:
                return position
    return 0


def encoder_settings(
    subtype: str, bit_rate: float | None, sample_rate: int, channels: int
) -> dict[str, Any]:
    """Return the options of soundfile.SoundFile that give about this bit rate; empty for None."""
    if bit_rate is None:
        return {}
    kbps = bit_rate / 1000
    if subtype == "MPEG_LAYER_III":
        limits = ((32_000, 320, 32), (16_000, 160, 8), (0, 64, 8))  # of each version of MPEG
        high, low = next(each[1:] for each in limits if sample_rate >= each[0])
        level = (high - kbps) / (high - low)
        return {"bitrate_mode": "AVERAGE", "compression_level": _limited(level)}
    if subtype == "OPUS":
        return {"compression_level": _limited(1 - (kbps / channels - 6) / 250)}
    if subtype == "VORBIS":
        return {"compression_level": _vorbis_level(bit_rate, sample_rate, channels)}
    return {}


def _limited(level: float) -> float:
    return min(MAX_LEVEL, max(0.0, level))


def _nominal_bit_rate(head: bytes) -> float | None:
    """Return what the header of a Vorbis stream says, or None if it says nothing."""
    start = head.find(b"\x01vorbis")
    if start < 0 or len(head) < start + VORBIS_HEADER.size:
        return None
    nominal = VORBIS_HEADER.unpack_from(head, start)[5]
    return float(nominal) if nominal > 0 else None


def _vorbis_level(bit_rate: float, sample_rate: int, channels: int) -> float:
    """Return the level whose nominal bit rate is the nearest.

    The bit rate falls as the level rises, so bisection finds it with few encoders.
    """
    low, high = 0, len(VORBIS_LEVELS) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if _vorbis_bit_rate(VORBIS_LEVELS[middle], sample_rate, channels) >= bit_rate:
            low = middle
        else:
            high = middle
    nearest = min(
        (low, high),
        key=lambda k: abs(_vorbis_bit_rate(VORBIS_LEVELS[k], sample_rate, channels) - bit_rate),
    )
    return VORBIS_LEVELS[nearest]


@functools.lru_cache(maxsize=256)
def _vorbis_bit_rate(level: float, sample_rate: int, channels: int) -> float:
    """Return the nominal bit rate that an encoder writes into its header."""
    file = io.BytesIO()
    options = {"format": "OGG", "subtype": "VORBIS", "compression_level": level}
    with soundfile.SoundFile(file, "w", sample_rate, channels, **options) as sound:
        sound.write([[0.0] * channels])
    return _nominal_bit_rate(file.getvalue()) or 0.0
