"""What is done with a recording that was sent: every bound is held while it is decoded."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import soundfile

from denoise.dsp.audio import Waveform
from denoise.errors import AudioError, DenoiseError
from denoise.inference.audio_io import AudioFormat, reading
from denoise.inference.file_denoiser import Options, Report, denoise_file
from denoise.inference.streaming import Stream
from denoise.network.spec import MaskNetwork
from denoise.server.limits import Deadline, Limits
from denoise.server.problems import ProblemError
from denoise.server.spectrogram_preview import SpectrogramPreview

MEDIA_TYPES = {
    "WAV": "audio/wav",
    "WAVEX": "audio/wav",
    "RF64": "audio/wav",
    "W64": "audio/x-w64",
    "FLAC": "audio/flac",
    "OGG": "audio/ogg",
    "MP3": "audio/mpeg",
    "AIFF": "audio/aiff",
    "AU": "audio/basic",
    "CAF": "audio/x-caf",
}
OPENING = '{"data": ['
DECIMALS = 8  # more than float32 holds of a sample near full scale


@dataclass(frozen=True)
class Worker:
    """A network, and the bounds of one request."""

    network: MaskNetwork
    limits: Limits
    deadline: Deadline

    def denoise(self, source: Path, target: Path, options: Options) -> Report:
        """Clean one file into another; raises ProblemError for whatever the client can mend."""
        form = inspect(source, self.limits)

        def progress(n_samples: int, _: int | None) -> None:
            self._check(n_samples, form)

        with _told():
            return denoise_file(self._timed(), source, target, options, progress)

    def write_samples(self, source: Path, target: Path) -> float:
        """Write the denoised samples, channels averaged, as {"data": [...]}; return its seconds."""
        form, n_samples = inspect(source, self.limits), 0
        stream = Stream(self._timed(), form.sample_rate, form.channels)
        with _told(), reading(source) as recording, target.open("w", encoding="ascii") as file:
            file.write(OPENING)
            for block in recording.blocks():
                n_samples += len(block)
                self._check(n_samples, form)
                _write_numbers(file, stream.feed(block))
            _write_numbers(file, stream.flush())
            file.write("]}\n")
        return n_samples / form.sample_rate

    def overview(self, source: Path) -> dict[str, Any]:
        """Return a file's spectrogram, its channels averaged, small enough to be looked at."""
        form, n_samples = inspect(source, self.limits), 0
        overview = SpectrogramPreview(form.sample_rate)
        with _told(), reading(source) as recording:
            for block in recording.blocks():
                n_samples += len(block)
                self._check(n_samples, form)
                overview.feed(block.mean(axis=1, dtype=np.float32))
        return {**overview.flush(), "channels": form.channels}

    def _check(self, n_samples: int, form: AudioFormat) -> None:
        self.limits.check_length(n_samples, form.sample_rate, form.channels)
        self.deadline.check()

    def _timed(self) -> MaskNetwork:
        """Return the network; it checks the deadline before every block that it sees."""

        def mask(spectrograms: np.ndarray) -> np.ndarray:
            self.deadline.check()
            return self.network.mask(spectrograms)

        return dataclasses.replace(self.network, mask=mask)


def inspect(path: Path, limits: Limits) -> AudioFormat:
    """Return a recording's form by its header; raises ProblemError where it is out of bounds."""
    try:
        with soundfile.SoundFile(path) as sound:
            form, name = AudioFormat(int(sound.samplerate), int(sound.channels)), sound.format
    except soundfile.LibsndfileError as error:
        raise ProblemError("no-audio", "WAV, FLAC, OGG, MP3 and AIFF can be read.") from error
    if name not in MEDIA_TYPES:
        raise ProblemError("no-audio", f"{name} is not taken: WAV, FLAC, OGG, MP3 and AIFF are.")
    limits.check_form(form.sample_rate, form.channels)
    return form


@contextmanager
def _told() -> Iterator[None]:
    """Raise the library's errors as Problems, which name no file and quote nobody."""
    try:
        yield
    except ProblemError:
        raise
    except AudioError as error:
        inner = error.__cause__
        if not isinstance(inner, AudioError) or inner.__cause__ is not None:
            raise ProblemError(
                "bad-audio", "It is broken: it cannot be decoded to its end."
            ) from error
        raise ProblemError("bad-audio", str(inner)) from error
    except DenoiseError as error:
        if isinstance(error.__cause__, OSError):  # the server's disk
            raise error.__cause__ from None
        detail = "The answer's format does not hold this rate and number of channels: ask for wav."
        raise ProblemError("bad-audio", detail) from error


def _write_numbers(file: TextIO, denoised: Waveform) -> None:
    """Write [n_samples, n_channels] as numbers between commas; the first has none before it."""
    if len(denoised):
        mono = denoised.mean(axis=1, dtype=np.float64)
        is_first = file.tell() == len(OPENING)
        file.write(("" if is_first else ", ") + json.dumps(np.round(mono, DECIMALS).tolist())[1:-1])
