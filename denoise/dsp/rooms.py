"""Simulated rooms: random impulse responses, and the convolution with them.

Only float32 operations that give the same bytes on every processor are used.
"""

import numpy as np
from numpy.random import Generator

from denoise.dsp.audio import Waveform
from denoise.dsp.portable_math import convolve_circularly

REVERBERATION_SECONDS = (0.1, 1.0)  # RT60 at low frequencies
TREBLE_RATIO = (0.4, 0.9)  # RT60 at high frequencies relative to that
DIRECT_TO_REVERBERANT_DB = (-3.0, 15.0)
EARLY_SECONDS = 0.05
EARLY_REFLECTIONS = (3, 15)
PRE_DELAY_SECONDS = (0.002, 0.02)  # between the direct sound and the tail
CROSSOVER_HZ = (500.0, 3000.0)
DECAY = np.float32(-6.9078)  # natural logarithm of 60 dB in amplitude


def draw_room_response(rng: Generator, sample_rate: int) -> Waveform:
    """Draw a room's impulse response, float32 [n_samples], with the direct sound at sample 0.

    Early reflections are single echoes. The tail is Gaussian noise that decays exponentially, and
    faster at high frequencies than at low ones. The direct sound has an amplitude of 1; the energy
    of the rest follows from a random direct-to-reverberant ratio.
    """
    rt60 = rng.uniform(*REVERBERATION_SECONDS)
    n_samples = max(2, int(rt60 * sample_rate))
    time = np.arange(n_samples, dtype=np.float32) / np.float32(sample_rate)
    low, high = _split_bands(rng.standard_normal(n_samples, dtype=np.float32), rng, sample_rate)
    slow, fast = (
        np.exp(time * (DECAY / np.float32(seconds)))
        for seconds in (rt60, rt60 * rng.uniform(*TREBLE_RATIO))
    )
    tail = low * slow + high * fast
    tail[: int(rng.uniform(*PRE_DELAY_SECONDS) * sample_rate)] = 0
    early = _draw_early_reflections(rng, n_samples, sample_rate)
    response = _unit_energy(tail) + _unit_energy(early)
    ratio_db = rng.uniform(*DIRECT_TO_REVERBERANT_DB)
    response = _unit_energy(response) * np.float32(round(10 ** (-ratio_db / 20), 6))
    response[0] = 1
    return response


def early_part(response: Waveform, seconds: float, sample_rate: int) -> Waveform:
    """Return a room's response with the direct sound and the echoes of the first `seconds` alone.

    Its length stays the same.
    """
    early = response.copy()
    early[1 + int(seconds * sample_rate) :] = 0
    return early


def _split_bands(noise: Waveform, rng: Generator, sample_rate: int) -> tuple[Waveform, Waveform]:
    """Split noise at a random crossover frequency."""
    spectrum = np.fft.rfft(noise)
    hz = np.fft.rfftfreq(len(noise), 1 / sample_rate).astype(np.float32)
    is_low = hz < np.float32(rng.uniform(*CROSSOVER_HZ))
    low = np.fft.irfft(spectrum * is_low, n=len(noise)).astype(np.float32)
    return low, noise - low


def _draw_early_reflections(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Return single echoes of random sign that become weaker, float32 [n_samples]."""
    echoes = np.zeros(n_samples, np.float32)
    last = max(2, min(n_samples, int(EARLY_SECONDS * sample_rate)))
    places = rng.integers(1, last, rng.integers(*EARLY_REFLECTIONS))
    gains = rng.uniform(-1, 1, len(places)) * (1 - places / last)
    np.add.at(echoes, places, gains.astype(np.float32))
    return echoes


def _unit_energy(waveform: Waveform) -> Waveform:
    energy = np.sum(np.square(waveform))
    return waveform / np.sqrt(energy) if energy > 0 else waveform


def convolve(waveform: Waveform, response: Waveform) -> Waveform:
    """Return the first len(waveform) samples of the convolution, float32."""
    n_fft = 1 << (len(waveform) + len(response) - 2).bit_length()
    return convolve_circularly(waveform, response, n_fft)[: len(waveform)]
