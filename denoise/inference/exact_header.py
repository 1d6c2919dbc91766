"""Write the exact length into headers in which libsndfile rounds it up to whole blocks or bytes.

The other formats that libsndfile writes have the exact length, or no field for it.
"""

import io

AIFF_BYTE_SUBTYPES = {"PCM_S8", "PCM_U8", "ULAW", "ALAW"}
WAV_BLOCK_SUBTYPES = {"IMA_ADPCM", "MS_ADPCM"}
MAX_HEADER_BYTES = 1 << 20


def correct(file: io.FileIO, format: str, subtype: str, n_samples: int, channels: int) -> None:
    """Correct the header of a complete file with `n_samples` samples of each channel."""
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
