"""RNNoise as a rival: Valin, "A hybrid DSP/deep learning approach", IEEE MMSP 2018.

The library that the package pyrnnoise carries is called directly: the package's own front end
rounds to 16 bits and resamples by FFmpeg. It works at 48 kHz in frames of 10 ms.
"""

import ctypes
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from denoise.dsp.audio import Waveform, resample, rms
from denoise.errors import DenoiseError

RATE = 48_000
FULL_SCALE = 32_768  # the library counts samples as 16-bit integers do
LEVEL_RMS = 0.05  # -26 dB full scale, as speech codecs are tested; -20 and -32 scored no better
MAX_DELAY_SECONDS = 0.1
USUAL_DELAY = 960  # two frames: one to overlap, one that the network looks ahead
LIBRARIES = ("librnnoise.so", "librnnoise.dylib", "rnnoise.dll")

Filter = Callable[[Waveform], Waveform]


def find_library() -> Path | None:
    """Return the library inside the installed package pyrnnoise, which is not imported."""
    package = importlib.util.find_spec("pyrnnoise")
    folders = (package and package.submodule_search_locations) or []
    found = [Path(folder) / name for folder in folders for name in LIBRARIES]
    return next((path for path in found if path.is_file()), None)


class RNNoise:
    """The library, a fresh state for each waveform; `delay` is in samples at 48 kHz."""

    def __init__(self) -> None:
        """Load the library; raises DenoiseError where it is not installed."""
        path = find_library()
        if path is None:
            raise DenoiseError("the package pyrnnoise is not installed here. Run make bench.")
        self._library = _declare(ctypes.CDLL(str(path)))
        self._frame_size = int(self._library.rnnoise_get_frame_size())
        self.delay = USUAL_DELAY

    def measure_delay(self, speech: Sequence[Waveform], sample_rate: int) -> None:
        """Set the delay to the median over clean clips, at any level and `sample_rate`.

        Speech is needed: of synthetic sounds the network leaves too little to find them by.
        """
        loud = [resample(clip, sample_rate, RATE) for clip in speech]
        loud = [clip * np.float32(LEVEL_RMS / rms(clip)) for clip in loud]
        self.delay = int(np.median([delay_of(self.filter, clip, RATE) for clip in loud]))

    def filter(self, waveform: Waveform) -> Waveform:
        """Run float32 [n_samples] at 48 kHz through a fresh state; the result lags behind."""
        n_frames = -(-len(waveform) // self._frame_size)
        missing = n_frames * self._frame_size - len(waveform)
        frames = np.pad(waveform, (0, missing)).astype(np.float32) * np.float32(FULL_SCALE)
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
        """Clean float32 [n_samples]: levelled, at 48 kHz, aligned, back at its rate and level."""
        return levelled(noisy, lambda loud: self._at_own_rate(loud, sample_rate))

    def denoise_run_in(self, noisy: Waveform, sample_rate: int) -> Waveform:
        """Clean a waveform that the state has heard once before, as late in a long recording."""
        return self.denoise(np.concatenate([noisy, noisy]), sample_rate)[len(noisy) :]

    def _at_own_rate(self, waveform: Waveform, sample_rate: int) -> Waveform:
        at_rate = resample(waveform, sample_rate, RATE)
        back = resample(aligned(self.filter, self.delay)(at_rate), RATE, sample_rate)
        return np.pad(back, (0, max(0, len(waveform) - len(back))))[: len(waveform)]


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    samples = ctypes.POINTER(ctypes.c_float)
    library.rnnoise_create.argtypes = [ctypes.c_void_p]
    library.rnnoise_create.restype = ctypes.c_void_p
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p, samples, samples]
    library.rnnoise_process_frame.restype = ctypes.c_float
    return library


def levelled(waveform: Waveform, denoise: Filter) -> Waveform:
    """Denoise a waveform at an RMS of 0.05, and give the result the waveform's own level."""
    level = rms(waveform)
    if level == 0:
        return waveform.copy()
    return denoise(waveform * np.float32(LEVEL_RMS / level)) * np.float32(level / LEVEL_RMS)


def aligned(delayed: Filter, delay: int) -> Filter:
    """Return `delayed` without its `delay` in samples: zeros at the end push the rest out."""

    def filter_aligned(waveform: Waveform) -> Waveform:
        return delayed(np.pad(waveform, (0, delay)))[delay:]

    return filter_aligned


def delay_of(delayed: Filter, waveform: Waveform, sample_rate: int) -> int:
    """Return by how many samples, 0 to 0.1 s, `delayed` lags: where it correlates most."""
    most = int(MAX_DELAY_SECONDS * sample_rate)
    heard = delayed(np.pad(waveform, (0, most)))
    size = 2 * len(heard)  # no lag may wrap around
    spectrum = np.conj(np.fft.rfft(waveform, size)) * np.fft.rfft(heard, size)
    return int(np.argmax(np.fft.irfft(spectrum, size)[: most + 1]))
