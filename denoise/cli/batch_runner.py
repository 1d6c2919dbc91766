"""Tasks, one after another or side by side; one that fails does not stop the others."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from denoise.cli.io_plan import Task
from denoise.errors import DenoiseError

if TYPE_CHECKING:  # numpy and soundfile start when there is work for them
    from denoise.inference.file_denoiser import Progress, Report

POLL_SECONDS = 0.2  # Windows hands Ctrl-C over only between two waits
Clean = Callable[[Task, "Progress"], "Report"]


class Stopped(Exception):  # noqa: N818 - no error: the work was called off
    """Raised in a thread whose work is no longer wanted."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task: a report, or the reason why there is none."""

    task: Task
    report: "Report | None" = None
    error: str | None = None


def work(clean: Clean, tasks: Sequence[Task], n_threads: int) -> Iterator[Outcome]:
    """Yield an outcome a task, as they come.

    When the caller is interrupted or closes this, tasks that run stop at their next block. Even
    a single thread is one of its own: Ctrl-C in the main one would be lost in libsndfile's calls.
    """
    stopped = threading.Event()

    def stop_or_go_on(done: int, claimed: int | None) -> None:
        if stopped.is_set():
            raise Stopped

    finished: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for task in tasks:
                future = pool.submit(attempt, clean, task, stop_or_go_on)
                future.add_done_callback(finished.put)
            for _ in tasks:
                yield _next(finished).result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def attempt(clean: Clean, task: Task, progress: "Progress") -> Outcome:
    """Do a task; what the user can mend becomes part of the outcome."""
    try:
        return Outcome(task, report=clean(task, progress))
    except DenoiseError as error:
        return Outcome(task, error=str(error))


def _next(finished: "queue.SimpleQueue[Future[Outcome]]") -> "Future[Outcome]":
    while True:
        try:
            return finished.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
