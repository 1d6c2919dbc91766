"""The files of the web page at /, and the responses that serve them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePath

from flask import Request, Response

INDEX = "index.html"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".flac": "audio/flac",
}
HEADERS = {
    # The page loads nothing from other hosts, and no other site may embed it.
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; media-src 'self' blob:",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Part:
    """A file of the page."""

    content: bytes
    media_type: str

    def to_response(self, request: Request) -> Response:
        """Return the file, or 304 where the browser's copy is still valid."""
        response = Response(self.content, content_type=self.media_type, headers=HEADERS)
        response.add_etag()
        response.make_conditional(request)
        return response


@cache
def load_parts() -> Mapping[str, Part]:
    """Read the page's files once, and return them by file name."""
    parts = {}
    for file in files("denoise.server").joinpath("web").iterdir():
        media_type = MEDIA_TYPES.get(PurePath(file.name).suffix)
        if media_type is not None:
            parts[file.name] = Part(file.read_bytes(), media_type)
    return parts
