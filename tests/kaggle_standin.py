"""A stand-in for Kaggle's servers that works with the unmodified client and fails as a test sets.

It is an HTTP proxy on a free local port. With the variables of `environment()` the client sends all
requests to it, for the API and for the storage that the API redirects to.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

API = "/api/v1/"
DOWNLOAD = "datasets.DatasetApiService/DownloadDataset"
INTROSPECT = "security.OAuthService/IntrospectToken"
STORAGE = "http://storage.test/archive.zip"
BLOCK_BYTES = 16_384


@dataclass(frozen=True)
class Fault:
    """What is wrong with one response: another status or body, or an early end."""

    status: int = 200
    body: bytes | None = None  # sent instead of the right one
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # bytes of the body after which the connection breaks
    stall_after: int | None = None  # bytes of the body after which nothing more is sent
    pause_seconds: float = 0.0  # after each block of the body


@dataclass
class Standin:
    """The content that is served, the faults of the next responses, and the requests received."""

    body: bytes
    port: int = 0
    etag: str | None = '"one"'
    tokens: frozenset[str] = frozenset()  # the valid tokens; others are refused
    api_faults: list[Fault] = field(default_factory=list)
    storage_faults: list[Fault] = field(default_factory=list)
    range_faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables that make the client connect here, without any credentials."""
        proxy = f"http://127.0.0.1:{self.port}"
        return {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "HTTP_PROXY": proxy,
            "http_proxy": proxy,
            "HOME": str(home),
            "USERPROFILE": str(home),
            "KAGGLE_CONFIG_DIR": str(home / ".kaggle"),
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    standin: Standin

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        method = self.path.partition(API)[2]
        self.standin.requests.append((method, body))
        if method == INTROSPECT:
            active = body.get("token") in self.standin.tokens
            self._answer(Fault(), json.dumps({"active": active, "username": "u"}).encode(), "json")
        elif method == DOWNLOAD:
            self._answer_download()
        else:
            self._answer(Fault(404), b"", "json")

    def _answer_download(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.standin.tokens:
            self._answer(Fault(401), b"{}", "json")
        elif self.standin.api_faults:
            self._answer(self.standin.api_faults.pop(0), b"{}", "json")
        else:
            self._answer(Fault(302, headers={"Location": STORAGE}), b"", "octet-stream")

    def do_GET(self) -> None:
        byte_range = self.headers.get("Range")
        self.standin.ranges.append(byte_range)
        faults = self.standin.range_faults if byte_range else self.standin.storage_faults
        fault = faults.pop(0) if faults else Fault()
        start = int(byte_range.removeprefix("bytes=").rstrip("-")) if byte_range else 0
        if start and fault.status == 200 and fault.body is None:
            headers = {"Content-Range": f"bytes {start}-{len(self.standin.body) - 1}/*"}
            fault = Fault(206, None, headers, fault.cut_after, fault.stall_after)
        self._answer(fault, self.standin.body[start:], "octet-stream")

    def _answer(self, fault: Fault, body: bytes, subtype: str) -> None:
        body = body if fault.body is None else fault.body
        self.send_response(fault.status)
        self.send_header("Content-Type", f"application/{subtype}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT")
        if self.standin.etag:
            self.send_header("ETag", self.standin.etag)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self._send(fault, body)

    def _send(self, fault: Fault, body: bytes) -> None:
        ends = [end for end in (fault.cut_after, fault.stall_after) if end is not None]
        body = body[: min(ends, default=len(body))]
        try:
            for start in range(0, len(body), BLOCK_BYTES):
                self.wfile.write(body[start : start + BLOCK_BYTES])
                time.sleep(fault.pause_seconds)
            if fault.stall_after is not None:
                self.wfile.flush()
                self.standin.released.wait(30)
        except OSError:
            pass  # the client has closed the connection, as some tests intend

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def kaggle_standin(body: bytes) -> Iterator[Standin]:
    """Serve `body` as the data set's zip until the block ends."""
    standin = Standin(body)
    handler = type("Handler", (_Handler,), {"standin": standin})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        standin.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield standin
        finally:
            standin.released.set()
            server.shutdown()
            thread.join()
