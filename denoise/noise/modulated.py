"""Noise whose level or pitch moves: swells, gusts, bursts, and vehicles that pass."""

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from denoise.dsp.audio import Waveform
from denoise.noise.envelopes import at_sample_rate, control_time, draw_swell, sum_pulses
from denoise.noise.shaping import (
    db_to_gain,
    draw_shape,
    fft_length,
    log_uniform,
    read_at,
    shaped_noise,
    uniform,
)
from denoise.noise.steady import add_background, steady
from denoise.noise.tones import MAX_HARMONICS, draw_timbre, play, wavetable

SPEED_OF_SOUND = 343.0  # metres per second
MAX_SHIFT = 1.2  # more than a source that recedes at 45 m/s is shifted down
OVERSAMPLING = 2  # while sounds are shifted, so that none is folded at the highest frequency


def swelling(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw noise under a swell or gusts; a part of another spectral shape swells twice as deep.

    `draw_swell` gives the ranges. The second part has -20 to 5 dB, so the colour changes with the
    level, as in wind and surf.
    """
    envelope = draw_swell(rng, control_time(n_samples, sample_rate))
    envelope *= np.float32(1 / np.sqrt(np.mean(envelope * envelope)))
    envelope = at_sample_rate(envelope, n_samples, sample_rate)
    waveform = envelope * steady(rng, n_samples, sample_rate)
    if rng.random() < 0.6:
        gain = db_to_gain(uniform(rng, -20, 5))
        waveform += gain * envelope * envelope * steady(rng, n_samples, sample_rate)
    return waveform


def passing(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw one or two vehicles that pass: rise, Doppler shift of resonances and engine, fall.

    They pass at 5 to 45 m/s and at a distance of 1 to 15 m, at moments up to 1 s outside the clip.
    Each is steady noise of a random shape and, in six of ten, an engine with a pitch of 15 to
    250 Hz and up to 40 harmonics, -15 to 6 dB. Steady noise of -45 to -10 dB lies under them.
    """
    n_fft = fft_length(n_samples)
    rate = OVERSAMPLING * sample_rate
    waveform = np.zeros(OVERSAMPLING * n_fft, np.float32)
    for _ in range(1 + (rng.random() < 0.4)):
        nearest = uniform(rng, -1, n_samples / sample_rate + 1)
        waveform += pass_by(rng, float(nearest), len(waveform), rate)
    spectrum = np.fft.rfft(waveform)[: n_fft // 2 + 1]
    waveform = np.fft.irfft(spectrum, n_fft).astype(np.float32)[:n_samples]
    return add_background(rng, waveform, sample_rate, (-45, -10))


def pass_by(rng: Generator, nearest: float, n_samples: int, sample_rate: int) -> Waveform:
    """Draw one vehicle that is nearest at `nearest` seconds, float32 [n_samples]."""
    seconds = np.arange(n_samples) / sample_rate
    speed, distance = float(log_uniform(rng, 5, 45)), float(log_uniform(rng, 1, 15))
    along = speed * (seconds - nearest)
    path = np.sqrt(along * along + distance * distance)  # to the listener, in metres
    emitted = seconds - path / SPEED_OF_SOUND
    emitted -= emitted[0]
    length = int(emitted[-1] * sample_rate) + 2
    highest = MAX_SHIFT * sample_rate / (2 * OVERSAMPLING)
    noise = shaped_noise(rng, length, sample_rate, draw_shape(rng), highest)
    source = read_at(noise, emitted * sample_rate)
    if rng.random() < 0.6:
        gain = db_to_gain(uniform(rng, -15, 6))
        source += gain * _draw_engine(rng, emitted, sample_rate // OVERSAMPLING)
    return source * (distance / path).astype(np.float32)


def _draw_engine(rng: Generator, emitted: npt.NDArray[np.float64], sample_rate: int) -> Waveform:
    pitch = float(log_uniform(rng, 15, 250))
    table = wavetable(rng, draw_timbre(rng, 1.2 * pitch, sample_rate, MAX_HARMONICS))
    return play(table, emitted * pitch)


def bursts(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw short bursts of noise at random times, of one to three spectral shapes.

    Each shape has 0.5 to 8 bursts a second, which rise within 1 to 80 ms, decay with a time
    constant of 5 to 300 ms and differ by 6 dB. Steady noise of -50 to -12 dB lies under them.
    """
    time = control_time(n_samples, sample_rate)
    waveform = np.zeros(n_samples, np.float32)
    for _ in range(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2])):
        n_bursts = 1 + rng.poisson(float(log_uniform(rng, 0.5, 8)) * float(time[-1]))
        envelope = sum_pulses(
            time,
            uniform(rng, -0.1, float(time[-1]), n_bursts),
            log_uniform(rng, 0.001, 0.08, n_bursts),
            log_uniform(rng, 0.005, 0.3, n_bursts),
            db_to_gain(6 * rng.standard_normal(n_bursts, dtype=np.float32)),
        )
        noise = steady(rng, n_samples, sample_rate)
        waveform += at_sample_rate(envelope, n_samples, sample_rate) * noise
    return add_background(rng, waveform, sample_rate, (-50, -12))
