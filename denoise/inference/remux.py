"""Clean the sound of a video and copy everything else, with the optional package PyAV.

The picture is not decoded: its packets are copied with their time stamps. The video is opened
twice, once for its sound and once for the rest, so that the packets of both can be written in the
order of their times, and memory does not grow with the video's length.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from denoise.containers.decoding import trim
from denoise.containers.detection import Container, has_index_first, sniff
from denoise.dsp import formats
from denoise.dsp.audio import Waveform, out_of_range
from denoise.errors import AudioError, DenoiseError
from denoise.inference import media
from denoise.inference.audio_io import AudioFormat, Encoding, describe_os_error
from denoise.inference.file_denoiser import Options, Progress, Report, passing_on, writing_errors
from denoise.inference.sound_encoder import SoundEncoder, choose_codec
from denoise.inference.streaming import Stream
from denoise.inference.video_streams import (
    copy_sound_metadata,
    copy_streams,
    decoding_seconds,
    describe_losses,
    how_to_join,
    is_cover,
    read_covers,
    read_packets,
)
from denoise.network.spec import MaskNetwork
from denoise.util.paths import FILE, is_same_file, kind_of, replacing_output

MIN_VERSION = (18, 1)  # of PyAV; reading does with older ones
PADDING_SECONDS = 0.1  # that a decoder may add to the sound
MAX_SCAN_SECONDS = 300.0  # of sound whose bit rate no header tells


def has_picture(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is a video; the cover of an album is no picture.

    A file that cannot be read is none. Raises AudioError if PyAV is needed and not installed.
    """
    if kind_of(path) != FILE:
        return False
    try:
        with Path(path).open("rb") as file:
            container = sniff(file)
            if container is None or container.is_read_by_sndfile:
                return False
            av = media.load()
            with media.open_container(av, file, container.name) as opened:
                return any(not is_cover(av, each) for each in opened.streams.video)
    except AudioError as error:
        if isinstance(error.__cause__, ImportError):
            raise AudioError(f"{path}: {error}") from error.__cause__
        return False
    except (OSError, ValueError):
        return False


@dataclass
class _Job:
    """A video that is open twice, and what is to be done with it."""

    av: Any
    container: Container
    sound: media.Media
    start_seconds: float
    others: Any
    covers: dict[int, bytes]
    has_index_first: bool
    network: MaskNetwork
    options: Options
    progress: Progress | None
    n_samples: int = 0

    def denoised(self) -> Iterator[tuple[Waveform, bool]]:
        """Yield the denoised sound, float32 [n_samples, n_channels]; True marks its last block."""
        sound, options = self.sound, self.options
        settings = (sound.sample_rate, sound.channels, options.strength, options.residual)
        stream = Stream(self.network, *settings)
        for block in self._blocks():
            self.n_samples += len(block)
            if self.progress is not None:
                self.progress(self.n_samples, sound.declared_samples)
            yield stream.feed(block), False
        yield stream.flush(), True

    def _blocks(self) -> Iterator[Waveform]:
        """Yield the blocks of the sound, without the padding that a header of MP4 tells."""
        seconds, rate = self.sound.track_seconds, self.sound.sample_rate
        if self.container.name != "mov" or not seconds:
            return self.sound.blocks()
        return trim(self.sound.blocks(), round(seconds * rate), round(PADDING_SECONDS * rate))


def remux(
    network: MaskNetwork,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: Options | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the video `source` to `target` with its sound denoised and its picture copied.

    The target appears complete or not at all. Its container is that of its extension. Of several
    sound tracks, the default one is denoised and the others are copied. What the container cannot
    hold is left out and told in the notes of the report. `progress` is called as in
    `denoise.inference.file_denoiser.denoise_file`. Raises DenoiseError for a video that cannot be
    read or written, and AudioError for one without sound, or if PyAV is not installed.
    """
    source, target, started = Path(source), Path(target), time.perf_counter()
    if is_same_file(source, target):
        raise DenoiseError(f"{target} is the input itself. Write to another file.")
    options, muxer = options or Options(), formats.choose_video(source, target)
    if options.format is not None:
        raise DenoiseError(f"{source} is a video, whose sound keeps its format. Set no format.")
    with (
        passing_on(progress) as progress,
        _reading(source, network, options, progress) as job,
        writing_errors(target),
    ):
        bit_rate = _bit_rate(job, source)
        with replacing_output(target) as temporary:
            encoder, notes = _write(job, temporary, muxer, bit_rate, target)
    audio_format = AudioFormat(job.sound.sample_rate, job.sound.channels)
    written = 8 * encoder.n_bytes * audio_format.sample_rate / max(1, job.n_samples)
    is_lossy = encoder.choice.bit_rate is not None
    encoding = Encoding(muxer.upper(), encoder.choice.codec.upper(), encoder.choice.bit_rate)
    elapsed = time.perf_counter() - started
    counts = (job.n_samples, encoder.clipped_samples, elapsed, written if is_lossy else None)
    return Report(source, target, audio_format, encoding, *counts, tuple(notes))


@contextmanager
def _reading(
    path: Path, network: MaskNetwork, options: Options, progress: Progress | None
) -> Iterator[_Job]:
    """Open a video twice; raises DenoiseError, with its name, if it cannot be read."""
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for _ in range(2)]
            container = sniff(files[0])
            if container is None:
                raise AudioError("This is no video that can be read.")
            av = _load()
            start_seconds, covers = _look_ahead(av, path, container)
            is_first = container.name == "mov" and has_index_first(files[0])
            opening = media.open_media(files[0], container.name, start_seconds)
            sound = stack.enter_context(opening)
            if excess := out_of_range(sound.sample_rate, sound.channels):
                raise AudioError(excess.message)
            others = stack.enter_context(media.open_container(av, files[1], container.name))
            parts = (sound, start_seconds, others, covers, is_first)
            yield _Job(av, container, *parts, network, options, progress)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error
    except OSError as error:
        raise DenoiseError(f"{path} cannot be read: {describe_os_error(error)}.") from error


def _load() -> Any:
    """Import PyAV; raises AudioError for a version that cannot copy all of a video."""
    av = media.load()
    if tuple(map(int, av.__version__.split(".")[:2])) < MIN_VERSION:
        wanted = ".".join(map(str, MIN_VERSION))
        raise AudioError(
            f"--remux needs PyAV {wanted} or later, and {av.__version__} is installed: "
            f"{media.INSTALL}"
        )
    return av


def _look_ahead(av: Any, path: Path, container: Container) -> tuple[float, dict[int, bytes]]:
    """Return the time of the first sample of a video's sound, and its covers."""
    with path.open("rb") as file, media.open_container(av, file, container.name) as opened:
        return media.first_seconds(av, opened), read_covers(av, opened)


def _bit_rate(job: _Job, source: Path) -> float | None:
    """Return the bit rate of the sound in bits per second: the header's, or that of its start."""
    if job.sound.stream.codec_context.bit_rate:
        return float(job.sound.stream.codec_context.bit_rate)
    n_bytes, first, seconds = 0, None, 0.0
    with (
        source.open("rb") as file,
        media.open_container(job.av, file, job.container.name) as opened,
        suppress(job.av.error.FFmpegError),
    ):
        for packet in opened.demux(opened.streams[job.sound.stream.index]):
            if packet.pts is None:
                continue
            first = packet.pts if first is None else first
            n_bytes += packet.size
            seconds = float((packet.pts - first + (packet.duration or 0)) * packet.time_base)
            if seconds > MAX_SCAN_SECONDS:
                break
    return 8 * n_bytes / seconds if seconds > 0 else None


def _write(
    job: _Job, path: Path, muxer: str, bit_rate: float | None, target: Path
) -> tuple[SoundEncoder, list[str]]:
    """Write the video to `path`; return its sound's encoder, and notes on what was not kept."""
    av, sound = job.av, job.sound
    try:
        with path.open("w+b") as file, _open_output(job, file, muxer) as output:
            choice = choose_codec(av, sound.stream, output, bit_rate)

            def add_sound() -> SoundEncoder:
                settings = (choice, sound.sample_rate, job.start_seconds)
                encoder = SoundEncoder(av, output, *settings)
                copy_sound_metadata(encoder.stream, sound.stream, output)
                return encoder

            streams = (job.others, output, job.covers, sound.stream.index)
            copies, encoder, notes = copy_streams(av, *streams, add_sound)
            _write_packets(job, output, copies, encoder)
        return encoder, notes + describe_losses(av, job.others, copies, path)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        advice = "Give the output the extension .mkv, or omit --remux."
        if muxer == "matroska":
            advice = how_to_join(job.others)
        raise DenoiseError(f"{target} cannot be written: {error.strerror}. {advice}") from error


@contextmanager
def _open_output(job: _Job, file: BinaryIO, muxer: str) -> Iterator[Any]:
    """Open a container for writing; it is completed when the block ends without an error."""
    settings = {"allow_raw_vfw": "1"} if muxer == "matroska" else {}  # pictures that are not coded
    if muxer in formats.MOV_FAMILY:
        settings["movie_timescale"] = str(job.sound.sample_rate)  # else start times are cut to ms
        flags = ["+faststart"] if job.has_index_first else []
        if any(name.startswith("com.") for name in job.others.metadata):  # as Apple's devices write
            flags.append("+use_metadata_tags")
        if flags:
            settings["movflags"] = "".join(flags)

    def reopen(*_: Any) -> BinaryIO:
        """Open the file to read, too: the muxer then moves its index to the front."""
        file.flush()
        return Path(file.name).open("rb")

    names = {"format": muxer, "container_options": settings, "metadata_errors": "replace"}
    output = job.av.open(file, "w", io_open=reopen, **names)
    try:
        yield output
    except BaseException:
        with suppress(Exception):
            output.close()
        raise
    output.close()


def _write_packets(job: _Job, output: Any, copies: dict[int, Any], encoder: SoundEncoder) -> None:
    """Write the packets of the sound and of the other streams in the order of their times."""
    encoded = _encode(job, encoder)
    sound = next(encoded, None)
    for packet in read_packets(job.av, job.others, copies):
        while sound is not None and decoding_seconds(sound) <= decoding_seconds(packet):
            output.mux_one(sound)
            sound = next(encoded, None)
        packet.stream = copies[packet.stream_index]
        output.mux_one(packet)
    while sound is not None:
        output.mux_one(sound)
        sound = next(encoded, None)


def _encode(job: _Job, encoder: SoundEncoder) -> Iterator[Any]:
    for samples, is_last in job.denoised():
        yield from encoder.encode(samples, is_last)
