"""What all requests share."""

from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any

from denoise.network.spec import MaskNetwork
from denoise.server.concurrency import WorkQueue
from denoise.server.host_check import Hosts
from denoise.server.limits import Limits
from denoise.server.prometheus import ServerMetrics


@dataclass
class ServerContext:
    """All that requests share; `is_stopping` refuses new work."""

    network: MaskNetwork
    limits: Limits
    token: str | None = None
    hosts: Hosts = field(default_factory=Hosts)
    is_stopping: Event = field(default_factory=Event)
    meters: ServerMetrics = field(default_factory=ServerMetrics)
    slots: WorkQueue = field(init=False)

    def __post_init__(self) -> None:
        """Make the slots that the limits ask for."""
        self.slots = WorkQueue(self.limits.slots, self.limits.queue)

    def describe_network(self) -> dict[str, Any]:
        """Return the network's form as JSON has it."""
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
