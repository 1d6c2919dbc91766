"""Run tasks in threads. A task that fails does not stop the others."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from denoise.cli.io_plan import Task
from denoise.errors import DenoiseError

if TYPE_CHECKING:  # numpy and soundfile are imported only when there is something to denoise
    from denoise.inference.file_denoiser import Progress, Report

POLL_SECONDS = 0.2  # Windows delivers Ctrl-C only between two waits
DenoiseTask = Callable[[Task, "Progress"], "Report"]


class Cancelled(Exception):  # noqa: N818 - not an error: the user stopped the work
    """Raised in a thread whose task was cancelled."""


@dataclass(frozen=True)
class Outcome:
    """The result of a task: a report, or the error message that replaces it."""

    task: Task
    report: "Report | None" = None
    error: str | None = None


def run_tasks(
    denoise_task: DenoiseTask, tasks: Sequence[Task], n_threads: int
) -> Iterator[Outcome]:
    """Yield the outcome of each task, in the order in which they finish.

    If the caller is interrupted or closes the iterator, running tasks stop at their next block.
    Even with one thread the work runs outside the main one: there, libsndfile would lose Ctrl-C.
    """
    cancelled = threading.Event()

    def raise_if_cancelled(done: int, declared: int | None) -> None:
        if cancelled.is_set():
            raise Cancelled

    finished: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for task in tasks:
                future = pool.submit(_run_task, denoise_task, task, raise_if_cancelled)
                future.add_done_callback(finished.put)
            for _ in tasks:
                yield _wait_for_next(finished).result()
        finally:
            cancelled.set()
            pool.shutdown(cancel_futures=True)


def _run_task(denoise_task: DenoiseTask, task: Task, progress: "Progress") -> Outcome:
    """Run one task; a DenoiseError becomes part of its outcome."""
    try:
        return Outcome(task, report=denoise_task(task, progress))
    except DenoiseError as error:
        return Outcome(task, error=str(error))


def _wait_for_next(finished: "queue.SimpleQueue[Future[Outcome]]") -> "Future[Outcome]":
    while True:
        try:
            return finished.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
