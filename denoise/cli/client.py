"""Run `denoise client`: send a recording to `denoise serve` and write the denoised one.

It imports the standard library only: no model, no numpy.
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

from denoise.cli.io_plan import PIPE, Task, check_replaceable
from denoise.cli.parser import strength
from denoise.cli.recordings import check_name
from denoise.cli.stdio import check_terminals, open_files, user_names_in_errors
from denoise.dsp import formats
from denoise.errors import DenoiseError, UsageError
from denoise.server.protocol import TOKEN_VARIABLE
from denoise.util.paths import FILE, is_same_file, kind_of, replacing_output

MAX_WAIT_SECONDS = 60.0
MAX_TIMEOUT_SECONDS = 1e6  # systems have limits of their own
MAX_PROBLEM_BYTES = 65_536


class ServerError(DenoiseError):
    """The server refused the request, or did not answer."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuse redirects, so that the recording and the token reach no other server."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follow no redirect."""


def retries(text: str) -> int:
    """Parse a number of retries, 0 or more. argparse shows this function's name in its errors."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return number


def timeout(text: str) -> float:
    """Parse a number of seconds. argparse shows this function's name in its errors."""
    seconds = float(text)
    if not 0 < seconds <= MAX_TIMEOUT_SECONDS:  # false for NaN, too
        raise argparse.ArgumentTypeError(f"{text} is not in the range 0 to {MAX_TIMEOUT_SECONDS:g}")
    return seconds


def make_parser(file_completion: Mapping[str, str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of `denoise client`; for a completion script, pass shtab.FILE."""
    parser = argparse.ArgumentParser(
        prog="denoise client", description="Denoise a recording on a server (denoise serve)."
    )
    parser.add_argument("url", metavar="URL", help="the address that denoise serve prints")
    source = parser.add_argument("input", metavar="IN", help="a file, or - (standard input)")
    target = parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="a file, or - (standard output, WAV unless --format is given)",
    )
    source.complete = target.complete = file_completion  # type: ignore[attr-defined]  # for shtab
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--strength",
        type=strength,
        metavar="0..1",
        help="the share of the denoised signal in the output (default: 1)",
    )
    parser.add_argument("--residual", action="store_true", help="get what is removed instead")
    parser.add_argument(
        "--format",
        choices=formats.CHOICES,
        help="default: the format of the output's extension, else that of the input",
    )
    parser.add_argument("--token", help=f"the server's token (default: ${TOKEN_VARIABLE})")
    parser.add_argument(
        "--retries",
        type=retries,
        default=5,
        metavar="N",
        help="attempts after the first while the server is busy (default: 5)",
    )
    parser.add_argument(
        "--timeout",
        type=timeout,
        default=120.0,
        metavar="S",
        help="seconds to wait while nothing arrives (default: 120)",
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run `denoise client` and return 0.

    Raises UsageError before anything is sent, and DenoiseError for what fails afterwards.
    """
    options = make_parser().parse_args(arguments)
    task = _make_task(options)
    url = _build_url(options, task)
    _token(options)
    check_terminals([task])
    with open_files([task]) as files:
        source, target = files[task]
        with user_names_in_errors(task, source, target):
            _send_with_retries(url, source, target, options)
    return 0


def _make_task(options: argparse.Namespace) -> Task:
    """Return what is read and written; raises UsageError if that is not possible."""
    check_name(options.input, "The input")
    check_name(options.output, "The output")
    source = None if options.input == PIPE else Path(options.input)
    target = None if options.output == PIPE else Path(options.output)
    if source is not None and kind_of(source) != FILE:
        raise UsageError(f"No file at {source}.")
    if target is not None:
        check_replaceable(target, options.overwrite)
    if source is not None and target is not None and is_same_file(source, target):
        raise UsageError(f"{target} is the input itself. Write to another file.")
    return Task(source, target)


def _send_with_retries(url: str, source: Path, target: Path, options: argparse.Namespace) -> None:
    """Send the recording, again while the server is busy and attempts are left."""
    for tries_left in range(options.retries, -1, -1):
        try:
            return _send(url, source, target, options)
        except urllib.error.HTTPError as error:
            with error:
                _wait_or_raise(error, tries_left)
    raise AssertionError("the last attempt returns or raises")


def _build_url(options: argparse.Namespace, task: Task) -> str:
    """Return the address of the request, with the options as its query."""
    parts = _split_url(options.url)
    query: dict[str, str] = {}
    if options.strength is not None:
        query["strength"] = f"{options.strength:g}"
    if options.residual:
        query["residual"] = "true"
    if (choice := _choose_format(options, task)) is not None:
        query["format"] = choice
    path = urllib.parse.quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
    base = f"{parts.scheme}://{parts.netloc}{path}"
    return f"{base}/v1/denoise?{urllib.parse.urlencode(query)}"


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
        raise UsageError(f"{url}: pass options in place of what follows ? or # in the address.")
    return parts


def _choose_format(options: argparse.Namespace, task: Task) -> str | None:
    """Return the server's name of the output format; None keeps that of the recording."""
    if options.format is not None or task.target is None:
        return options.format or "wav"
    name = formats.choose(task.source or Path(PIPE), task.target, None)
    for choice in formats.CHOICES:
        if name == formats.BY_EXTENSION[choice]:
            return choice
    if name is not None:
        raise UsageError(
            f"The server does not write {task.target.suffix} files. Pass --format wav."
        )
    return None


def _make_headers(options: argparse.Namespace, source: Path) -> dict[str, str]:
    size = str(source.stat().st_size)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": size}
    token = _token(options)
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


def _token(options: argparse.Namespace) -> str | None:
    """Return the server's token; raises UsageError if no header can hold it."""
    token: str | None = options.token or os.environ.get(TOKEN_VARIABLE) or None
    if token is not None and not (token.isascii() and token.isprintable()):
        raise UsageError("A token consists of printable ASCII characters; this one does not.")
    return token


def _send(url: str, source: Path, target: Path, options: argparse.Namespace) -> None:
    """Send the recording once and write the response.

    Raises HTTPError if the server refuses the request, ServerError if the connection fails, and
    DenoiseError if a file cannot be read or written.
    """
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))  # no proxy
    host = urllib.parse.urlsplit(url).netloc
    try:
        with source.open("rb") as file:
            headers = _make_headers(options, source)
            request = urllib.request.Request(url, file, headers, method="POST")
            with opener.open(request, timeout=options.timeout) as response:
                _write_response(response, target)
    except urllib.error.HTTPError:
        raise
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise ServerError(
            f"{host} does not answer: {reason}. Is denoise serve running there?"
        ) from error
    except TimeoutError as error:
        raise ServerError(
            f"{host} sent nothing for {options.timeout:g} s. Pass a longer --timeout."
        ) from error
    except OSError as error:
        raise DenoiseError(f"{error.filename or target}: {error.strerror or error}.") from error


def _write_response(response: http.client.HTTPResponse, target: Path) -> None:
    """Write the response's body to `target`; raises ServerError if it is incomplete."""
    n_announced = response.headers.get("Content-Length")
    with replacing_output(target) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(response, file)
        if n_announced is not None and file.tell() != int(n_announced):
            raise ServerError(
                f"The response ended after {file.tell()} of {n_announced} bytes. Try again."
            )


def _wait_or_raise(error: urllib.error.HTTPError, tries_left: int) -> None:
    """Wait as long as a busy server says; raises ServerError if another attempt is of no use."""
    if error.code != 503 or tries_left == 0:
        raise ServerError(_describe_problem(error)) from error
    seconds = _parse_retry_after(error.headers.get("Retry-After"))
    seconds = min(MAX_WAIT_SECONDS, max(0.0, seconds))
    print(f"denoise: the server is busy, trying again in {seconds:g} s", file=sys.stderr)
    time.sleep(seconds)


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


def _describe_problem(error: urllib.error.HTTPError) -> str:
    """Return the text of a problem document, or the status if the response is not one."""
    try:
        problem = json.loads(error.read(MAX_PROBLEM_BYTES))
        text = f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        return f"The server answered {error.code} {error.reason}."
    numbers = [
        f"{key} {problem[key]:g}"
        for key in ("limit", "actual")
        if isinstance(problem.get(key), int | float)
    ]
    return text + (f" ({', '.join(numbers)})" if numbers else "")
