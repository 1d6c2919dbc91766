"""Choose the codec for the cleaned sound of a video, and encode it with PyAV."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import soxr

from denoise.dsp.audio import QUALITY, Waveform
from denoise.errors import DenoiseError

LOSSY = {"aac": "aac", "opus": "libopus", "mp3": "libmp3lame", "mp2": "mp2"}
LOSSY |= {each: each for each in ("ac3", "eac3", "wmav1", "wmav2")}  # FFmpeg's encoders
LOSSLESS = {"flac", "alac"}
UNFLUSHED = {"mp2": 481, "ac3": 256, "eac3": 256}  # samples that an encoder keeps at the end
WMA = {"wmav1", "wmav2"}  # the encoder keeps the last frame, and decoders drop the first one
# the codec of a container where the original one cannot be written; else AAC
DEFAULTS = {"webm": "opus", "asf": "wmav2"}
MAX_BIT_RATE = 256_000  # of a channel of the default codec; what replaces DTS needs no more
MIN_WMA_BIT_RATE, MAX_WMA_RATE = 24_000, 48_000  # bits per second and Hz of FFmpeg's encoder
FLV_MP3_RATES = (11_025, 22_050, 44_100)  # the only ones of MP3 in FLV, in Hz
LAYOUTS = ("", "mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")  # by channels


@dataclass(frozen=True)
class SoundCodec:
    """An encoder by FFmpeg's name, and its settings. `bit_rate`, bits per second, may be None."""

    encoder: str
    codec: str
    sample_rate: int
    sample_format: str
    layout: str
    bit_rate: int | None

    @property
    def is_clipped(self) -> bool:
        """Tell whether samples beyond full scale are clipped."""
        return not self.sample_format.startswith(("flt", "dbl"))


def choose_codec(av: Any, stream: Any, output: Any, bit_rate: float | None) -> SoundCodec:
    """Return the codec of a sound `stream` of PyAV, or the default one of the container `output`.

    `bit_rate` is that of the stream, in bits per second. Raises DenoiseError if neither encodes
    sound of its sample rate and channels.
    """
    context = stream.codec_context
    default = DEFAULTS.get(output.format.name, "aac")
    for codec in (context.codec.canonical_name, default):
        encoder = _encoder(codec)
        if encoder is None or encoder not in output.supported_codecs:
            continue
        is_flv_mp3 = codec == "mp3" and output.format.name == "flv"
        if is_flv_mp3 and context.sample_rate not in FLV_MP3_RATES:
            continue
        wanted = bit_rate if codec in LOSSY else None
        if wanted is not None and codec != context.codec.canonical_name:
            wanted = min(wanted, MAX_BIT_RATE * context.channels)
        for layout in (context.layout.name, LAYOUTS[context.channels]):
            choice = _settings(av, encoder, codec, context, layout, wanted)
            if _can_encode(av, choice):
                return choice
    raise DenoiseError(
        f"Sound with {context.channels} channel(s) at {context.sample_rate} Hz cannot be encoded "
        f"as {default.upper()}, which the video's container takes. Omit --remux."
    )


def _encoder(codec: str) -> str | None:
    is_lossless = codec in LOSSLESS or codec.startswith("pcm_")
    return codec if is_lossless else LOSSY.get(codec)


def _settings(
    av: Any, encoder: str, codec: str, context: Any, layout: str, bit_rate: float | None
) -> SoundCodec:
    """Return settings near those of a decoder's `context`: its sample format and rate, if taken."""
    properties = av.Codec(encoder, "w")
    rate, rates = int(context.sample_rate), properties.audio_rates
    if rates and rate not in rates:
        rate = min((each for each in rates if each >= rate), default=max(rates))
    names = [each.name for each in properties.audio_formats]
    kind = context.format.name.removesuffix("p")
    floats = [name for name in names if name.startswith("flt")]
    alike = [name for name in names if name.removesuffix("p") == kind]
    sample_format = (alike or floats or names)[0]
    number = None if bit_rate is None else round(bit_rate)
    if codec in WMA:
        rate = min(rate, MAX_WMA_RATE)
        number = None if number is None else max(number, MIN_WMA_BIT_RATE)
    return SoundCodec(encoder, codec, rate, sample_format, layout, number)


def _can_encode(av: Any, choice: SoundCodec) -> bool:
    """Tell whether an encoder takes these settings."""
    context = av.CodecContext.create(choice.encoder, "w")
    try:
        _configure(context, choice)
        context.open()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _configure(context: Any, choice: SoundCodec) -> None:
    context.sample_rate, context.layout = choice.sample_rate, choice.layout
    context.format = choice.sample_format
    context.time_base = Fraction(1, choice.sample_rate)
    if choice.bit_rate is not None:
        context.bit_rate = choice.bit_rate
    if choice.encoder == "libopus":
        context.options = {"vbr": "constrained"}  # else noise takes a third more than the bit rate


class SoundEncoder:
    """Encodes samples from a start time on. Counts bytes, and samples that have to be clipped."""

    def __init__(
        self, av: Any, output: Any, choice: SoundCodec, sample_rate: int, start_seconds: float
    ) -> None:
        """Add a stream to PyAV's container `output`; the samples come at `sample_rate`, in Hz."""
        self.stream = output.add_stream(choice.encoder, rate=choice.sample_rate)
        _configure(self.stream.codec_context, choice)
        self.n_bytes = self.clipped_samples = 0
        self._av, self.choice = av, choice
        self._position = round(start_seconds * choice.sample_rate)
        n_silent, self._n_after = 0, UNFLUSHED.get(choice.codec, 0)
        if choice.codec in WMA:
            self.stream.codec_context.open()  # which sets the size of a frame
            n_silent = self._n_after = self.stream.codec_context.frame_size
            self._position -= n_silent
        self._before = np.zeros((n_silent, self.stream.codec_context.channels), np.float32)
        if choice.codec == "opus" and output.format.name in ("matroska", "webm"):
            self._position -= 1  # its delay is 6.5 ms: writer and reader would round up to 1 ms
        self._resampler: soxr.ResampleStream | None = None
        if sample_rate != choice.sample_rate:
            channels = self.stream.codec_context.channels
            rates = (sample_rate, choice.sample_rate)
            self._resampler = soxr.ResampleStream(*rates, channels, "float32", QUALITY)

    def encode(self, samples: Waveform, is_last: bool = False) -> Iterator[Any]:
        """Add float32 [n_samples, n_channels]; yield the packets that are ready."""
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(np.ascontiguousarray(samples), last=is_last)
        if self.choice.is_clipped:  # when FFmpeg converts them to integers
            self.clipped_samples += int(np.count_nonzero(np.abs(samples) > 1))
        after = np.zeros((self._n_after if is_last else 0, samples.shape[1]), np.float32)
        samples = np.concatenate([self._before, samples, after])
        self._before = self._before[:0]
        if len(samples):
            yield from self._count(self.stream.encode(self._to_frame(samples)))
        if is_last:
            yield from self._count(self.stream.encode(None))

    def _to_frame(self, samples: Waveform) -> Any:
        # Interleaved, since PyAV counts nine planes where there are eight.
        values = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
        frame = self._av.AudioFrame.from_ndarray(values, "flt", self.choice.layout)
        frame.sample_rate = self.choice.sample_rate
        frame.time_base = Fraction(1, self.choice.sample_rate)
        frame.pts = self._position
        self._position += len(samples)
        return frame

    def _count(self, packets: list[Any]) -> list[Any]:
        self.n_bytes += sum(packet.size for packet in packets)
        return packets
