"""The metrics of the server, as GET /metrics shows them to Prometheus."""

from collections.abc import Callable
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from denoise.server.jobs.job import STATES

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what generate_latest writes
BUCKETS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    20,
    30,
    60,
    120,
    300,
    900,
)  # seconds

disable_created_metrics()  # the time at which each series began, which nothing here needs


class ServerMetrics:
    """The metrics of one server in a registry of their own; threads may share them."""

    def __init__(self, get_queue_size: Callable[[], int]) -> None:
        """Create all metrics at zero; `get_queue_size` is called at each scrape."""
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "denoise_requests_total",
            "Answered requests, by route and status.",
            ["route", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "denoise_request_seconds",
            "Seconds from request to answer, including the time in the queue, by route.",
            ["route"],
            registry=registry,
            buckets=BUCKETS,
        )
        self.audio_seconds = Counter(
            "denoise_audio_seconds_total", "Seconds of processed audio.", registry=registry
        )
        self.busy_responses = Counter(
            "denoise_busy_responses_total",
            "Requests refused because the queue was full.",
            registry=registry,
        )
        self.requests_in_flight = Gauge(
            "denoise_requests_in_flight", "Requests not answered yet.", registry=registry
        )
        Gauge(
            "denoise_work_queue_size",
            "Requests and jobs that process audio or wait for a worker.",
            registry=registry,
        ).set_function(get_queue_size)

        self._ended_jobs = Counter(
            "denoise_ended_jobs_total",
            "Jobs that have ended: done, failed, or deleted before.",
            ["outcome"],
            registry=registry,
        )

    def watch_jobs(self, count: Callable[[str], int], get_bytes: Callable[[], int]) -> None:
        """Show the jobs on the disk; both functions are called at each scrape.

        `count` returns the number of jobs in a state, `get_bytes` the bytes of all jobs.
        """
        jobs = Gauge(
            "denoise_jobs", "Jobs that are kept, by state.", ["state"], registry=self._registry
        )
        for state in STATES:
            jobs.labels(state).set_function(partial(count, state))
        Gauge(
            "denoise_jobs_bytes",
            "Bytes of all jobs, and as many again for the results of unfinished ones.",
            registry=self._registry,
        ).set_function(get_bytes)

    def count_job(self, outcome: str) -> None:
        """Count a job that has ended: `done`, `failed`, or `deleted` before."""
        self._ended_jobs.labels(outcome).inc()

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is a path of the route table, so values are few."""
        self._requests.labels(route, status).inc()
        self._request_seconds.labels(route).observe(seconds)

    def to_text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
