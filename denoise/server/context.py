"""The objects that all requests share."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from denoise.network.spec import MaskNetwork
from denoise.server.concurrency import WorkQueue
from denoise.server.cross_origin import Origins
from denoise.server.host_check import Hosts
from denoise.server.jobs.runner import JobRunner
from denoise.server.jobs.store import JobStore
from denoise.server.limits import Limits
from denoise.server.problems import ProblemError
from denoise.server.prometheus import ServerMetrics
from denoise.server.request_files import RequestFiles


@dataclass
class ServerContext:
    """The objects that all requests share; once `is_stopping` is set, new work is refused.

    Jobs are kept in `jobs_folder`, and the files of requests in `requests_folder`. If these are
    None, the server creates folders with random names, and deletes them when it stops.
    """

    network: MaskNetwork
    limits: Limits
    token: str | None = None
    hosts: Hosts = field(default_factory=Hosts)
    origins: Origins = field(default_factory=Origins)
    jobs_folder: Path | None = None
    requests_folder: Path | None = None
    is_stopping: Event = field(default_factory=Event)
    work_queue: WorkQueue = field(init=False)
    metrics: ServerMetrics = field(init=False)
    jobs: JobRunner = field(init=False)
    request_files: RequestFiles = field(init=False)

    def __post_init__(self) -> None:
        """Create the work queue that the limits describe, metrics at zero, jobs and folders."""
        self.request_files = RequestFiles(self.requests_folder)
        self.work_queue = WorkQueue(self.limits.workers, self.limits.queue)
        self.metrics = ServerMetrics(lambda: self.work_queue.size)
        store = JobStore(self.jobs_folder, self.limits)
        self.metrics.watch_jobs(store.count, lambda: store.n_bytes)
        self.jobs = JobRunner(
            store, self.network, self.limits, self.work_queue, self.metrics, self.is_stopping
        )

    def refuse_if_stopping(self) -> None:
        """Raise ProblemError once the server accepts no new work."""
        if self.is_stopping.is_set():
            raise ProblemError("stopping", "The server accepts no new work.")

    def describe_network(self) -> dict[str, Any]:
        """Return the network's sample rate, STFT and receptive field as JSON values."""
        spec = self.network.spec
        receptive_field_seconds = (
            spec.receptive_field_frames * spec.spectrogram.hop_length / spec.sample_rate
        )
        return {
            "sample_rate": spec.sample_rate,
            "spectrogram": asdict(spec.spectrogram),
            "receptive_field_frames": spec.receptive_field_frames,
            "receptive_field_seconds": round(receptive_field_seconds, 6),
        }
