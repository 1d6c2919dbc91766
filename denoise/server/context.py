"""The objects that all requests share."""

from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any

from denoise.network.spec import MaskNetwork
from denoise.server.concurrency import WorkQueue
from denoise.server.cross_origin import Origins
from denoise.server.host_check import Hosts
from denoise.server.limits import Limits
from denoise.server.prometheus import ServerMetrics


@dataclass
class ServerContext:
    """The objects that all requests share; once `is_stopping` is set, new work is refused."""

    network: MaskNetwork
    limits: Limits
    token: str | None = None
    hosts: Hosts = field(default_factory=Hosts)
    origins: Origins = field(default_factory=Origins)
    is_stopping: Event = field(default_factory=Event)
    work_queue: WorkQueue = field(init=False)
    metrics: ServerMetrics = field(init=False)

    def __post_init__(self) -> None:
        """Create the work queue that the limits describe, and the metrics, all at zero."""
        self.work_queue = WorkQueue(self.limits.workers, self.limits.queue)
        self.metrics = ServerMetrics(lambda: self.work_queue.size)

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
