"""What answers each route of the table."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask import Response, request

from denoise.dsp import formats
from denoise.inference.file_denoiser import Options, Report
from denoise.server import openapi, page, request_parsing
from denoise.server.context import ServerContext
from denoise.server.limits import Deadline
from denoise.server.problems import ProblemError
from denoise.server.prometheus import MEDIA_TYPE as METERS_TYPE
from denoise.server.routes import JSON
from denoise.server.worker import MEDIA_TYPES, Worker

CHUNK_BYTES = 2**16
EXTENSIONS = {name: extension for extension, name in reversed(formats.BY_EXTENSION.items())}
Views = dict[str, Callable[..., Any]]


class Sent:
    """A file's bytes, piece by piece; the folder that holds it goes when all is sent."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        """Take a file, and what is to be closed in the end."""
        self.n_bytes = path.stat().st_size
        self._file = stack.enter_context(path.open("rb"))
        self._stack = stack

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes."""
        while piece := self._file.read(CHUNK_BYTES):
            yield piece

    def close(self) -> None:
        """Let go of the folder."""
        self._stack.close()


def make_views(service: ServerContext) -> Views:
    """Return a function for each of the table's views."""
    return {**_light(service), **_working(service)}


def _light(service: ServerContext) -> Views:
    def ready() -> dict[str, str]:
        if service.is_stopping.is_set():
            raise ProblemError("stopping", "The server is stopping: it takes no new work.")
        return {"status": "ready"}

    def metrics() -> Response:
        text = service.meters.to_text(service.slots.n_taken)
        return Response(text, content_type=METERS_TYPE)

    parts = page.load_parts()

    def part(name: str) -> Response:
        if name not in parts:
            raise ProblemError("not-found", "The page has no such part.")
        return parts[name].answer(request)

    return {
        "page": lambda: part(page.INDEX),
        "part": part,
        "model": service.describe_network,
        "limits": service.limits.to_json,
        "livez": lambda: {"status": "alive"},
        "readyz": ready,
        "metrics": metrics,
        "openapi": lambda: openapi.describe(service.token is not None),
    }


def _working(service: ServerContext) -> Views:
    def denoise() -> Response:
        options = request_parsing.read_options(request)
        with _working_on(service) as (worker, source, name, stack):
            report = worker.denoise(source, source.with_name("out"), options)
            service.meters.add("audio_seconds_total", report.duration_seconds)
        return _audio(report, name, options, stack)

    def samples() -> Response:
        with _working_on(service, takes_raw=False) as (worker, source, _, stack):
            target = source.with_name("out")
            service.meters.add("audio_seconds_total", worker.write_samples(source, target))
        return _file(target, stack, JSON)

    def spectrogram() -> dict[str, Any]:
        with _working_on(service) as (worker, source, _, stack):
            overview = worker.overview(source)
        stack.close()
        service.meters.add("audio_seconds_total", overview["duration_seconds"])
        return overview

    return {"denoise": denoise, "samples": samples, "spectrogram": spectrogram}


Working = tuple[Worker, Path, str, ExitStack]


@contextmanager
def _working_on(service: ServerContext, takes_raw: bool = True) -> Iterator[Working]:
    """Take a slot and the recording that was sent, in a folder that the stack holds."""
    deadline = Deadline(service.limits.deadline_seconds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="denoise-")))
        with service.slots.taken(deadline):
            name = request_parsing.receive(request, folder / "in", takes_raw)
            kept = ExitStack()
            worker = Worker(service.network, service.limits, deadline)
            yield worker, folder / "in", name, kept
        kept.push(stack.pop_all())


def _audio(report: Report, name: str, options: Options, stack: ExitStack) -> Response:
    """Return the recording that was made."""
    form, encoding = report.audio_format, report.encoding
    extension = EXTENSIONS.get(encoding.format, "wav")
    file_name = request_parsing.safe_name(
        name, formats.RESULT_SUFFIXES[options.residual], extension
    )
    response = _file(report.target, stack, MEDIA_TYPES[encoding.format])
    response.headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    response.headers["Audio-Sample-Rate"] = str(form.sample_rate)
    response.headers["Audio-Channels"] = str(form.channels)
    response.headers["Audio-Seconds"] = f"{report.duration_seconds:.6f}"
    response.headers["Audio-Clipped-Samples"] = str(report.clipped_samples)
    return response


def _file(path: Path, stack: ExitStack, media_type: str) -> Response:
    sent = Sent(path, stack)
    response = Response(sent, content_type=media_type)
    response.content_length = sent.n_bytes
    return response
