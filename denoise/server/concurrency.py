"""Places to work in: a few run, a few wait, the rest is told when to come back."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from denoise.server.limits import Deadline
from denoise.server.problems import RETRY_SECONDS, ProblemError

RECENT = 16  # pieces of work whose mean is what the next ones are thought to take
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 1, 60


def estimate_wait(work_seconds: float, waiting: int, running: int) -> int:
    """Return in how many seconds those that wait, and one more, are likely to have had their turn.

    `running` work side by side, `work_seconds` each; the estimate is 1 to 60.
    """
    seconds = work_seconds * (waiting + 1) / running
    return math.ceil(min(MAX_RETRY_SECONDS, max(MIN_RETRY_SECONDS, seconds)))


class WorkQueue:
    """A bounded number of places, in their order of arrival."""

    def __init__(self, running: int, waiting: int) -> None:
        """Let `running` work at a time, and `waiting` more wait for them."""
        self._running, self._waiting = running, waiting
        self._taken = 0
        self._lock = threading.Lock()
        self._free = threading.Semaphore(running)
        self._recent: deque[float] = deque(maxlen=RECENT)  # seconds

    @property
    def n_taken(self) -> int:
        """Count those who work or wait."""
        return self._taken

    @contextmanager
    def taken(self, deadline: Deadline) -> Iterator[None]:
        """Work in a slot; raises ProblemError where no place is left, or none came in time."""
        self._queue_up()
        try:
            if not self._free.acquire(timeout=deadline.left):
                raise deadline.problem()
            started = time.monotonic()
            try:
                yield
            finally:
                with self._lock:
                    self._recent.append(time.monotonic() - started)
                self._free.release()
        finally:
            with self._lock:
                self._taken -= 1

    def _queue_up(self) -> None:
        places = self._running + self._waiting
        with self._lock:
            if self._taken >= places:
                detail = f"{places} requests are being worked on or wait already."
                headers = {"Retry-After": str(self._wait())}
                raise ProblemError("busy", detail, places, self._taken + 1, headers)
            self._taken += 1

    def _wait(self) -> int:
        if not self._recent:
            return RETRY_SECONDS
        mean = sum(self._recent) / len(self._recent)
        return estimate_wait(mean, self._waiting, self._running)
