"""Denoise one file into another, with memory that does not grow with the file's length."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

import soundfile

from denoise.dsp import formats
from denoise.errors import DenoiseError
from denoise.inference.audio_io import (
    AudioFormat,
    Encoding,
    Sink,
    Source,
    can_write,
    describe_os_error,
    writing,
)
from denoise.inference.bit_rate import bit_rate_of
from denoise.inference.reader import reading
from denoise.inference.streaming import Stream
from denoise.network.spec import MaskNetwork
from denoise.util.paths import is_same_file, replacing_output

FINER_THAN_16_BITS = {"PCM_32", "FLOAT", "DOUBLE"}
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Options:
    """How to denoise a file, and the output format, one of `formats.CHOICES`, if it is given.

    See `Denoiser.denoise` for `strength` and `residual`.
    """

    strength: float = 1.0
    residual: bool = False
    format: str | None = None


@dataclass(frozen=True)
class Report:
    """The result for one file. `clipped_samples` counts samples that were beyond full scale."""

    source: Path
    target: Path
    audio_format: AudioFormat
    encoding: Encoding
    n_samples: int
    clipped_samples: int
    elapsed_seconds: float
    bit_rate: float | None = None  # of the target; that of the source is in its encoding
    notes: tuple[str, ...] = ()  # what else the user should know, such as what was not kept

    @property
    def duration_seconds(self) -> float:
        """Return the duration of the recording."""
        return self.n_samples / self.audio_format.sample_rate


class _PassedOnError(BaseException):
    """Carries an exception of a `progress` past the handlers for errors of the work itself."""

    def __init__(self, error: BaseException) -> None:
        """Wrap the exception."""
        self.error = error


@contextmanager
def passing_on(progress: Progress | None) -> Iterator[Progress]:
    """Yield a `progress` whose exceptions leave the block unchanged, whatever catches them in it.

    Else a BrokenPipeError of a caller who prints would look like an error of the files.
    """

    def call(n_read: int, n_declared: int | None) -> None:
        try:
            if progress is not None:
                progress(n_read, n_declared)
        except BaseException as error:
            raise _PassedOnError(error) from error

    try:
        yield call
    except _PassedOnError as passed_on:
        error, context = passed_on.error, passed_on.error.__context__
        try:
            raise error
        finally:
            error.__context__ = context
            del error  # its traceback leads to this frame: a cycle would keep the audio in memory


def denoise_file(
    network: MaskNetwork,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: Options | None = None,
    progress: Progress | None = None,
) -> Report:
    """Denoise `source` and write `target`, which appears complete or not at all.

    A file that exists at `target` is replaced; see `denoise.util.paths.replacing_output`.
    After each block, `progress` is called with the number of samples read so far and the number
    that the header declares, or None; an exception that it raises stops the work. Raises
    DenoiseError for a file that cannot be read or written, its subclass AudioError for a file that
    is not audio, and ValueError for an invalid strength.
    """
    source, target, started = Path(source), Path(target), time.perf_counter()
    options = options or Options()
    if is_same_file(source, target):
        raise DenoiseError(f"{target} is the input itself. Write to another file.")
    with (
        passing_on(progress) as progress,
        reading(source) as recording,
        writing_errors(target),
    ):
        audio_format = recording.audio_format
        rate, channels = audio_format.sample_rate, audio_format.channels
        encoding = choose_encoding(recording, target, options.format)
        stream = Stream(network, rate, channels, options.strength, options.residual)
        with (
            replacing_output(target) as temporary,
            writing(temporary, audio_format, encoding) as sink,
        ):
            sink.write_tags(recording.tags)
            n_samples = _denoise_blocks(recording, stream, sink, progress)
        bit_rate = bit_rate_of(target, encoding.subtype, rate, n_samples)
    elapsed = time.perf_counter() - started
    n_clipped = sink.clipped_samples
    return Report(source, target, audio_format, encoding, n_samples, n_clipped, elapsed, bit_rate)


def _denoise_blocks(source: Source, stream: Stream, sink: Sink, progress: Progress | None) -> int:
    """Read a recording, denoise it and write it; return its number of samples."""
    n_samples = 0
    for block in source.blocks():
        sink.write(stream.feed(block))
        n_samples += len(block)
        if progress is not None:
            progress(n_samples, source.declared_samples)
    sink.write(stream.flush())
    return n_samples


def choose_encoding(source: Source, target: Path, choice: str | None) -> Encoding:
    """Return the recording's encoding, or the one that the target's name or `choice` needs.

    Raises DenoiseError if it cannot be written; the message names a format that can.
    """
    named = PurePath() if source.is_converted else source.path
    wanted = formats.choose(named, target, choice)
    encodings = _list_encodings(
        source.encoding, wanted, formats.extension(target), choice is not None
    )
    for encoding in encodings:
        placed = encoding.with_speakers(source.encoding.speakers)
        if can_write(source.audio_format, placed):
            return placed
    last, audio_format = encodings[-1], source.audio_format
    raise DenoiseError(
        f"{source.path}: {last.format} ({last.subtype}) cannot be written with "
        f"{audio_format.channels} channel(s) at {audio_format.sample_rate} Hz. WAV can: pass "
        "--format wav."
    )


def _list_encodings(
    source: Encoding, wanted: str | None, extension: str, may_change_subtype: bool
) -> list[Encoding]:
    """Return the suitable encodings, the best one first; `wanted` is None for the source's."""
    if wanted is not None and not formats.is_same(wanted, source.format):
        named = formats.SUBTYPES.get(extension)
        finer = ["PCM_24"] if source.subtype in FINER_THAN_16_BITS else []
        default = soundfile.default_subtype(wanted)
        subtypes = [named] if named else [source.subtype, *finer, default]
        return [Encoding(wanted, subtype) for subtype in subtypes]
    default = Encoding(source.format, soundfile.default_subtype(source.format))
    return [source, default] if may_change_subtype else [source]


@contextmanager
def recording_to(target: Path, sample_rate: int, channels: int) -> Iterator[Sink]:
    """Yield a WAV file to write to, which appears complete when the block ends, or not at all.

    Raises DenoiseError if it cannot be written.
    """
    audio_format, encoding = AudioFormat(sample_rate, channels), Encoding("WAV", "PCM_16")
    with (
        writing_errors(target),
        replacing_output(target) as temporary,
        writing(temporary, audio_format, encoding) as sink,
    ):
        yield sink


@contextmanager
def writing_errors(target: Path) -> Iterator[None]:
    """Convert OSErrors to DenoiseErrors that name `target`."""
    try:
        yield
    except OSError as error:
        raise DenoiseError(
            f"{target} cannot be written: {describe_os_error(error)}. No partial file was kept. "
            "Free some space, or choose another place."
        ) from error
