"""Server-sent events: a response that stays open while a job runs, and reports each change of it.

Each stream occupies a thread of the server. So only a few are open at a time, each for a limited
time; clients then connect again, as browsers do by themselves.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from threading import BoundedSemaphore, Event

from flask import Response

from denoise.server.jobs.job import Job
from denoise.server.jobs.store import JobStore
from denoise.server.problems import ProblemError

MEDIA_TYPE = "text/event-stream"
MAX_STREAMS = 8
STREAM_SECONDS = 60.0
POLL_SECONDS = 0.25
SILENT_SECONDS = 10.0  # after so long without a change, a comment shows that the stream is alive
RECONNECT_MILLISECONDS = 1000
FULL_RETRY_SECONDS = 5
HEADERS = {"X-Accel-Buffering": "no"}  # asks nginx to pass each event on at once


def make_empty_response() -> Response:
    """Return an answer of status 204."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


class EventStreams:
    """The event streams of a server; `seconds_kept` is how long it keeps ended jobs."""

    def __init__(self, store: JobStore, is_stopping: Event, seconds_kept: float) -> None:
        """Create room for MAX_STREAMS streams, which all end once `is_stopping` is set."""
        self._store, self._is_stopping, self._seconds_kept = store, is_stopping, seconds_kept
        self._places = BoundedSemaphore(MAX_STREAMS)

    def open(self, job: Job, last_event_id: str | None) -> Response:
        """Return a stream of a job's changes, or status 204 if the client has received them all.

        Raises ProblemError where too many streams are open.
        """
        if job.has_ended and last_event_id == job.state:
            return make_empty_response()  # a browser then stops connecting again
        if not self._places.acquire(blocking=False):
            detail = f"{MAX_STREAMS} event streams are open. Ask for the job's state instead."
            headers = {"Retry-After": str(FULL_RETRY_SECONDS)}
            raise ProblemError("streams-full", detail, MAX_STREAMS, MAX_STREAMS + 1, headers)
        cleanup = ExitStack()
        cleanup.callback(self._places.release)
        response = Response(self._events(job.id), content_type=MEDIA_TYPE, headers=HEADERS)
        response.call_on_close(cleanup.close)
        return response

    def _events(self, job_id: str) -> Iterator[str]:
        """Yield the job's state now and after each change.

        The stream ends with the job, when the server stops, or after STREAM_SECONDS.
        """
        yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
        sent, last = None, time.monotonic()
        until = last + STREAM_SECONDS
        while time.monotonic() < until and (job := self._store.get(job_id)) is not None:
            if job != sent:
                sent, last = job, time.monotonic()
                yield f"id: {job.state}\ndata: {json.dumps(job.to_json(self._seconds_kept))}\n\n"
            elif time.monotonic() > last + SILENT_SECONDS:
                last = time.monotonic()
                yield ":\n\n"
            if job.has_ended or self._is_stopping.wait(POLL_SECONDS):
                return
