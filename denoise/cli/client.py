"""The command line: denoise client, which has a recording cleaned by denoise serve.

Nothing but the standard library is imported: no model, no numpy.
"""

import argparse
import http.client
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from denoise.cli.io_plan import PIPE, Task
from denoise.cli.parser import strength
from denoise.cli.stdio import check_terminals, connected, naming
from denoise.dsp import formats
from denoise.errors import DenoiseError, UsageError
from denoise.server.protocol import TOKEN_VARIABLE
from denoise.util.atomic import replacing

MAX_WAIT_SECONDS = 60.0
MAX_PROBLEM_BYTES = 65_536


class ServerError(DenoiseError):
    """What a server refused, or that none answered."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A recording and a token go where they were sent, nowhere else."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follow none."""


def make_parser(file_completion: Mapping[str, str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of denoise client."""
    parser = argparse.ArgumentParser(
        prog="denoise client", description="Have a recording cleaned by denoise serve."
    )
    parser.add_argument("url", metavar="URL", help="as denoise serve prints it")
    source = parser.add_argument("input", metavar="IN", help="a file, or - (standard input)")
    target = parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="a file, or - (standard output, WAV unless --format says otherwise)",
    )
    source.complete = target.complete = file_completion  # type: ignore[attr-defined]
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    parser.add_argument("--strength", type=strength, metavar="0..1", help="default: 1")
    parser.add_argument("--residual", action="store_true", help="get what is removed instead")
    parser.add_argument("--format", choices=formats.CHOICES, help="default: by the output's name")
    parser.add_argument("--token", help=f"default: ${TOKEN_VARIABLE}")
    parser.add_argument("--retries", type=int, default=5, metavar="N", help="while it is busy")
    parser.add_argument(
        "--timeout", type=float, default=120.0, metavar="S", help="seconds without a byte"
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Send, receive, write; return 0. Raises DenoiseError, or UsageError before anything."""
    options = make_parser().parse_args(arguments)
    task = _task(options)
    url = _address(options, task)
    check_terminals([task])
    with connected([task]) as files:
        source, target = files[task]
        with naming(task, source, target):
            _clean_in_the_end(url, source, target, options)
    return 0


def _task(options: argparse.Namespace) -> Task:
    """Return what is read and written; raises UsageError where that cannot be."""
    source = None if options.input == PIPE else Path(options.input)
    target = None if options.output == PIPE else Path(options.output)
    if target is not None and target.exists() and not options.overwrite:
        raise UsageError(f"{target} would be replaced: say --overwrite, or name another with -o.")
    if source is not None and not source.is_file():
        raise UsageError(f"No file at {source}.")
    return Task(source, target)


def _clean_in_the_end(url: str, source: Path, target: Path, options: argparse.Namespace) -> None:
    """Send the recording until the server has a place for it, or there are no more tries."""
    for tries_left in range(max(0, options.retries), -1, -1):
        try:
            return _clean(url, source, target, options)
        except urllib.error.HTTPError as error:
            with error:
                _wait_or_raise(error, tries_left)
    raise AssertionError("the last try returns or raises")


def _address(options: argparse.Namespace, task: Task) -> str:
    """Return the route's address, with the query that the options ask for."""
    parts = _parts(options.url)
    query: dict[str, str] = {}
    if options.strength is not None:
        query["strength"] = f"{options.strength:g}"
    if options.residual:
        query["residual"] = "true"
    if (choice := _format(options, task)) is not None:
        query["format"] = choice
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return f"{base}/v1/denoise?{urllib.parse.urlencode(query)}"


def _parts(url: str) -> urllib.parse.SplitResult:
    """Split a server's address; raises UsageError for what is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of the port, or a bracket
        is_address = None
    if not is_address:
        raise UsageError(f"{url} is no address like http://127.0.0.1:8765.")
    return parts


def _format(options: argparse.Namespace, task: Task) -> str | None:
    """Return what the server calls the format that is asked for; None is the recording's own."""
    if options.format is not None or task.target is None:
        return options.format or "wav"
    name = formats.wanted(task.source or Path(PIPE), task.target, None)
    for choice in formats.CHOICES:
        if name == formats.BY_EXTENSION[choice]:
            return choice
    if name is not None:
        raise UsageError(f"A server does not write {task.target.suffix}: say --format wav.")
    return None


def _headers(options: argparse.Namespace, source: Path) -> dict[str, str]:
    size = str(source.stat().st_size)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": size}
    token = options.token or os.environ.get(TOKEN_VARIABLE)
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


def _clean(url: str, source: Path, target: Path, options: argparse.Namespace) -> None:
    """Send the recording; write the answer, which appears whole or not at all."""
    opener = urllib.request.build_opener(NoRedirect)
    host = urllib.parse.urlsplit(url).netloc
    try:
        with source.open("rb") as file:
            headers = _headers(options, source)
            request = urllib.request.Request(url, file, headers, method="POST")
            with opener.open(request, timeout=options.timeout) as answer:
                _keep(answer, target)
    except urllib.error.HTTPError:
        raise
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise ServerError(
            f"{host} does not answer: {reason}. Is denoise serve running there?"
        ) from error
    except TimeoutError as error:
        raise ServerError(
            f"{host} was silent for {options.timeout:g} s: raise --timeout."
        ) from error
    except OSError as error:
        raise DenoiseError(f"{error.filename or target}: {error.strerror or error}.") from error


def _keep(answer: http.client.HTTPResponse, target: Path) -> None:
    """Write what is answered; raises ServerError where it breaks off."""
    announced = answer.headers.get("Content-Length")
    with replacing(target) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(answer, file)
        if announced is not None and file.tell() != int(announced):
            told = f"The answer broke off after {file.tell()} of {announced} bytes: try again."
            raise ServerError(told)


def _wait_or_raise(error: urllib.error.HTTPError, tries_left: int) -> None:
    """Wait as long as a busy server asks; raises ServerError where waiting does not help."""
    if error.code != 503 or tries_left == 0:
        raise ServerError(_told(error)) from error
    seconds = min(MAX_WAIT_SECONDS, max(0.0, _seconds(error.headers.get("Retry-After"))))
    print(f"denoise: the server is busy, again in {seconds:g} s", file=sys.stderr)
    time.sleep(seconds)


def _seconds(retry_after: str | None) -> float:
    """Read Retry-After: seconds, or a date; 1 where it says nothing."""
    try:
        return float(retry_after or 1)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(str(retry_after)).timestamp() - time.time()
    except ValueError:
        return 1.0


def _told(error: urllib.error.HTTPError) -> str:
    """Return what a server says is wrong, or its status where it says nothing."""
    try:
        problem = json.loads(error.read(MAX_PROBLEM_BYTES))
        told = f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        return f"The server answered {error.code} {error.reason}."
    numbers = [f"{key} {problem[key]:g}" for key in ("limit", "actual") if key in problem]
    return told + (f" ({', '.join(numbers)})" if numbers else "")
