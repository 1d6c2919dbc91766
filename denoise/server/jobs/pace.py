"""How long a running job may take, and when it stops or yields its worker to requests."""

from collections.abc import Callable

from denoise.server.concurrency import JobWorker
from denoise.server.limits import Deadline, round_up_to_milliseconds
from denoise.server.problems import ProblemError


class Pace(Deadline):
    """A deadline that moves with the work: each second of audio and channel adds a second to it.

    The time for which the job yields its worker to requests does not count.
    """

    def __init__(self, seconds: float, worker: JobWorker, interrupt: Callable[[], None]) -> None:
        """Start with `seconds`; `interrupt` raises an exception once the job has to end."""
        super().__init__(seconds)
        self._base, self._channel_seconds = seconds, 0.0
        self._worker, self._interrupt = worker, interrupt

    def count(self, channel_seconds: float) -> None:
        """Move the deadline; `channel_seconds` is the audio done so far, summed over channels."""
        self._channel_seconds = channel_seconds
        self.seconds = self._base + channel_seconds

    def check(self) -> None:
        """Let waiting requests go first; raises ProblemError once the deadline has passed."""
        self._interrupt()
        self._started += self._worker.make_way()
        super().check()

    def to_problem(self) -> ProblemError:
        """Return the error for a job that has missed the deadline."""
        detail = f"The job was stopped. A job may take {self._base:g} s, plus the seconds of audio "
        detail += f"that it has read, summed over channels: {self._channel_seconds:g} s so far."
        actual = round_up_to_milliseconds(self.seconds_elapsed)
        return ProblemError("too-slow", detail, round(self.seconds, 3), actual)
