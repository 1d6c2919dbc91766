"""The table of routes: what Flask serves and the OpenAPI document describes."""

import re
from dataclasses import dataclass, field
from typing import Any

from denoise.dsp import formats
from denoise.server.host_check import ANY_HOST

JSON = "application/json"
HTML = "text/html"
AUDIO = ("audio/wav", "audio/flac", "audio/ogg", "audio/mpeg", "audio/aiff")


@dataclass(frozen=True)
class Route:
    """A path and a method; `view` is the name of what answers, `answer` its media types.

    An open route needs no token. One that works takes a recording, and a slot.
    """

    path: str
    method: str
    view: str
    summary: str
    answer: tuple[str, ...] = (JSON,)
    is_open: bool = False
    works: bool = False
    takes_raw: bool = True
    query: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[int, ...]:
        """Return the statuses that this route may refuse with."""
        if self.works:
            return (400, 401, 403, 413, 415, 422, 500, 503, 504)
        if self.view in ANY_HOST:
            return (400, 500)
        named = (404,) if self.names else ()
        return (400, 403, *named, 500) if self.is_open else (400, 401, 403, *named, 500)

    @property
    def template(self) -> str:
        """Return its path as OpenAPI has it."""
        return self.path.replace("<", "{").replace(">", "}")

    @property
    def names(self) -> list[str]:
        """Return the names of what its path leaves open."""
        return re.findall(r"<(\w+)>", self.path)


HOW: dict[str, dict[str, Any]] = {
    "strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 1},
    "residual": {"type": "boolean", "default": False},
    "format": {"type": "string", "enum": list(formats.CHOICES)},
}
ROUTES = (
    Route("/", "GET", "page", "The page, for people", (HTML,), is_open=True),
    Route("/page/<name>", "GET", "part", "What the page is made of", ("*/*",), is_open=True),
    Route(
        "/",
        "POST",
        "samples",
        "The denoised samples as numbers, channels averaged",
        works=True,
        takes_raw=False,
    ),
    Route("/v1/denoise", "POST", "denoise", "The denoised recording", AUDIO, works=True, query=HOW),
    Route("/v1/spectrogram", "POST", "spectrogram", "What was sent, in dB", works=True),
    Route("/v1/model", "GET", "model", "The network and its form"),
    Route("/v1/limits", "GET", "limits", "What one request may ask for"),
    Route("/livez", "GET", "livez", "Whether the process answers", is_open=True),
    Route("/readyz", "GET", "readyz", "Whether new work is taken: 503 if not", is_open=True),
    Route("/metrics", "GET", "metrics", "Counters for Prometheus", ("text/plain",)),
    Route("/openapi.json", "GET", "openapi", "This description", is_open=True),
)
