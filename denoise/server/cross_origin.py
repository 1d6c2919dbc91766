"""Which web pages may use the server: its own, and those of allowed origins (CORS)."""

from dataclasses import dataclass

from flask import Request, Response

from denoise.server.origin import Origin, is_own
from denoise.server.problems import ProblemError

EXPOSED = (
    "Audio-Channels, Audio-Clipped-Samples, Audio-Sample-Rate, Audio-Seconds, "
    "Content-Disposition, Location, Request-Id, Retry-After"
)
ALLOWED_HEADERS = "Authorization, Content-Type, Last-Event-ID"
PREFLIGHT_SECONDS = 600


@dataclass(frozen=True)
class Origins:
    """The origins, beside the server's own, whose pages may use it."""

    allowed: frozenset[Origin] = frozenset()

    def check(self, request: Request) -> None:
        """Raise ProblemError where a browser sends the request for a page of another site."""
        if self._is_allowed(request):
            return
        header = request.headers.get("Origin")
        is_foreign = header is not None and not is_own(header, request.headers.get("Host", ""))
        if is_foreign or request.headers.get("Sec-Fetch-Site") == "cross-site":
            detail = "A browser sent this request for a page of another site. "
            detail += "The server's option --allow-origin lets that site use it."
            raise ProblemError("cross-site", detail)

    def is_preflight(self, request: Request) -> bool:
        """Tell whether a browser asks if a page of an allowed origin may send a request."""
        asks = "Access-Control-Request-Method" in request.headers
        return request.method == "OPTIONS" and asks and self._is_allowed(request)

    def make_preflight(self, request: Request, methods: list[str]) -> Response:
        """Return the answer to `is_preflight` for a path with these methods."""
        response = Response(status=204)
        del response.headers["Content-Type"]  # there is no content
        response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
        response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        if "Access-Control-Request-Private-Network" in request.headers:
            response.headers["Access-Control-Allow-Private-Network"] = "true"
        return response

    def mark(self, request: Request, response: Response) -> None:
        """Let the page of an allowed origin read a response."""
        if self.allowed:
            response.vary.add("Origin")
        if self._is_allowed(request):
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = EXPOSED

    def _is_allowed(self, request: Request) -> bool:
        try:
            return Origin.parse(request.headers.get("Origin", "")) in self.allowed
        except ValueError:
            return False
