"""Formats of audio files, by the names that people give and by libsndfile's.

Nothing heavy is imported here: what is to be written is planned before any audio is read.
"""

from pathlib import PurePath

from denoise.errors import DenoiseError

BY_EXTENSION = {
    "wav": "WAV",
    "wave": "WAV",
    "flac": "FLAC",
    "ogg": "OGG",
    "oga": "OGG",
    "opus": "OGG",
    "mp3": "MP3",
    "aiff": "AIFF",
    "aif": "AIFF",
    "aifc": "AIFF",
    "au": "AU",
    "snd": "AU",
    "caf": "CAF",
    "w64": "W64",
    "rf64": "RF64",
}
CHOICES = ("wav", "flac", "ogg", "mp3", "aiff")
FAMILIES = {"WAV": {"WAV", "WAVEX", "RF64"}}  # what goes by one name
RESULT_SUFFIXES = {False: "-denoised", True: "-residual"}  # file names of results, by `residual`
SUBTYPES = {"opus": "OPUS"}  # that an extension asks for


def extension(path: PurePath) -> str:
    """Return a file's extension, in small letters, without its dot."""
    return path.suffix[1:].lower()


def is_audio(path: PurePath) -> bool:
    """Tell whether a file's name is that of audio."""
    return extension(path) in BY_EXTENSION


def renamed(path: PurePath, choice: str) -> str:
    """Return the name of a file once it is written in another format."""
    if BY_EXTENSION.get(extension(path)) == BY_EXTENSION[choice]:
        return path.name
    return path.with_suffix(f".{choice}").name


def wanted(source: PurePath, target: PurePath, choice: str | None) -> str | None:
    """Return libsndfile's name of the format that is asked for; None is the source's own.

    Raises DenoiseError where the target's extension says nothing.
    """
    if choice is not None:
        return BY_EXTENSION[choice]
    if extension(target) in ("", extension(source)):
        return None
    if not is_audio(target):
        raise DenoiseError(
            f"No format is known by the extension of {target}: "
            f"end it in .{', .'.join(CHOICES[:-1])} or .{CHOICES[-1]}, or say --format."
        )
    return BY_EXTENSION[extension(target)]


def same(name: str, other: str) -> bool:
    """Tell whether two of libsndfile's formats go by one name."""
    return other in FAMILIES.get(name, {name})
