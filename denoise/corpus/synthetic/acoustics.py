"""What lies between a synthetic voice and a recording: breath, flutter, microphone, room, level.

Only what gives the same bits on every processor is used: products, sums, square roots and the real
FFT; no array exponentials and no products of complex arrays.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr
from numpy.random import Generator

Waveform = npt.NDArray[np.float32]

SAMPLE_RATE = 22_050
MAX_PEAK = 0.9
OVERSAMPLING = 4
FLUTTER_SAMPLES = 660  # 30 ms between two knots of the pitch's wavering
FLUTTER_DEPTH = 3.0  # samples by which a knot is early or late, about 1 % of pitch
AIR_SAMPLES = (100, 512)  # 5 to 23 ms between two knots of the air's flow: under 110 or 20 Hz
PUFF_SPREAD_DB = 4.0  # from one utterance to the next
PUFF_FADE = (0.7, 0.5, 0.35, 0.25, 0.15)  # what is left of a puff one, two... knots later
FADE_SAMPLES = 662  # 30 ms in which a draught sets in, and goes
FFT_BLOCK = 8192
PEOPLE_DB = (6.0, 3.0, 0.0, 0.0, 0.0, -1.0, 0.0, 2.0, 3.0)  # what people have over eSpeak NG
KNOTS_HZ = (0.0, 60.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 11_025.0)


@dataclass(frozen=True)
class Recording:
    """How one speaker is recorded; gains are for KNOTS_HZ, levels relative to the speech."""

    gains: tuple[float, ...]
    bandwidth_hz: float
    reverberation_seconds: float
    room_db: float
    floor_db: float
    rumble: float
    breath_db: float
    edge: float
    air_samples: int
    puff_db: float
    draught_db: float
    level_db: float


def amplitude(level_db: float) -> float:
    """Turn a level into an amplitude, rounded so that every processor's `pow` agrees."""
    return float(f"{10 ** (level_db / 20):.7g}")


def draw_recording(rng: Generator) -> Recording:
    """Draw a speaker's microphone, room, voice quality and level."""
    tilt_db = 0.5 + 1.5 * rng.standard_normal()  # an octave
    octaves = (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 3.46)
    shape_db = [
        usual + tilt_db * octave + 4 * rng.standard_normal()
        for usual, octave in zip(PEOPLE_DB, octaves, strict=True)
    ]
    shape_db[0] -= rng.uniform(0.0, 12.0)
    level_db = -34 + 6 * max(-2.0, min(2.0, rng.standard_normal()))
    return Recording(
        gains=(0.0, *(amplitude(max(-25.0, min(12.0, gain_db))) for gain_db in shape_db)),
        bandwidth_hz=float(rng.choice([11_025.0, 11_025.0, 11_025.0, 7800.0, 7800.0, 4000.0])),
        reverberation_seconds=float(rng.uniform(0.1, 0.4)),
        room_db=float(rng.uniform(-18.0, -5.0)),
        floor_db=float(rng.uniform(-65.0, -45.0)),
        rumble=float(rng.uniform(0.0, 4.0)),
        breath_db=float(rng.uniform(-42.0, -28.0)),
        edge=float(rng.uniform(0.0, 0.3)),
        air_samples=int(rng.integers(*AIR_SAMPLES)),
        puff_db=float(rng.uniform(-32.0, -5.0)),
        draught_db=float(rng.uniform(-50.0, -12.0)),
        level_db=level_db,
    )


def rms(waveform: Waveform) -> float:
    """Return the root mean square."""
    return math.sqrt(float(np.mean(waveform * waveform)))


def play(waveform: Waveform, speed: float, rng: Generator) -> Waveform:
    """Play `waveform` at `speed`, about 1, and waver a little: formants and pitch move along."""
    n_samples = int(len(waveform) / speed)
    knots = FLUTTER_DEPTH * rng.standard_normal(n_samples // FLUTTER_SAMPLES + 2)
    time = np.arange(n_samples)
    waver = np.interp(time, FLUTTER_SAMPLES * np.arange(len(knots)), knots)
    fine = soxr.resample(waveform, 1, OVERSAMPLING, quality="MQ")
    at = OVERSAMPLING * (time * speed + waver)
    return np.interp(at, np.arange(len(fine)), fine).astype(np.float32)


def add_breath(waveform: Waveform, recording: Recording, rng: Generator) -> Waveform:
    """Fill what the synthesiser leaves empty between and above the formants, in time with it."""
    spoken = waveform / np.max(np.abs(waveform))
    noise = rng.standard_normal(len(spoken), dtype=np.float32)
    breath = np.float32(amplitude(recording.breath_db)) * np.abs(spoken) * noise
    return spoken + np.float32(recording.edge) * spoken * spoken + breath


def moving_air(strength: Waveform, air_samples: int, rng: Generator) -> Waveform:
    """Draw the air that strikes the microphone, as strong as `strength` has it: slow, RMS 1."""
    whole = np.pad(strength, (0, -len(strength) % air_samples)).reshape(-1, air_samples)
    flow = np.mean(whole, axis=1) * rng.standard_normal(len(whole), dtype=np.float32)
    at = np.arange(len(strength)) / air_samples
    moved = np.interp(at, np.arange(len(flow)) + 0.5, flow).astype(np.float32)
    return moved / np.float32(rms(moved))


def puff_strength(voice: Waveform, air_samples: int) -> Waveform:
    """Return how strongly `voice` blows, float32 [n_samples]: a little longer than it sounds."""
    loudness = np.abs(voice)
    strength = loudness.copy()
    for knots, left in enumerate(PUFF_FADE, start=1):
        strength[knots * air_samples :] += np.float32(left) * loudness[: -knots * air_samples]
    return strength


def fades(n_samples: int) -> Waveform:
    """Return a gain, float32 [n_samples]: up from 0 at the start, down to 0 at the end."""
    samples = np.arange(n_samples, dtype=np.float32)
    from_edge = np.minimum(samples, samples[::-1])
    return np.minimum(from_edge / np.float32(FADE_SAMPLES), np.float32(1))


def draw_air(voice: Waveform, recording: Recording, rng: Generator) -> Waveform:
    """Draw puffs of breath and a draught, float32 [n_samples], against speech of RMS 1."""
    puff_db = recording.puff_db + PUFF_SPREAD_DB * max(-2.0, min(2.0, rng.standard_normal()))
    strength = puff_strength(voice, recording.air_samples)
    puffs = moving_air(strength, recording.air_samples, rng)
    draught = moving_air(np.ones_like(voice), recording.air_samples, rng) * fades(len(voice))
    return (
        np.float32(amplitude(puff_db)) * puffs
        + np.float32(amplitude(recording.draught_db)) * draught
    )


def room_tone(recording: Recording, n_samples: int, rng: Generator) -> Waveform:
    """Draw the room's own noise, at an RMS of about 1: a hiss, and a rumble under 700 Hz."""
    hiss = rng.standard_normal(n_samples, dtype=np.float32)
    slow = rng.standard_normal(n_samples // 16 + 2, dtype=np.float32)
    rumble = soxr.resample(slow, 1, 16, quality="MQ")[:n_samples]
    scale = 1 / math.sqrt(1 + recording.rumble**2)
    return np.float32(scale) * (hiss + np.float32(recording.rumble) * rumble)


def impulse_response(recording: Recording, rng: Generator) -> Waveform:
    """Draw the way from mouth to microphone: the direct sound, then a tail that dies away."""
    n_samples = int(0.7 * recording.reverberation_seconds * SAMPLE_RATE)
    fall = round(math.exp(-6.908 / (recording.reverberation_seconds * SAMPLE_RATE)), 9)
    decay = np.multiply.accumulate(np.full(n_samples, fall))
    tail = (rng.standard_normal(n_samples) * decay).astype(np.float32)
    tail[: int(rng.integers(20, 120))] = 0
    tail *= np.float32(amplitude(recording.room_db) / (rms(tail) * math.sqrt(n_samples)))
    tail[0] = 1
    return tail


def _response_of_microphone(recording: Recording, n_fft: int) -> npt.NDArray[np.float32]:
    frequency = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE)
    gain = np.interp(frequency, KNOTS_HZ, recording.gains)
    edge = (recording.bandwidth_hz, 1.08 * recording.bandwidth_hz)
    if recording.bandwidth_hz < SAMPLE_RATE / 2:
        gain *= np.interp(frequency, edge, (1.0, 0.001))
    return gain.astype(np.float32)


def _through(waveform: Waveform, room: Waveform, recording: Recording) -> Waveform:
    """Pass `waveform` through room and microphone; the length stays."""
    n_fft = -(-(len(waveform) + len(room)) // FFT_BLOCK) * FFT_BLOCK
    dry, path = np.fft.rfft(waveform, n_fft), np.fft.rfft(room, n_fft)
    gain = _response_of_microphone(recording, n_fft)
    wet = np.empty_like(dry)
    wet.real = gain * (dry.real * path.real - dry.imag * path.imag)
    wet.imag = gain * (dry.real * path.imag + dry.imag * path.real)
    return np.fft.irfft(wet, n_fft)[: len(waveform)].astype(np.float32)


def record(
    voice: Waveform,
    recording: Recording,
    silence: tuple[int, int],
    offset_db: float,
    rng: Generator,
) -> npt.NDArray[np.int16]:
    """Record `voice` with `silence` samples before and after, int16; no sample is clipped.

    The speech's RMS is the recording's level plus `offset_db`, in dB of full scale.
    """
    spoken = add_breath(voice, recording, rng)
    padded = np.pad(spoken, silence)
    padded += np.float32(amplitude(recording.floor_db) * rms(spoken)) * room_tone(
        recording, len(padded), rng
    )
    heard = _through(padded, impulse_response(recording, rng), recording)
    level = rms(heard[silence[0] : silence[0] + len(spoken)])
    heard += np.float32(level) * draw_air(np.pad(spoken, silence), recording, rng)
    gain = amplitude(recording.level_db + offset_db) / level
    gain = min(gain, MAX_PEAK / float(np.max(np.abs(heard))))
    return np.rint(heard * np.float32(32_767 * gain)).astype(np.int16)
