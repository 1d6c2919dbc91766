"""Audio file formats: file extensions, and the names of libsndfile.

This module imports nothing large, because the command line plans its outputs before it loads the
libraries that read audio.
"""

from contextlib import suppress
from pathlib import Path, PurePath

from denoise.errors import DenoiseError

# libsndfile's name of the format for each file extension
BY_EXTENSION = {
    "wav": "WAV",
    "wave": "WAV",
    "bwf": "WAV",
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
    "sph": "NIST",
    "nist": "NIST",
    "nis": "NIST",
    "voc": "VOC",
}
# extensions of what is read but not written: a result is WAV, unless another format is asked for
READ_ONLY = frozenset(
    {"m4a", "m4b", "m4r", "mp4", "m4v", "mov", "qt", "3ga", "3gp", "3gpp", "3g2", "aac", "adts"}
    | {"mkv", "mk3d", "mka", "webm", "weba", "ogv", "spx", "wma", "wmv", "asf", "avi", "flv"}
    | {"f4a", "f4v", "mts", "m2ts", "m2t", "ts", "mpg", "mpeg", "vob", "amr", "awb", "ac3"}
    | {"eac3", "ec3", "ape", "wv", "tta", "mp1", "mp2", "mpga"}
    | {"qta", "lrv", "lrf", "insv"}  # of iPhones, and of GoPro, DJI and Insta360: as MOV and MP4
)
# FFmpeg's name of the container for each extension of a video that can be written
VIDEOS = {
    "mp4": "mp4",
    "m4v": "mp4",
    "mov": "mov",
    "qt": "mov",
    "3gp": "3gp",
    "3g2": "3g2",
    "mkv": "matroska",
    "webm": "webm",
    "wmv": "asf",
    "asf": "asf",
    "flv": "flv",
}
TS_PACKET = 188  # bytes, of which the first is TS_SYNC
TS_SYNC = 0x47
MOV_FAMILY = {"mp4", "mov", "3gp", "3g2"}  # containers that are written alike
CHOICES = ("wav", "flac", "ogg", "mp3", "aiff")
FAMILIES = {"WAV": {"WAV", "WAVEX", "RF64"}}  # formats that count as the same
RESULT_SUFFIXES = {False: "-denoised", True: "-residual"}  # file names of results, by `residual`
SUBTYPES = {"opus": "OPUS"}  # libsndfile's subtype, where an extension implies one


def extension(path: PurePath) -> str:
    """Return a file's extension in lower case, without the dot."""
    return path.suffix[1:].lower()


def is_audio(path: PurePath) -> bool:
    """Return whether a file's extension is that of an audio format that can be written."""
    return extension(path) in BY_EXTENSION


def is_recording(path: Path) -> bool:
    """Return whether a file's extension is that of audio, or of a video, which has a sound.

    `.ts` is also the extension of TypeScript: such a file must begin with two packets of MPEG.
    """
    if extension(path) == "ts" and path.is_file():
        with suppress(OSError), path.open("rb") as file:
            return is_transport_stream(file.read(TS_PACKET + 1))
    return is_audio(path) or extension(path) in READ_ONLY


def is_transport_stream(head: bytes) -> bool:
    """Return whether a file that begins with `head`, TS_PACKET + 1 bytes, may be one of MPEG."""
    return len(head) > TS_PACKET and head[0] == head[TS_PACKET] == TS_SYNC


def result_name(path: PurePath) -> str:
    """Return a file's name with the extension of the format in which its result is written."""
    return path.with_suffix(".wav").name if extension(path) in READ_ONLY else path.name


def video_name(path: PurePath) -> str:
    """Return a video's name with the extension of the container in which its result is written."""
    return path.name if extension(path) in VIDEOS else path.with_suffix(".mkv").name


def choose_video(source: PurePath, target: PurePath) -> str:
    """Return FFmpeg's name of the container to write a video in, by the target's extension.

    A target without an extension gets the source's container. Raises DenoiseError if the extension
    is not that of a video.
    """
    named = target if extension(target) else PurePath(video_name(source))
    if extension(named) not in VIDEOS:
        raise DenoiseError(
            f"{target} is not the name of a video: use .{', .'.join(VIDEOS)}, or omit --remux."
        )
    return VIDEOS[extension(named)]


def rename(path: PurePath, choice: str) -> str:
    """Return a file's name with the extension of the format `choice`, one of CHOICES.

    An extension that already stands for that format is kept, such as `.aif`.
    """
    if BY_EXTENSION.get(extension(path)) == BY_EXTENSION[choice]:
        return path.name
    return path.with_suffix(f".{choice}").name


def choose(source: PurePath, target: PurePath, choice: str | None) -> str | None:
    """Return libsndfile's name of the format to write, or None for the format of the source.

    `choice`, one of CHOICES in any case, precedes the target's extension. Raises DenoiseError for
    another choice, and if there is none and the target's extension is unknown, or that of files
    that are only read.
    """
    if choice is not None:
        if (name := str(choice).lower()) not in CHOICES:
            raise DenoiseError(f"{choice!r} is not a format: choose {', '.join(CHOICES)}.")
        return BY_EXTENSION[name]
    if extension(target) in READ_ONLY:
        raise DenoiseError(
            f"{target} cannot be written, because .{extension(target)} files are only read: "
            f"use .{', .'.join(CHOICES[:-1])} or .{CHOICES[-1]}, or set --format."
        )
    if extension(target) in ("", extension(source)):
        return None
    if not is_audio(target):
        raise DenoiseError(
            f"The extension of {target} is not that of a known format: "
            f"use .{', .'.join(CHOICES[:-1])} or .{CHOICES[-1]}, or set --format."
        )
    return BY_EXTENSION[extension(target)]


def is_same(name: str, other: str) -> bool:
    """Return whether libsndfile's format `other` is `name` or belongs to its family."""
    return other in FAMILIES.get(name, {name})
