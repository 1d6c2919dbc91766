"""Tones: hum, whistles, beeps and harmonic stacks of any pitch, steady, with vibrato or gliding."""

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from denoise.dsp.audio import Waveform
from denoise.dsp.portable_math import Floats, exp2, log2, sine
from denoise.noise.envelopes import at_sample_rate, control_time, draw_wander
from denoise.noise.shaping import (
    db_to_gain,
    draw_shape,
    highest_hz,
    log_uniform,
    normalise,
    read_at,
    shaped_noise,
    uniform,
)

TABLE_SIZE = 16_384  # samples a period: linear interpolation of harmonic 40 errs by -90 dB
MAX_HARMONICS = 40
PITCH_HZ = (10.0, 8000.0)
MAX_RISE = 2.0  # octaves that a pitch may rise within a clip


def wavetable(rng: Generator, amplitudes: Floats) -> Waveform:
    """Return a period of harmonics 1, 2, ... with random phases, float32 [TABLE_SIZE], RMS 1."""
    phases = rng.random(len(amplitudes), dtype=np.float32)
    spectrum = np.zeros(TABLE_SIZE // 2 + 1, np.complex64)
    harmonics = slice(1, 1 + len(amplitudes))
    spectrum.real[harmonics] = amplitudes * sine(phases)
    spectrum.imag[harmonics] = amplitudes * sine(phases + np.float32(0.25))
    return normalise(np.fft.irfft(spectrum, TABLE_SIZE).astype(np.float32))


def play(table: Waveform, cycles: npt.NDArray[np.float64]) -> Waveform:
    """Read a period at phases in cycles."""
    within = cycles - np.floor(cycles)
    return read_at(np.append(table, table[:2]), within * len(table))


def draw_timbre(rng: Generator, max_pitch_hz: float, sample_rate: int, n_harmonics: int) -> Floats:
    """Draw the amplitudes of up to `n_harmonics` harmonics that stay below the highest frequency.

    They fall by 0 to 15 dB per octave and differ by 6 dB from that; a quarter of the draws holds
    odd harmonics only, and a tenth lacks the first.
    """
    n_harmonics = max(1, min(n_harmonics, int(highest_hz(sample_rate) / max_pitch_hz)))
    numbers = np.arange(1, n_harmonics + 1, dtype=np.float32)
    level_db = -uniform(rng, 0, 15) * log2(numbers)
    amplitudes = db_to_gain(level_db + 6 * rng.standard_normal(n_harmonics, dtype=np.float32))
    form = rng.random()
    if form < 0.25:
        amplitudes[1::2] = 0
    elif form < 0.35 and n_harmonics > 1:
        amplitudes[0] = 0
    return amplitudes


def draw_contour(rng: Generator, time: Floats) -> Floats:
    """Draw how a pitch moves, in octaves at `time`, below MAX_RISE.

    Half of the contours are steady, three in ten have vibrato (0.1 to 8 Hz, 0.001 to 0.5 octaves
    each way), two in ten glide by 0.05 to 1 octave per second, up or down. Most of them wander by
    0.0001 to 0.01 octaves at up to 4 Hz.
    """
    contour = np.zeros_like(time)
    form = rng.random()
    if form < 0.3:
        depth, rate = log_uniform(rng, 0.001, 0.5), log_uniform(rng, 0.1, 8)
        contour += depth * sine(rate * time + rng.random(dtype=np.float32))
    elif form < 0.5:
        slope = np.float32(rng.choice([-1, 1])) * log_uniform(rng, 0.05, 1)
        contour += np.clip(slope * (time - time[-1] / 2), -MAX_RISE, MAX_RISE)
    if rng.random() < 0.7:
        contour += log_uniform(rng, 0.0001, 0.01) * draw_wander(rng, time, 4)
    return contour


def harmonic_stack(
    pitch_hz: Floats, table: Waveform, n_samples: int, sample_rate: int, start: float
) -> Waveform:
    """Play a period at a pitch in Hz, given at `control_time`; `start` is the phase in cycles."""
    pitch = at_sample_rate(pitch_hz, n_samples, sample_rate)
    cycles = start + np.cumsum(pitch, dtype=np.float64) / sample_rate
    return play(table, cycles)


def draw_loudness(rng: Generator, time: Floats) -> Floats:
    """Draw an envelope: steady in six of ten, else a swell of up to 12 dB each way, or beeps.

    Swells have up to 4 Hz. Beeps last 50 to 500 ms, repeat after 1.2 to 4 times that, and start
    and end within 2 to 20 ms.
    """
    form = rng.random()
    if form < 0.6:
        return np.ones_like(time)
    if form < 0.85:
        return db_to_gain(uniform(rng, 0.5, 6) * draw_wander(rng, time, 4))
    return _draw_beeps(rng, time)


def _draw_beeps(rng: Generator, time: Floats) -> Floats:
    length, edge = log_uniform(rng, 0.05, 0.5), log_uniform(rng, 0.002, 0.02)
    period = length * uniform(rng, 1.2, 4)
    within = time / period + rng.random(dtype=np.float32)
    since = (within - np.floor(within)) * period
    return np.clip(np.minimum(since, length - since) / edge, 0, 1)


def _draw_tone(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw one tone: 1 to 40 harmonics of 10 Hz to 8 kHz, moving in pitch and loudness."""
    time = control_time(n_samples, sample_rate)
    ratio = exp2(draw_contour(rng, time))
    highest = min(PITCH_HZ[1], highest_hz(sample_rate) / float(ratio.max()))
    pitch = ratio * log_uniform(rng, PITCH_HZ[0], highest)
    n_harmonics = 1 if rng.random() < 0.35 else int(log_uniform(rng, 2, MAX_HARMONICS + 1))
    table = wavetable(rng, draw_timbre(rng, float(pitch.max()), sample_rate, n_harmonics))
    wave = harmonic_stack(pitch, table, n_samples, sample_rate, rng.random())
    return wave * at_sample_rate(draw_loudness(rng, time), n_samples, sample_rate)


def tones(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw one to three tones, within 15 dB; seven of ten lie over steady noise, -60 to -10 dB."""
    waveform = _draw_tone(rng, n_samples, sample_rate)
    for _ in range(rng.choice([0, 1, 2], p=[0.6, 0.25, 0.15])):
        waveform += db_to_gain(uniform(rng, -15, 0)) * _draw_tone(rng, n_samples, sample_rate)
    level_db = uniform(rng, -60, -10) if rng.random() < 0.7 else -90
    noise = shaped_noise(rng, n_samples, sample_rate, draw_shape(rng))
    return normalise(waveform) + db_to_gain(level_db) * noise
