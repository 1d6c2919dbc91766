"""Simulate the recording of a synthetic voice: breath, flutter, air flow, room and microphone.

The same bits must come out on every processor. So only products, sums, square roots and the real
FFT are used, and no exponentials of arrays or products of complex arrays.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr
from numpy.random import Generator

from denoise.dsp.audio import Waveform
from denoise.dsp.portable_math import multiply

SAMPLE_RATE = 22_050
MAX_PEAK = 0.9
OVERSAMPLING = 4
FLUTTER_INTERVAL = 660  # samples, 30 ms, between two knots of the random timing deviation
FLUTTER_DEPTH = 3.0  # standard deviation of a knot in samples; it moves the pitch by about 1 %
AIRFLOW_INTERVAL_RANGE = (100, 512)  # samples, 5 to 23 ms: air flow below 110 to 20 Hz
PUFF_SPREAD_DB = 4.0  # standard deviation between the utterances of a speaker
PUFF_DECAY = (0.7, 0.5, 0.35, 0.25, 0.15)  # what remains of a puff 1, 2, ... intervals later
FADE_SAMPLES = 662  # 30 ms, in which the wind noise fades in and out
FFT_BLOCK = 8192
# The long-term spectrum of human speech relative to that of eSpeak NG, at KNOTS_HZ[1:].
HUMAN_SPECTRUM_DB = (6.0, 3.0, 0.0, 0.0, 0.0, -1.0, 0.0, 2.0, 3.0)
KNOTS_HZ = (0.0, 60.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 11_025.0)
_LOG_1000 = 6.908  # natural logarithm of 1000: reverberation has then fallen by 60 dB


@dataclass(frozen=True)
class RecordingConditions:
    """The voice quality, microphone, room and level of one speaker's recordings.

    `gains` is the microphone's response at KNOTS_HZ. `rumble` is the RMS of the room's rumble over
    that of its hiss, and `distortion` the factor of the squared waveform. Of the levels,
    `reverberation_db` is relative to the direct sound, `level_db` to full scale, and the others to
    the speech.
    """

    gains: tuple[float, ...]
    bandwidth_hz: float
    reverberation_seconds: float
    reverberation_db: float
    room_noise_db: float
    rumble: float
    breath_db: float
    distortion: float
    airflow_interval: int
    puff_db: float
    wind_db: float
    level_db: float


def db_to_amplitude(level_db: float) -> float:
    """Convert a level to an amplitude, rounded because `pow` differs between processors."""
    return float(f"{10 ** (level_db / 20):.7g}")


def draw_recording_conditions(rng: Generator) -> RecordingConditions:
    """Draw a speaker's voice quality, microphone, room and level."""
    tilt_db = 0.5 + 1.5 * rng.standard_normal()  # per octave
    octaves = (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 3.46)  # of KNOTS_HZ[1:] from 1 kHz
    response_db = [
        mean_db + tilt_db * octave + 4 * rng.standard_normal()
        for mean_db, octave in zip(HUMAN_SPECTRUM_DB, octaves, strict=True)
    ]
    response_db[0] -= rng.uniform(0.0, 12.0)
    level_db = -34 + 6 * max(-2.0, min(2.0, rng.standard_normal()))
    return RecordingConditions(
        gains=(0.0, *(db_to_amplitude(max(-25.0, min(12.0, g))) for g in response_db)),
        bandwidth_hz=float(rng.choice([11_025.0, 11_025.0, 11_025.0, 7800.0, 7800.0, 4000.0])),
        reverberation_seconds=float(rng.uniform(0.1, 0.4)),
        reverberation_db=float(rng.uniform(-18.0, -5.0)),
        room_noise_db=float(rng.uniform(-65.0, -45.0)),
        rumble=float(rng.uniform(0.0, 4.0)),
        breath_db=float(rng.uniform(-42.0, -28.0)),
        distortion=float(rng.uniform(0.0, 0.3)),
        airflow_interval=int(rng.integers(*AIRFLOW_INTERVAL_RANGE)),
        puff_db=float(rng.uniform(-32.0, -5.0)),
        wind_db=float(rng.uniform(-50.0, -12.0)),
        level_db=level_db,
    )


def rms_float32(waveform: Waveform) -> float:
    """Return the root mean square, summed in float32.

    `denoise.dsp.audio.rms` sums in float64. The last digits of the result differ, and with them the
    bytes of the corpus.
    """
    return math.sqrt(float(np.mean(waveform * waveform)))


def vary_speed(waveform: Waveform, speed: float, rng: Generator) -> Waveform:
    """Resample to play `speed` times as fast, near 1, with a small flutter; the pitch moves too."""
    n_samples = int(len(waveform) / speed)
    knots = FLUTTER_DEPTH * rng.standard_normal(n_samples // FLUTTER_INTERVAL + 2)
    time = np.arange(n_samples)
    flutter = np.interp(time, FLUTTER_INTERVAL * np.arange(len(knots)), knots)
    oversampled = soxr.resample(waveform, 1, OVERSAMPLING, quality="MQ")
    positions = OVERSAMPLING * (time * speed + flutter)
    return np.interp(positions, np.arange(len(oversampled)), oversampled).astype(np.float32)


def add_breath(waveform: Waveform, conditions: RecordingConditions, rng: Generator) -> Waveform:
    """Add breath noise and quadratic distortion, in proportion to the voice, at peak 1.

    They fill the spectrum between and above the formants, which the synthesiser leaves empty.
    """
    voice = waveform / np.max(np.abs(waveform))
    noise = rng.standard_normal(len(voice), dtype=np.float32)
    breath = np.float32(db_to_amplitude(conditions.breath_db)) * np.abs(voice) * noise
    return voice + np.float32(conditions.distortion) * voice * voice + breath


def draw_airflow(envelope: Waveform, interval: int, rng: Generator) -> Waveform:
    """Draw the low-frequency noise of moving air, float32 [n_samples] with RMS 1.

    Its amplitude follows `envelope`, float32 [n_samples]. It has a knot every `interval` samples.
    """
    padded = np.pad(envelope, (0, -len(envelope) % interval)).reshape(-1, interval)
    knots = np.mean(padded, axis=1) * rng.standard_normal(len(padded), dtype=np.float32)
    positions = np.arange(len(envelope)) / interval
    flow = np.interp(positions, np.arange(len(knots)) + 0.5, knots).astype(np.float32)
    return flow / np.float32(rms_float32(flow))


def compute_puff_envelope(voice: Waveform, interval: int) -> Waveform:
    """Return the strength of the breath from the mouth, float32 [n_samples].

    It follows the amplitude of `voice` and decays over five intervals.
    """
    amplitude = np.abs(voice)
    envelope = amplitude.copy()
    for n_intervals, gain in enumerate(PUFF_DECAY, start=1):
        delay = n_intervals * interval
        envelope[delay:] += np.float32(gain) * amplitude[:-delay]
    return envelope


def make_fades(n_samples: int) -> Waveform:
    """Return a gain, float32 [n_samples], that fades in from 0 and fades out to 0."""
    samples = np.arange(n_samples, dtype=np.float32)
    distance = np.minimum(samples, samples[::-1])  # to the nearest end
    return np.minimum(distance / np.float32(FADE_SAMPLES), np.float32(1))


def draw_air_noise(voice: Waveform, conditions: RecordingConditions, rng: Generator) -> Waveform:
    """Draw puffs of breath and wind noise, float32 [n_samples], for speech with an RMS of 1."""
    puff_db = conditions.puff_db + PUFF_SPREAD_DB * max(-2.0, min(2.0, rng.standard_normal()))
    interval = conditions.airflow_interval
    puffs = draw_airflow(compute_puff_envelope(voice, interval), interval, rng)
    wind = draw_airflow(np.ones_like(voice), interval, rng) * make_fades(len(voice))
    return (
        np.float32(db_to_amplitude(puff_db)) * puffs
        + np.float32(db_to_amplitude(conditions.wind_db)) * wind
    )


def draw_room_noise(conditions: RecordingConditions, n_samples: int, rng: Generator) -> Waveform:
    """Draw the room's noise with an RMS of about 1: a hiss, and a rumble below 700 Hz."""
    hiss = rng.standard_normal(n_samples, dtype=np.float32)
    slow = rng.standard_normal(n_samples // 16 + 2, dtype=np.float32)
    rumble = soxr.resample(slow, 1, 16, quality="MQ")[:n_samples]
    scale = 1 / math.sqrt(1 + conditions.rumble**2)
    return np.float32(scale) * (hiss + np.float32(conditions.rumble) * rumble)


def draw_impulse_response(conditions: RecordingConditions, rng: Generator) -> Waveform:
    """Draw the room's impulse response: the direct sound, then a tail that decays exponentially."""
    n_samples = int(0.7 * conditions.reverberation_seconds * SAMPLE_RATE)
    # Rounded, and raised to powers by products, because `exp` differs between processors.
    factor = round(math.exp(-_LOG_1000 / (conditions.reverberation_seconds * SAMPLE_RATE)), 9)
    decay = np.multiply.accumulate(np.full(n_samples, factor))
    tail = (rng.standard_normal(n_samples) * decay).astype(np.float32)
    tail[: int(rng.integers(20, 120))] = 0
    norm = rms_float32(tail) * math.sqrt(n_samples)
    tail *= np.float32(db_to_amplitude(conditions.reverberation_db) / norm)
    tail[0] = 1
    return tail


def _microphone_response(conditions: RecordingConditions, n_fft: int) -> npt.NDArray[np.float32]:
    frequency = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE)
    response = np.interp(frequency, KNOTS_HZ, conditions.gains)
    if conditions.bandwidth_hz < SAMPLE_RATE / 2:
        band_edge = (conditions.bandwidth_hz, 1.08 * conditions.bandwidth_hz)
        response *= np.interp(frequency, band_edge, (1.0, 0.001))
    return response.astype(np.float32)


def _apply_room_and_microphone(
    waveform: Waveform, impulse_response: Waveform, conditions: RecordingConditions
) -> Waveform:
    """Convolve with the room's impulse response and filter; the length stays the same."""
    n_fft = -(-(len(waveform) + len(impulse_response)) // FFT_BLOCK) * FFT_BLOCK
    wet = multiply(np.fft.rfft(waveform, n_fft), np.fft.rfft(impulse_response, n_fft))
    gain = _microphone_response(conditions, n_fft)
    wet.real *= gain
    wet.imag *= gain
    return np.fft.irfft(wet, n_fft)[: len(waveform)].astype(np.float32)


def simulate_recording(
    voice: Waveform,
    conditions: RecordingConditions,
    silence: tuple[int, int],
    offset_db: float,
    rng: Generator,
) -> npt.NDArray[np.int16]:
    """Return `voice` as it would be recorded, int16 [n_samples], without clipping.

    `silence` is the number of samples before and after the speech. The speech has an RMS of
    `conditions.level_db + offset_db`, in dB relative to full scale, or less if its peak would
    exceed MAX_PEAK.
    """
    speech = add_breath(voice, conditions, rng)
    padded = np.pad(speech, silence)
    room_noise_rms = np.float32(db_to_amplitude(conditions.room_noise_db) * rms_float32(speech))
    padded += room_noise_rms * draw_room_noise(conditions, len(padded), rng)
    impulse_response = draw_impulse_response(conditions, rng)
    recorded = _apply_room_and_microphone(padded, impulse_response, conditions)
    speech_rms = rms_float32(recorded[silence[0] : silence[0] + len(speech)])
    recorded += np.float32(speech_rms) * draw_air_noise(np.pad(speech, silence), conditions, rng)
    gain = db_to_amplitude(conditions.level_db + offset_db) / speech_rms
    gain = min(gain, MAX_PEAK / float(np.max(np.abs(recorded))))
    return np.rint(recorded * np.float32(32_767 * gain)).astype(np.int16)
