"""The work queue: a few requests run, a few more wait in order of arrival, the rest are refused."""

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock

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
    """Run a bounded number of requests at a time and start waiting ones first come, first served.

    A worker that becomes free goes directly to the first waiting request: it never counts as free
    while a request waits, so a new request cannot overtake.
    """

    def __init__(self, n_workers: int, max_waiting: int) -> None:
        """Create a queue with `n_workers` workers and room for `max_waiting` waiting requests."""
        self._n_workers, self._max_waiting = n_workers, max_waiting
        self._n_running = 0
        self._waiting: deque[Event] = deque()  # one per request; set when it is given a worker
        self._lock = Lock()
        self._recent_seconds: deque[float] = deque(maxlen=RECENT)

    @property
    def size(self) -> int:
        """Return the number of requests that are running or waiting."""
        with self._lock:
            return self._n_running + len(self._waiting)

    @contextmanager
    def worker(self, deadline: Deadline) -> Iterator[None]:
        """Wait for a worker and hold it inside the `with` block.

        Raises ProblemError at once where the queue is full, and at the deadline where no worker
        has become free.
        """
        self._acquire(deadline)
        started = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._recent_seconds.append(time.monotonic() - started)
                self._pass_worker_on()

    def _acquire(self, deadline: Deadline) -> None:
        turn = self._enter()
        if turn is None or turn.wait(deadline.seconds_left):
            return
        with self._lock:
            if turn.is_set():  # the worker came between the timeout and the lock
                self._pass_worker_on()
            else:
                self._waiting.remove(turn)
        raise deadline.to_problem()

    def _enter(self) -> Event | None:
        """Take a free worker and return None, or join the queue and return the event to wait for.

        Raises ProblemError where the queue is full.
        """
        with self._lock:
            if self._n_running < self._n_workers:  # then no request waits
                self._n_running += 1
                return None
            if len(self._waiting) >= self._max_waiting:
                raise self._full_problem()
            turn = Event()
            self._waiting.append(turn)
            return turn

    def _pass_worker_on(self) -> None:
        """Give a worker to the first waiting request, or mark it free; call with the lock held."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._n_running -= 1

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
