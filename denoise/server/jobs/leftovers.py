"""Deletes what killed servers have left of jobs, but no file that may be the user's own."""

import re
from pathlib import Path

from denoise.server.jobs.job import DONE, RESULT, STATE, UPLOAD, Job

_PARTIAL = re.compile(rf"\.({re.escape(STATE)}|{UPLOAD}|{RESULT})\.[0-9a-f]+\.partial")


def remove_leftover(folder: Path) -> bool:
    """Delete a folder without a state if it is what a killed server has left; tell whether it is.

    The server was killed while it created or deleted the job. So the folder contains nothing but an
    upload, a result and half-written files. Raises OSError where it cannot be read or deleted.
    """
    files = list(folder.iterdir())
    if not all(file.name in (UPLOAD, RESULT) or _is_partial(file) for file in files):
        return False
    for file in files:
        file.unlink()
    folder.rmdir()
    return True


def remove_partial_files(folder: Path, job: Job) -> None:
    """Delete the half-written files of a job; these include the result unless the job is done."""
    for file in folder.iterdir():
        if _is_partial(file) or (file.name == RESULT and job.state != DONE):
            file.unlink()


def _is_partial(file: Path) -> bool:
    return _PARTIAL.fullmatch(file.name) is not None
