"""What inference must know of a network beside its weights, and how an ONNX file carries it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from denoise.params import SpectrogramParams
from denoise.schema import build

FORMAT = 2
METADATA_KEY = "denoise"


@dataclass(frozen=True)
class NetworkSpec:
    """The spectrograms that a network takes, and its receptive field.

    A frame's mask depends on no frame more than `receptive_field_frames` away. Where a chunk
    starts does not change its masks, as long as it is a multiple of `stride` frames.
    """

    sample_rate: int
    spectrogram: SpectrogramParams
    receptive_field_frames: int
    stride: int

    @property
    def margin_frames(self) -> int:
        """Frames of context that a block needs on each side, a multiple of `stride`."""
        return self.stride * -(-self.receptive_field_frames // self.stride)


@dataclass(frozen=True)
class MaskNetwork:
    """A network: `mask` maps float32 [batch, n_frames, n_bins, 2] to [batch, n_frames, n_bins]."""

    mask: Callable[[np.ndarray], np.ndarray]
    spec: NetworkSpec


def to_metadata(spec: NetworkSpec) -> dict[str, str]:
    """Return a network's spec as the metadata of an ONNX file."""
    return {METADATA_KEY: json.dumps({"format": FORMAT, **asdict(spec)}, sort_keys=True)}


def from_metadata(metadata: Mapping[str, str]) -> NetworkSpec:
    """Read a network's spec; raises ValueError where the metadata hold none of this format."""
    description = json.loads(metadata.get(METADATA_KEY, "null"))
    if not isinstance(description, dict) or description.pop("format", None) != FORMAT:
        raise ValueError(f"it holds no {METADATA_KEY} metadata of format {FORMAT}")
    spec: NetworkSpec = build(NetworkSpec, description)
    return spec
