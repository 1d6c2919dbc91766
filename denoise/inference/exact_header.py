"""Correct the headers that libsndfile writes: lengths, and the speakers of WAV.

libsndfile rounds some lengths up to whole blocks or bytes. The other formats that it writes have
the exact length, or no field for it. The speakers it guesses from the number of channels.
"""

import io

from denoise.inference.channel_order import MASK_OFFSET

AIFF_BYTE_SUBTYPES = {"PCM_S8", "PCM_U8", "ULAW", "ALAW"}
WAV_BLOCK_SUBTYPES = {"IMA_ADPCM", "MS_ADPCM"}
MAX_HEADER_BYTES = 1 << 20


def correct(
    file: io.FileIO, format: str, subtype: str, n_samples: int, channels: int, speakers: int
) -> None:
    """Correct the header of a complete file with `n_samples` samples of each channel.

    `speakers` are those of WAVEX, 0 for what libsndfile wrote.
    """
    if format == "WAVEX" and speakers:
        _replace(file, b"fmt ", MASK_OFFSET, speakers.to_bytes(4, "little"))
    if format == "WAV" and subtype in WAV_BLOCK_SUBTYPES:
        _replace(file, b"fact", 8, n_samples.to_bytes(4, "little"))
    if format == "AIFF" and subtype in AIFF_BYTE_SUBTYPES and n_samples * channels % 2:
        _replace(file, b"COMM", 10, n_samples.to_bytes(4, "big"))
        _replace(file, b"SSND", 4, (n_samples * channels + 8).to_bytes(4, "big"))


def _replace(file: io.FileIO, chunk: bytes, offset: int, new: bytes) -> None:
    """Replace bytes at an offset from the name of a chunk, which is in the header."""
    file.seek(0)
    position = file.read(MAX_HEADER_BYTES).find(chunk)
    if position >= 0:
        file.seek(position + offset)
        file.write(new)
