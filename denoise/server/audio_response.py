"""Responses with a recording: a file that waitress sends from the disk, and headers about it."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from flask import Response, request
from werkzeug.wsgi import wrap_file

from denoise.dsp import formats
from denoise.inference.file_denoiser import Options, Report
from denoise.server.accepted_formats import MEDIA_TYPES
from denoise.server.file_names import make_disposition

CHUNK_BYTES = 2**16
EXTENSIONS = {name: extension for extension, name in reversed(formats.BY_EXTENSION.items())}


@dataclass(frozen=True)
class Description:
    """What the headers of a response say about a recording; `seconds` is its duration."""

    media_type: str
    disposition: str
    sample_rate: int
    channels: int
    seconds: float
    clipped_samples: int


class ResultFile:
    """A file that is sent as a response's body; closing it runs `cleanup`.

    It is given to `wsgi.file_wrapper`, so that waitress sends it from the disk. If a response
    yielded chunks instead, waitress would keep in memory all that it has sent to a fast client.
    """

    def __init__(self, path: Path, cleanup: ExitStack) -> None:
        """Open the file; `cleanup` closes it first, and then what it already contains."""
        self.n_bytes = path.stat().st_size
        file = cleanup.enter_context(path.open("rb"))
        self.read, self.seek, self.tell = file.read, file.seek, file.tell
        self._cleanup = cleanup

    def seekable(self) -> bool:
        """Return True; waitress asks."""
        return True

    def close(self) -> None:
        """Close the file and run the rest of `cleanup`."""
        self._cleanup.close()


def describe_result(report: Report, name: str, options: Options) -> Description:
    """Describe the result of `denoise_file` for a recording to which the client gave a name."""
    audio_format, encoding = report.audio_format, report.encoding
    suffix = formats.RESULT_SUFFIXES[options.residual]
    return Description(
        media_type=MEDIA_TYPES[encoding.format],
        disposition=make_disposition(name, suffix, EXTENSIONS.get(encoding.format, "wav")),
        sample_rate=audio_format.sample_rate,
        channels=audio_format.channels,
        seconds=report.duration_seconds,
        clipped_samples=report.clipped_samples,
    )


def make_audio_response(path: Path, described: Description, cleanup: ExitStack) -> Response:
    """Return the recording at `path`; `cleanup` is run once it is sent.

    Raises OSError where the file cannot be opened.
    """
    response = make_file_response(path, cleanup, described.media_type)
    response.headers["Content-Disposition"] = described.disposition
    response.headers["Audio-Sample-Rate"] = str(described.sample_rate)
    response.headers["Audio-Channels"] = str(described.channels)
    response.headers["Audio-Seconds"] = f"{described.seconds:.6f}"
    response.headers["Audio-Clipped-Samples"] = str(described.clipped_samples)
    return response


def make_file_response(path: Path, cleanup: ExitStack, media_type: str) -> Response:
    """Return a file of this media type; `cleanup` is run once it is sent."""
    file = ResultFile(path, cleanup)
    body = wrap_file(request.environ, file, CHUNK_BYTES)  # type: ignore[arg-type]
    response = Response(body, content_type=media_type, direct_passthrough=True)
    response.content_length = file.n_bytes
    return response
