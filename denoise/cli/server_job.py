"""Let `denoise serve` denoise a recording as a job, and fetch the result once it is done."""

import json
import re
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from denoise.cli.server_connection import (
    ASK_SECONDS,
    MAX_DOCUMENT_BYTES,
    Connection,
    Consumer,
    ServerError,
    describe_problem,
    to_server_error,
    write_response,
)
from denoise.errors import DenoiseError

PATH = "/v1/jobs"
ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.5, 5.0
PASSING = (429, 502, 503, 504)  # what a proxy answers while the server starts again


@dataclass(frozen=True)
class JobConnection(Connection):
    """A connection that uses jobs, so it may be interrupted: the server works in the background.

    `timeout` also limits how long the client keeps asking a server that does not answer.
    """

    def denoise(self, query: dict[str, str], source: Path, target: Path) -> None:
        """Make a job, wait for its end, write its result, and delete it.

        Raises ServerError if the job fails or the server is lost, and DenoiseError if a file cannot
        be read or written.
        """
        job_id = _parse_id(self.upload(PATH, query, source, _read))
        with self._deleting(job_id):
            self._wait(job_id)
            self._ask(f"{PATH}/{job_id}/result", lambda each: write_response(each, target))

    @contextmanager
    def _deleting(self, job_id: str) -> Iterator[None]:
        """Delete a job in the end, also after an error or Ctrl-C, unless the server is lost."""
        try:
            yield
        finally:
            with suppress(DenoiseError, urllib.error.HTTPError):
                seconds = min(ASK_SECONDS, self.timeout)  # nobody needs the answer
                self.request("DELETE", f"{PATH}/{job_id}", lambda _: None, seconds)

    def _wait(self, job_id: str) -> None:
        """Return once a job is done; raises ServerError if it fails."""
        pause = FIRST_POLL_SECONDS
        while True:
            job = _parse(self._ask(f"{PATH}/{job_id}", _read))
            if job.get("state") == "done":
                return
            if job.get("state") == "failed":
                raise ServerError(_describe_failure(job.get("problem")))
            time.sleep(pause)
            pause = min(MAX_POLL_SECONDS, 1.5 * pause)

    def _ask(self, path: str, consume: Consumer) -> Any:
        """Send a GET request again and again until the server answers, for up to `timeout`."""
        until = time.monotonic() + self.timeout
        while True:
            try:
                return self.request("GET", path, consume)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in PASSING or time.monotonic() > until:
                        raise to_server_error(error) from error
            except ServerError:
                if time.monotonic() > until:
                    raise
            time.sleep(MAX_POLL_SECONDS)


def _read(response: HTTPResponse) -> bytes:
    return response.read(MAX_DOCUMENT_BYTES)


def _parse(content: bytes) -> dict[str, Any]:
    """Return what the server says of a job; raises ServerError for what is not a job."""
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
