"""The work queue: a few requests run, a few more wait, and the rest are refused."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from denoise.server.limits import Deadline
from denoise.server.problems import RETRY_SECONDS, ProblemError

RECENT = 16  # number of finished requests whose mean run time predicts that of the next ones
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 1, 60


def estimate_wait(run_seconds: float, n_waiting: int, n_workers: int) -> int:
    """Estimate in how many whole seconds the waiting requests and one more will have started.

    `run_seconds` is the mean time that a worker needs for one request; the result is 1 to 60.
    """
    seconds = run_seconds * (n_waiting + 1) / n_workers
    return math.ceil(min(MAX_RETRY_SECONDS, max(MIN_RETRY_SECONDS, seconds)))


class WorkQueue:
    """Run a bounded number of requests at a time, and let a bounded number wait for a worker."""

    def __init__(self, n_workers: int, max_waiting: int) -> None:
        """Create a queue with `n_workers` workers and room for `max_waiting` waiting requests."""
        self._n_workers, self._max_waiting = n_workers, max_waiting
        self._size = 0
        self._lock = threading.Lock()
        self._free = threading.Semaphore(n_workers)
        self._recent_seconds: deque[float] = deque(maxlen=RECENT)

    @property
    def size(self) -> int:
        """Return the number of requests that are running or waiting."""
        return self._size

    @contextmanager
    def worker(self, deadline: Deadline) -> Iterator[None]:
        """Wait for a worker and hold it inside the `with` block.

        Raises ProblemError at once where the queue is full, and at the deadline where no worker
        has become free.
        """
        self._enter()
        try:
            if not self._free.acquire(timeout=deadline.seconds_left):
                raise deadline.to_problem()
            started = time.monotonic()
            try:
                yield
            finally:
                with self._lock:
                    self._recent_seconds.append(time.monotonic() - started)
                self._free.release()
        finally:
            with self._lock:
                self._size -= 1

    def _enter(self) -> None:
        with self._lock:
            if self._size >= self._n_workers + self._max_waiting:
                raise self._full_problem()
            self._size += 1

    def _full_problem(self) -> ProblemError:
        limit = self._n_workers + self._max_waiting
        detail = f"{limit} requests are already running or waiting. Try again later."
        headers = {"Retry-After": str(self._retry_seconds())}
        return ProblemError("busy", detail, limit, limit + 1, headers)

    def _retry_seconds(self) -> int:
        if not self._recent_seconds:
            return RETRY_SECONDS
        mean = sum(self._recent_seconds) / len(self._recent_seconds)
        return estimate_wait(mean, self._max_waiting, self._n_workers)
