"""Process the audio of one request, and check its limits while the audio is decoded."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from denoise.dsp.audio import Waveform
from denoise.errors import AudioError, DenoiseError, FileSizeError
from denoise.inference.audio_io import AudioFormat
from denoise.inference.file_denoiser import Options, Report, denoise_file
from denoise.inference.reader import probe, reading
from denoise.inference.streaming import Stream
from denoise.network.spec import MaskFunction, MaskNetwork
from denoise.server.accepted_formats import MEDIA_TYPES, advise
from denoise.server.limits import Deadline, Limits
from denoise.server.problems import ProblemError
from denoise.server.spectrogram_preview import SpectrogramPreview

NO_MEDIA = 'This file needs PyAV, which this server does not have: pip install ".[media]".'
JSON_START = '{"data": ['
DECIMALS = 8  # finer than float32 near full scale
Progress = Callable[[int, int | None, AudioFormat], None]


@dataclass(frozen=True)
class Worker:
    """Process one request with a network, within the limits and by the deadline.

    Every method raises ProblemError where the recording cannot be read or exceeds a limit, or the
    deadline passes.
    """

    network: MaskNetwork
    limits: Limits
    deadline: Deadline

    def denoise(
        self, source: Path, target: Path, options: Options, progress: Progress | None = None
    ) -> Report:
        """Denoise the file `source` into the file `target`.

        After each block, `progress` is called with the samples read so far, the samples that the
        header declares, or None, and the format.
        """
        audio_format = read_format(source, self.limits)

        def check(n_samples: int, declared: int | None) -> None:
            if progress is not None:
                progress(n_samples, declared, audio_format)
            self._check(n_samples, audio_format)

        with _errors_as_problems():
            self._check_declared(source, audio_format)
            return denoise_file(self._network_with_deadline(), source, target, options, check)

    def write_samples(self, source: Path, target: Path) -> float:
        """Write the denoised samples, averaged over channels, as {"data": [...]}.

        Return the duration in seconds.
        """
        audio_format, n_samples = read_format(source, self.limits), 0
        network = self._network_with_deadline()
        stream = Stream(network, audio_format.sample_rate, audio_format.channels)
        with (
            _errors_as_problems(),
            reading(source) as recording,
            target.open("w", encoding="ascii") as file,
        ):
            self._check_declared(source, audio_format)
            file.write(JSON_START)
            for block in recording.blocks():
                n_samples += len(block)
                self._check(n_samples, audio_format)
                _write_numbers(file, stream.feed(block))
            _write_numbers(file, stream.flush())
            file.write("]}\n")
        return n_samples / audio_format.sample_rate

    def preview_spectrogram(self, source: Path) -> dict[str, Any]:
        """Return the spectrogram of a file, averaged over channels, as JSON values."""
        audio_format, n_samples = read_format(source, self.limits), 0
        preview = SpectrogramPreview(audio_format.sample_rate)
        with _errors_as_problems(), reading(source) as recording:
            for block in recording.blocks():
                n_samples += len(block)
                self._check(n_samples, audio_format)
                preview.feed(block.mean(axis=1, dtype=np.float32))
        return {**preview.flush(), "channels": audio_format.channels}

    def _check_declared(self, source: Path, audio_format: AudioFormat) -> None:
        """Refuse a recording that is too long, before it is denoised.

        If the header declares too many samples, they are counted by decoding the recording, since
        the header can be wrong.
        """
        with reading(source) as recording:
            rate, channels = audio_format.sample_rate, audio_format.channels
            if self.limits.is_short_enough(recording.declared_samples or 0, rate, channels):
                return
            n_samples = 0
            for block in recording.blocks():
                n_samples += len(block)
                self._check(n_samples, audio_format)

    def _check(self, n_samples: int, audio_format: AudioFormat) -> None:
        self.limits.check_length(n_samples, audio_format.sample_rate, audio_format.channels)
        self.deadline.check()

    def _network_with_deadline(self) -> MaskNetwork:
        """Return the network with a check of the deadline before each block."""

        def with_deadline(mask: MaskFunction) -> MaskFunction:
            def checked(*spectrograms_and_context: Any) -> np.ndarray:
                self.deadline.check()
                return mask(*spectrograms_and_context)

            return checked

        return self.network.wrapped(with_deadline)


def read_format(path: Path, limits: Limits) -> AudioFormat:
    """Read a recording's sample rate and number of channels from its header.

    Raises ProblemError for a file that is not audio, a file format that is not supported, and
    values beyond the limits.
    """
    try:
        audio_format, encoding = probe(path)
    except AudioError as error:
        if isinstance(error.__cause__, ImportError):
            raise ProblemError("no-audio", f"{NO_MEDIA} {advise()}") from error
        raise ProblemError("no-audio", f"The file cannot be read. {advise()}") from error
    name = encoding.format
    if name not in MEDIA_TYPES:
        raise ProblemError("no-audio", f"The file format {name} is not supported. {advise()}")
    limits.check_format(audio_format.sample_rate, audio_format.channels)
    return audio_format


@contextmanager
def _errors_as_problems() -> Iterator[None]:
    """Turn the library's errors into ProblemErrors that reveal no path and no library message."""
    try:
        yield
    except ProblemError:
        raise
    except AudioError as error:
        cause = error.__cause__
        if isinstance(cause, AudioError) and cause.__cause__ is None:  # a message of our own
            raise ProblemError("bad-audio", str(cause)) from error
        detail = "The recording is damaged: it cannot be decoded to its end."
        raise ProblemError("bad-audio", detail) from error
    except FileSizeError as error:
        raise ProblemError("bad-audio", str(error)) from error
    except DenoiseError as error:
        if isinstance(error.__cause__, OSError):  # the server's own disk
            raise error.__cause__ from None
        detail = "The output format does not support this sample rate and number of channels. "
        detail += "Choose the format wav."
        raise ProblemError("bad-audio", detail) from error


def _write_numbers(file: TextIO, denoised: Waveform) -> None:
    """Write the channels' mean of [n_samples, n_channels] as numbers, separated by commas."""
    if len(denoised):
        mono = denoised.mean(axis=1, dtype=np.float64)
        separator = "" if file.tell() == len(JSON_START) else ", "
        file.write(separator + json.dumps(np.round(mono, DECIMALS).tolist())[1:-1])
