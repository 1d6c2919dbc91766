"""One job: its state as it is saved on the disk, and as clients see it."""

import dataclasses
import time
from dataclasses import asdict, dataclass
from typing import Any

from denoise.inference.file_denoiser import Options
from denoise.server.audio_response import Description

QUEUED, RUNNING, DONE, FAILED = STATES = ("queued", "running", "done", "failed")
STATE, UPLOAD, RESULT = "job.json", "in", "out"  # the files of a job
PATH = "/v1/jobs"
NOT_SAVED = ("share", "seconds_done")


@dataclass(frozen=True)
class Job:
    """A recording that is denoised in the background.

    Times are seconds since 1970. `request_id` is that of the request that made the job, `name` the
    client's file name. `crashes` counts how often the server was killed while the job ran. `share`
    is the part that is done, from 0 to 1; it is None before the job runs, and if the length of the
    recording is not known. `problem` has the keys of application/problem+json; `result` describes
    the finished recording.
    """

    id: str
    request_id: str
    name: str
    options: Options
    created: float
    state: str = QUEUED
    crashes: int = 0
    ended: float | None = None
    share: float | None = None
    seconds_done: float = 0.0
    problem: dict[str, Any] | None = None
    result: Description | None = None

    @property
    def has_ended(self) -> bool:
        """Tell whether the job is done or has failed."""
        return self.state in (DONE, FAILED)

    def restarted(self) -> "Job":
        """Return the job as it was before it ran."""
        return dataclasses.replace(self, state=QUEUED, share=None, seconds_done=0.0)

    def to_saved(self) -> dict[str, Any]:
        """Return everything but the progress as JSON values."""
        return {key: value for key, value in asdict(self).items() if key not in NOT_SAVED}

    @staticmethod
    def from_saved(tree: Any) -> "Job":
        """Undo `to_saved`; raises ValueError for anything else."""
        try:
            result = tree["result"] and Description(**tree["result"])
            job = Job(**{**tree, "options": Options(**tree["options"]), "result": result})
            if job.result is not None:
                job = dataclasses.replace(job, share=1.0, seconds_done=job.result.seconds)
            job.to_json(seconds_kept=0), job.crashes + 1  # these raise for values of other types
        except (AttributeError, KeyError, OverflowError, TypeError) as error:
            raise ValueError(f"not a job: {error}") from error
        present = (job.ended is not None, job.result is not None, job.problem is not None)
        if job.state not in STATES or present != (job.has_ended, *_needs(job.state)):
            raise ValueError(f"not a job: its state is {job.state!r}")
        return job

    def to_json(self, seconds_kept: float) -> dict[str, Any]:
        """Return what clients see; an ended job is deleted after `seconds_kept`."""
        own = f"{PATH}/{self.id}"
        return {
            "id": self.id,
            "state": self.state,
            "progress": self.share if self.share is None else round(self.share, 4),
            "seconds_done": round(self.seconds_done, 3),
            "created": _format(self.created),
            "ended": _format(self.ended),
            "expires": _format(self.ended and self.ended + seconds_kept),
            "problem": self.problem,
            "url": own,
            "events": f"{own}/events",
            "result": f"{own}/result" if self.state == DONE else None,
        }


def _needs(state: str) -> tuple[bool, bool]:
    """Tell whether a job in this state has a result, and whether it has a problem."""
    return state == DONE, state == FAILED


def _format(moment: float | None) -> str | None:
    """Return a time as text in UTC, to the second (RFC 3339)."""
    return None if moment is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
