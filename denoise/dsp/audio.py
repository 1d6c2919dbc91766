"""Files to float32 waveforms, and the form that each clip is brought to."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from denoise.errors import AudioError
from denoise.params import AudioParams
from denoise.util.atomic import replacing

Waveform = npt.NDArray[np.float32]
Source = bytes | str | os.PathLike[str] | BinaryIO

MAX_CLIP_SECONDS = 60.0
SILENCE_RMS = 1e-4  # -80 dB full scale; AudioMNIST's quietest clips lie 15 dB above
RATES = (4000, 192_000)
MAX_CHANNELS = 8
MAX_AMPLITUDE = 1e10  # full scale is 1; larger samples are no sound, and their sums overflow
BLOCK_FRAMES = 65_536
QUALITY = "HQ"  # soxr's, for every resampling


def decode(source: Source, max_seconds: float = MAX_CLIP_SECONDS) -> tuple[Waveform, int]:
    """Decode any format that libsndfile reads into float32 [n_samples, n_channels] and its rate.

    Raises AudioError for what `decode_blocks` does, and for audio longer than `max_seconds`.
    """
    blocks: list[Waveform] = []
    n_frames = 0
    for block, sample_rate in decode_blocks(source):
        blocks.append(block)
        n_frames += len(block)
        most_frames = int(max_seconds * sample_rate)
        if n_frames > most_frames:
            raise AudioError(f"It is longer than {most_frames / sample_rate:g} s.")
    return np.concatenate(blocks), sample_rate


def decode_blocks(source: Source) -> Iterator[tuple[Waveform, int]]:
    """Yield one block or more, float32 [n_samples, n_channels], each with the sample rate.

    Raises AudioError for what `open_audio` and `read_blocks` do.
    """
    with open_audio(source) as sound:
        for block in read_blocks(sound):
            yield block, int(sound.samplerate)


@contextmanager
def open_audio(source: Source) -> Iterator[soundfile.SoundFile]:
    """Open audio in any format that libsndfile reads; it is closed on leaving.

    Raises AudioError for bytes that are no audio, also while they are read, and for rates or
    numbers of channels out of range.
    """
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with soundfile.SoundFile(opened) as sound:
            if excess := out_of_range(sound.samplerate, sound.channels):
                raise AudioError(excess.message)
            yield sound
    except soundfile.LibsndfileError as error:
        raise AudioError(f"This is no audio that can be read: {error.error_string}") from error


class OutOfRange(NamedTuple):
    """What lies out of range: a sentence, the bound that is passed, and the value."""

    message: str
    limit: int
    actual: int


def out_of_range(
    sample_rate: int, channels: int, most_channels: int = MAX_CHANNELS
) -> OutOfRange | None:
    """Return what of a form lies out of range, the rate first, or None."""
    bounds = (("Hz", sample_rate, *RATES), ("channels", channels, 1, most_channels))
    for unit, actual, least, most in bounds:
        if not least <= actual <= most:
            message = f"{actual} {unit} cannot be worked on: {least} to {most} can."
            return OutOfRange(message, least if actual < least else most, actual)
    return None


def read_blocks(sound: soundfile.SoundFile) -> Iterator[Waveform]:
    """Yield what `sound` holds, float32 [n_samples, n_channels] each, one block or more.

    Frames are counted as they are decoded, since headers lie. Raises AudioError for audio that
    holds no sample, or samples that are not finite or beyond LOUDEST.
    """
    # A file that "cannot seek" is read to its true end, whatever length its header claims.
    sound.seekable = lambda: False
    n_frames = 0
    while len(block := sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
        if not np.isfinite(block).all():
            raise AudioError("This audio holds samples that are not finite numbers.")
        if np.abs(block).max() > MAX_AMPLITUDE:
            raise AudioError(
                f"This audio holds samples beyond {MAX_AMPLITUDE:.0e}; full scale is 1."
            )
        yield block
        n_frames += len(block)
    if n_frames == 0:
        raise AudioError("This audio holds no samples.")


def rms(waveform: Waveform) -> float:
    """Return the root mean square of a waveform, summed in float64."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def is_silent(waveform: Waveform) -> bool:
    """Tell whether a waveform is too quiet to be a recording of anything."""
    return rms(waveform) < SILENCE_RMS


def remove_dc(waveform: Waveform) -> Waveform:
    """Subtract the mean."""
    return (waveform - np.mean(waveform, dtype=np.float64)).astype(np.float32)


def resample(waveform: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """Bring [n_samples] from one sample rate to another with soxr."""
    if from_rate == to_rate:
        return waveform
    return np.asarray(soxr.resample(waveform, from_rate, to_rate, quality=QUALITY), np.float32)


def change_speed(waveform: Waveform, speed: float, sample_rate: int) -> Waveform:
    """Play [n_samples] `speed` times as fast: the pitch and the formants of a voice move along."""
    return resample(waveform, round(speed * sample_rate), sample_rate)


def fit_length(waveform: Waveform, n_samples: int) -> Waveform:
    """Crop to the `n_samples` that hold the most energy, or pad with zeros evenly on both sides."""
    missing = n_samples - len(waveform)
    if missing >= 0:
        return np.pad(waveform, (missing // 2, missing - missing // 2))
    energy = np.concatenate(([0.0], np.cumsum(np.square(waveform, dtype=np.float64))))
    start = int(np.argmax(energy[n_samples:] - energy[:-n_samples]))
    return waveform[start : start + n_samples]


def load_clip(source: bytes | BinaryIO, params: AudioParams) -> Waveform:
    """Decode a recording and bring it to the pipeline's form, float32 [params.n_samples].

    Channels are averaged, the DC offset goes, the rate and the length become the params'. Raises
    AudioError where the recording is broken or silent.
    """
    channels, sample_rate = decode(source)
    mono = remove_dc(channels.mean(axis=1, dtype=np.float32))
    clip = fit_length(resample(mono, sample_rate, params.sample_rate), params.n_samples)
    if is_silent(clip):
        raise AudioError(f"It is silent: its RMS, {rms(clip):.1e}, is under {SILENCE_RMS:.0e}.")
    return clip


def write_wav(path: str | os.PathLike[str], waveform: Waveform, sample_rate: int) -> None:
    """Write float32 [n_samples] in [-1, 1] as 16-bit WAV, whole or not at all."""
    with replacing(path) as temporary:
        soundfile.write(temporary, waveform, sample_rate, format="WAV", subtype="PCM_16")
