"""The sound of things that are struck: resonances that decay, a burst of noise, and a room."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from denoise.dsp.audio import Waveform
from denoise.dsp.portable_math import Floats, convolve_circularly, exp, log2, sine
from denoise.noise.shaping import (
    db_to_gain,
    fft_length,
    highest_hz,
    log_uniform,
    noise_of_gains,
    uniform,
)

DECAYS = 7.0  # time constants until a resonance has fallen by 60 dB


@dataclass(frozen=True)
class Instrument:
    """What is struck: decaying resonances, and a band-passed burst of noise.

    `modes_hz`, `decays` (time constants in seconds) and `amplitudes` are float32 [n_modes]. The
    burst lies around `burst_hz` with a standard deviation of `burst_octaves`, and decays with a
    time constant of `burst_seconds`. Each stroke detunes all modes by `detuning`, a standard
    deviation relative to the frequency.
    """

    modes_hz: Floats
    decays: Floats
    amplitudes: Floats
    burst_hz: np.float32
    burst_octaves: np.float32
    burst_seconds: np.float32
    burst_gain: np.float32
    detuning: np.float32


@dataclass(frozen=True)
class Strokes:
    """When an instrument is struck, in seconds, and with which amplitude; both [n_strokes]."""

    onsets: Floats
    gains: Floats


def draw_instrument(
    rng: Generator,
    n_modes: tuple[int, int],
    modes_hz: tuple[float, float],
    decays: tuple[float, float],
    sample_rate: int,
) -> Instrument:
    """Draw an instrument from ranges of its number of modes, their frequencies and decays.

    Amplitudes differ by 6 dB; high modes of one instrument decay faster than its low ones. The
    burst has 200 Hz to 9 kHz, 0.2 to 1.5 octaves, 1 to 12 ms and -15 to 10 dB relative to the
    modes; the detuning is 1 to 8 %.
    """
    count = int(rng.integers(n_modes[0], n_modes[1] + 1))
    highest = highest_hz(sample_rate)
    frequencies = np.minimum(np.sort(log_uniform(rng, *modes_hz, count)), np.float32(highest))
    slowest_first = np.sort(log_uniform(rng, *decays, count))[::-1]
    amplitudes = db_to_gain(6 * rng.standard_normal(count, dtype=np.float32))
    return Instrument(
        modes_hz=frequencies,
        decays=slowest_first,
        amplitudes=amplitudes / np.sqrt(np.sum(amplitudes * amplitudes)),
        burst_hz=np.float32(log_uniform(rng, 200, min(9000, highest))),
        burst_octaves=np.float32(log_uniform(rng, 0.2, 1.5)),
        burst_seconds=np.float32(log_uniform(rng, 0.001, 0.012)),
        burst_gain=np.float32(db_to_gain(uniform(rng, -15, 10))),
        detuning=np.float32(log_uniform(rng, 0.01, 0.08)),
    )


def strike(
    rng: Generator, instrument: Instrument, strokes: Strokes, n_samples: int, sample_rate: int
) -> Waveform:
    """Return the sound of strokes, float32 [n_samples]; onsets outside are left out."""
    starts = np.floor(strokes.onsets * np.float32(sample_rate)).astype(np.int64)
    inside = (starts >= 0) & (starts < n_samples)
    starts, gains = starts[inside], strokes.gains[inside]
    modes = _ring(rng, instrument, gains, sample_rate)
    burst = _draw_bursts(rng, instrument, gains, sample_rate)
    waveform = np.zeros(n_samples + max(modes.shape[1], burst.shape[1]), np.float32)
    for number, start in enumerate(starts):
        waveform[start : start + modes.shape[1]] += modes[number]
        waveform[start : start + burst.shape[1]] += burst[number]
    return waveform[:n_samples]


def _ring(rng: Generator, instrument: Instrument, gains: Floats, sample_rate: int) -> Waveform:
    """Return the decaying resonances of each stroke, float32 [n_strokes, n_samples]."""
    n_modes = len(instrument.modes_hz)
    drawn = rng.standard_normal((2, len(gains), n_modes), dtype=np.float32)
    frequencies = instrument.modes_hz * exp(instrument.detuning * drawn[0])
    frequencies = np.minimum(frequencies, np.float32(highest_hz(sample_rate)))
    amplitudes = gains[:, None] * instrument.amplitudes * db_to_gain(2 * drawn[1])
    lengths = [int(DECAYS * float(decay) * sample_rate) + 1 for decay in instrument.decays]
    waves = np.zeros((len(gains), max(lengths)), np.float32)
    for mode, length in enumerate(lengths):
        time = np.arange(length, dtype=np.float32) / np.float32(sample_rate)
        envelope = exp(-time / instrument.decays[mode])
        wave = sine(frequencies[:, mode, None] * time)
        waves[:, :length] += amplitudes[:, mode, None] * envelope * wave
    return waves


def _draw_bursts(
    rng: Generator, instrument: Instrument, gains: Floats, sample_rate: int
) -> Waveform:
    """Draw the band-passed burst of each stroke, float32 [n_strokes, n_samples], peak near 1."""
    n_fft = fft_length(int(DECAYS * float(instrument.burst_seconds) * sample_rate) + 16)
    frequency = np.arange(1, n_fft // 2, dtype=np.float32) * np.float32(sample_rate / n_fft)
    detuned = instrument.detuning * rng.standard_normal((len(gains), 1), dtype=np.float32)
    distance = log2(frequency / instrument.burst_hz) - detuned
    distance /= instrument.burst_octaves
    gain = exp(-0.5 * distance * distance)
    gain /= np.sqrt(np.sum(gain * gain, axis=1, keepdims=True))
    time = np.arange(n_fft, dtype=np.float32) / np.float32(sample_rate)
    envelope = instrument.burst_gain * exp(-time / instrument.burst_seconds)
    return noise_of_gains(rng, gain, n_fft) * envelope * gains[:, None]


def add_room(rng: Generator, dry: Waveform, sample_rate: int) -> Waveform:
    """Add a small room: a decaying noise tail, RT60 of 0.1 to 0.7 s, -14 to 2 dB of the sound."""
    seconds = float(log_uniform(rng, 0.1, 0.7))
    length = int(seconds * sample_rate)
    time = np.arange(length, dtype=np.float32) / np.float32(sample_rate)
    decay = exp(time * np.float32(-6.9078 / seconds))
    tail = decay * rng.standard_normal(length, dtype=np.float32)
    colour = rng.random(dtype=np.float32)  # 0 is white; towards 1, the tail has few high tones
    tail[1:] += colour * tail[:-1]
    tail[: length // 100] = 0
    tail *= db_to_gain(uniform(rng, -14, 2)) / np.sqrt(np.sum(tail * tail))
    return dry + convolve_circularly(dry, tail, fft_length(len(dry) + length))[: len(dry)]
