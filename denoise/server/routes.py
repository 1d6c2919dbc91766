"""The table of routes, from which the Flask application and the OpenAPI document are made."""

import re
from dataclasses import dataclass, field
from typing import Any

from denoise.dsp import formats
from denoise.server.host_check import ANY_HOST

JSON = "application/json"
HTML = "text/html"
EVENTS = "text/event-stream"
AUDIO = ("audio/wav", "audio/flac", "audio/ogg", "audio/mpeg", "audio/aiff")


@dataclass(frozen=True)
class Route:
    """A path and a method, the view that answers them, and the media types of the answer.

    An open route needs no token. A route that uses a worker or makes a job receives a recording: as
    a form, and where `accepts_raw` is set also as the body itself. `status` is that of a success.
    """

    path: str
    method: str
    view: str
    summary: str
    media_types: tuple[str, ...] = (JSON,)
    is_open: bool = False
    uses_worker: bool = False
    makes_job: bool = False
    accepts_raw: bool = True
    status: int = 200
    further_problems: tuple[int, ...] = ()
    query: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[int, ...]:
        """Return the error statuses of this route."""
        if self.uses_worker:
            return (400, 401, 403, 413, 415, 422, 500, 503, 504)
        if self.makes_job:
            return (400, 401, 403, 413, 415, 500, 503)
        if self.view in ANY_HOST:
            return (400, 500)
        not_found = (404,) if self.parameters else ()
        further = (*not_found, *self.further_problems, 500)
        return (400, 403, *further) if self.is_open else (400, 401, 403, *further)

    @property
    def receives_recording(self) -> bool:
        """Tell whether a request has a recording as its body."""
        return self.uses_worker or self.makes_job

    @property
    def template(self) -> str:
        """Return the path in OpenAPI's syntax."""
        return self.path.replace("<", "{").replace(">", "}")

    @property
    def parameters(self) -> list[str]:
        """Return the names of the path's parameters."""
        return re.findall(r"<(\w+)>", self.path)


DENOISE_QUERY: dict[str, dict[str, Any]] = {
    "strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 1},
    "residual": {"type": "boolean", "default": False},
    "format": {"type": "string", "enum": list(formats.CHOICES)},
}
ROUTES = (
    Route("/", "GET", "page", "The web page", (HTML,), is_open=True),
    Route("/page/<name>", "GET", "part", "A file of the web page", ("*/*",), is_open=True),
    Route(
        "/",
        "POST",
        "samples",
        "The denoised samples as numbers, averaged over channels",
        uses_worker=True,
        accepts_raw=False,
    ),
    Route(
        "/v1/denoise",
        "POST",
        "denoise",
        "The denoised recording",
        AUDIO,
        uses_worker=True,
        query=DENOISE_QUERY,
    ),
    Route(
        "/v1/spectrogram",
        "POST",
        "spectrogram",
        "The spectrogram of the recording in dB, averaged over channels",
        uses_worker=True,
    ),
    Route(
        "/v1/jobs",
        "POST",
        "create_job",
        "A new job, which denoises the recording in the background",
        makes_job=True,
        status=202,
        query=DENOISE_QUERY,
    ),
    Route("/v1/jobs/<job_id>", "GET", "job", "The state of a job"),
    Route(
        "/v1/jobs/<job_id>/result",
        "GET",
        "job_result",
        "The denoised recording of a job that is done",
        AUDIO,
        further_problems=(409,),
    ),
    Route(
        "/v1/jobs/<job_id>/events",
        "GET",
        "job_events",
        "The state of a job now and after each change, as server-sent events",
        (EVENTS,),
        further_problems=(503,),
    ),
    Route("/v1/jobs/<job_id>", "DELETE", "delete_job", "The job is deleted", (), status=204),
    Route("/v1/model", "GET", "model", "The network's sample rate, STFT and receptive field"),
    Route("/v1/limits", "GET", "limits", "The limits of each request"),
    Route("/livez", "GET", "livez", "Whether the process answers", is_open=True),
    Route("/readyz", "GET", "readyz", "Whether new work is accepted: 503 if not", is_open=True),
    Route("/metrics", "GET", "metrics", "Metrics for Prometheus", ("text/plain",)),
    Route("/openapi.json", "GET", "openapi", "This document", is_open=True),
)
