"""What inference must know of a network beside its weights, and how an ONNX file carries it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from denoise.params import SpectrogramParams
from denoise.schema import build

FORMAT = 2
METADATA_KEY = "denoise"
PHASE_ITERATIONS = 3  # with more iterations, the phases adapt to the masks' errors


@dataclass(frozen=True)
class NetworkSpec:
    """The spectrograms that a network takes, and its receptive field.

    A frame's mask depends on no frame more than `receptive_field_frames` before it, and on no frame
    more than `lookahead_frames` after it: as many, or none if the network is causal. The network
    takes `stride` frames at once, which see each other. So where a chunk starts does not change its
    masks, as long as it is a multiple of `stride` frames.
    """

    sample_rate: int
    spectrogram: SpectrogramParams
    receptive_field_frames: int
    stride: int
    causal: bool = False
    frame_shifts: int = 1
    """On how many grids of frames the network runs, each shifted by a part of a hop."""
    mask_power: float = 1.0
    """The power to which the network's masks are raised; above 1 they remove more noise."""

    @property
    def lookahead_frames(self) -> int:
        """Frames after a frame that its mask depends on at most."""
        return 0 if self.causal else self.receptive_field_frames

    @property
    def margin_frames(self) -> int:
        """Frames of context that a block needs before it, a multiple of `stride`."""
        return self._round_up(self.receptive_field_frames)

    @property
    def lookahead_margin_frames(self) -> int:
        """Frames of context that a block needs after it, a multiple of `stride`."""
        return self._round_up(self.lookahead_frames)

    def _round_up(self, n_frames: int) -> int:
        return self.stride * -(-n_frames // self.stride)


MaskFunction = Callable[..., np.ndarray]
"""Maps float32 [batch, n_frames, n_bins, 2] to masks, float32 [batch, n_frames, n_bins]. Where it
drops context, it also takes how many of the first and of the last frames are context, two integers,
and returns the masks of the others."""


@dataclass(frozen=True)
class MaskNetwork:
    """A network, and how inference runs it.

    `mask` may drop context on the way (`drops_context`), which saves what the context's masks would
    cost.

    A causal network may have `start`, which begins a recording: it returns a function that takes
    the recording piece by piece, and needs no frames before a piece. All pieces but the last have a
    multiple of `spec.stride` frames.

    `phase_iterations` is how often the phases of what it denoises are refined.
    """

    mask: MaskFunction
    spec: NetworkSpec
    drops_context: bool = False
    start: Callable[[], MaskFunction] | None = None
    phase_iterations: int = 0

    def inner_masks(self, stft: np.ndarray, n_before: int = 0, n_after: int = 0) -> np.ndarray:
        """Return the masks of all frames but the first `n_before` and the last `n_after`."""
        if self.drops_context:
            return self.mask(stft, n_before, n_after)
        return self.mask(stft)[:, n_before : stft.shape[1] - n_after]

    def wrapped(self, wrap: Callable[[MaskFunction], MaskFunction]) -> "MaskNetwork":
        """Return the network with `wrap` applied to each function that computes masks."""
        start = self.start
        return replace(
            self, mask=wrap(self.mask), start=None if start is None else lambda: wrap(start())
        )


def with_frame_shifts(network: MaskNetwork, n_shifts: int) -> MaskNetwork:
    """Return a network that runs on `n_shifts` grids of frames, each shifted by a part of a hop.

    Its frames are as many times closer together, and each mask still sees frames a whole hop apart.
    Overlap-add averages what the grids give, each weighted with its windows. That is a little
    better than one grid and takes `n_shifts` times the time. Phases are refined where these frames
    allow it. Raises ValueError if `n_shifts` does not divide the hop.
    """
    spec, start = network.spec, network.start
    if n_shifts == 1:
        return with_refined_phases(network)
    hop_length, remainder = divmod(spec.spectrogram.hop_length, n_shifts)
    if remainder:
        raise ValueError(f"A hop of {spec.spectrogram.hop_length} is no multiple of {n_shifts}.")
    closer = replace(
        spec,
        spectrogram=replace(spec.spectrogram, hop_length=hop_length),
        receptive_field_frames=spec.receptive_field_frames * n_shifts,
        stride=spec.stride * n_shifts,
        frame_shifts=1,
    )
    on_grids = MaskNetwork(
        _on_grids([network.inner_masks] * n_shifts),
        closer,
        drops_context=True,
        start=None if start is None else lambda: _on_grids([start() for _ in range(n_shifts)]),
    )
    return with_refined_phases(on_grids)


def with_refined_phases(network: MaskNetwork) -> MaskNetwork:
    """Return a network whose phases are refined, if it is not causal and its frames overlap enough.

    They must overlap by three quarters: phases of frames that overlap less contradict each other
    too little. A causal network would have to wait for later frames.
    """
    spectrogram = network.spec.spectrogram
    if network.spec.causal or 4 * spectrogram.hop_length > spectrogram.win_length:
        return network
    return replace(network, phase_iterations=PHASE_ITERATIONS)


def _on_grids(grid_masks: Sequence[MaskFunction]) -> MaskFunction:
    """Return a function that computes the masks of all frames from functions for one grid each.

    Of n grids, each has every n-th frame. They are computed one after the other, since the memory
    that a network takes grows with its input.
    """
    n_grids = len(grid_masks)

    def masks_of(stft: np.ndarray, n_before: int = 0, n_after: int = 0) -> np.ndarray:
        n_frames, end = stft.shape[1], stft.shape[1] - n_after
        masks = np.empty((len(stft), end - n_before, stft.shape[2]), np.float32)
        for first, mask in enumerate(grid_masks[:n_frames]):
            frames = np.arange(first, n_frames, n_grids)
            inner = frames[(frames >= n_before) & (frames < end)]
            if len(inner):
                context = int((frames < n_before).sum()), int((frames >= end).sum())
                grid = np.ascontiguousarray(stft[:, frames])
                # functions that keep past frames take no context, and get none
                masks[:, inner - n_before] = mask(grid, *context) if any(context) else mask(grid)
        return masks

    return masks_of


def with_mask_power(network: MaskNetwork, power: float) -> MaskNetwork:
    """Return a network whose masks are those of `network` raised to a power.

    A mask is 1 where there is speech alone, and stays 1. The smaller it is, the more dB are added
    to what it removes.
    """
    if power == 1:
        return network

    def raised(mask: MaskFunction) -> MaskFunction:
        return lambda *stft_and_context: mask(*stft_and_context) ** np.float32(power)

    return replace(network.wrapped(raised), spec=replace(network.spec, mask_power=1.0))


def to_metadata(spec: NetworkSpec) -> dict[str, str]:
    """Return a network's spec as the metadata of an ONNX file.

    Keys with their default value are left out, so that new ones do not change existing files.
    """
    defaults = {field.name: field.default for field in fields(spec)}
    description = {k: v for k, v in asdict(spec).items() if v != defaults[k]}
    return {METADATA_KEY: json.dumps({"format": FORMAT, **description}, sort_keys=True)}


def from_metadata(metadata: Mapping[str, str]) -> NetworkSpec:
    """Read a network's spec; raises ValueError where the metadata hold none of this format."""
    description = json.loads(metadata.get(METADATA_KEY, "null"))
    if not isinstance(description, dict) or description.pop("format", None) != FORMAT:
        raise ValueError(f"it holds no {METADATA_KEY} metadata of format {FORMAT}")
    spec: NetworkSpec = build(NetworkSpec, description)
    return spec
