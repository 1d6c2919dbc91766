"""Run the jobs, with the same workers that requests use."""

import json
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any

from denoise.errors import UsageError
from denoise.inference.audio_io import AudioFormat
from denoise.inference.file_denoiser import Report
from denoise.network.spec import MaskNetwork
from denoise.server.audio_response import describe_result
from denoise.server.concurrency import JobWorker, WorkQueue
from denoise.server.jobs.job import DONE, FAILED, QUEUED, RESULT, RUNNING, UPLOAD, Job
from denoise.server.jobs.pace import Pace
from denoise.server.jobs.store import JobStore
from denoise.server.limits import Limits
from denoise.server.private_folder import sync
from denoise.server.problems import ProblemError
from denoise.server.prometheus import ServerMetrics
from denoise.server.worker import Worker

log = logging.getLogger("denoise.server")
SWEEP_SECONDS = 60.0  # how often jobs are deleted whose time is over
FAULT = "The recording is not the cause. The server's log has details under the request_id."


class InterruptedJobError(Exception):
    """The server stops, or the job was deleted."""


@dataclass
class JobRunner:
    """Run queued jobs in the order in which they were made, each in a thread.

    There are at most as many threads as workers, and none while no job is queued.
    """

    store: JobStore
    network: MaskNetwork
    limits: Limits
    work_queue: WorkQueue
    metrics: ServerMetrics
    is_stopping: Event
    _queue: deque[str] = field(default_factory=deque)
    _n_threads: int = 0
    _lock: Lock = field(default_factory=Lock)

    @property
    def is_idle(self) -> bool:
        """Tell whether no thread runs a job."""
        with self._lock:
            return self._n_threads == 0

    def start(self) -> None:
        """Queue the jobs that a former server has left, and delete old jobs from now on.

        Raises UsageError where the folder for jobs cannot be used.
        """
        try:
            self.store.open()
        except UsageError as error:
            raise UsageError(f"{error} You can choose another one with --jobs-dir.") from error
        for job in self.store.list_all():
            if job.state == QUEUED:
                self._enqueue(job.id)
        Thread(target=self._sweep, name="denoise-jobs-sweep", daemon=True).start()

    def submit(self, job: Job) -> None:
        """Add a job whose upload is saved, and run it once a worker is free."""
        self.store.add(job)
        self._enqueue(job.id)

    def delete(self, job_id: str) -> None:
        """Delete a job and its files; a running one ends after its current block.

        Raises ProblemError where there is no such job.
        """
        job = self.store.find(job_id)
        self.store.remove(job.id)
        if not job.has_ended:
            self.metrics.count_job("deleted")

    def _sweep(self) -> None:
        while not self.is_stopping.wait(SWEEP_SECONDS):
            try:
                self.store.refresh()
                self.store.remove_old()
            except OSError:
                log.exception("Old jobs cannot be deleted.")

    def _enqueue(self, job_id: str) -> None:
        with self._lock:
            self._queue.append(job_id)
            if self._n_threads < self.limits.workers:
                self._n_threads += 1
                Thread(target=self._work, name="denoise-job", daemon=True).start()

    def _work(self) -> None:
        while (job_id := self._take()) is not None:
            try:
                self._run(job_id)
            except Exception:  # above all OSError, where its state cannot be written
                log.exception("The state of a job cannot be saved.")

    def _take(self) -> str | None:
        """Return the next job's id, or None if the calling thread has to end."""
        with self._lock:
            if self._queue and not self.is_stopping.is_set():
                return self._queue.popleft()
            self._n_threads -= 1
            return None

    def _run(self, job_id: str) -> None:
        def interrupt() -> None:
            if self.is_stopping.is_set() or self.store.get(job_id) is None:
                raise InterruptedJobError

        try:
            interrupt()
            with self.work_queue.job_worker(interrupt) as worker:
                self._denoise(job_id, worker, interrupt)
        except InterruptedJobError:
            self.store.restart(job_id)
        except ProblemError as problem:
            self._fail(job_id, problem)
        except Exception as error:
            self._fail(job_id, ProblemError("failed", FAULT), error)
        finally:
            self.store.remove_leftovers(job_id)

    def _denoise(self, job_id: str, hold: JobWorker, interrupt: Callable[[], None]) -> None:
        if (job := self.store.get(job_id)) is None:
            return
        self.store.update(job_id, state=RUNNING)
        pace = Pace(self.limits.deadline_seconds, hold, interrupt)

        def progress(n_samples: int, declared: int | None, audio_format: AudioFormat) -> None:
            seconds = n_samples / audio_format.sample_rate
            pace.count(seconds * audio_format.channels)
            share = min(1.0, n_samples / declared) if declared else None
            self.store.update(job_id, seconds_done=seconds, share=share)

        worker = Worker(self.network, self.limits, pace)
        source, target = (self.store.path(job_id, name) for name in (UPLOAD, RESULT))
        report = worker.denoise(source, target, job.options, progress)
        target.chmod(0o600)
        sync(target)
        self._finish(job, report)

    def _finish(self, job: Job, report: Report) -> None:
        self.store.update(
            job.id,
            state=DONE,
            ended=time.time(),
            share=1.0,
            seconds_done=report.duration_seconds,
            result=describe_result(report, job.name, job.options),
        )
        if self.store.get(job.id) is not None:
            self.metrics.count_job(DONE)
            self.metrics.audio_seconds.inc(report.duration_seconds)

    def _fail(self, job_id: str, problem: ProblemError, error: Exception | None = None) -> None:
        """Save why a job failed.

        A job that was deleted is ignored: perhaps it failed only because its files are gone.
        """
        if (job := self.store.get(job_id)) is None:
            return
        if error is not None:
            log.error("The job of request %s failed.", job.request_id, exc_info=error)
        document: dict[str, Any] = json.loads(problem.to_json(job.request_id))
        self.metrics.count_job(FAILED)
        self.store.update(job_id, state=FAILED, ended=time.time(), problem=document, result=None)
