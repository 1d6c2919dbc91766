"""RNNoise as a baseline: Valin, "A hybrid DSP/deep learning approach", IEEE MMSP 2018.

The library that is part of the package pyrnnoise is called directly, because the package's own
front end rounds to 16 bits and resamples with FFmpeg. RNNoise works at 48 kHz in frames of 10 ms.
"""

import ctypes
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from denoise.dsp.audio import Waveform, resample, rms
from denoise.errors import DenoiseError

RATE = 48_000
FULL_SCALE = 32_768  # the library expects floats in the range of 16-bit integers
INPUT_RMS = 0.05  # -26 dB full scale, the usual level in codec tests; -20 and -32 score no better
MAX_DELAY_SECONDS = 0.1
USUAL_DELAY = 960  # two frames: one of overlap, one of lookahead
LIBRARIES = ("librnnoise.so", "librnnoise.dylib", "rnnoise.dll")

Filter = Callable[[Waveform], Waveform]


def find_library() -> Path | None:
    """Return the library inside the installed package pyrnnoise, without importing the package."""
    package = importlib.util.find_spec("pyrnnoise")
    folders = (package and package.submodule_search_locations) or []
    candidates = [Path(folder) / name for folder in folders for name in LIBRARIES]
    return next((path for path in candidates if path.is_file()), None)


class RNNoise:
    """The library, with a new state for each waveform; `delay` is in samples at 48 kHz."""

    def __init__(self) -> None:
        """Load the library; raise DenoiseError if it is not installed."""
        path = find_library()
        if path is None:
            raise DenoiseError("the package pyrnnoise is not installed. Run make bench.")
        self._library = _declare(ctypes.CDLL(str(path)))
        self._frame_size = int(self._library.rnnoise_get_frame_size())
        self.delay = USUAL_DELAY

    def measure_delay(self, speech: Sequence[Waveform], sample_rate: int) -> None:
        """Set the delay to the median over clean clips at `sample_rate`, of any loudness.

        Speech is necessary: RNNoise suppresses synthetic sounds too much to measure the delay.
        """
        clips = [resample(clip, sample_rate, RATE) for clip in speech]
        clips = [clip * np.float32(INPUT_RMS / rms(clip)) for clip in clips]
        self.delay = int(np.median([find_delay(self.filter, clip, RATE) for clip in clips]))

    def filter(self, waveform: Waveform) -> Waveform:
        """Filter float32 [n_samples] at 48 kHz with a new state; the result is delayed."""
        n_frames = -(-len(waveform) // self._frame_size)
        n_padding = n_frames * self._frame_size - len(waveform)
        frames = np.pad(waveform, (0, n_padding)).astype(np.float32) * np.float32(FULL_SCALE)
        frames = frames.reshape(n_frames, self._frame_size)
        state = self._library.rnnoise_create(None)
        try:
            for frame in frames:
                pointer = frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
                self._library.rnnoise_process_frame(state, pointer, pointer)
        finally:
            self._library.rnnoise_destroy(state)
        return frames.reshape(-1)[: len(waveform)] / np.float32(FULL_SCALE)

    def denoise(self, noisy: Waveform, sample_rate: int) -> Waveform:
        """Denoise float32 [n_samples] at any rate and loudness; the result is aligned with it."""
        return with_input_rms(noisy, lambda scaled: self._resample_and_filter(scaled, sample_rate))

    def denoise_warm(self, noisy: Waveform, sample_rate: int) -> Waveform:
        """Denoise a waveform after RNNoise has processed it once, as late in a long recording."""
        return self.denoise(np.concatenate([noisy, noisy]), sample_rate)[len(noisy) :]

    def _resample_and_filter(self, waveform: Waveform, sample_rate: int) -> Waveform:
        resampled = resample(waveform, sample_rate, RATE)
        result = resample(without_delay(self.filter, self.delay)(resampled), RATE, sample_rate)
        return np.pad(result, (0, max(0, len(waveform) - len(result))))[: len(waveform)]


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    samples = ctypes.POINTER(ctypes.c_float)
    library.rnnoise_create.argtypes = [ctypes.c_void_p]
    library.rnnoise_create.restype = ctypes.c_void_p
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p, samples, samples]
    library.rnnoise_process_frame.restype = ctypes.c_float
    return library


def with_input_rms(waveform: Waveform, denoise: Filter) -> Waveform:
    """Scale a waveform to an RMS of 0.05, denoise it, and undo the scaling."""
    original_rms = rms(waveform)
    if original_rms == 0:
        return waveform.copy()
    scaled = waveform * np.float32(INPUT_RMS / original_rms)
    return denoise(scaled) * np.float32(original_rms / INPUT_RMS)


def without_delay(delayed: Filter, delay: int) -> Filter:
    """Return the filter with its `delay` in samples removed; zeros flush its last samples out."""

    def filter_aligned(waveform: Waveform) -> Waveform:
        return delayed(np.pad(waveform, (0, delay)))[delay:]

    return filter_aligned


def find_delay(delayed: Filter, waveform: Waveform, sample_rate: int) -> int:
    """Return the delay of a filter in samples, up to 0.1 s: the lag of the highest correlation."""
    max_delay = int(MAX_DELAY_SECONDS * sample_rate)
    output = delayed(np.pad(waveform, (0, max_delay)))
    size = 2 * len(output)  # long enough that no lag wraps around
    spectrum = np.conj(np.fft.rfft(waveform, size)) * np.fft.rfft(output, size)
    return int(np.argmax(np.fft.irfft(spectrum, size)[: max_delay + 1]))
