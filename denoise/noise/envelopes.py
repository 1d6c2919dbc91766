"""Envelopes over time, computed at 1 kHz: swells, gusts and pulses."""

import math

import numpy as np
from numpy.random import Generator

from denoise.dsp.portable_math import Floats, exp, sine
from denoise.noise.shaping import db_to_gain, log_uniform, uniform

CONTROL_HZ = 1000  # rate at which envelopes are computed


def control_time(n_samples: int, sample_rate: int) -> Floats:
    """Return the times of an envelope's knots in seconds; they cover `n_samples`."""
    n_knots = n_samples * CONTROL_HZ // sample_rate + 2
    return np.arange(n_knots, dtype=np.float32) / np.float32(CONTROL_HZ)


def at_sample_rate(control: Floats, n_samples: int, sample_rate: int) -> Floats:
    """Interpolate an envelope, given at `control_time`, to float32 [n_samples]."""
    positions = np.arange(n_samples) * (CONTROL_HZ / sample_rate)
    return np.interp(positions, np.arange(len(control)), control).astype(np.float32)


def draw_wander(rng: Generator, time: Floats, rate_hz: float) -> Floats:
    """Draw a smooth random curve, variance 1: six sines of 0.1 to 1 times `rate_hz`."""
    rates = np.float32(rate_hz) * uniform(rng, 0.1, 1, 6)
    phases = rng.random(6, dtype=np.float32)
    waves = sine(rates[:, None] * time + phases[:, None])
    return waves.sum(axis=0) * np.float32(math.sqrt(2 / 6))


def sum_pulses(time: Floats, onsets: Floats, rise: Floats, decay: Floats, gains: Floats) -> Floats:
    """Sum pulses that rise as a Gaussian and then decay exponentially, all [n_pulses], seconds."""
    since = time - onsets[:, None]
    before = np.minimum(since, 0) / rise[:, None]
    after = np.maximum(since, 0) / decay[:, None]
    exponent = 0.5 * before * before + after
    return (gains[:, None] * exp(-exponent)).sum(axis=0)


def draw_swell(rng: Generator, time: Floats) -> Floats:
    """Draw an envelope, amplitudes at `time`: a regular or an irregular swell, or gusts.

    Swells have a rate of 0.3 to 12 Hz and cover 4 to 40 dB (irregular ones, from 2 standard
    deviations below to 2 above). Gusts come 0.3 to 4 times a second, rise within 0.03 to 0.5 s,
    decay with time constants of 0.1 to 1.5 s, differ by 5 dB and lie above a floor of -40 to -6 dB.
    """
    form = rng.random()
    if form < 0.3:
        return _draw_gusts(rng, time)
    rate, depth_db = log_uniform(rng, 0.3, 12), log_uniform(rng, 4, 40)
    if form < 0.65:
        return db_to_gain(depth_db / 2 * sine(rate * time + rng.random(dtype=np.float32)))
    return db_to_gain(depth_db / 4 * draw_wander(rng, time, float(rate)))


def _draw_gusts(rng: Generator, time: Floats) -> Floats:
    lead = 1.5  # seconds before the start, whose gusts still decay in it
    n_gusts = 1 + rng.poisson(float(log_uniform(rng, 0.3, 4)) * (float(time[-1]) + lead))
    onsets = uniform(rng, -lead, float(time[-1]), n_gusts)
    rise, decay = log_uniform(rng, 0.03, 0.5, n_gusts), log_uniform(rng, 0.1, 1.5, n_gusts)
    gains = db_to_gain(5 * rng.standard_normal(n_gusts, dtype=np.float32))
    return db_to_gain(uniform(rng, -40, -6)) + sum_pulses(time, onsets, rise, decay, gains)
