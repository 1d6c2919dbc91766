"""What one request may ask for, and how long it may take."""

import math
import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from denoise.dsp import formats
from denoise.dsp.audio import MAX_CHANNELS, RATES, out_of_range
from denoise.server.problems import ProblemError

MIB = 2**20


def count_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thousandths_up(seconds: float) -> float:
    """Return `seconds` rounded up, so that what was over a limit is told to be over it."""
    return math.ceil(round(1000 * seconds, 6)) / 1000


@dataclass(frozen=True)
class Limits:
    """The bounds of a request; `slots` run side by side, `queue` more wait."""

    body_bytes: int = 32 * MIB
    channel_seconds: float = 600.0
    channels: int = MAX_CHANNELS
    deadline_seconds: float = 60.0
    slots: int = field(default_factory=count_cores)
    queue: int = 4

    def to_json(self) -> dict[str, Any]:
        """Return the limits, and what is read and written, as JSON has them."""
        rates = {"least_sample_rate": RATES[0], "most_sample_rate": RATES[1]}
        return {**asdict(self), **rates, "formats": list(formats.CHOICES)}

    def check_form(self, sample_rate: int, channels: int) -> None:
        """Raise ProblemError for a rate or a number of channels out of range."""
        if excess := out_of_range(sample_rate, channels, self.channels):
            raise ProblemError("bad-audio", *excess)

    def check_length(self, n_samples: int, sample_rate: int, channels: int) -> None:
        """Raise ProblemError once more was decoded than `channel_seconds`."""
        seconds = n_samples * channels / sample_rate
        if seconds > self.channel_seconds:
            detail = f"At most {self.channel_seconds:g} s of audio are taken, all channels added up"
            detail += "; reading stopped there. Send shorter pieces, or fewer channels."
            raise ProblemError("too-long", detail, self.channel_seconds, thousandths_up(seconds))


class Deadline:
    """The end of the time that a request has."""

    def __init__(self, seconds: float) -> None:
        """Start now."""
        self.seconds = seconds
        self._started = time.monotonic()

    @property
    def spent(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Return the seconds that remain, 0 or more."""
        return max(0.0, self.seconds - self.spent)

    def check(self) -> None:
        """Raise ProblemError once the time is over."""
        if self.left == 0:
            raise self.problem()

    def problem(self) -> ProblemError:
        """Return what is told once the time is over."""
        detail = f"It was not done within {self.seconds:g} s; the work was stopped. Send less."
        return ProblemError("too-slow", detail, self.seconds, thousandths_up(self.spent))
