"""The work queue: order of arrival, limits, deadlines, and the estimate in Retry-After."""

import random
import threading
import time
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


class EndedBy(Deadline):
    """A deadline that passes when an event is set."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__(60)
        self._event = event

    @property
    def seconds_left(self) -> float:
        return 0.0 if self._event.is_set() else 60.0


class Requests:
    """Requests in threads of their own; `started` lists their names in the order they ran."""

    def __init__(self, work_queue: WorkQueue) -> None:
        self.work_queue = work_queue
        self.started: list[str] = []
        self.timed_out: list[str] = []
        self._threads: list[threading.Thread] = []

    def run(self, name: str, deadline: Deadline | None = None) -> None:
        try:
            with self.work_queue.worker(deadline or Deadline(60)):
                self.started.append(name)
        except ProblemError as problem:
            assert problem.kind == "too-slow"
            self.timed_out.append(name)

    def enqueue(self, name: str, deadline: Deadline | None = None) -> None:
        """Start a request and return once it waits in the queue."""
        expected = self.work_queue.size + 1
        thread = threading.Thread(target=self.run, args=(name, deadline))
        thread.start()
        self._threads.append(thread)
        wait_until(lambda: self.work_queue.size == expected)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize("n_workers", [1, 2])
def test_requests_start_in_order_of_arrival(n_workers: int) -> None:
    for _ in range(100):
        requests = Requests(WorkQueue(n_workers, max_waiting=5))
        with ExitStack() as other_workers:
            for _ in range(n_workers - 1):
                other_workers.enter_context(requests.work_queue.worker(Deadline(60)))
            with requests.work_queue.worker(Deadline(60)):
                for name in "abcd":
                    requests.enqueue(name)
            requests.run("late")  # it arrives at the very moment when the worker becomes free
            requests.join()
        assert requests.started == ["a", "b", "c", "d", "late"]
        assert requests.work_queue.size == 0


def test_a_request_that_times_out_keeps_the_order_of_the_others() -> None:
    timeout = threading.Event()
    requests = Requests(WorkQueue(n_workers=1, max_waiting=5))
    with requests.work_queue.worker(Deadline(60)):
        for name in "abcde":
            requests.enqueue(name, EndedBy(timeout) if name in "bd" else None)
        timeout.set()
        wait_until(lambda: len(requests.timed_out) == 2)
        assert requests.work_queue.size == 4
        requests.enqueue("f")  # there is room again after the two timeouts
    requests.run("late")
    requests.join()
    assert requests.started == ["a", "c", "e", "f", "late"]
    assert sorted(requests.timed_out) == ["b", "d"]
    assert requests.work_queue.size == 0


def test_a_worker_that_comes_just_after_the_timeout_goes_to_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timeout = threading.Event()

    class LateEvent(threading.Event):
        def wait(self, _: float | None = None) -> bool:
            assert super().wait(10)
            timeout.set()
            return False  # as if the event had been set right after the timeout

    requests = Requests(WorkQueue(n_workers=1, max_waiting=2))
    with requests.work_queue.worker(Deadline(60)):
        with monkeypatch.context() as patch:
            patch.setattr(concurrency, "Event", LateEvent)
            requests.enqueue("a", EndedBy(timeout))
        requests.enqueue("b")
    requests.join()
    assert (requests.timed_out, requests.started) == (["a"], ["b"])
    assert requests.work_queue.size == 0


def test_no_worker_is_lost_or_used_twice_under_load() -> None:
    work_queue, generator = WorkQueue(n_workers=3, max_waiting=20), random.Random(0)
    running: list[int] = []
    outcomes: list[str] = []

    def send(waits: list[float]) -> None:
        for wait in waits:
            try:
                with work_queue.worker(Deadline(wait)):
                    running.append(1)
                    outcomes.append(f"{len(running)} running")
                    time.sleep(0.0005)
                    running.pop()
            except ProblemError:
                outcomes.append("timed out")

    waits = [[generator.choice([0, 0.001, 0.002, 60]) for _ in range(60)] for _ in range(16)]
    threads = [threading.Thread(target=send, args=(each,)) for each in waits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(outcomes) <= {"1 running", "2 running", "3 running", "timed out"}
    assert len(outcomes) == 16 * 60 and "3 running" in outcomes and "timed out" in outcomes
    assert work_queue.size == 0
    with ExitStack() as stack:
        for _ in range(3):  # all three are free again
            stack.enter_context(work_queue.worker(Deadline(0)))


def never() -> None:
    """Let a job go on."""


def test_a_job_waits_for_any_length_of_time_and_always_has_room() -> None:
    requests = Requests(WorkQueue(n_workers=1, max_waiting=1))
    started: list[str] = []

    def run_job() -> None:
        with requests.work_queue.job_worker(never):
            started.append("job")

    jobs = [threading.Thread(target=run_job) for _ in range(3)]
    with requests.work_queue.worker(Deadline(60)):
        requests.enqueue("a")
        for n_jobs, job in enumerate(jobs, start=1):
            job.start()
            wait_until(lambda n=n_jobs: requests.work_queue.size == 2 + n)  # type: ignore[misc]
        with pytest.raises(ProblemError), requests.work_queue.worker(Deadline(60)):
            pass  # jobs leave no more room for requests, and no less
        time.sleep(2 * concurrency.POLL_SECONDS)
        assert started == []
    for job in jobs:
        job.join(10)
    requests.join()
    assert (requests.started, started) == (["a"], ["job"] * 3)
    assert requests.work_queue.size == 0


@pytest.mark.parametrize("max_waiting", [0, 1])
def test_a_running_job_makes_way_for_a_request_when_its_turn_is_over(max_waiting: int) -> None:
    requests = Requests(WorkQueue(n_workers=1, max_waiting=max_waiting))
    with requests.work_queue.job_worker(never) as job:
        job._turn_ends = 0.0
        assert job.make_way() == 0  # no request waits
        job._turn_ends = time.monotonic() + 60
        requests.enqueue("a")  # there is room for it even without a queue: a job has the worker
        assert job.make_way() == 0
        assert requests.started == []
        job._turn_ends = 0.0
        assert job.make_way() > 0
        assert requests.started == ["a"]
        assert job._turn_ends > time.monotonic()
        assert requests.work_queue.size == 1
    requests.join()
    assert requests.work_queue.size == 0


def test_a_turn_is_as_long_as_recent_requests(advance_clock: Callable[[float], None]) -> None:
    work_queue = WorkQueue(n_workers=1, max_waiting=0)
    assert work_queue.turn_seconds == concurrency.MIN_TURN_SECONDS
    for seconds, expected in ((7, 7), (500, concurrency.MAX_TURN_SECONDS)):
        with work_queue.worker(Deadline(60)):
            advance_clock(seconds)
        assert work_queue.turn_seconds == expected
    with work_queue.job_worker(never) as job:
        advance_clock(1e6)  # how long jobs run does not count
        assert job.make_way() == 0
    assert work_queue.turn_seconds == concurrency.MAX_TURN_SECONDS


def test_jobs_do_not_make_way_for_jobs() -> None:
    work_queue, started = WorkQueue(n_workers=1, max_waiting=1), threading.Event()

    def run_job() -> None:
        with work_queue.job_worker(never):
            started.set()

    other = threading.Thread(target=run_job)
    with work_queue.job_worker(never) as job:
        other.start()
        wait_until(lambda: work_queue.size == 2)
        job._turn_ends = 0.0
        assert job.make_way() == 0 and not started.is_set()
    assert started.wait(10)
    other.join(10)


@pytest.mark.parametrize("has_run", [False, True])
def test_a_job_that_ends_while_it_waits_loses_no_worker(has_run: bool) -> None:
    work_queue, is_to_end = WorkQueue(n_workers=1, max_waiting=1), threading.Event()
    ended: list[str] = []

    def check() -> None:
        if is_to_end.is_set():
            raise KeyError

    def run_job(make_way: threading.Event) -> None:
        try:
            with work_queue.job_worker(check) as job:
                assert make_way.wait(10)
                wait_until(lambda: work_queue.has_waiting_request)
                job._turn_ends = 0.0
                job.make_way()
        except KeyError:
            ended.append("job")

    make_way = threading.Event()
    job = threading.Thread(target=run_job, args=(make_way,))
    if has_run:
        job.start()
        wait_until(lambda: work_queue.size == 1)
        make_way.set()
    with work_queue.worker(Deadline(60)):
        if not has_run:
            job.start()
        wait_until(lambda: work_queue.size == 2)
        is_to_end.set()
        job.join(10)
        assert ended == ["job"] and work_queue.size == 1
    assert work_queue.size == 0
    with work_queue.worker(Deadline(0)):
        pass
