"""How many jobs the folder for jobs holds and how many bytes they take, and whether more fit in."""

import os
from contextlib import suppress
from pathlib import Path

from denoise.server.limits import Limits
from denoise.server.problems import ProblemError

FULL_RETRY_SECONDS = 60


class DiskUse:
    """Counts the jobs and their bytes; the caller holds a lock."""

    def __init__(self, limits: Limits) -> None:
        """Start without jobs."""
        self._limits = limits
        self._n_bytes: dict[str, int] = {}  # by id, also of uploads that are still being saved
        self._others: set[Path] = set()

    @property
    def n_bytes(self) -> int:
        """Return the bytes of all jobs, and of the other folders that count."""
        return sum(self._n_bytes.values()) + sum(map(_measure, self._others))

    def set(self, job_id: str, n_bytes: int) -> None:
        """Count a job with so many bytes from now on."""
        self._n_bytes[job_id] = n_bytes

    def forget(self, job_id: str) -> None:
        """Count a job no longer."""
        self._n_bytes.pop(job_id, None)

    def add_folder(self, folder: Path) -> None:
        """Count a folder that is not that of a known job, for as long as it exists.

        The server could not read it, or not delete it. Like a job, it occupies the disk.
        """
        self._others.add(folder)

    def check_room(self, n_bytes: int) -> None:
        """Raise ProblemError where a new job with an upload of `n_bytes` would exceed a limit."""
        self._others = {folder for folder in self._others if folder.exists()}
        limits, headers = self._limits, {"Retry-After": str(FULL_RETRY_SECONDS)}
        n_jobs = len(self._n_bytes) + len(self._others) + 1
        total = self.n_bytes + 2 * n_bytes
        advice = "Delete jobs that you do not need any more, or try again later."
        if self._others:
            advice += f" They include {len(self._others)} that could not be read or deleted."
        if n_jobs > limits.jobs:
            detail = f"The server keeps at most {limits.jobs} jobs. {advice}"
            raise ProblemError("jobs-full", detail, limits.jobs, n_jobs, headers)
        if total > limits.jobs_bytes:
            detail = f"The server keeps at most {limits.jobs_bytes} bytes of jobs, and each new "
            detail += f"job counts twice, for its result. {advice}"
            raise ProblemError("jobs-full", detail, limits.jobs_bytes, total, headers)


def _measure(folder: Path) -> int:
    """Return the bytes of the files in a folder and its subfolders, as far as they can be read."""
    n_bytes = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                n_bytes += (Path(place) / name).lstat().st_size
    return n_bytes
