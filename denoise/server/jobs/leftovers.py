"""What killed servers leave in the folder for jobs; all that may be the user's own stays."""

import re
from pathlib import Path

from denoise.server.jobs.job import DONE, RESULT, STATE, UPLOAD, Job

_PARTIAL = re.compile(rf"\.({re.escape(STATE)}|{UPLOAD}|{RESULT})\.[0-9a-f]+\.partial")


def remove_leftover(folder: Path) -> bool:
    """Delete the folder of a job that was never complete, or is half deleted; tell whether it is.

    Such a folder has no state, and nothing but an upload, a result and files that are half written.
    Raises OSError where it cannot be read or deleted.
    """
    files = list(folder.iterdir())
    if not all(file.name in (UPLOAD, RESULT) or _is_partial(file) for file in files):
        return False
    for file in files:
        file.unlink()
    folder.rmdir()
    return True


def remove_partial_files(folder: Path, job: Job) -> None:
    """Delete what is half written in a job's folder: also the result, unless the job is done."""
    for file in folder.iterdir():
        if _is_partial(file) or (file.name == RESULT and job.state != DONE):
            file.unlink()


def _is_partial(file: Path) -> bool:
    return _PARTIAL.fullmatch(file.name) is not None
