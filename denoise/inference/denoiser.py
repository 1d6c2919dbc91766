"""The Python API: denoise a recording without changing its length, sample rate or alignment."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import Waveform
from denoise.errors import DenoiseError, ModelError
from denoise.inference import remux as video
from denoise.inference.built_in import GENERAL, path_of
from denoise.inference.file_denoiser import Options, Progress, Report, denoise_file
from denoise.inference.samples import to_waveform, to_whole_number
from denoise.inference.streaming import BLOCK_SECONDS, Stream
from denoise.network.spec import MaskNetwork

PIECE_SECONDS = 60  # of an array that are denoised at a time, so that memory grows little


@dataclass(frozen=True)
class Denoiser:
    """Denoise arrays, files and streams with one network.

    >>> denoiser = Denoiser.load()
    >>> denoiser.denoise(np.zeros((48_000, 2), np.float32), 48_000).shape
    (48000, 2)
    """

    network: MaskNetwork
    loaded: tuple[str | os.PathLike[str], int] | None = field(
        default=None, init=False, repr=False, compare=False
    )
    """The model and the number of threads with which `load` made this, to do so once more."""

    def __post_init__(self) -> None:
        """Refuse a name or a path, which only `load` takes."""
        if not isinstance(self.network, MaskNetwork):
            raise TypeError('A Denoiser takes a network. Use Denoiser.load("general") for a model.')

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what `load` was given, which loads the model again in the other process."""
        if self.loaded is None:
            raise TypeError("Only a Denoiser that Denoiser.load returned can be pickled.")
        return type(self).load, self.loaded

    @classmethod
    def load(cls, model: str | os.PathLike[str] = GENERAL, threads: int = 1) -> "Denoiser":
        """Load a built-in model, "general" or "live", or the one at the path `model`.

        "general" gives the better result and looks ahead about two seconds. "live" is causal,
        and takes half the time. A path is that of an ONNX file or a saved model's folder.
        An ONNX file runs on `threads` threads; their number changes the time, not the result. The
        train stage writes a saved model, which runs on TensorFlow and its threads. It holds the
        network alone: the params in `export` apply to ONNX files only. Raises ModelError if there
        is no valid model, and if a package that it needs is not installed, and ValueError for a
        number of threads that is not 1 or more.
        """
        n_threads = to_whole_number(threads, "number of threads")
        if n_threads < 1:
            raise ValueError(f"The number of threads is {threads}. It must be 1 or more.")
        if not os.fspath(model):
            raise ModelError("The name of the model is empty. Pass a file, a folder or a name.")
        try:
            denoiser = cls(_load_network(path_of(model), n_threads))
        except ModuleNotFoundError as error:
            raise ModelError(
                f"The model needs {error.name}, which is not installed. A saved model needs the "
                "packages in requirements.txt; an ONNX file needs only what pip install . installs."
            ) from error
        object.__setattr__(denoiser, "loaded", (model, n_threads))  # the class is frozen
        return denoiser

    def denoise(
        self,
        waveform: npt.ArrayLike,
        sample_rate: int,
        strength: float = 1.0,
        residual: bool = False,
    ) -> Waveform:
        """Denoise [n_samples] or [n_samples, n_channels]; the result is float32 of the same shape.

        Floating point samples have full scale 1. Integers (int8, int16, int32, uint8) are scaled
        to it as soundfile does: the result for int16 is that for the samples divided by 32768.
        `strength`, 0 to 1, is the share of the denoised signal in the result; the input makes up
        the rest. With `residual`, return what is removed instead. `sample_rate` is 4000 to
        192 000 Hz. Raises ValueError for anything else: other types and shapes, and samples that
        are not finite or exceed 1e10.
        """
        channels = to_waveform(waveform)
        stream = self.stream(sample_rate, channels.shape[1], strength, residual)
        starts = range(0, len(channels), PIECE_SECONDS * int(sample_rate))
        pieces = np.split(channels, starts[1:])
        denoised = np.concatenate([*map(stream.feed, pieces), stream.flush()])
        return denoised.reshape(np.shape(waveform))

    def denoise_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        strength: float = 1.0,
        residual: bool = False,
        format: str | None = None,
        progress: Progress | None = None,
        remux: bool = False,
    ) -> Report:
        """Denoise a file of any length; see `denoise.inference.file_denoiser.denoise_file`.

        The target keeps the sample rate, channels, length, format and subtype, unless its extension
        or `format` (wav, flac, ogg, mp3, aiff) names another format. A target that exists is
        replaced. With `remux`, the target of a video is a video with the same picture; see
        `denoise.inference.remux`. Raises DenoiseError, and ValueError for an invalid strength.
        """
        if not (name := os.fspath(target)) or name.endswith(("/", os.sep)):
            raise DenoiseError(f"{name!r} names no file. Name the file to write.")
        options = Options(strength, residual, format)
        if remux and video.has_picture(source):
            return video.remux(self.network, source, target, options, progress)
        return denoise_file(self.network, source, target, options, progress)

    def stream(
        self,
        sample_rate: int,
        channels: int = 1,
        strength: float = 1.0,
        residual: bool = False,
        *,
        block_seconds: float = BLOCK_SECONDS,
    ) -> Stream:
        """Return a stream that denoises audio in pieces, with the same result as one pass.

        Feed it all pieces, then flush it. Its `latency_seconds` say how late its output is: with
        the general model 12 seconds, of which shorter blocks save most. For live use, take the
        model "live" and blocks of 0.016 to 0.064 s.

        >>> stream = Denoiser.load().stream(16_000, channels=1)
        >>> pieces = [stream.feed(np.zeros((1000, 1), np.float32)) for _ in range(5)]
        >>> len(np.concatenate([*pieces, stream.flush()]))
        5000
        """
        return Stream(self.network, sample_rate, channels, strength, residual, block_seconds)


def _load_network(path: str | os.PathLike[str], n_threads: int) -> MaskNetwork:
    """Load a network; raises ModelError, and ModuleNotFoundError for a package that is missing."""
    if os.path.isdir(path):  # noqa: PTH112 - Path raises if a name is too long
        from denoise.network.saved_model import load_network  # TensorFlow takes seconds to load

        return load_network(path)
    from denoise.inference import onnx_runtime  # a saved model does not need onnxruntime

    return onnx_runtime.load_network(path, n_threads)
