"""The order of channels, and the speakers that they are for.

The order is that of WAV everywhere, except in libsndfile's Vorbis and Opus: it passes on the order
of these codecs, in which the second channel is the centre.
"""

from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from denoise.dsp.audio import Waveform

REORDERED_SUBTYPES = {"VORBIS", "OPUS"}
# The place in WAV of each channel of Vorbis, by the number of channels; others have equal orders.
# They are left, centre and right, then the sides or the back, and at last the low frequencies.
PLACES = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 4, 5, 3),
    7: (0, 2, 1, 5, 6, 4, 3),
    8: (0, 2, 1, 6, 7, 4, 5, 3),
}
HEAD_BYTES = 1 << 16
OPUS_HEAD = b"OpusHead"
FAMILY_OFFSET = 18  # of the byte that tells what the channels are
SPEAKERS = b"\x01"
MASK_OFFSET = 28  # of the speakers in a WAVEX header, from the name of its chunk
# FFmpeg's names of speakers, in the order of the bits that stand for them in WAVEX
NAMES = ("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR")
# The speakers of FLAC, Vorbis and Opus by the number of channels: 3.0, quad, 5.0, 5.1, 6.1 and 7.1
MASKS = {3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}


def from_vorbis(samples: Waveform) -> Waveform:
    """Return [n_samples, n_channels] in the order of WAV, given those of a Vorbis or Opus file."""
    places = PLACES.get(samples.shape[1])
    return samples if places is None else np.ascontiguousarray(samples[:, np.argsort(places)])


def to_vorbis(samples: Waveform) -> Waveform:
    """Return [n_samples, n_channels] as libsndfile's encoders of Vorbis and Opus take them."""
    places = PLACES.get(samples.shape[1])
    return samples if places is None else np.ascontiguousarray(samples[:, places])


def needs_reordering(subtype: str, file: BinaryIO) -> bool:
    """Tell whether `from_vorbis` applies to what libsndfile reads from a file.

    It does not to Opus whose channels are only numbered, as those of a multitrack recording.
    """
    if subtype != "OPUS":
        return subtype in REORDERED_SUBTYPES
    file.seek(0)
    head = file.read(HEAD_BYTES)
    at = head.find(OPUS_HEAD)
    return at >= 0 and head[at + FAMILY_OFFSET : at + FAMILY_OFFSET + 1] == SPEAKERS


def find_speakers(file: BinaryIO, format: str, is_reordered: bool, channels: int) -> int:
    """Return the speakers of a file's channels as WAVEX states them, 0 if they are unknown.

    `is_reordered` is what `needs_reordering` returns. One or two channels need no speakers.
    """
    if channels in MASKS and format == "WAVEX":
        file.seek(0)
        head = file.read(HEAD_BYTES)
        at = head.find(b"fmt ") + MASK_OFFSET
        return int.from_bytes(head[at : at + 4], "little") if head.startswith(b"RIFF") else 0
    return MASKS.get(channels, 0) if format == "FLAC" or is_reordered else 0


def name_speakers(names: Iterable[str]) -> int:
    """Return the speakers of FFmpeg's `names` as `find_speakers` does, 0 for others."""
    bits = [NAMES.index(name) if name in NAMES else -1 for name in names]
    is_wav = len(bits) > 2 and min(bits) >= 0 and bits == sorted(set(bits))
    return sum(1 << bit for bit in bits) if is_wav else 0
