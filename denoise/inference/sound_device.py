"""The microphone and the speaker, by the optional package sounddevice.

The package is imported only here, inside `load`, since it is not installed everywhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from denoise.dsp.audio import Waveform
from denoise.errors import DenoiseError, UsageError
from denoise.inference.live import InputFailedError, LiveFormat

RESERVE_BLOCKS = 1  # played while a block is denoised
LISTING = "denoise live --list-devices shows the devices."
FILES = "Without a sound device, pass both --play FILE and --record FILE."


def load() -> Any:
    """Import sounddevice; raises UsageError that says what to install."""
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise UsageError(
            'denoise live needs sounddevice, which is not installed: pip install ".[live]" '
            f"in the source folder of denoise. {FILES}"
        ) from error
    except OSError as error:  # its wheels for Linux come without PortAudio
        raise UsageError(
            f"sounddevice cannot load PortAudio: {error}. Install it, for example with "
            f"apt install libportaudio2. {FILES}"
        ) from error
    except Exception as error:  # PortAudio does not start, and its type of error is not known here
        raise UsageError(f"The sound system does not start: {error}. {FILES}") from error
    return sounddevice


def list_devices(sounddevice: Any) -> str:
    """Return one line per device, with its number, name and channels; > and < mark the defaults.

    Raises DenoiseError if PortAudio fails.
    """
    try:
        return str(sounddevice.query_devices()) or "no sound devices"
    except sounddevice.PortAudioError as error:
        raise DenoiseError(f"The sound devices cannot be listed: {error}.") from error


class Microphone:
    """An input device that blocks until it has heard a block."""

    def __init__(self, stream: Any, live_format: LiveFormat, error_type: type[Exception]) -> None:
        """Take an input stream of sounddevice that has been started, and the error it raises."""
        self._stream, self._n_block = stream, live_format.n_block
        self._error_type = error_type

    def read(self) -> tuple[Waveform, bool]:
        """Return the next block; it is late if samples before it were lost.

        Raises InputFailedError if the device fails, such as one that is unplugged.
        """
        try:
            block, has_overflowed = self._stream.read(self._n_block)
        except self._error_type as error:
            raise InputFailedError(f"The microphone failed: {error}. {LISTING}") from error
        return np.nan_to_num(block, posinf=1.0, neginf=-1.0), bool(has_overflowed)


class Speaker:
    """An output device that blocks until it has room for a block."""

    def __init__(self, stream: Any, live_format: LiveFormat) -> None:
        """Take an output stream of sounddevice that has been started, and fill it with silence.

        The silence plays while the first block is heard and denoised.
        """
        self._stream = stream
        n_silent = (1 + RESERVE_BLOCKS) * live_format.n_block
        stream.write(np.zeros((n_silent, live_format.channels), np.float32))

    def write(self, block: Waveform) -> bool:
        """Play a block, clipped to full scale; it is late if the device had nothing to play."""
        return bool(self._stream.write(np.ascontiguousarray(np.clip(block, -1, 1), np.float32)))


@contextmanager
def opened(
    sounddevice: Any, kind: str, device: int | str | None, live_format: LiveFormat
) -> Iterator[Any]:
    """Open and start the `input` or `output` device of a name or number, or the default one.

    Yields a stream of sounddevice, and closes it at the end, when all is played. Raises UsageError
    for a device that does not exist or refuses the format, and DenoiseError if one fails later.
    """
    stream = _start_stream(sounddevice, kind, device, live_format)
    try:
        with stream:
            yield stream
    except sounddevice.PortAudioError as error:
        raise DenoiseError(f"A sound device failed: {error}. {LISTING}") from error


def _start_stream(
    sounddevice: Any, kind: str, device: int | str | None, live_format: LiveFormat
) -> Any:
    stream_class = {"input": sounddevice.InputStream, "output": sounddevice.OutputStream}[kind]
    try:
        stream = stream_class(
            samplerate=live_format.sample_rate,
            blocksize=live_format.n_block,
            device=device,
            channels=live_format.channels,
            dtype="float32",
            latency="low",
        )
        stream.start()
        return stream
    except (sounddevice.PortAudioError, ValueError) as error:  # ValueError: no such name
        name = "The default device" if device is None else f"Device {device}"
        raise UsageError(
            f"{name} cannot be used for {kind} at {live_format.sample_rate} Hz: {error}. {LISTING} "
            f"{FILES}"
        ) from error
