"""Run other projects' denoisers from their ONNX files; what a file needs is read from the file.

Three schemes are known:

- A spectrogram frame [1, n_bins, 1, 2] (real and imaginary part) and any number of states go in;
  the enhanced frame and the new states come out, in the same order (GTCRN, UL-UNAS).
- The log power of all frames [1, n_frames, n_bins] goes in, and a mask comes out (NSNet2).
- Two files (DTLN, Westhausen & Meyer, Interspeech 2020): the magnitude of a frame [1, 1, n_bins]
  and a state give a mask; the second file turns the masked frame [1, 1, n_fft], in time, and a
  state into the final frame.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rnnoise import Filter
from denoise.dsp.audio import Waveform
from denoise.errors import DenoiseError

RATE = 16_000
MIN_POWER = 1e-12
DTLN_HOP_SHARE = 4  # hops in a frame

Frames = np.ndarray


def load_onnx(files: Sequence[Path]) -> Filter:
    """Return a filter for 16 kHz from one or two ONNX files; raises DenoiseError."""
    sessions = [open_session(file) for file in files]
    shapes = [[list(node.shape) for node in session.get_inputs()] for session in sessions]
    if len(sessions) == 2 and all(len(each) == 2 and len(each[0]) == 3 for each in shapes):
        return lambda waveform: _dtln(sessions[0], sessions[1], waveform)
    if len(sessions) == 1:
        first = shapes[0][0]
        if len(first) == 4 and first[2:] == [1, 2] and isinstance(first[1], int):
            return lambda waveform: _stream(sessions[0], waveform)
        if len(shapes[0]) == 1 and len(first) == 3 and isinstance(first[2], int):
            return lambda waveform: _mask_all(sessions[0], waveform)
    names = " and ".join(str(file) for file in files)
    raise DenoiseError(f"{names}: inputs of shapes {shapes} fit no scheme of onnx_peers.py.")


def open_session(file: Path) -> Any:
    """Open an ONNX file for one thread; raises DenoiseError if it is not one."""
    from denoise.inference.onnx_runtime import LOADING_ERRORS, onnxruntime

    if not file.is_file():
        raise DenoiseError(f"there is no file {file}.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
    except LOADING_ERRORS as error:
        raise DenoiseError(f"{file} cannot be loaded: {str(error).splitlines()[0]}") from error


def _window(n_fft: int) -> np.ndarray:
    """Return the square root of a periodic Hann window, whose squares sum to 1 at half overlap."""
    return np.sin(np.pi * np.arange(n_fft) / n_fft)


def split_frames(waveform: Waveform, n_fft: int, hop_length: int) -> Frames:
    """Return all frames that hold a sample of the waveform, [n_frames, n_fft]."""
    n_frames = -(-(len(waveform) + n_fft - hop_length) // hop_length)
    end = (n_frames - 1) * hop_length + n_fft
    before = n_fft - hop_length
    padded = np.pad(waveform, (before, end - before - len(waveform)))
    return np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]


def overlap_add(frames: Iterable[np.ndarray], hop_length: int, n_samples: int) -> Waveform:
    """Return the sum of the frames of `split_frames`, float32 [n_samples]."""
    frames = np.asarray(list(frames))
    n_frames, n_fft = frames.shape
    total = np.zeros((n_frames - 1) * hop_length + n_fft)
    for index, frame in enumerate(frames):
        total[index * hop_length :][:n_fft] += frame
    return total[n_fft - hop_length :][:n_samples].astype(np.float32)


class States:
    """A session with the states that it gets back from one call to the next, zero at first."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input, *states = session.get_inputs()
        self._states = {node.name: np.zeros(_sizes(node.shape), np.float32) for node in states}

    def run(self, value: np.ndarray) -> np.ndarray:
        """Run one step; the outputs after the first are the new states, in order."""
        inputs = {self._input.name: value.astype(np.float32), **self._states}
        output, *states = self._session.run(None, inputs)
        self._states = dict(zip(self._states, states, strict=True))
        return np.asarray(output)


def _sizes(shape: Sequence[int | str]) -> list[int]:
    return [size if isinstance(size, int) else 1 for size in shape]


def _stream(session: Any, waveform: Waveform) -> Waveform:
    n_bins = session.get_inputs()[0].shape[1]
    n_fft, states = 2 * (n_bins - 1), States(session)

    def enhance() -> Iterator[np.ndarray]:
        for frame in split_frames(waveform, n_fft, n_fft // 2):
            spectrum = np.fft.rfft(_window(n_fft) * frame)
            parts = np.stack([spectrum.real, spectrum.imag], axis=-1)[None, :, None]
            real, imaginary = states.run(parts)[0, :, 0].T
            yield _window(n_fft) * np.fft.irfft(real + 1j * imaginary, n_fft)

    return overlap_add(enhance(), n_fft // 2, len(waveform))


def _mask_all(session: Any, waveform: Waveform) -> Waveform:
    (node,) = session.get_inputs()
    n_fft = 2 * (node.shape[2] - 1)
    spectra = np.fft.rfft(_window(n_fft) * split_frames(waveform, n_fft, n_fft // 2))
    features = np.log10(np.maximum(np.square(np.abs(spectra)), MIN_POWER))
    (mask,) = session.run(None, {node.name: features[None].astype(np.float32)})[:1]
    frames = _window(n_fft) * np.fft.irfft(np.clip(mask[0], 0, 1) * spectra, n_fft)
    return overlap_add(frames, n_fft // 2, len(waveform))


def _dtln(first: Any, second: Any, waveform: Waveform) -> Waveform:
    n_fft = second.get_inputs()[0].shape[2]
    masks, frames = States(first), States(second)

    def enhance() -> Iterator[np.ndarray]:
        for frame in split_frames(waveform, n_fft, n_fft // DTLN_HOP_SHARE):
            spectrum = np.fft.rfft(frame)
            mask = masks.run(np.abs(spectrum)[None, None])[0, 0]
            masked = np.fft.irfft(mask * spectrum, n_fft)
            yield frames.run(masked[None, None])[0, 0]

    return overlap_add(enhance(), n_fft // DTLN_HOP_SHARE, len(waveform))
