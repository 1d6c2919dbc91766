"""The rivals: each a function from noisy waveforms to cleaner ones, made when it is asked for.

A maker imports what its method needs, and nothing else, so that start-up and memory can be measured
method by method. What cannot be made raises DenoiseError, which says why.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from denoise.dsp.audio import Waveform
from denoise.dsp.stft import istft, magnitude, stft
from denoise.errors import DenoiseError
from denoise.params import SpectrogramParams

Cleaner = Callable[[Waveform, Waveform], Waveform]
"""(noisy [batch, n_samples], their common clean [n_samples]) -> [batch, n_samples].

Oracles alone look at the clean one."""

Blind = Callable[[Waveform, int], Waveform]
"""(noisy [n_samples], sample rate) -> [n_samples]"""

OURS = "ours"


@dataclass(frozen=True)
class Method:
    """One way of denoising; `make(sample_rate)` loads it.

    `is_usable` is False for what needs the clean speech, or does nothing; `is_timed` for that, and
    for what costs what another method costs.
    """

    name: str
    label: str
    make: Callable[[int], Cleaner]
    is_usable: bool = True
    is_timed: bool = True


def blind(denoise: Blind, sample_rate: int) -> Cleaner:
    """Lift a function of one waveform to a batch, deaf to the clean speech."""

    def clean_batch(noisy: Waveform, clean: Waveform) -> Waveform:
        return np.stack([denoise(waveform, sample_rate) for waveform in noisy])

    return clean_batch


def list_methods(
    model: Path, reference: Path, more: Mapping[str, Path], speech: Sequence[Waveform] = ()
) -> list[Method]:
    """List ours, the bundles of `more`, and every rival.

    `speech` holds clean clips by which RNNoise's delay is measured; without, it is what it was.
    """
    return [
        Method("noisy", "noisy input", lambda rate: lambda noisy, clean: noisy, False, False),
        *reference_methods(reference),
        Method("wiener", "Wiener filter", partial(_make_classical, "wiener")),
        Method("log_mmse", "log-MMSE", partial(_make_classical, "log_mmse")),
        Method("noisereduce", "noisereduce, stationary", _make_noisereduce),
        Method("rnnoise", "RNNoise", partial(_make_rnnoise, "denoise", speech)),
        Method(
            "rnnoise_run_in",
            "RNNoise, run in",
            partial(_make_rnnoise, "denoise_run_in", speech),
            is_timed=False,
        ),
        *(Method(name, name, partial(make_network, path)) for name, path in more.items()),
        Method(OURS, "ours", partial(make_network, model)),
        *(oracle_method(n_fft) for n_fft in (2048, 512)),
    ]


def reference_methods(saved_model: Path) -> list[Method]:
    """Return the reference autoencoder with either phase."""
    phases = {"griffin_lim": "Griffin-Lim", "noisy_phase": "noisy phase"}
    return [
        Method(
            f"reference_{phase}",
            f"reference autoencoder, {label}",
            partial(_make_reference, saved_model, phase),
        )
        for phase, label in phases.items()
    ]


def _make_reference(saved_model: Path, phase: str, sample_rate: int) -> Cleaner:
    if not saved_model.exists():
        raise DenoiseError(f"no model at {saved_model}. docs/benchmark.md tells how to train it.")
    return make_network(saved_model, sample_rate, phase)


def make_network(
    saved_model: Path, sample_rate: int, reconstruction: str = "noisy_phase"
) -> Cleaner:
    """Load a model of this pipeline, a bundle or ONNX; clips at its own rate go as one batch."""
    from denoise.evaluation.reconstruction import clip_denoiser
    from denoise.inference.denoiser import Denoiser

    denoiser = Denoiser.load(saved_model)
    network = denoiser.network
    if network.spec.sample_rate != sample_rate:
        return blind(denoiser.denoise, sample_rate)
    denoise = clip_denoiser(network, reconstruction)
    return lambda noisy, clean: denoise(noisy)


def _make_classical(name: str, sample_rate: int) -> Cleaner:
    return blind(
        getattr(importlib.import_module("denoise.dsp.statistical_filters"), name), sample_rate
    )


def _make_noisereduce(sample_rate: int) -> Cleaner:
    try:
        package = importlib.import_module("noisereduce")
    except ImportError:
        raise DenoiseError(
            "the package noisereduce is not installed here. Run make bench."
        ) from None

    def reduce(noisy: Waveform, rate: int) -> Waveform:
        return np.asarray(package.reduce_noise(y=noisy, sr=rate, stationary=True), np.float32)

    return blind(reduce, sample_rate)


def _make_rnnoise(way: str, speech: Sequence[Waveform], sample_rate: int) -> Cleaner:
    from benchmarks.rnnoise import RNNoise

    rnnoise = RNNoise()
    if speech:
        rnnoise.measure_delay(speech, sample_rate)
    return blind(getattr(rnnoise, way), sample_rate)


def oracle_method(n_fft: int) -> Method:
    """Return the best that a ratio mask can do in windows of `n_fft` samples: it is told it."""
    params = SpectrogramParams(n_fft, n_fft // 4, n_fft)
    label = f"oracle ratio mask, n_fft {n_fft}"
    return Method(f"oracle_{n_fft}", label, lambda rate: partial(oracle_mask, params), False, False)


def is_oracle(name: str) -> bool:
    """Tell whether a method of this name is told the clean speech."""
    return name.startswith("oracle_")


def oracle_mask(params: SpectrogramParams, noisy: Waveform, clean: Waveform) -> Waveform:
    """Weigh each bin by sqrt(speech / (speech + noise)), of powers, and keep the noisy phase."""
    speech = np.square(magnitude(stft(clean, params)))
    return np.stack([_mask_one(params, waveform, clean, speech) for waveform in noisy])


def _mask_one(
    params: SpectrogramParams, noisy: Waveform, clean: Waveform, speech: Waveform
) -> Waveform:
    noise = np.square(magnitude(stft(noisy - clean, params)))
    mask = np.sqrt(speech / np.maximum(speech + noise, np.finfo(np.float32).tiny))
    return istft((mask * stft(noisy, params)).astype(np.complex64), params, len(noisy))
