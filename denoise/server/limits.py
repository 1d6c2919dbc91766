"""The limits of one request, and its deadline; and the limits of all jobs."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from denoise.dsp import formats
from denoise.dsp.audio import MAX_CHANNELS, RATES, out_of_range
from denoise.server.accepted_formats import list_extensions
from denoise.server.problems import ProblemError
from denoise.util.cores import count_cores

MIB = 2**20
HOUR_SECONDS = 3600


def round_up_to_milliseconds(seconds: float) -> float:
    """Round seconds up to milliseconds, so that a reported excess is never below its limit."""
    return math.ceil(round(1000 * seconds, 6)) / 1000


@dataclass(frozen=True)
class Limits:
    """The limits of each request, the number of workers, and the length of the queue.

    At most `workers` requests are processed at a time, and at most `queue` more wait.
    `channel_seconds` is the duration of the audio times its number of channels. At most `jobs` jobs
    with `jobs_bytes` are kept, each for `job_hours` after it has ended.
    """

    body_bytes: int = 1024 * MIB  # an hour of 48 kHz, 24 bits, in stereo
    channel_seconds: float = 7200.0  # an hour in stereo
    channels: int = MAX_CHANNELS
    deadline_seconds: float = 900.0
    workers: int = field(default_factory=count_cores)
    queue: int = 4
    jobs: int = 100
    jobs_bytes: int = 10 * 1024 * MIB
    job_hours: float = 24.0

    @property
    def job_seconds(self) -> float:
        """Return for how many seconds a job is kept after it has ended."""
        return self.job_hours * HOUR_SECONDS

    def to_json(self) -> dict[str, Any]:
        """Return the limits and the formats that are read and written as JSON values.

        `minutes` has the longest duration by number of channels.
        """
        minutes = {str(each): self.minutes(each) for each in range(1, self.channels + 1)}
        rates = {"min_sample_rate": RATES[0], "max_sample_rate": RATES[1]}
        read_and_written = {"reads": list_extensions(), "formats": list(formats.CHOICES)}
        return {**asdict(self), "minutes": minutes, **rates, **read_and_written}

    def minutes(self, channels: int) -> float:
        """Return how many minutes a recording with this many channels may last."""
        return round(self.channel_seconds / channels / 60, 3)

    def describe(self) -> str:
        """Return a sentence about the largest recording that is accepted."""
        text = f"At most {self.body_bytes / MIB:g} MiB, and {self.minutes(1):g} minutes of one "
        return (
            f"{text}channel or {self.minutes(2):g} minutes of two; GET /v1/limits has all limits."
        )

    def check_format(self, sample_rate: int, channels: int) -> None:
        """Raise ProblemError for a sample rate or a number of channels out of range."""
        if excess := out_of_range(sample_rate, channels, self.channels):
            raise ProblemError("bad-audio", *excess)

    def is_short_enough(self, n_samples: int, sample_rate: int, channels: int) -> bool:
        """Tell whether audio of this many samples per channel is within `channel_seconds`."""
        return n_samples * channels / sample_rate <= self.channel_seconds

    def check_length(self, n_samples: int, sample_rate: int, channels: int) -> None:
        """Raise ProblemError where the decoded audio is longer than `channel_seconds`."""
        if self.is_short_enough(n_samples, sample_rate, channels):
            return
        minutes = self.minutes(channels)
        kind = "one channel" if channels == 1 else f"{channels} channels"
        detail = f"A recording with {kind} may last {minutes:g} minutes, and this one is longer. "
        detail += "Send shorter pieces" + (" or fewer channels." if channels > 1 else ".")
        actual = round_up_to_milliseconds(n_samples * channels / sample_rate)
        numbers = {"limit_minutes": minutes}
        raise ProblemError("too-long", detail, self.channel_seconds, actual, further=numbers)


class Deadline:
    """The time by which a request must be finished, unless its client is gone before."""

    def __init__(self, seconds: float, is_gone: Callable[[], bool] = lambda: False) -> None:
        """Set the deadline `seconds` from now; `is_gone` tells whether the client is gone."""
        self.seconds, self._is_gone = seconds, is_gone
        self._started = time.monotonic()

    @property
    def seconds_elapsed(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the deadline, 0 or more."""
        return max(0.0, self.seconds - self.seconds_elapsed)

    def check(self) -> None:
        """Raise ProblemError once the deadline has passed or the client is gone."""
        if self._is_gone():
            raise ProblemError(
                "client-gone", "Nobody waits for the result, so the work was stopped."
            )
        if self.seconds_left == 0:
            raise self.to_problem()

    def to_problem(self) -> ProblemError:
        """Return the error for a request that has missed the deadline."""
        detail = f"The request was not finished within {self.seconds:g} s and was stopped. "
        detail += "Send shorter audio."
        actual = round_up_to_milliseconds(self.seconds_elapsed)
        return ProblemError("too-slow", detail, self.seconds, actual)
