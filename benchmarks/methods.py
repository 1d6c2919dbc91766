"""The denoising methods that are compared, each loaded only when it is needed.

A method's `make` imports what that method needs and nothing else, so that start-up time and memory
can be measured per method. It raises DenoiseError, with the reason, if the method is not available.
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

BatchDenoiser = Callable[[Waveform, Waveform], Waveform]
"""(noisy [batch, n_samples], their common clean [n_samples]) -> denoised [batch, n_samples].

Only the oracles use the clean speech."""

WaveformDenoiser = Callable[[Waveform, int], Waveform]
"""(noisy [n_samples], sample rate) -> denoised [n_samples]"""

OURS = "ours"


@dataclass(frozen=True)
class Method:
    """A denoising method; `make(sample_rate)` loads it.

    `is_usable` is False for methods that cannot be used in practice: they need the clean speech, or
    do nothing. `is_timed` is False for those too, and for methods with the same cost as another.
    """

    name: str
    label: str
    make: Callable[[int], BatchDenoiser]
    is_usable: bool = True
    is_timed: bool = True


NOISY = Method(
    "noisy",
    "noisy input",
    lambda rate: lambda noisy, clean: noisy,
    is_usable=False,
    is_timed=False,
)


def batched(denoise: WaveformDenoiser, sample_rate: int) -> BatchDenoiser:
    """Return a function that applies `denoise` to each waveform of a batch."""

    def denoise_batch(noisy: Waveform, clean: Waveform) -> Waveform:
        return np.stack([denoise(waveform, sample_rate) for waveform in noisy])

    return denoise_batch


def list_methods(
    model: Path, reference: Path, more: Mapping[str, Path], speech: Sequence[Waveform] = ()
) -> list[Method]:
    """List our model, the further models in `more`, and every baseline.

    RNNoise's delay is measured on the clean clips in `speech`; without any, the usual delay is
    assumed.
    """
    return [
        NOISY,
        *reference_methods(reference),
        Method("wiener", "Wiener filter", partial(_make_statistical_filter, "wiener")),
        Method("log_mmse", "log-MMSE", partial(_make_statistical_filter, "log_mmse")),
        Method("noisereduce", "noisereduce, stationary", _make_noisereduce),
        Method("rnnoise", "RNNoise", partial(_make_rnnoise, "denoise", speech)),
        Method(
            "rnnoise_warm",
            "RNNoise, warmed up",
            partial(_make_rnnoise, "denoise_warm", speech),
            is_timed=False,
        ),
        *(Method(name, name, partial(make_network, path)) for name, path in more.items()),
        Method(OURS, "ours", partial(make_network, model)),
        *(oracle_method(n_fft) for n_fft in (2048, 512)),
    ]


def reference_methods(saved_model: Path) -> list[Method]:
    """Return the reference autoencoder with each of its two phase reconstructions."""
    reconstructions = {"griffin_lim": "Griffin-Lim", "noisy_phase": "noisy phase"}
    return [
        Method(
            f"reference_{reconstruction}",
            f"reference autoencoder, {label}",
            partial(_make_reference, saved_model, reconstruction),
        )
        for reconstruction, label in reconstructions.items()
    ]


def _make_reference(saved_model: Path, reconstruction: str, sample_rate: int) -> BatchDenoiser:
    if not saved_model.exists():
        raise DenoiseError(f"no model at {saved_model}. docs/benchmark.md describes its training.")
    return make_network(saved_model, sample_rate, reconstruction)


def make_network(
    saved_model: Path, sample_rate: int, reconstruction: str = "noisy_phase"
) -> BatchDenoiser:
    """Load a saved model or an ONNX file; clips at its own sample rate run as one batch."""
    from denoise.evaluation.reconstruction import clip_denoiser
    from denoise.inference.denoiser import Denoiser

    denoiser = Denoiser.load(saved_model)
    network = denoiser.network
    if network.spec.sample_rate != sample_rate:
        return batched(denoiser.denoise, sample_rate)
    denoise = clip_denoiser(network, reconstruction)
    return lambda noisy, clean: denoise(noisy)


def _make_statistical_filter(name: str, sample_rate: int) -> BatchDenoiser:
    filters = importlib.import_module("denoise.dsp.statistical_filters")
    return batched(getattr(filters, name), sample_rate)


def _make_noisereduce(sample_rate: int) -> BatchDenoiser:
    try:
        package = importlib.import_module("noisereduce")
    except ImportError:
        raise DenoiseError("the package noisereduce is not installed. Run make bench.") from None

    def reduce_noise(noisy: Waveform, rate: int) -> Waveform:
        return np.asarray(package.reduce_noise(y=noisy, sr=rate, stationary=True), np.float32)

    return batched(reduce_noise, sample_rate)


def _make_rnnoise(function: str, speech: Sequence[Waveform], sample_rate: int) -> BatchDenoiser:
    from benchmarks.rnnoise import RNNoise

    rnnoise = RNNoise()
    if speech:
        rnnoise.measure_delay(speech, sample_rate)
    return batched(getattr(rnnoise, function), sample_rate)


def oracle_method(n_fft: int) -> Method:
    """Return the ideal ratio mask in windows of `n_fft` samples: the upper bound for a mask."""
    params = SpectrogramParams(n_fft, n_fft // 4, n_fft)
    label = f"oracle ratio mask, n_fft {n_fft}"
    return Method(f"oracle_{n_fft}", label, lambda rate: partial(oracle_mask, params), False, False)


def is_oracle(name: str) -> bool:
    """Tell whether a method of this name uses the clean speech."""
    return name.startswith("oracle_")


def oracle_mask(params: SpectrogramParams, noisy: Waveform, clean: Waveform) -> Waveform:
    """Apply the mask sqrt(speech power / (speech power + noise power)); keep the noisy phase."""
    speech_power = np.square(magnitude(stft(clean, params)))
    return np.stack([_mask_one(params, waveform, clean, speech_power) for waveform in noisy])


def _mask_one(
    params: SpectrogramParams, noisy: Waveform, clean: Waveform, speech_power: Waveform
) -> Waveform:
    noise_power = np.square(magnitude(stft(noisy - clean, params)))
    mask = np.sqrt(speech_power / np.maximum(speech_power + noise_power, np.finfo(np.float32).tiny))
    return istft((mask * stft(noisy, params)).astype(np.complex64), params, len(noisy))
