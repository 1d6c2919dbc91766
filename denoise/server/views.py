"""The view functions, one for each view of the route table."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from flask import Response, request

from denoise.server import openapi, page, prometheus, request_parsing
from denoise.server.audio_response import (
    describe_result,
    make_audio_response,
    make_file_response,
)
from denoise.server.context import ServerContext
from denoise.server.jobs.views import make_job_views
from denoise.server.limits import Deadline
from denoise.server.problems import ProblemError
from denoise.server.routes import JSON
from denoise.server.worker import Worker

Views = dict[str, Callable[..., Any]]


def make_views(context: ServerContext) -> Views:
    """Return the view functions by name."""
    return {
        **_make_light_views(context),
        **_make_audio_views(context),
        **make_job_views(context),
    }


def _make_light_views(context: ServerContext) -> Views:
    """Return the views that need no worker."""

    def ready() -> dict[str, str]:
        context.refuse_if_stopping()
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
        described = describe_result(report, name, options)
        return make_audio_response(report.target, described, cleanup)

    def samples() -> Response:
        with _receive(context, accepts_raw=False) as (worker, source, _, cleanup):
            target = source.with_name("out")
            audio_seconds.inc(worker.write_samples(source, target))
        return make_file_response(target, cleanup, JSON)

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
    folder. The folder outlives the `with` block, unless an error ends the block. If the client
    closes the connection, an error ends the wait, or the worker's next check of the deadline.
    """
    is_gone = request.environ.get("waitress.client_disconnected", lambda: False)
    deadline = Deadline(context.limits.deadline_seconds, is_gone)
    with ExitStack() as until_error:
        folder = Path(until_error.enter_context(context.request_files.new()))
        with context.work_queue.worker(deadline):
            name = request_parsing.save_recording(request, folder / "in", accepts_raw)
            cleanup = ExitStack()
            worker = Worker(context.network, context.limits, deadline)
            yield worker, folder / "in", name, cleanup
        cleanup.push(until_error.pop_all())
