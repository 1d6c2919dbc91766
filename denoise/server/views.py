"""The view functions, one for each view of the route table."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask import Response, request
from werkzeug.wsgi import wrap_file

from denoise.dsp import formats
from denoise.inference.file_denoiser import Options, Report
from denoise.server import openapi, page, prometheus, request_parsing
from denoise.server.accepted_formats import MEDIA_TYPES
from denoise.server.context import ServerContext
from denoise.server.file_names import make_disposition
from denoise.server.limits import Deadline
from denoise.server.problems import ProblemError
from denoise.server.routes import JSON
from denoise.server.worker import Worker

CHUNK_BYTES = 2**16
EXTENSIONS = {name: extension for extension, name in reversed(formats.BY_EXTENSION.items())}
Views = dict[str, Callable[..., Any]]


class ResultFile:
    """A file that is sent as a response's body; closing it deletes the file's folder.

    It is given to `wsgi.file_wrapper`, so that waitress sends it from the disk. What a response
    yields in chunks stays in waitress' memory for as long as the client keeps up.
    """

    def __init__(self, path: Path, cleanup: ExitStack) -> None:
        """Open the file; `cleanup` deletes its folder when this object is closed."""
        self.n_bytes = path.stat().st_size
        file = cleanup.enter_context(path.open("rb"))
        self.read, self.seek, self.tell = file.read, file.seek, file.tell
        self._cleanup = cleanup

    def seekable(self) -> bool:
        """Return True; waitress asks."""
        return True

    def close(self) -> None:
        """Close the file and delete its folder."""
        self._cleanup.close()


def make_views(context: ServerContext) -> Views:
    """Return the view functions by name."""
    return {**_make_light_views(context), **_make_audio_views(context)}


def _make_light_views(context: ServerContext) -> Views:
    """Return the views that need no worker."""

    def ready() -> dict[str, str]:
        if context.is_stopping.is_set():
            raise ProblemError("stopping", "The server accepts no new work.")
        return {"status": "ready"}

    def metrics() -> Response:
        return Response(context.metrics.to_text(), content_type=prometheus.MEDIA_TYPE)

    parts = page.load_parts()

    def part(name: str) -> Response:
        if name not in parts:
            raise ProblemError("not-found", "The page has no file of this name.")
        return parts[name].to_response(request)

    return {
        "page": lambda: part(page.INDEX),
        "part": part,
        "model": context.describe_network,
        "limits": context.limits.to_json,
        "livez": lambda: {"status": "alive"},
        "readyz": ready,
        "metrics": metrics,
        "openapi": lambda: openapi.describe(context.token is not None, context.limits),
    }


def _make_audio_views(context: ServerContext) -> Views:
    """Return the views that process a recording with a worker."""
    audio_seconds = context.metrics.audio_seconds

    def denoise() -> Response:
        options = request_parsing.read_options(request)
        with _receive(context) as (worker, source, name, cleanup):
            report = worker.denoise(source, source.with_name("out"), options)
            audio_seconds.inc(report.duration_seconds)
        return _make_audio_response(report, name, options, cleanup)

    def samples() -> Response:
        with _receive(context, accepts_raw=False) as (worker, source, _, cleanup):
            target = source.with_name("out")
            audio_seconds.inc(worker.write_samples(source, target))
        return _make_file_response(target, cleanup, JSON)

    def spectrogram() -> dict[str, Any]:
        with _receive(context) as (worker, source, _, cleanup):
            preview = worker.preview_spectrogram(source)
        cleanup.close()
        audio_seconds.inc(preview["duration_seconds"])
        return preview

    return {"denoise": denoise, "samples": samples, "spectrogram": spectrogram}


Received = tuple[Worker, Path, str, ExitStack]


@contextmanager
def _receive(context: ServerContext, accepts_raw: bool = True) -> Iterator[Received]:
    """Wait for a worker and save the request's recording in a temporary folder.

    Yields the worker, the recording's path, the client's file name, and the stack that deletes the
    folder. The folder outlives the `with` block, unless an error ends the block.
    """
    deadline = Deadline(context.limits.deadline_seconds)
    with ExitStack() as until_error:
        folder = Path(until_error.enter_context(TemporaryDirectory(prefix="denoise-")))
        with context.work_queue.worker(deadline):
            name = request_parsing.save_recording(request, folder / "in", accepts_raw)
            cleanup = ExitStack()
            worker = Worker(context.network, context.limits, deadline)
            yield worker, folder / "in", name, cleanup
        cleanup.push(until_error.pop_all())


def _make_audio_response(
    report: Report, name: str, options: Options, cleanup: ExitStack
) -> Response:
    """Return the denoised recording, described by its headers."""
    audio_format, encoding = report.audio_format, report.encoding
    extension = EXTENSIONS.get(encoding.format, "wav")
    suffix = formats.RESULT_SUFFIXES[options.residual]
    disposition = make_disposition(name, suffix, extension)
    response = _make_file_response(report.target, cleanup, MEDIA_TYPES[encoding.format])
    response.headers["Content-Disposition"] = disposition
    response.headers["Audio-Sample-Rate"] = str(audio_format.sample_rate)
    response.headers["Audio-Channels"] = str(audio_format.channels)
    response.headers["Audio-Seconds"] = f"{report.duration_seconds:.6f}"
    response.headers["Audio-Clipped-Samples"] = str(report.clipped_samples)
    return response


def _make_file_response(path: Path, cleanup: ExitStack, media_type: str) -> Response:
    file = ResultFile(path, cleanup)
    body = wrap_file(request.environ, file, CHUNK_BYTES)  # type: ignore[arg-type]
    response = Response(body, content_type=media_type, direct_passthrough=True)
    response.content_length = file.n_bytes
    return response
