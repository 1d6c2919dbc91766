"""What went wrong with a request, as RFC 9457 has it: application/problem+json."""

import json
from collections.abc import Mapping
from typing import Any

from denoise.errors import DenoiseError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2  # where nothing is known of how long it takes
KINDS = {
    "bad-request": (400, "The request cannot be understood"),
    "unauthorized": (401, "A token is needed"),
    "cross-site": (403, "Requests from other sites are refused"),
    "unknown-host": (403, "This server goes by another name"),
    "not-found": (404, "There is nothing here"),
    "wrong-method": (405, "This route does not take this method"),
    "too-large": (413, "The body is too large"),
    "too-long": (413, "The audio is too long"),
    "no-audio": (415, "This is no audio that can be read"),
    "bad-audio": (422, "This audio cannot be worked on"),
    "headers-too-large": (431, "The headers are too large"),
    "failed": (500, "Something went wrong in the server"),
    "busy": (503, "All places are taken"),
    "stopping": (503, "The server is stopping"),
    "too-slow": (504, "The work took too long"),
}
BY_STATUS = {status: kind for kind, (status, _) in reversed(KINDS.items())}


class ProblemError(DenoiseError):
    """Why a request is refused; `limit` and `actual` where one was passed."""

    def __init__(
        self,
        kind: str,
        detail: str,
        limit: float | None = None,
        actual: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Take one of KINDS and what to tell the client."""
        super().__init__(detail)
        self.kind = kind
        self.status, self.title = KINDS[kind]
        self.headers = dict(headers or {})
        if self.status == 503:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))
        if kind == "unauthorized":
            self.headers["WWW-Authenticate"] = 'Bearer realm="denoise"'
        self._numbers = {"limit": limit, "actual": actual}

    def to_json(self) -> bytes:
        """Return the body of the answer."""
        kind = {"type": f"urn:denoise:{self.kind}", "title": self.title}
        told: dict[str, Any] = {**kind, "status": self.status, "detail": str(self)}
        told |= {key: value for key, value in self._numbers.items() if value is not None}
        return json.dumps(told).encode() + b"\n"
