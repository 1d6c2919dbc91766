"""Places to work in: a few run, a few wait, the rest is told to come back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from denoise.server.limits import Deadline
from denoise.server.problems import ProblemError


class Slots:
    """A bounded number of places, in their order of arrival."""

    def __init__(self, running: int, waiting: int) -> None:
        """Let `running` work at a time, and `waiting` more wait for them."""
        self._places = running + waiting
        self._taken = 0
        self._lock = threading.Lock()
        self._free = threading.Semaphore(running)

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
            try:
                yield
            finally:
                self._free.release()
        finally:
            with self._lock:
                self._taken -= 1

    def _queue_up(self) -> None:
        with self._lock:
            if self._taken >= self._places:
                detail = f"{self._places} requests are being worked on or wait already."
                raise ProblemError("busy", detail, self._places, self._taken + 1)
            self._taken += 1
