"""What all requests share."""

from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any

from denoise.server.hosts import Hosts
from denoise.server.limits import Limits
from denoise.server.meters import Meters
from denoise.server.slots import Slots
from denoise.streaming import MaskNetwork


@dataclass
class Service:
    """All that requests share; `is_stopping` refuses new work."""

    network: MaskNetwork
    limits: Limits
    token: str | None = None
    hosts: Hosts = field(default_factory=Hosts)
    is_stopping: Event = field(default_factory=Event)
    meters: Meters = field(default_factory=Meters)
    slots: Slots = field(init=False)

    def __post_init__(self) -> None:
        """Make the slots that the limits ask for."""
        self.slots = Slots(self.limits.slots, self.limits.queue)

    def describe_network(self) -> dict[str, Any]:
        """Return the network's form as JSON has it."""
        form = self.network.form
        context_seconds = form.context_frames * form.spectrogram.hop_length / form.sample_rate
        return {
            "sample_rate": form.sample_rate,
            "spectrogram": asdict(form.spectrogram),
            "context_frames": form.context_frames,
            "context_seconds": round(context_seconds, 6),
        }
