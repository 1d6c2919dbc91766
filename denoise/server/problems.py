"""Errors of the HTTP API in the format of RFC 9457: application/problem+json."""

import json
from collections.abc import Mapping
from typing import Any

from denoise.errors import DenoiseError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2  # Retry-After while no run times are known
KINDS = {
    "bad-request": (400, "The request is not valid"),
    "unauthorized": (401, "A valid token is required"),
    "cross-site": (403, "Requests from other sites are refused"),
    "unknown-host": (403, "The Host header does not name this server"),
    "not-found": (404, "This address does not exist"),
    "wrong-method": (405, "This route does not support this method"),
    "not-done": (409, "The job has no result"),
    "too-large": (413, "The body is too large"),
    "too-long": (413, "The audio is too long"),
    "no-audio": (415, "This is not a supported audio format"),
    "bad-audio": (422, "This audio cannot be processed"),
    "headers-too-large": (431, "The headers are too large"),
    "client-gone": (499, "The client has closed the connection"),
    "failed": (500, "Something went wrong in the server"),
    "busy": (503, "All workers are busy and the queue is full"),
    "stopping": (503, "The server is stopping"),
    "jobs-full": (503, "The server keeps too many jobs"),
    "streams-full": (503, "Too many event streams are open"),
    "too-slow": (504, "The request took too long"),
}
BY_STATUS = {status: kind for kind, (status, _) in reversed(KINDS.items())}


class ProblemError(DenoiseError):
    """The reason why a request fails; `limit` and `actual` are given where it exceeds a limit."""

    def __init__(
        self,
        kind: str,
        detail: str,
        limit: float | None = None,
        actual: float | None = None,
        headers: Mapping[str, str] | None = None,
        further: Mapping[str, float] | None = None,
    ) -> None:
        """Create the error of a kind in KINDS, with a detail for the client.

        `further` has numbers that the problem document holds under names of their own.
        """
        super().__init__(detail)
        self.kind = kind
        self.status, self.title = KINDS[kind]
        self.headers = dict(headers or {})
        if self.status == 503:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))
        if kind == "unauthorized":
            self.headers["WWW-Authenticate"] = 'Bearer realm="denoise"'
        self._numbers = {"limit": limit, "actual": actual, **(further or {})}

    def to_json(self, request_id: str) -> bytes:
        """Return the body of the response; the log has the same id."""
        problem: dict[str, Any] = {
            "type": f"urn:denoise:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": str(self),
            "request_id": request_id,
        }
        problem |= {key: value for key, value in self._numbers.items() if value is not None}
        return json.dumps(problem).encode() + b"\n"
