"""The file formats that this server reads: those of libsndfile, and with PyAV many more."""

from functools import cache
from importlib.util import find_spec

from denoise.dsp import formats

MEDIA_TYPES = {
    "WAV": "audio/wav",
    "WAVEX": "audio/wav",
    "RF64": "audio/wav",
    "W64": "audio/x-w64",
    "FLAC": "audio/flac",
    "OGG": "audio/ogg",
    "MP3": "audio/mpeg",
    "AIFF": "audio/aiff",
    "AU": "audio/basic",
    "CAF": "audio/x-caf",
}


@cache
def has_media() -> bool:
    """Tell whether the extra `media` is installed."""
    return find_spec("av") is not None


def list_extensions() -> list[str]:
    """Return the extensions of the files that the server reads, without dots."""
    own = [name for name, of in formats.BY_EXTENSION.items() if of in MEDIA_TYPES]
    return own + (sorted(formats.READ_ONLY) if has_media() else [])


def advise() -> str:
    """Return a sentence that names the common formats among those that the server reads."""
    if has_media():
        return "Send WAV, FLAC, OGG, MP3, AIFF, M4A, MP4 or WebM."
    return "Send WAV, FLAC, OGG, MP3 or AIFF."
