"""Let `denoise serve` denoise a recording as a job, and fetch the result once it is done."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from denoise.cli.console import print_line
from denoise.cli.server_connection import (
    ASK_SECONDS,
    UNAVAILABLE,
    Connection,
    Consumer,
    RefusedError,
    ServerError,
    describe_problem,
    read_document,
    write_response,
)
from denoise.errors import DenoiseError

PATH = "/v1/jobs"
ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.5, 5.0
PASSING = (429, 502, 503, 504)  # what a proxy answers while the server starts again
STOPPING = "stopping"


class JobConnection(Connection):
    """A connection that uses jobs, so it may be interrupted: the server works in the background.

    `timeout` also limits how long the client keeps asking a server that does not answer any more.
    One that has never answered is given up at once.
    """

    def denoise(self, query: dict[str, str], source: Path, target: Path) -> None:
        """Make a job, wait for its end, write its result, and delete it.

        Raises ServerError if the job fails or the server is lost, and DenoiseError if a file cannot
        be read or written.
        """
        job_id = _parse_id(self.upload(PATH, query, source, read_document))
        with self._deleting(job_id):
            self._wait(job_id)
            self._ask(f"{PATH}/{job_id}/result", lambda each: write_response(each, target))

    @contextmanager
    def _deleting(self, job_id: str) -> Iterator[None]:
        """Delete a job in the end, also after an error or Ctrl-C, unless the server is lost."""
        try:
            yield
        finally:
            with suppress(DenoiseError):
                seconds = min(ASK_SECONDS, self.timeout)  # nobody needs the answer
                self.request("DELETE", f"{PATH}/{job_id}", lambda _: None, seconds)

    def _wait(self, job_id: str) -> None:
        """Return once a job is done; raises ServerError if it fails."""
        pause = FIRST_POLL_SECONDS
        while True:
            job = _parse(self._ask(f"{PATH}/{job_id}", read_document))
            if job.get("state") == "done":
                return
            if job.get("state") == "failed":
                raise ServerError(_describe_failure(job.get("problem")))
            time.sleep(pause)
            pause = min(MAX_POLL_SECONDS, 1.5 * pause)

    def _send(self, url: str, source: Path, consume: Consumer) -> Any:
        """Send the recording; try again while a server that has answered before does not answer.

        If the server answers that it is busy, the error goes to `upload`, which counts the tries.
        """

        def send() -> Any:
            return super(JobConnection, self)._send(url, source, consume)

        def may_pass(error: ServerError) -> bool:
            return self.has_answered and _may_pass(error) and not _is_busy(error)

        return self._outlast(send, may_pass)

    def _ask(self, path: str, consume: Consumer) -> Any:
        """Send a GET request again and again until the server answers."""
        return self._outlast(lambda: self.request("GET", path, consume), _may_pass)

    def _outlast(self, send: Callable[[], Any], may_pass: Callable[[ServerError], bool]) -> Any:
        """Return what `send` returns; call it again, for `timeout`, after errors that may pass."""
        until, is_told = time.monotonic() + self.timeout, False
        while True:
            try:
                return send()
            except ServerError as error:
                if not may_pass(error) or time.monotonic() > until:
                    raise
                if not is_told:
                    again = f"Trying again for up to {self.timeout:g} s."
                    print_line(f"denoise: {error} {again}", sys.stderr)
                    is_told = True
            time.sleep(MAX_POLL_SECONDS)


def _may_pass(error: ServerError) -> bool:
    """Tell whether the same request may succeed later.

    It may if nothing answered, or only a proxy that does not reach the server.
    """
    return not isinstance(error, RefusedError) or error.status in PASSING


def _is_busy(error: ServerError) -> bool:
    """Tell whether the server itself has answered that it has no room for the job now."""
    if not isinstance(error, RefusedError) or error.status != UNAVAILABLE:
        return False
    return error.kind not in (None, STOPPING)


def _parse(content: bytes) -> dict[str, Any]:
    """Return the server's description of a job; raises ServerError for anything else."""
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict) or "state" not in document:
        raise ServerError("The server's answer is not a job. Is it denoise serve?")
    return document


def _parse_id(content: bytes) -> str:
    job_id = _parse(content).get("id")
    if not isinstance(job_id, str) or not ID.fullmatch(job_id):
        raise ServerError("The server's answer has no id of a job. Is it denoise serve?")
    return job_id


def _describe_failure(problem: Any) -> str:
    try:
        return describe_problem(problem, int(problem["status"]))
    except (KeyError, TypeError, ValueError):
        return "The job failed, and the server does not say why."
