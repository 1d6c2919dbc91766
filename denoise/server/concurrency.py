"""The work queue: a few requests run, a few more wait in order of arrival, the rest are refused.

Jobs use the same workers. They wait for any length of time, and if a request waits, a running job
gives up its worker for a while.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock

from denoise.server.limits import Deadline
from denoise.server.problems import RETRY_SECONDS, ProblemError

RECENT = 16  # number of finished requests whose mean run time predicts that of the next ones
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 1, 60
MIN_TURN_SECONDS, MAX_TURN_SECONDS = 1.0, 30.0  # how long a job runs while requests wait
POLL_SECONDS = 0.2  # how often a waiting request or job looks whether it is to end


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
        self._n_running = 0  # requests and jobs that have a worker
        self._n_requests = 0  # requests that have a worker or wait for one
        self._waiting: deque[Event] = deque()  # one for each that waits; set when it gets a worker
        self._waiting_jobs: set[Event] = set()  # those in `_waiting` that belong to jobs
        self._lock = Lock()
        self._recent_seconds: deque[float] = deque(maxlen=RECENT)

    @property
    def size(self) -> int:
        """Return the number of requests and jobs that have a worker or wait for one."""
        with self._lock:
            return self._n_running + len(self._waiting)

    @property
    def has_waiting_request(self) -> bool:
        """Tell whether a request, and not only a job, waits for a worker."""
        with self._lock:
            return len(self._waiting) > len(self._waiting_jobs)

    @property
    def turn_seconds(self) -> float:
        """Return how long a job may run while a request waits: as long as recent requests did."""
        with self._lock:
            return min(MAX_TURN_SECONDS, max(MIN_TURN_SECONDS, self._mean_seconds() or 0.0))

    @contextmanager
    def worker(self, deadline: Deadline) -> Iterator[None]:
        """Wait for a worker and hold it inside the `with` block.

        Raises ProblemError at once if the queue is full, or later if no worker has become free by
        the deadline or before the client has closed the connection.
        """
        self._acquire(deadline)
        started = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._recent_seconds.append(time.monotonic() - started)
                self._n_requests -= 1
                self._pass_worker_on()

    @contextmanager
    def job_worker(self, check: Callable[[], None]) -> Iterator["JobWorker"]:
        """Wait for a worker without a deadline and hold it for a job inside the `with` block.

        `check` is called every POLL_SECONDS while the job waits, and ends the wait by an exception.
        """
        worker = JobWorker(self, check)
        worker.take()
        try:
            yield worker
        finally:
            worker.give_back()

    def join_as_job(self) -> Event | None:
        """Take a free worker and return None, or join the queue and return the event to wait for.

        There is always room for a job.
        """
        with self._lock:
            turn = self._enter()
            if turn is not None:
                self._waiting_jobs.add(turn)
            return turn

    def leave(self, turn: Event | None) -> None:
        """Give up a worker, or the wait for one if `turn` is not set yet."""
        with self._lock:
            if turn is None or turn.is_set():
                self._pass_worker_on()
            else:
                self._waiting.remove(turn)
                self._waiting_jobs.discard(turn)

    def _acquire(self, deadline: Deadline) -> None:
        with self._lock:
            if self._n_requests >= self._n_workers + self._max_waiting:
                raise self._full_problem()
            turn = self._enter()
            self._n_requests += 1
        if turn is None:
            return
        try:
            while not turn.wait(min(POLL_SECONDS, deadline.seconds_left)):
                deadline.check()
        except ProblemError:
            self.leave(turn)  # this passes on a worker that came in the meantime
            with self._lock:
                self._n_requests -= 1
            raise

    def _enter(self) -> Event | None:
        """Take a free worker, or return the event of a new place in the queue; hold the lock."""
        if self._n_running < self._n_workers:  # then nothing waits
            self._n_running += 1
            return None
        turn = Event()
        self._waiting.append(turn)
        return turn

    def _pass_worker_on(self) -> None:
        """Give a worker to the first that waits, or mark it free; call with the lock held."""
        if self._waiting:
            turn = self._waiting.popleft()
            self._waiting_jobs.discard(turn)
            turn.set()
        else:
            self._n_running -= 1

    def _full_problem(self) -> ProblemError:
        limit = self._n_workers + self._max_waiting
        detail = f"{limit} requests are already running or waiting. Try again later."
        headers = {"Retry-After": str(self._retry_seconds())}
        return ProblemError("busy", detail, limit, limit + 1, headers)

    def _retry_seconds(self) -> int:
        mean = self._mean_seconds()
        if mean is None:
            return RETRY_SECONDS
        return estimate_wait(mean, self._max_waiting, self._n_workers)

    def _mean_seconds(self) -> float | None:
        """Return the mean run time of recent requests, or None while none is known."""
        n_recent = len(self._recent_seconds)
        return sum(self._recent_seconds) / n_recent if n_recent else None


class JobWorker:
    """A job's hold on a worker, which the job gives up for a while when requests wait."""

    def __init__(self, work_queue: WorkQueue, check: Callable[[], None]) -> None:
        """Create a hold without a worker; see `WorkQueue.job_worker` for `check`."""
        self._work_queue, self._check = work_queue, check
        self._has_worker = False
        self._turn_ends = 0.0

    def take(self) -> None:
        """Wait for a worker; if `check` raises an exception, the wait ends without one."""
        turn = self._work_queue.join_as_job()
        try:
            while turn is not None and not turn.wait(POLL_SECONDS):
                self._check()
        except BaseException:
            self._work_queue.leave(turn)
            raise
        self._has_worker = True
        self._turn_ends = time.monotonic() + self._work_queue.turn_seconds

    def give_back(self) -> None:
        """Give up the worker, unless it is given up already."""
        if self._has_worker:
            self._has_worker = False
            self._work_queue.leave(None)

    def make_way(self) -> float:
        """Let waiting requests go first once the job's turn is over; return the seconds waited."""
        started = time.monotonic()
        if started < self._turn_ends or not self._work_queue.has_waiting_request:
            return 0.0
        self.give_back()
        self.take()
        return time.monotonic() - started
