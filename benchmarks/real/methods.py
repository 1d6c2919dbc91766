"""Choose the methods by command line options, and remove the delay of each."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.cost import name_and_path
from benchmarks.methods import NOISY, OURS, Method
from benchmarks.real.onnx_peers import RATE as ONNX_RATE
from benchmarks.real.onnx_peers import load_onnx
from benchmarks.real.peers import PEERS
from benchmarks.rnnoise import Filter, find_delay, without_delay
from denoise.dsp.audio import Waveform, resample
from denoise.errors import DenoiseError

NO_PEERS = "none"
FILTERS = {"wiener": "Wiener filter", "log_mmse": "log-MMSE"}


class AlignedDenoiser:
    """A filter at its own rate, for waveforms at `sample_rate`, with its delay removed.

    `delay` is in samples at the filter's rate: the median over the clean clips in `speech`, float32
    at `sample_rate`; 0 without any.
    """

    def __init__(
        self, filter_: Filter, rate: int, sample_rate: int, speech: Sequence[Waveform]
    ) -> None:
        self._filter, self._rate, self._sample_rate = filter_, rate, sample_rate
        clips = [resample(clip, sample_rate, rate) for clip in speech]
        delays = [find_delay(filter_, clip, rate) for clip in clips]
        self.delay = int(np.median(delays)) if delays else 0

    @property
    def delay_ms(self) -> float:
        """Return the delay in milliseconds."""
        return 1000 * self.delay / self._rate

    def denoise(self, noisy: Waveform) -> Waveform:
        """Denoise float32 [n_samples]; the result is aligned with it and has its length."""
        resampled = resample(noisy, self._sample_rate, self._rate)
        aligned = without_delay(self._filter, self.delay)(resampled)
        result = resample(aligned, self._rate, self._sample_rate)
        return np.pad(result, (0, max(0, len(noisy) - len(result))))[: len(noisy)]

    def __call__(self, noisy: Waveform, clean: Waveform) -> Waveform:
        """Denoise a batch, float32 [batch, n_samples]."""
        return np.stack([self.denoise(waveform) for waveform in noisy])


def add_method_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the methods."""
    add = parser.add_argument
    add(
        "--ours",
        type=Path,
        default=Path("general/models/denoiser.onnx"),
        metavar="MODEL",
        help="our model: an ONNX file or a saved model",
    )
    add(
        "--model",
        action="append",
        default=[],
        type=name_and_path,
        metavar="NAME=MODEL",
        help="a further model of ours; may be repeated",
    )
    add(
        "--peers",
        nargs="+",
        default=list(PEERS),
        choices=[*PEERS, NO_PEERS],
        metavar="PEER",
        help=f"denoisers of the package index: {', '.join(PEERS)}; or {NO_PEERS}",
    )
    add(
        "--onnx",
        action="append",
        default=[],
        type=_name_and_files,
        metavar="NAME=FILE[,FILE]",
        help="a denoiser of another project, from one or two ONNX files; may be repeated",
    )


def _name_and_files(text: str) -> tuple[str, tuple[Path, ...]]:
    name, path = name_and_path(text)
    return name, tuple(Path(part) for part in str(path).split(","))


def method_options(options: argparse.Namespace) -> list[str]:
    """Return the command line options that choose the same methods in another process."""
    models = [part for name, path in options.model for part in ("--model", f"{name}={path}")]
    onnx = [
        part
        for name, files in options.onnx
        for part in ("--onnx", f"{name}={','.join(map(str, files))}")
    ]
    return ["--ours", str(options.ours), *models, *onnx, "--peers", *options.peers]


def list_methods(options: argparse.Namespace, speech: Sequence[Waveform] = ()) -> list[Method]:
    """List the noisy input, the filters, the peers and our models; ours is the last one.

    The delays are measured on the clean clips in `speech`. Raises DenoiseError for a name that is
    used twice.
    """
    peers = [PEERS[name] for name in options.peers if name != NO_PEERS]

    def at_any_rate(name: str, label: str, load: Callable[[int], Filter]) -> Method:
        return Method(name, label, lambda rate: AlignedDenoiser(load(rate), rate, rate, speech))

    def at_own_rate(name: str, label: str, own_rate: int, load: Callable[[], Filter]) -> Method:
        return Method(name, label, lambda rate: AlignedDenoiser(load(), own_rate, rate, speech))

    methods = [
        NOISY,
        *(at_any_rate(name, label, partial(_load_filter, name)) for name, label in FILTERS.items()),
        *(at_own_rate(peer.name, peer.label, peer.rate, peer.load) for peer in peers),
        *(
            at_own_rate(name, name, ONNX_RATE, partial(load_onnx, files))
            for name, files in options.onnx
        ),
        *(at_any_rate(name, name, partial(_load_model, path)) for name, path in options.model),
        at_any_rate(OURS, "ours", partial(_load_model, options.ours)),
    ]
    names = [method.name for method in methods]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DenoiseError(f"{repeated[0]} names two methods. Choose another name.")
    return methods


def _load_filter(name: str, sample_rate: int) -> Filter:
    from denoise.dsp import statistical_filters

    return partial(getattr(statistical_filters, name), sample_rate=sample_rate)


def _load_model(path: Path, sample_rate: int) -> Filter:
    from denoise.inference.denoiser import Denoiser

    return partial(Denoiser.load(path).denoise, sample_rate=sample_rate)
