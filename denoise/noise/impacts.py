"""Impacts: clicks and taps at human rhythms, knocks and clatter, and dense drops."""

import numpy as np
from numpy.random import Generator

from denoise.dsp.audio import Waveform
from denoise.dsp.portable_math import convolve_circularly, exp, sine
from denoise.noise.instruments import DECAYS, Strokes, add_room, draw_instrument, strike
from denoise.noise.shaping import db_to_gain, fft_length, highest_hz, log_uniform, uniform
from denoise.noise.steady import add_background, steady

LEAD_SECONDS = 0.4  # computed before the clip, so that strokes ring and reverberate into it
MODE_HZ = (120.0, 9000.0)


def draw_rhythm(rng: Generator, seconds: float) -> Strokes:
    """Draw the strokes of a hand over `seconds`, as in typing, tapping or chopping.

    1.5 to 12 strokes a second; the gaps follow a gamma distribution of shape 1.5 to 15; after each
    stroke, a pause with a mean of 0.2 to 1.5 s follows with a probability of up to 0.15. Strokes
    differ by 1 to 5 dB.
    """
    rate, shape = float(log_uniform(rng, 1.5, 12)), float(log_uniform(rng, 1.5, 15))
    count = int(1.5 * seconds * rate) + 20
    gaps = rng.gamma(shape, 1 / (shape * rate), count)
    is_pause = rng.random(count) < rng.uniform(0, 0.15)
    gaps += is_pause * rng.exponential(rng.uniform(0.2, 1.5), count)
    onsets = np.cumsum(gaps) - rng.random() * gaps[0]
    onsets = onsets[onsets < seconds].astype(np.float32)
    spread_db = uniform(rng, 1, 5)
    gains = db_to_gain(spread_db * rng.standard_normal(len(onsets), dtype=np.float32))
    return Strokes(onsets, gains)


def draw_releases(rng: Generator, strokes: Strokes) -> Strokes:
    """Draw the softer release of most strokes: 50 to 160 ms later, 3 to 14 dB below."""
    released = rng.random(len(strokes.onsets)) < rng.uniform(0.5, 1)
    onsets = strokes.onsets[released]
    delays = uniform(rng, 0.05, 0.13) + uniform(rng, 0, 0.03, len(onsets))
    return Strokes(onsets + delays, db_to_gain(-uniform(rng, 3, 14)) * strokes.gains[released])


def clicks(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw clicks and taps at human rhythms, as of a keyboard, in a room over steady noise.

    The instrument has 2 to 6 modes of 120 Hz to 9 kHz that decay within 1 to 50 ms; half of them
    have a release, another sound, after most strokes. Steady noise of -45 to -8 dB lies under them.
    """
    seconds = n_samples / sample_rate + LEAD_SECONDS
    length = int(seconds * sample_rate)
    strokes = draw_rhythm(rng, seconds)
    longest = float(log_uniform(rng, 0.003, 0.05))
    key = draw_instrument(rng, (2, 6), MODE_HZ, (0.001, longest), sample_rate)
    dry = strike(rng, key, strokes, length, sample_rate)
    if rng.random() < 0.5:
        spring = draw_instrument(rng, (2, 6), MODE_HZ, (0.001, longest), sample_rate)
        dry += strike(rng, spring, draw_releases(rng, strokes), length, sample_rate)
    return _finish(rng, dry, n_samples, sample_rate, (-45, -8))


def draw_clatter(rng: Generator, seconds: float) -> Strokes:
    """Draw irregular groups of strokes over `seconds`, as of dishes or of something that falls.

    0.4 to 4 groups a second, each with one to ten strokes, 10 to 150 ms apart on average. Strokes
    differ by 6 dB, and each is softer than the one before it by 0 to 3 dB.
    """
    n_groups = 1 + rng.poisson(float(log_uniform(rng, 0.4, 4)) * seconds)
    gaps = rng.gamma(2, 0.5, (n_groups, 10)) * rng.uniform(0.01, 0.15, (n_groups, 1))
    gaps[:, 0] = rng.uniform(0, seconds, n_groups)
    sizes = np.minimum(rng.geometric(rng.uniform(0.15, 0.6), n_groups), 10)
    is_struck = np.arange(10) < sizes[:, None]
    onsets = np.cumsum(gaps, axis=1).astype(np.float32)[is_struck]
    level_db = 6 * rng.standard_normal((n_groups, 10), dtype=np.float32)
    level_db -= uniform(rng, 0, 3) * np.arange(10, dtype=np.float32)
    return Strokes(onsets, db_to_gain(level_db[is_struck]))


def clatter(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw knocks and clatter: one to four objects, struck in irregular groups, in a room.

    An object has 3 to 8 modes within one to four octaves above 80 Hz to 3 kHz, which decay within
    3 to 150 ms. Steady noise of -45 to -8 dB lies under them.
    """
    seconds = n_samples / sample_rate + LEAD_SECONDS
    length = int(seconds * sample_rate)
    strokes = draw_clatter(rng, seconds)
    n_objects = int(rng.integers(1, 5))
    choice = rng.integers(n_objects, size=len(strokes.onsets))
    dry = np.zeros(length, np.float32)
    for number in range(n_objects):
        lowest, span = log_uniform(rng, 80, 3000), log_uniform(rng, 2, 16)
        longest = float(log_uniform(rng, 0.006, 0.15))
        modes_hz = float(lowest), float(lowest * span)
        thing = draw_instrument(rng, (3, 8), modes_hz, (0.003, longest), sample_rate)
        chosen = choice == number
        mine = Strokes(strokes.onsets[chosen], strokes.gains[chosen])
        dry += strike(rng, thing, mine, length, sample_rate)
    return _finish(rng, dry, n_samples, sample_rate, (-45, -8))


def _finish(
    rng: Generator,
    dry: Waveform,
    n_samples: int,
    sample_rate: int,
    background_db: tuple[float, float],
) -> Waveform:
    """Add the room, cut off the lead, and add steady noise."""
    wet = add_room(rng, dry, sample_rate)[len(dry) - n_samples :]
    return add_background(rng, wet, sample_rate, background_db)


def drops(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw drops, as of rain, frying or crackling: many small impacts of random size.

    3 to 4000 drops a second of three to five sounds, each a resonance of 400 Hz to 9 kHz that
    decays with a time constant of 0.2 to 5 ms, or, in four of ten, a burst of noise as short; sizes
    differ by 3 to 9 dB. Steady noise of -45 to 0 dB lies under them.
    """
    n_fft = fft_length(n_samples)
    rate = float(log_uniform(rng, 3, 4000))
    spread_db = uniform(rng, 3, 9)
    n_sounds = int(rng.integers(3, 6))
    waveform = np.zeros(n_fft, np.float32)
    for _ in range(n_sounds):
        count = rng.poisson(rate * n_fft / sample_rate / n_sounds)
        sizes = db_to_gain(spread_db * rng.standard_normal(count, dtype=np.float32))
        train = np.zeros(n_fft, np.float32)
        np.add.at(train, rng.integers(n_fft, size=count), sizes)
        waveform += draw_drops(rng, train, sample_rate)
    return add_background(rng, waveform[:n_samples], sample_rate, (-45, 0))


def draw_drops(rng: Generator, train: Waveform, sample_rate: int) -> Waveform:
    """Turn impulses, float32 [n_fft], into one sound of drops."""
    decay = log_uniform(rng, 0.0002, 0.005)
    time = np.arange(int(DECAYS * decay * sample_rate) + 8, dtype=np.float32)
    time /= np.float32(sample_rate)
    kernel = exp(-time / decay)
    is_noise = rng.random() < 0.4
    if not is_noise:
        kernel *= sine(log_uniform(rng, 400, min(9000, highest_hz(sample_rate))) * time)
    level = db_to_gain(3 * rng.standard_normal()) / np.sqrt(np.sum(kernel * kernel))
    wave = convolve_circularly(train, level * kernel, len(train))
    return wave * steady(rng, len(train), sample_rate) if is_noise else wave
