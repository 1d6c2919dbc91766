"""Decode M4A, MP4, WebM, WMA and other media with the optional package PyAV, which contains FFmpeg.

The package is imported only here, inside `load`, since it is not installed everywhere. FFmpeg gets
an open file and the name of one container, never a path: it opens no other file and no address that
a playlist might name.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import BLOCK_SAMPLES, Waveform, check_samples
from denoise.errors import AudioError
from denoise.inference.media_length import MICROSECONDS, LengthCheck, track_seconds

INSTALL = 'pip install ".[media]" in the source folder of denoise'
TAGS = {"track": "tracknumber"}  # FFmpeg's names that differ from libsndfile's
PLANAR_DTYPES = {"u8p": "u1", "s16p": "i2", "s32p": "i4", "s64p": "i8", "fltp": "f4", "dblp": "f8"}
MIN_LEAD_SECONDS = 0.04  # between picture and sound; less is not noticed
MAX_LEAD_SECONDS = 3600.0  # more is a damaged time stamp


def load() -> Any:
    """Import PyAV; raises AudioError that says what to install."""
    try:
        import av
    except ImportError as error:
        raise AudioError(f"It is read with PyAV, which is not installed: {INSTALL}") from error
    return av


@dataclass(frozen=True)
class Media:
    """The sound of an open file. `bits` is what WAV or FLAC need to hold it, 0 for floats."""

    sample_rate: int
    channels: int
    bits: int
    declared_samples: int | None
    tags: Mapping[str, str]
    _av: Any
    _container: Any
    _stream: Any
    _length_check: LengthCheck
    _lead_samples: int
    _start_seconds: float | None

    @property
    def stream(self) -> Any:
        """Return PyAV's stream of the sound, of which the packets must not be read."""
        return self._stream

    @property
    def track_seconds(self) -> float:
        """Return how long the sound is by the header, without its lead; 0 if it is not told."""
        return track_seconds(self._container, self._stream)

    def blocks(self) -> Iterator[Waveform]:
        """Yield at least one block, float32 [n_samples, n_channels].

        Silence stands for the time before the sound, where the picture begins earlier; or, if the
        file was opened with `start_seconds`, for pauses between time stamps.

        Raises AudioError for damage, an incomplete file, a change of the sample rate or of the
        channels, no samples, and samples that are not finite or exceed MAX_AMPLITUDE.
        """
        held: list[Waveform] = []
        n_held = n_samples = 0
        for samples in self._frames():
            held.append(samples)
            n_held += len(samples)
            if n_held >= BLOCK_SAMPLES:
                yield check_samples(np.concatenate(held))
                n_samples += n_held
                held, n_held = [], 0
        n_samples += n_held
        if n_samples == 0:
            raise AudioError("This audio holds no samples.")
        if held:
            yield check_samples(np.concatenate(held))

    def _frames(self) -> Iterator[Waveform]:
        for start in range(0, self._lead_samples, BLOCK_SAMPLES):
            n_silent = min(BLOCK_SAMPLES, self._lead_samples - start)
            yield np.zeros((n_silent, self.channels), np.float32)
        check, n_samples = self._length_check, 0
        errors: list[Exception] = []
        chosen = [] if check.needs_all_streams else [self._stream]
        try:
            for packet in self._container.demux(*chosen):
                check.add_packet(packet)
                if packet.stream_index != self._stream.index:
                    continue
                n_decoded = 0
                for frame in self._decode(packet, errors):
                    self._check_format(frame, n_samples)
                    for n_silent in self._pause(frame, n_samples):
                        yield np.zeros((n_silent, self.channels), np.float32)
                        n_samples += n_silent
                    yield _to_waveform(frame)
                    n_samples += int(frame.samples)
                    n_decoded += int(frame.samples)
                check.add_decoded(n_decoded / self.sample_rate)
        except self._av.error.FFmpegError as error:
            at = n_samples / self.sample_rate
            raise AudioError(
                f"The recording is damaged: it cannot be decoded from {at:.1f} s on."
            ) from error
        if n_samples and check.is_incomplete:
            raise AudioError(
                f"It is incomplete or damaged: {check.seconds:.1f} s of "
                f"{check.least_seconds:.1f} s can be decoded."
            )

    def _decode(self, packet: Any, errors: list[Exception]) -> list[Any]:
        """Return the frames of a packet; none, and the error in `errors`, if it may be the end.

        If there are more packets, it was not the end: that error is raised then.
        """
        if errors and packet.size:
            raise errors[0]
        try:
            frames: list[Any] = packet.decode()
        except self._av.error.FFmpegError as error:
            if not self._length_check.may_be_cut(packet):
                raise
            errors.append(error)
            return []
        return frames

    def _pause(self, frame: Any, n_samples: int) -> Iterator[int]:
        """Yield the sizes of blocks of silence that bring a frame to its time, if times are kept.

        `n_samples` were decoded before. A pause that cannot be noticed is left to the next frames.
        """
        if self._start_seconds is None or frame.time is None:
            return
        seconds = frame.time - self._start_seconds - n_samples / self.sample_rate
        if MIN_LEAD_SECONDS <= seconds <= MAX_LEAD_SECONDS:
            left = round(seconds * self.sample_rate)
            while left:
                yield min(left, BLOCK_SAMPLES)
                left -= min(left, BLOCK_SAMPLES)

    def _check_format(self, frame: Any, n_samples: int) -> None:
        actual = (int(frame.sample_rate), int(frame.layout.nb_channels))
        if actual != (self.sample_rate, self.channels):
            raise AudioError(
                f"It changes from {self.sample_rate} Hz and {self.channels} channel(s) to "
                f"{actual[0]} Hz and {actual[1]} after {n_samples / self.sample_rate:.1f} s. "
                "Split it there."
            )


@contextmanager
def open_media(
    file: BinaryIO, container: str, start_seconds: float | None = None
) -> Iterator[Media]:
    """Open a seekable file as the container of FFmpeg's name `container`; close it at the end.

    Of several sound tracks, the one that is marked as the default is read. If `start_seconds` is
    given, as `first_seconds` returns it, the samples keep to the time stamps from there on. Raises
    AudioError where PyAV is not installed, and where there is no sound that can be decoded.
    """
    av = load()
    with open_container(av, file, container) as opened:
        yield _examine(av, opened, container, start_seconds)


def open_container(av: Any, file: BinaryIO, container: str) -> Any:
    """Return PyAV's container of a seekable file; raises AudioError if it cannot be read."""
    file.seek(0)
    try:
        return av.open(file, format=container, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise AudioError(
            "This is no audio that can be read: the file is damaged or incomplete."
        ) from error


def first_seconds(av: Any, opened: Any) -> float:
    """Return the time stamp of the first sample that is decoded from an open container, or 0.

    It may differ from the start of the track in the header, by what an encoder puts before.
    """
    stream = _find_sound(av, opened)
    if stream is None or stream.codec_context is None:
        return 0.0
    with suppress(av.error.FFmpegError):
        for packet in opened.demux(stream):
            for frame in packet.decode():
                return float(frame.time or 0.0)
    return 0.0


def _find_sound(av: Any, opened: Any) -> Any:
    """Return the sound track that is read, or None."""
    try:
        return opened.streams.best("audio")
    except (av.error.FFmpegError, ValueError):
        return None


def _examine(av: Any, opened: Any, container: str, start_seconds: float | None) -> Media:
    stream = _find_sound(av, opened)
    context = None if stream is None else stream.codec_context
    if stream is None or context is None:
        raise AudioError("It has no sound that can be decoded.")
    rate, channels = int(context.sample_rate or 0), int(context.channels or 0)
    seconds = track_seconds(opened, stream)
    declared = seconds or (opened.duration or 0) / MICROSECONDS
    tags = {**stream.metadata, **opened.metadata}  # a track's title may be "Stereo"
    named = {TAGS.get(name.lower(), name.lower()): str(text) for name, text in tags.items()}
    check = LengthCheck(container, stream, seconds)
    lead = 0 if start_seconds is not None else round(_lead_seconds(opened, stream) * rate)
    n_declared = round(declared * rate + lead) if declared else None
    header = (rate, channels, _count_bits(context), n_declared, named)
    return Media(*header, av, opened, stream, check, lead, start_seconds)


def _lead_seconds(opened: Any, stream: Any) -> float:
    """Return how much later than the picture the sound begins, 0 if that cannot be noticed."""
    starts = [
        float(each.start_time * each.time_base)
        for each in (stream, *opened.streams.video)
        if each.start_time is not None and each.time_base
    ]
    if stream.start_time is None or not starts:
        return 0.0
    lead = starts[0] - min(starts)
    return lead if MIN_LEAD_SECONDS <= lead <= MAX_LEAD_SECONDS else 0.0


def _count_bits(context: Any) -> int:
    """Return the bits per sample that the result needs.

    They are 0 (floats) for lossless floats, 24 for integers of more than 16 bits, else 16. A lossy
    codec has 16: its floats exist only in the decoder.
    """
    name = context.format.name if context.format is not None else "flt"
    if context.name.startswith(("pcm_f", "wavpack")) and name.startswith(("flt", "dbl")):
        return 0
    return 24 if name.startswith(("s32", "s64")) else 16


def _to_waveform(frame: Any) -> Waveform:
    """Return a frame's samples, float32 [n_samples, n_channels], full scale 1."""
    n_channels = int(frame.layout.nb_channels)
    if frame.format.is_planar:
        # Not by to_ndarray, which counts nine planes where there are eight, and crashes.
        dtype = PLANAR_DTYPES[frame.format.name]
        planes = [np.frombuffer(frame.planes[k], dtype)[: frame.samples] for k in range(n_channels)]
        samples: npt.NDArray[Any] = np.stack(planes, axis=1)
    else:
        samples = frame.to_ndarray().reshape(-1, n_channels)
    if samples.dtype.kind == "f":
        return np.ascontiguousarray(samples, np.float32)
    bits = 8 * samples.dtype.itemsize
    middle = 128.0 if samples.dtype.kind == "u" else 0.0
    return np.ascontiguousarray((samples - middle) / 2.0 ** (bits - 1), np.float32)
