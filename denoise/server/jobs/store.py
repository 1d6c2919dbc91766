"""All jobs of a server: a folder each, with the upload, the state and the result.

```
JOBS/lock
JOBS/<id>/job.json      the state, written last and deleted first
JOBS/<id>/in            the upload, until the job has ended
JOBS/<id>/out           the result, complete once the state is `done`
```
"""

import dataclasses
import json
import logging
import re
import secrets
import shutil
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import IO, Any

from denoise.server.jobs.disk_use import DiskUse
from denoise.server.jobs.job import DONE, FAILED, RESULT, RUNNING, STATE, UPLOAD, Job
from denoise.server.jobs.leftovers import remove_leftover, remove_partial_files
from denoise.server.limits import Limits
from denoise.server.private_folder import (
    JOBS,
    make_temporary_folder,
    open_folder,
    refresh,
    remove_folder,
    reopened,
    sync,
    write_private,
)
from denoise.server.problems import ProblemError

log = logging.getLogger("denoise.server")
ID = re.compile(r"[A-Za-z0-9_-]{32}")
ID_BYTES = 24
SHOWN = 6  # characters of an id in the log: too few to fetch a result with
MAX_CRASHES = 3  # a recording that makes the server crash must not do so for ever
UNREADABLE = (
    "The job in the folder %s... cannot be read (%s). The server leaves the folder as it is and "
    "counts it towards the limits."
)
EMPTIED = "The folder for jobs, or its lock file, was removed while the server ran: %d jobs lost."
CRASHED = f"The server ended {MAX_CRASHES} times while this job ran, perhaps because of it."


class JobStore:
    """The jobs in one folder; threads may share it.

    It holds all states in memory, and looks up there each id that a client sends. So only the id of
    an existing job becomes part of a path.
    """

    def __init__(self, folder: Path | None, limits: Limits) -> None:
        """Create the store of a folder, which `open` opens.

        Without a folder, the first job creates a temporary one, which is deleted when the process
        ends.
        """
        self._limits, self._lock = limits, RLock()
        self._jobs: dict[str, Job] = {}
        self._disk_use = DiskUse(limits)
        self._folder = folder
        self._lock_file: IO[bytes] | None = None

    def open(self) -> None:
        """Lock the folder and read its jobs, if that has not happened yet.

        Jobs that were running when the former server ended are queued again.
        Raises UsageError where the folder cannot be used; see `open_folder`.
        """
        with self._lock:
            if self._folder is not None and self._lock_file is None:
                self._lock_file = open_folder(self._folder)
                self._read_all(self._folder)

    def close(self) -> None:
        """Let another server use the folder."""
        if self._lock_file is not None:
            self._lock_file.close()

    @property
    def n_bytes(self) -> int:
        """Return the bytes of all jobs, and as many again for the results of unfinished ones."""
        with self._lock:
            return self._disk_use.n_bytes

    def list_all(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: job.created)

    def count(self, state: str) -> int:
        """Return the number of jobs in a state."""
        return sum(job.state == state for job in self.list_all())

    def get(self, job_id: str) -> Job | None:
        """Return a job, or None for one that does not exist."""
        with self._lock:
            return self._jobs.get(job_id)

    def find(self, job_id: str) -> Job:
        """Return a job; raises ProblemError where it does not exist or its time is over."""
        job = self.get(job_id)
        if job is None or self._is_over(job):
            raise ProblemError("not-found", "There is no job of this id. It may have been deleted.")
        return job

    def path(self, job_id: str, name: str) -> Path:
        """Return the path of one of the files of a job that exists."""
        return self._folder_of(job_id) / name

    @contextmanager
    def adding(self, n_bytes: int) -> Iterator[tuple[str, Path]]:
        """Yield a new id, and an empty file for an upload of `n_bytes`; an error deletes both.

        Raises ProblemError where the jobs on the disk are too many or too large.
        """
        job_id = self._reserve(n_bytes)
        try:
            upload = self.path(job_id, UPLOAD)
            upload.parent.mkdir(mode=0o700)
            upload.touch(mode=0o600)
            yield job_id, upload
        except BaseException:
            self.remove(job_id)
            raise

    def add(self, job: Job) -> None:
        """Add a job whose upload is saved."""
        sync(self.path(job.id, UPLOAD))
        with self._lock:
            self._measure(job.id)
            self._jobs[job.id] = job
            self._write(job)

    def update(self, job_id: str, **changes: Any) -> None:
        """Change a job, first on the disk, unless only its progress changes.

        For a job that was deleted, this does nothing. When a job has ended, its upload is deleted.
        Raises OSError where the state cannot be written.
        """
        with self._lock:
            if (former := self._jobs.get(job_id)) is None:
                return
            job = dataclasses.replace(former, **changes)
            if job.state == FAILED:
                self._jobs[job_id] = job  # so clients see it even if the disk is full
            if job.to_saved() != former.to_saved():
                self._write(job)
            self._jobs[job_id] = job
            if job.has_ended:
                self._measure_ended(job)

    def restart(self, job_id: str) -> None:
        """Queue a job again, unless it was deleted."""
        with self._lock:
            if job_id in self._jobs:
                self._jobs[job_id] = self._jobs[job_id].restarted()
                self._write(self._jobs[job_id])

    def remove(self, job_id: str) -> None:
        """Delete a job with its files; even if the server crashes meanwhile, it does not return."""
        with self._lock:
            self._jobs.pop(job_id, None)
            self.path(job_id, STATE).unlink(missing_ok=True)
        self.remove_leftovers(job_id)
        with self._lock:
            self._disk_use.forget(job_id)
            if self._folder_of(job_id).exists():  # Windows, while a file in it is open
                self._disk_use.add_folder(self._folder_of(job_id))

    def remove_leftovers(self, job_id: str) -> None:
        """Delete the folder of a job that no longer exists; otherwise do nothing."""
        if self.get(job_id) is None:
            shutil.rmtree(self._folder_of(job_id), ignore_errors=True)

    def remove_old(self) -> None:
        """Delete the jobs that ended too long ago."""
        for job in self.list_all():
            if self._is_over(job):
                self.remove(job.id)

    def refresh(self) -> None:
        """Show cleaners of temporary files that the folder is in use."""
        with self._lock:
            if self._folder is not None:
                refresh(self._folder)

    def _folder_of(self, job_id: str) -> Path:
        assert self._folder is not None
        return self._folder / job_id

    def _is_over(self, job: Job) -> bool:
        return job.ended is not None and time.time() > job.ended + self._limits.job_seconds

    def _reserve(self, n_bytes: int) -> str:
        """Return a new id that counts towards the limits from now on."""
        self.remove_old()
        with self._lock:
            self._open_again()
            self._disk_use.check_room(n_bytes)
            if self._folder is None:
                self._folder = make_temporary_folder(JOBS)
                weakref.finalize(self, remove_folder, self._folder)
            self.open()
            job_id = secrets.token_urlsafe(ID_BYTES)
            self._disk_use.set(job_id, 2 * n_bytes)
            return job_id

    def _open_again(self) -> None:
        """Open the folder again if something has removed it, or its lock file; hold the lock.

        Jobs whose files were removed, too, are forgotten.
        """
        lock = self._lock_file
        if self._folder is None or lock is None:
            return
        self._lock_file = reopened(self._folder, lock)
        if self._lock_file is lock:
            return
        lost = [job_id for job_id in self._jobs if not self.path(job_id, STATE).exists()]
        for job_id in lost:
            del self._jobs[job_id]
            self._disk_use.forget(job_id)
        log.warning(EMPTIED, len(lost))

    def _write(self, job: Job) -> None:
        write_private(self.path(job.id, STATE), json.dumps(job.to_saved(), indent=1) + "\n")

    def _measure(self, job_id: str) -> None:
        """Count the bytes of an upload, and as many again for its result; hold the lock."""
        self._disk_use.set(job_id, 2 * self.path(job_id, UPLOAD).stat().st_size)

    def _measure_ended(self, job: Job) -> None:
        """Delete the upload of a job that has ended, and count the bytes of its result."""
        n_bytes = self.path(job.id, RESULT).stat().st_size if job.state == DONE else 0
        self.path(job.id, UPLOAD).unlink(missing_ok=True)
        self._disk_use.set(job.id, n_bytes)

    def _read_all(self, folder: Path) -> None:
        """Read all jobs, and remove what killed servers left; all else stays as it is."""
        for path in folder.iterdir():
            if not ID.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
                continue
            try:
                self._read(path)
            except (OSError, ValueError) as error:
                self._jobs.pop(path.name, None)
                self._disk_use.forget(path.name)
                self._disk_use.add_folder(path)
                reason = (isinstance(error, OSError) and error.strerror) or error
                log.warning(UNREADABLE, path.name[:SHOWN], reason)

    def _read(self, path: Path) -> None:
        """Read one job, or delete what a killed server has left of it.

        Raises OSError or ValueError for a folder that cannot be read, or is not that of a job.
        """
        if not (path / STATE).exists():
            if not remove_leftover(path):
                raise ValueError(f"it has no {STATE}")
            return
        job = Job.from_saved(json.loads((path / STATE).read_text(encoding="utf-8")))
        if job.id != path.name:
            raise ValueError("its id is not that of its folder")
        self._jobs[job.id] = job
        if job.has_ended:
            self._measure_ended(job)
        else:
            self._measure(job.id)
        remove_partial_files(path, job)
        if job.state == RUNNING:
            self._recover(job)

    def _recover(self, job: Job) -> None:
        """Queue a job again that was running when a former server was killed.

        After MAX_CRASHES such ends, the job fails instead. A new state that cannot be written to
        the disk is kept in memory.
        """
        job = dataclasses.replace(job.restarted(), crashes=job.crashes + 1)
        if job.crashes >= MAX_CRASHES:
            log.error("The job of request %s fails: the server ended while it ran.", job.request_id)
            problem = json.loads(ProblemError("failed", CRASHED).to_json(job.request_id))
            job = dataclasses.replace(job, state=FAILED, ended=time.time(), problem=problem)
        try:
            changes = {key: getattr(job, key) for key in ("state", "crashes", "ended", "problem")}
            self.update(job.id, **changes)
        except OSError:
            log.exception("The state of the job of request %s cannot be saved.", job.request_id)
            self._jobs[job.id] = job
