"""Places to work in, and when the one who finds none is told to come back."""

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
    ("work_seconds", "waiting", "running", "expected"),
    [
        (0, 4, 2, 1),
        (0.01, 4, 2, 1),
        (1, 0, 1, 1),
        (2, 4, 2, 5),
        (2, 4, 1, 10),
        (0.5, 4, 2, 2),  # 1.25 and no less
        (15, 3, 1, 60),
        (60, 4, 2, 60),
        (1e300, 1024, 1, 60),
    ],
)
def test_the_wait_is_that_of_all_who_come_before(
    work_seconds: float, waiting: int, running: int, expected: int
) -> None:
    assert estimate_wait(work_seconds, waiting, running) == expected


@given(seconds, counts, counts.map(lambda number: number + 1))
def test_the_wait_is_whole_and_bounded_and_grows_with_what_is_before(
    work_seconds: float, waiting: int, running: int
) -> None:
    wait = estimate_wait(work_seconds, waiting, running)
    assert isinstance(wait, int) and 1 <= wait <= 60
    assert wait <= estimate_wait(work_seconds * 2, waiting, running)
    assert wait <= estimate_wait(work_seconds, waiting + 1, running)
    assert wait >= estimate_wait(work_seconds, waiting, running + 1)
    exact = work_seconds * (waiting + 1) / running
    assert wait >= min(60, exact) and (wait <= exact + 1 or wait == 1)


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what lets time pass; else it stands still."""
    now = [0.0]
    monkeypatch.setattr(concurrency.time, "monotonic", lambda: now[0])

    def pass_by(length: float) -> None:
        now[0] += length

    return pass_by


def told(places: WorkQueue, n_taken: int) -> str:
    """Take all places, then ask for one more; return when it says to come back."""
    with ExitStack() as stack:
        for _ in range(n_taken):
            stack.enter_context(places.taken(Deadline(60)))
        with pytest.raises(ProblemError) as refused, places.taken(Deadline(60)):
            pass
    return refused.value.headers["Retry-After"]


def test_who_finds_no_place_hears_how_long_recent_work_took(
    tick: Callable[[float], None],
) -> None:
    places = WorkQueue(running=2, waiting=0)
    assert told(places, 2) == str(RETRY_SECONDS)  # before anything is known
    for _ in range(concurrency.RECENT):
        with places.taken(Deadline(60)):
            tick(7)
    assert told(places, 2) == "4"  # 7 / 2
    with pytest.raises(KeyError), places.taken(Deadline(60)):
        tick(57)  # what fails has held its slot too
        raise KeyError
    assert told(places, 2) == "5"  # (13 * 7 + 2 * 0 + 57) / 16 / 2
    assert places.n_taken == 0


def test_who_waits_is_counted(tick: Callable[[float], None]) -> None:
    places = WorkQueue(running=1, waiting=1)
    with places.taken(Deadline(60)):
        tick(5)

    def wait() -> None:
        with places.taken(Deadline(60)):
            pass

    waiting = threading.Thread(target=wait)
    with places.taken(Deadline(60)):
        waiting.start()
        wait_until(lambda: places.n_taken == 2)
        with pytest.raises(ProblemError) as refused, places.taken(Deadline(60)):
            pass
    waiting.join(10)
    assert refused.value.headers["Retry-After"] == "10"


def test_what_is_long_past_does_not_count(tick: Callable[[float], None]) -> None:
    places = WorkQueue(running=1, waiting=0)
    with places.taken(Deadline(60)):
        tick(50)
    assert told(places, 1) == "50"
    for _ in range(concurrency.RECENT):
        with places.taken(Deadline(60)):
            tick(3)
    assert told(places, 1) == "3"
