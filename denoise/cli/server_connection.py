"""Send recordings to `denoise serve` and write its responses, with the standard library only."""

import http.client
import json
import shutil
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from denoise.errors import DenoiseError, UsageError
from denoise.util.paths import replacing_output

MAX_WAIT_SECONDS = 60.0
MAX_DOCUMENT_BYTES = 65_536
MIB = 2**20
ASK_ABOVE_BYTES = 16 * MIB  # the size from which the limits are asked for before the upload
ASK_SECONDS = 10.0
UNAUTHORIZED, UNAVAILABLE = 401, 503
KIND_PREFIX = "urn:denoise:"
Consumer = Callable[[http.client.HTTPResponse], Any]
"""What reads a response, and returns what is needed of it."""


class ServerError(DenoiseError):
    """The server refused the request, or did not answer."""


class ServerUnusableError(ServerError):
    """No request to this server can succeed: nothing listens there, or it refuses the token."""


class RefusedError(ServerError):
    """The server, or a proxy before it, answered with an error.

    `kind` is that of the problem, or None if the answer is not from denoise serve.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        kind: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        """Keep the status, the kind of the problem, and the header Retry-After."""
        super().__init__(message)
        self.status, self.kind, self.retry_after = status, kind, retry_after


class RefusedTokenError(RefusedError, ServerUnusableError):
    """The server refuses the token."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuse redirects, so that the recording and the token reach no other server."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follow no redirect."""


@dataclass
class Connection:
    """A server's address, its token, the number of retries and the timeout in seconds.

    `has_answered` tells whether the server was ever there.
    """

    address: str
    token: str | None
    retries: int
    timeout: float
    has_answered: bool = field(default=False, init=False)

    def denoise(self, query: dict[str, str], source: Path, target: Path) -> None:
        """Send a recording and write the response, with further tries while the server is busy.

        Raises ServerError if the server refuses it or the connection fails, and DenoiseError if a
        file cannot be read or written.
        """
        self.upload("/v1/denoise", query, source, lambda each: write_response(each, target))

    def upload(self, path: str, query: dict[str, str], source: Path, consume: Consumer) -> Any:
        """Send a recording and return what `consume` makes of the response; raises as `denoise`."""
        url = f"{make_base(self.address)}{path}?{urllib.parse.urlencode(query)}"
        self._check_size(source)
        for tries_left in range(self.retries, -1, -1):
            try:
                return self._send(url, source, consume)
            except RefusedError as error:
                if error.status != UNAVAILABLE or tries_left == 0:
                    raise
                _wait(error)
        raise AssertionError("the last attempt returns or raises")

    def request(
        self, method: str, path: str, consume: Consumer, timeout: float | None = None
    ) -> Any:
        """Send a request without a body, and return what `consume` makes of the response.

        `timeout` is in seconds; None stands for the connection's. Raises RefusedError for an answer
        that is an error, and otherwise as `denoise`.
        """
        url = f"{make_base(self.address)}{path}"
        request = urllib.request.Request(url, headers=self._headers(), method=method)
        with self._connection_errors(url):
            return self._open(request, timeout or self.timeout, consume)

    def _check_size(self, source: Path) -> None:
        """Raise ServerError for a recording that is larger than the server accepts.

        The server is asked for its limit only if the recording is large. If it does not answer,
        the recording is sent, and the server accepts or refuses it.
        """
        try:
            size = source.stat().st_size
            if size <= ASK_ABOVE_BYTES:
                return
            url = f"{make_base(self.address)}/v1/limits"
            request = urllib.request.Request(url, headers=self._headers())
            answer = self._open(request, min(ASK_SECONDS, self.timeout), read_document)
            limit = json.loads(answer)["body_bytes"]
        except (DenoiseError, OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
            return
        if isinstance(limit, int) and size > limit:
            raise ServerError(
                f"The recording has {size / MIB:.1f} MiB, and the server accepts at most "
                f"{limit / MIB:g} MiB. Send shorter pieces, or another format."
            )

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def _send(self, url: str, source: Path, consume: Consumer) -> Any:
        """Send the recording once."""
        with self._connection_errors(url), source.open("rb") as file:
            size = str(source.stat().st_size)
            headers = {"Content-Type": "application/octet-stream", "Content-Length": size}
            headers |= self._headers()
            request = urllib.request.Request(url, file, headers, method="POST")
            return self._open(request, self.timeout, consume)

    def _open(self, request: urllib.request.Request, timeout: float, consume: Consumer) -> Any:
        """Send a request, and return what `consume` makes of the response.

        Raises RefusedError for an answer that is an error, and the library's errors for none.
        """
        try:
            with _make_opener().open(request, timeout=timeout) as response:
                self.has_answered = True
                return consume(response)
        except urllib.error.HTTPError as error:
            with error:
                refusal = _to_refusal(error)
            self.has_answered |= refusal.kind is not None
            raise refusal from error

    @contextmanager
    def _connection_errors(self, url: str) -> Iterator[None]:
        """Turn errors of the connection into ServerErrors, those of files into DenoiseErrors."""
        host = urllib.parse.urlsplit(url).netloc
        try:
            yield
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error
            is_absent = isinstance(reason, ConnectionRefusedError | socket.gaierror)
            kind = ServerUnusableError if is_absent else ServerError
            raise kind(
                f"{host} does not answer: {reason}. Is denoise serve running there?"
            ) from error
        except TimeoutError as error:
            raise ServerError(
                f"{host} sent nothing for {self.timeout:g} s. Pass a longer --timeout."
            ) from error
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise DenoiseError(f"{place}{error.strerror or error}.") from error


def make_base(address: str) -> str:
    """Return a server's address as ASCII text; raises UsageError if it is invalid.

    Its path is percent-encoded, its host encoded by IDNA.
    """
    parts = _split_url(address)
    path = urllib.parse.quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
    place = parts.netloc
    if not place.isascii():
        place = (parts.hostname or "").encode("idna").decode()
        place += f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{place}{path}"


def _make_opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))  # no proxy


def _split_url(url: str) -> urllib.parse.SplitResult:
    """Split a server's address; raises UsageError if it is invalid."""
    try:
        parts = urllib.parse.urlsplit(url)
        is_valid = url.isprintable() and " " not in url and parts.scheme in ("http", "https")
        is_valid = is_valid and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")  # as the look-up will do
    except ValueError:  # an invalid port, an unmatched bracket, or a name that no host can have
        is_valid = False
    if not is_valid:
        raise UsageError(f"{url} is not an address like http://127.0.0.1:8765.")
    if "@" in parts.netloc:
        raise UsageError("Pass the token with --token, not a user and a password in the address.")
    if parts.query or parts.fragment:
        raise UsageError(f"{url}: remove what follows ? or # in the address, and pass options.")
    return parts


def write_response(response: http.client.HTTPResponse, target: Path) -> None:
    """Write the response's body to `target`.

    Raises ServerError if it is incomplete, and DenoiseError if it cannot be written.
    """
    n_announced = response.headers.get("Content-Length")
    try:
        with replacing_output(target) as temporary, temporary.open("wb") as file:
            shutil.copyfileobj(response, file)
            if n_announced is not None and file.tell() != int(n_announced):
                raise ServerError(
                    f"The response ended after {file.tell()} of {n_announced} bytes. Try again."
                )
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        raise DenoiseError(f"{error.filename or target}: {error.strerror or error}.") from error


def read_document(response: http.client.HTTPResponse) -> bytes:
    """Return the body of a response, which is a short document."""
    return response.read(MAX_DOCUMENT_BYTES)


def _wait(error: RefusedError) -> None:
    """Wait as long as a busy server asks for, but at most MAX_WAIT_SECONDS."""
    seconds = min(MAX_WAIT_SECONDS, max(0.0, _parse_retry_after(error.retry_after)))
    print(f"denoise: the server is busy, trying again in {seconds:g} s", file=sys.stderr)
    time.sleep(seconds)


def _to_refusal(error: urllib.error.HTTPError) -> RefusedError:
    """Return the reason that a server gives for an error: a problem document, or the status."""
    kind, text = None, f"The server answered {error.code} {error.reason}."
    try:
        problem = json.loads(error.read(MAX_DOCUMENT_BYTES))
        text = describe_problem(problem, error.code)
        if str(problem["type"]).startswith(KIND_PREFIX):
            kind = problem["type"].removeprefix(KIND_PREFIX)
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        pass
    refused = RefusedTokenError if error.code == UNAUTHORIZED else RefusedError
    return refused(text, error.code, kind, error.headers.get("Retry-After"))


def _parse_retry_after(retry_after: str | None) -> float:
    """Return the seconds that Retry-After gives, as a number or a date; 1 if it is invalid."""
    try:
        return float(retry_after or 1)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(str(retry_after)).timestamp() - time.time()
    except ValueError:
        return 1.0


def describe_problem(problem: Any, status: int) -> str:
    """Return the text of a problem; raises KeyError or TypeError for what is not one."""
    text = f"{problem['title']}: {problem['detail']}"
    has_words = "limit_minutes" in problem  # then the detail gives the limit in minutes
    numbers = [
        f"{key} {problem[key]:g}"
        for key in ("limit", "actual")
        if isinstance(problem.get(key), int | float) and not has_words
    ]
    if status >= 500 and isinstance(problem.get("request_id"), str):
        numbers.append(f"request {problem['request_id']}")  # the server's log has it, too
    return text + (f" ({', '.join(numbers)})" if numbers else "")
