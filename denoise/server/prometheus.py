"""What the server counts, in Prometheus' text format."""

import threading
from collections import Counter

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
HELP = {
    "requests_total": ("counter", "Requests answered, by route and status."),
    "request_seconds": ("summary", "Seconds to an answer, by route, waiting included."),
    "audio_seconds_total": ("counter", "Seconds of audio that were worked on."),
    "busy_total": ("counter", "Requests refused because all places were taken."),
    "in_flight": ("gauge", "Requests being answered."),
    "places_taken": ("gauge", "Requests that are worked on, or wait for it."),
}


class ServerMetrics:
    """Counters that many threads share."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, float] = {}
        self._totals = {"audio_seconds_total": 0.0, "busy_total": 0, "in_flight": 0}

    def add(self, name: str, amount: float = 1) -> None:
        """Add to one of the totals."""
        with self._lock:
            self._totals[name] += amount

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer; `route` is one of the table's, so that there are few."""
        with self._lock:
            self._requests[route, status] += 1
            self._seconds[route] = self._seconds.get(route, 0.0) + seconds

    def to_text(self, places_taken: int) -> str:
        """Return all of it, and how many places are taken now."""
        with self._lock:
            families = {name: {"": total} for name, total in self._totals.items()}
            families["places_taken"] = {"": places_taken}
            families["requests_total"] = {
                f'{{route="{route}",status="{status}"}}': count
                for (route, status), count in sorted(self._requests.items())
            }
            families["request_seconds"] = self._summary()
        return "".join(_family(name, families[name]) for name in HELP)

    def _summary(self) -> dict[str, float]:
        samples: dict[str, float] = {}
        for route, seconds in sorted(self._seconds.items()):
            count = sum(n for (other, _), n in self._requests.items() if other == route)
            samples[f'_sum{{route="{route}"}}'] = seconds
            samples[f'_count{{route="{route}"}}'] = count
        return samples


def _family(name: str, samples: dict[str, float]) -> str:
    kind, text = HELP[name]
    full = f"denoise_{name}"
    lines = [f"# HELP {full} {text}", f"# TYPE {full} {kind}"]
    lines += [f"{full}{label} {value:.10g}" for label, value in samples.items()]
    return "\n".join(lines) + "\n"
