"""Steady noise of any spectral shape, and rumble."""

import math

import numpy as np
from numpy.random import Generator

from denoise.dsp.audio import Waveform
from denoise.dsp.portable_math import log2
from denoise.noise.envelopes import at_sample_rate, control_time, draw_swell
from denoise.noise.shaping import (
    db_to_gain,
    draw_shape,
    fft_length,
    log_uniform,
    noise_of_gains,
    normalise,
    shaped_noise,
    uniform,
)

MAX_RUMBLE_HZ = 60.0
RUMBLE_SECONDS = 4  # the shortest period of rumble, so that it reaches down to 0.25 Hz


def steady(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw steady noise of a random spectral shape; `draw_shape` gives the ranges."""
    return shaped_noise(rng, n_samples, sample_rate, draw_shape(rng))


def add_background(
    rng: Generator,
    waveform: Waveform,
    sample_rate: int,
    level_db: tuple[float, float],
) -> Waveform:
    """Put a waveform, at an RMS of 1, over steady noise of a level drawn from `level_db`."""
    gain = db_to_gain(uniform(rng, *level_db))
    return normalise(waveform) + gain * steady(rng, len(waveform), sample_rate)


def rumble(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw noise below 60 Hz, as of wind, handling or traffic, often with a DC offset.

    The spectrum falls by 0 to 12 dB per octave up to a corner of 2 to 60 Hz and by 12 to 30 dB per
    octave above it. Half of the draws swell; six of ten have a DC offset of 0.1 to 3 times the RMS.
    """
    n_fft = fft_length(max(n_samples, RUMBLE_SECONDS * sample_rate))
    frequency = np.arange(1, math.ceil(MAX_RUMBLE_HZ * n_fft / sample_rate), dtype=np.float32)
    frequency *= np.float32(sample_rate / n_fft)
    octaves = log2(frequency / log_uniform(rng, 2, MAX_RUMBLE_HZ))
    slopes = -uniform(rng, 0, 12), -uniform(rng, 12, 30)
    gain = db_to_gain(np.where(octaves < 0, slopes[0] * octaves, slopes[1] * octaves))
    noise = normalise(noise_of_gains(rng, gain, n_fft))[:n_samples]
    if rng.random() < 0.5:
        envelope = draw_swell(rng, control_time(n_samples, sample_rate))
        noise = normalise(noise * at_sample_rate(envelope, n_samples, sample_rate))
    if rng.random() < 0.6:
        noise += np.float32(rng.choice([-1, 1])) * log_uniform(rng, 0.1, 3)
    return noise
