"""How often a download is tried again, and how long it waits in between."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """How many attempts in a row may fail without progress, and the wait between, in seconds."""

    max_attempts: int = 6
    first_wait_seconds: float = 1.0
    max_wait_seconds: float = 60.0
    timeout_seconds: float = 60.0  # without a byte from the server
    sleep: Callable[[float], None] = time.sleep

    def wait_seconds(self, n_failures: int, retry_after_seconds: float) -> float:
        """Return the wait after `n_failures` in a row.

        It doubles from one failure to the next, up to `max_wait_seconds`, and is at least
        `retry_after_seconds`, which the server demands.
        """
        doubled = self.first_wait_seconds * 2 ** (n_failures - 1)
        return max(retry_after_seconds, min(doubled, self.max_wait_seconds))


DEFAULT_RETRY = RetryPolicy()
