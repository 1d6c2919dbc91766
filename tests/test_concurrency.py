"""The work queue: its limit, and the estimate in Retry-After."""

import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.server import concurrency
from denoise.server.concurrency import WorkQueue, estimate_wait
from denoise.server.limits import Deadline
from denoise.server.problems import RETRY_SECONDS, ProblemError
from tests.project import wait_until

seconds = st.floats(0, 1e6)
counts = st.integers(0, 1024)


@pytest.mark.parametrize(
    ("run_seconds", "n_waiting", "n_workers", "expected"),
    [
        (0, 4, 2, 1),
        (0.01, 4, 2, 1),
        (1, 0, 1, 1),
        (2, 4, 2, 5),
        (2, 4, 1, 10),
        (0.5, 4, 2, 2),  # 1.25, rounded up
        (15, 3, 1, 60),
        (60, 4, 2, 60),
        (1e300, 1024, 1, 60),
    ],
)
def test_wait_estimate_covers_all_requests_ahead(
    run_seconds: float, n_waiting: int, n_workers: int, expected: int
) -> None:
    assert estimate_wait(run_seconds, n_waiting, n_workers) == expected


@given(seconds, counts, counts.map(lambda number: number + 1))
def test_wait_estimate_is_a_bounded_integer_that_grows_with_the_queue(
    run_seconds: float, n_waiting: int, n_workers: int
) -> None:
    wait = estimate_wait(run_seconds, n_waiting, n_workers)
    assert isinstance(wait, int) and 1 <= wait <= 60
    assert wait <= estimate_wait(run_seconds * 2, n_waiting, n_workers)
    assert wait <= estimate_wait(run_seconds, n_waiting + 1, n_workers)
    assert wait >= estimate_wait(run_seconds, n_waiting, n_workers + 1)
    exact = run_seconds * (n_waiting + 1) / n_workers
    assert wait >= min(60, exact) and (wait <= exact + 1 or wait == 1)


@pytest.fixture
def advance_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the clock, and return a function that moves it forward by some seconds."""
    now = [0.0]
    monkeypatch.setattr(concurrency.time, "monotonic", lambda: now[0])

    def advance(length: float) -> None:
        now[0] += length

    return advance


def retry_after_when_full(work_queue: WorkQueue, n_workers: int) -> str:
    """Occupy all workers, send one more request, and return its Retry-After header."""
    with ExitStack() as stack:
        for _ in range(n_workers):
            stack.enter_context(work_queue.worker(Deadline(60)))
        with pytest.raises(ProblemError) as refused, work_queue.worker(Deadline(60)):
            pass
    return refused.value.headers["Retry-After"]


def test_retry_after_follows_recent_run_times(advance_clock: Callable[[float], None]) -> None:
    work_queue = WorkQueue(n_workers=2, max_waiting=0)
    assert retry_after_when_full(work_queue, 2) == str(RETRY_SECONDS)  # no run time is known yet
    for _ in range(concurrency.RECENT):
        with work_queue.worker(Deadline(60)):
            advance_clock(7)
    assert retry_after_when_full(work_queue, 2) == "4"  # 7 / 2
    with pytest.raises(KeyError), work_queue.worker(Deadline(60)):
        advance_clock(57)  # a failed request has occupied its worker too
        raise KeyError
    assert retry_after_when_full(work_queue, 2) == "5"  # (13 * 7 + 2 * 0 + 57) / 16 / 2
    assert work_queue.size == 0


def test_retry_after_counts_waiting_requests(advance_clock: Callable[[float], None]) -> None:
    work_queue = WorkQueue(n_workers=1, max_waiting=1)
    with work_queue.worker(Deadline(60)):
        advance_clock(5)

    def wait() -> None:
        with work_queue.worker(Deadline(60)):
            pass

    waiting = threading.Thread(target=wait)
    with work_queue.worker(Deadline(60)):
        waiting.start()
        wait_until(lambda: work_queue.size == 2)
        with pytest.raises(ProblemError) as refused, work_queue.worker(Deadline(60)):
            pass
    waiting.join(10)
    assert refused.value.headers["Retry-After"] == "10"


def test_retry_after_forgets_old_run_times(advance_clock: Callable[[float], None]) -> None:
    work_queue = WorkQueue(n_workers=1, max_waiting=0)
    with work_queue.worker(Deadline(60)):
        advance_clock(50)
    assert retry_after_when_full(work_queue, 1) == "50"
    for _ in range(concurrency.RECENT):
        with work_queue.worker(Deadline(60)):
            advance_clock(3)
    assert retry_after_when_full(work_queue, 1) == "3"
