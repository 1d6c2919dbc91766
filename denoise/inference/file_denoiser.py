"""Recordings in files, cleaned into other files, in memory that does not grow."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import soundfile

from denoise.dsp import formats
from denoise.errors import DenoiseError
from denoise.inference.audio_io import (
    AudioFormat,
    Encoding,
    Sink,
    Source,
    can_write,
    reading,
    reason,
    writing,
)
from denoise.inference.streaming import Stream
from denoise.network.spec import MaskNetwork
from denoise.util.atomic import replacing

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Options:
    """How a file is cleaned, and one of `formats.CHOICES` to write it in, where one is asked for.

    See `Denoiser.denoise` for `strength` and `residual`.
    """

    strength: float = 1.0
    residual: bool = False
    format: str | None = None


@dataclass(frozen=True)
class Report:
    """What became of a file. `clipped_samples` were beyond full scale and had to be cut."""

    source: Path
    target: Path
    form: AudioFormat
    encoding: Encoding
    n_samples: int
    clipped_samples: int
    elapsed_seconds: float

    @property
    def duration_seconds(self) -> float:
        """Return how long the recording lasts."""
        return self.n_samples / self.form.sample_rate


def denoise_file(
    network: MaskNetwork,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: Options | None = None,
    progress: Progress | None = None,
) -> Report:
    """Clean `source` into `target`, which appears whole or not at all and replaces what was there.

    `progress` hears how many samples were read, and how many the header claims there are, or None;
    what it raises ends the work. Raises DenoiseError for a file that cannot be read or written,
    AudioError, a kind of it, for one that is no audio, and ValueError for a bad strength.
    """
    source, target, started = Path(source), Path(target), time.perf_counter()
    options = options or Options()
    if target.exists() and source.exists() and source.samefile(target):
        raise DenoiseError(f"{target} is the recording itself: write to another file.")
    with reading(source) as recording, _errors_of(target):
        form = recording.form
        encoding = choose_encoding(recording, target, options.format)
        stream = Stream(
            network, form.sample_rate, form.channels, options.strength, options.residual
        )
        with replacing(target) as temporary, writing(temporary, form, encoding) as sink:
            sink.tag(recording.tags)
            n_samples = _clean(recording, stream, sink, progress)
    elapsed = time.perf_counter() - started
    return Report(source, target, form, encoding, n_samples, sink.clipped_samples, elapsed)


def _clean(source: Source, stream: Stream, sink: Sink, progress: Progress | None) -> int:
    """Take all of a recording through a stream into a sink; return how many samples it has."""
    n_samples = 0
    for block in source.blocks():
        sink.write(stream.feed(block))
        n_samples += len(block)
        if progress is not None:
            progress(n_samples, source.claimed_samples)
    sink.write(stream.flush())
    return n_samples


def choose_encoding(source: Source, target: Path, choice: str | None) -> Encoding:
    """Keep a recording's encoding as far as the target's name and the format asked for let it.

    Raises DenoiseError where it cannot be written; the error names a format that can.
    """
    asked = formats.choose(source.path, target, choice)
    encodings = _candidates(source.encoding, asked, formats.extension(target), choice is not None)
    for encoding in encodings:
        if can_write(source.form, encoding):
            return encoding
    last, form = encodings[-1], source.form
    raise DenoiseError(
        f"{source.path}: {last.format} ({last.subtype}) cannot be written with "
        f"{form.channels} channel(s) at {form.sample_rate} Hz. WAV can: end the output in .wav, "
        "or say --format wav."
    )


def _candidates(kept: Encoding, asked: str | None, extension: str, is_free: bool) -> list[Encoding]:
    """Return the encodings that would do, the best first; `is_free` allows another subtype."""
    if asked is not None and not formats.is_same(asked, kept.format):
        named = formats.SUBTYPES.get(extension)
        subtypes = [named] if named else [kept.subtype, soundfile.default_subtype(asked)]
        return [Encoding(asked, subtype) for subtype in subtypes]
    default = Encoding(kept.format, soundfile.default_subtype(kept.format))
    return [kept, default] if is_free else [kept]


@contextmanager
def _errors_of(target: Path) -> Iterator[None]:
    """Raise OSErrors as DenoiseErrors that name `target`."""
    try:
        yield
    except OSError as error:
        raise DenoiseError(
            f"{target} cannot be written: {reason(error)}. Nothing half-written was kept; "
            "make room, or name another place with -o."
        ) from error
