"""Decode audio to float32 waveforms, and convert recordings to clips of one rate and length."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from denoise.errors import AudioError
from denoise.params import AudioParams
from denoise.util.atomic import replacing

Waveform = npt.NDArray[np.float32]
Block = tuple[Waveform, int]
"""Samples, float32 [n_samples], and their sample rate."""
Source = bytes | str | os.PathLike[str] | BinaryIO

MAX_CLIP_SECONDS = 60.0
SILENCE_RMS = 1e-4  # -80 dB relative to full scale; AudioMNIST's quietest clips are 15 dB above
RATES = (4000, 192_000)  # lowest and highest supported sample rate in Hz
MAX_CHANNELS = 8
MAX_AMPLITUDE = 1e10  # full scale is 1; larger samples are not audio, and sums of them overflow
BLOCK_SAMPLES = 65_536  # of each channel
NIST_HEADER_BYTES = 1024
SHORTEN = "NIST SPHERE compressed by Shorten. Decompress it first, for example with sph2pipe."
QUALITY = "HQ"  # of soxr, wherever audio is resampled


def decode(source: Source, max_seconds: float = MAX_CLIP_SECONDS) -> tuple[Waveform, int]:
    """Return the waveform, float32 [n_samples, n_channels], and its sample rate.

    Raises AudioError as `decode_blocks` does, and for audio longer than `max_seconds`.
    """
    blocks: list[Waveform] = []
    n_samples = 0
    for block, sample_rate in decode_blocks(source):
        blocks.append(block)
        n_samples += len(block)
        max_samples = int(max_seconds * sample_rate)
        if n_samples > max_samples:
            raise AudioError(f"It is longer than {max_samples / sample_rate:g} s.")
    return np.concatenate(blocks), sample_rate


def decode_blocks(source: Source) -> Iterator[tuple[Waveform, int]]:
    """Yield at least one block, float32 [n_samples, n_channels], each with the sample rate.

    Raises AudioError as `open_audio` and `read_blocks` do.
    """
    with open_audio(source) as sound:
        for block in read_blocks(sound):
            yield block, int(sound.samplerate)


@contextmanager
def open_audio(source: Source) -> Iterator[soundfile.SoundFile]:
    """Open audio in any format that libsndfile reads, and close it when the block ends.

    Raises AudioError, also for reads inside the block, if the bytes are not audio, and if the
    sample rate or the number of channels is not supported.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with soundfile.SoundFile(file) as sound:
            if excess := out_of_range(sound.samplerate, sound.channels):
                raise AudioError(excess.message)
            yield sound
    except soundfile.LibsndfileError as error:
        reason = SHORTEN if _is_shorten(file) else error.error_string
        raise AudioError(f"This is no audio that can be read: {reason}") from error


def _is_shorten(file: str | os.PathLike[str] | BinaryIO) -> bool:
    """Return whether a seekable file is NIST SPHERE audio compressed by Shorten.

    A path may be bytes, as `SystemPath` gives it. One that cannot be opened, and a pipe, which
    would wait for a writer, are none.
    """
    if isinstance(file, str | os.PathLike):
        path = Path(os.fsdecode(file))
        with suppress(OSError):
            if path.is_file():
                with path.open("rb") as opened:
                    return _is_shorten(opened)
        return False
    if not file.seekable():
        return False
    file.seek(0)
    head = file.read(NIST_HEADER_BYTES)
    return head.startswith(b"NIST_1A") and b"shorten" in head


class OutOfRange(NamedTuple):
    """A value out of range: a sentence for the user, the bound that is exceeded, and the value."""

    message: str
    limit: int
    actual: int


def out_of_range(
    sample_rate: int, channels: int, max_channels: int = MAX_CHANNELS
) -> OutOfRange | None:
    """Return which value is not supported, the sample rate before the channels, or None."""
    bounds = (("Hz", sample_rate, *RATES), ("channels", channels, 1, max_channels))
    for unit, actual, low, high in bounds:
        if not low <= actual <= high:
            message = f"{actual} {unit} are not supported, only {low} to {high}."
            return OutOfRange(message, low if actual < low else high, actual)
    return None


def read_blocks(sound: soundfile.SoundFile) -> Iterator[Waveform]:
    """Yield at least one block of `sound`, float32 [n_samples, n_channels].

    The length in the header is ignored, because it may be wrong. Raises AudioError if there are no
    samples, or samples that are not finite or exceed MAX_AMPLITUDE.
    """
    # soundfile limits reads to the header's length if the file is seekable, so it must seem not to
    # be. Then the file is read to its true end.
    sound.seekable = lambda: False
    n_samples = 0
    while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
        yield check_samples(block)
        n_samples += len(block)
    if n_samples == 0:
        raise AudioError("This audio holds no samples.")


def check_samples(block: Waveform) -> Waveform:
    """Return float32 [n_samples, n_channels], n_samples > 0, as it is.

    Raises AudioError for samples that are not finite or exceed MAX_AMPLITUDE.
    """
    if not np.isfinite(block).all():
        raise AudioError("This audio holds samples that are not finite numbers.")
    if np.abs(block).max() > MAX_AMPLITUDE:
        raise AudioError(f"This audio holds samples beyond {MAX_AMPLITUDE:.0e}; full scale is 1.")
    return block


def rms(waveform: Waveform) -> float:
    """Return the root mean square of a waveform, computed in float64."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def is_silent(waveform: Waveform) -> bool:
    """Return whether the RMS is below SILENCE_RMS."""
    return rms(waveform) < SILENCE_RMS


def remove_dc(waveform: Waveform) -> Waveform:
    """Subtract the mean, which is computed in float64."""
    return (waveform - np.mean(waveform, dtype=np.float64)).astype(np.float32)


def limit_peak(waveform: Waveform) -> Waveform:
    """Scale a waveform that exceeds full scale to a peak of 1; return any other unchanged."""
    return waveform / np.maximum(np.max(np.abs(waveform)), np.float32(1))


def resample(waveform: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """Resample float32 [n_samples] with soxr."""
    if from_rate == to_rate:
        return waveform
    return np.asarray(soxr.resample(waveform, from_rate, to_rate, quality=QUALITY), np.float32)


def change_speed(waveform: Waveform, speed: float, sample_rate: int) -> Waveform:
    """Resample float32 [n_samples] to play `speed` times as fast; pitch and formants move too."""
    return resample(waveform, round(speed * sample_rate), sample_rate)


def fit_length(waveform: Waveform, n_samples: int) -> Waveform:
    """Crop to the `n_samples` with the most energy, or pad both sides evenly with zeros."""
    missing = n_samples - len(waveform)
    if missing >= 0:
        return np.pad(waveform, (missing // 2, missing - missing // 2))
    energy = np.concatenate(([0.0], np.cumsum(np.square(waveform, dtype=np.float64))))
    start = int(np.argmax(energy[n_samples:] - energy[:-n_samples]))
    return waveform[start : start + n_samples]


def load_clip(source: bytes | BinaryIO, params: AudioParams) -> Waveform:
    """Decode a recording to a clip of the params' sample rate, float32 [params.n_samples].

    The channels are averaged and the DC offset is removed before the rate and the length are
    changed. Raises AudioError if the recording is broken or silent.
    """
    return load_fitted(source, params.sample_rate, params.n_samples)


def load_fitted(source: bytes | BinaryIO, sample_rate: int, n_samples: int) -> Waveform:
    """Decode a recording as `load_clip` does, float32 [n_samples]."""
    return _check_sound(fit_length(_decode_mono(source, sample_rate), n_samples))


def load_utterance(source: bytes | BinaryIO, params: AudioParams) -> Waveform:
    """Decode a recording as `load_clip` does, but do not pad it: at most params.n_samples."""
    mono = _decode_mono(source, params.sample_rate)
    return _check_sound(fit_length(mono, min(len(mono), params.n_samples)))


def _decode_mono(source: bytes | BinaryIO, sample_rate: int) -> Waveform:
    channels, own_rate = decode(source)
    mono = remove_dc(channels.mean(axis=1, dtype=np.float32))
    return resample(mono, own_rate, sample_rate)


def _check_sound(clip: Waveform) -> Waveform:
    """Return a clip; raises AudioError if it has no samples, or is silent."""
    if not len(clip):
        raise AudioError("It has no samples.")
    if is_silent(clip):
        raise AudioError(f"It is silent: its RMS, {rms(clip):.1e}, is below {SILENCE_RMS:.0e}.")
    return clip


def write_wav(path: str | os.PathLike[str], waveform: Waveform, sample_rate: int) -> None:
    """Write float32 [n_samples] in [-1, 1] as a 16-bit WAV file, completely or not at all."""
    with replacing(path) as temporary:
        soundfile.write(temporary, waveform, sample_rate, format="WAV", subtype="PCM_16")
