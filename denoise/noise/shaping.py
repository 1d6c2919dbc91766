"""Building blocks of the textures: random numbers, spectral shapes and filters.

The same bytes must come out on every processor. So the models use `denoise.dsp.portable_math` for
exponentials, logarithms, sines and convolutions.
"""

import math

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from denoise.dsp.audio import Waveform, rms
from denoise.dsp.portable_math import Floats, exp, exp2, log2, sine

LOWEST_HZ = 20.0  # shaped noise holds nothing below: it would be inaudible, and dominate the level
HIGHEST_SHARE = 0.45  # of the sample rate: tones and resonances stay below
KNOTS_PER_OCTAVE = 48
OCTAVES = np.arange(0, 11.25, 1 / KNOTS_PER_OCTAVE, dtype=np.float32)
"""The octaves above LOWEST_HZ at which a spectral shape is defined; they reach 48 kHz."""
KNOTS_HZ = np.float32(LOWEST_HZ) * exp2(OCTAVES)
OCTAVES_PER_DB = np.float32(math.log2(10) / 20)


def uniform(rng: Generator, low: float, high: float, size: int | None = None) -> Floats:
    """Draw float32 values that are uniform in [low, high): a number, or an array [size]."""
    return np.float32(low) + np.float32(high - low) * rng.random(size, dtype=np.float32)


def log_uniform(rng: Generator, low: float, high: float, size: int | None = None) -> Floats:
    """Draw float32 values whose logarithm is uniform: a number, or an array [size]."""
    start, end = log2(low), log2(high)
    return exp2(start + (end - start) * rng.random(size, dtype=np.float32))


def db_to_gain(level_db: npt.ArrayLike) -> Floats:
    """Convert levels in dB to amplitudes in float32."""
    return exp2(OCTAVES_PER_DB * np.asarray(level_db, np.float32))


def fft_length(n_samples: int) -> int:
    """Return a length of at least `n_samples` whose FFT is fast: 8, 9, 10, 12 or 15 times 2^k."""
    block = 1 << max(n_samples.bit_length() - 4, 1)
    return min(size * block for size in (8, 9, 10, 12, 15, 16) if size * block >= n_samples)


def highest_hz(sample_rate: int) -> float:
    """Return the highest frequency of tones and resonances, in Hz."""
    return HIGHEST_SHARE * sample_rate


def normalise(waveform: Waveform) -> Waveform:
    """Scale to an RMS of 1; silence stays silent."""
    level = rms(waveform)
    return waveform if level == 0 else waveform * np.float32(1 / level)


def octaves_above_lowest(frequency_hz: npt.ArrayLike) -> Floats:
    """Return how many octaves frequencies in Hz lie above LOWEST_HZ, in float32."""
    return log2(np.asarray(frequency_hz, np.float32) / np.float32(LOWEST_HZ))


def draw_shape(rng: Generator) -> Floats:
    """Draw the amplitude spectrum of steady noise at KNOTS_HZ.

    In dB over log frequency, it is the sum of twelve cosines over ten octaves, whose amplitudes
    have a standard deviation of 6 dB / sqrt(h); a tilt of -3 to 0.5 dB per octave; a Poisson
    number of resonant bands (mean 1.5) of 5 to 25 dB, centred between 60 Hz and 12 kHz, with
    standard deviations of 0.03 to 0.4 octaves; and, in some draws, a low-pass (corner 100 Hz to
    8 kHz) or a high-pass (60 Hz to 3 kHz) of 6 to 24 dB per octave.
    """
    position = OCTAVES / 10
    level_db = uniform(rng, -3, 0.5) * OCTAVES
    orders = np.arange(1, 13, dtype=np.float32)[:, None]
    amplitudes = 6 / np.sqrt(orders) * rng.standard_normal((12, 1), dtype=np.float32)
    phases = rng.random((12, 1), dtype=np.float32)
    level_db += (amplitudes * sine(orders / 2 * position + phases)).sum(axis=0)
    for _ in range(rng.poisson(1.5)):
        level_db += _draw_band_db(rng)
    return db_to_gain(level_db + _draw_edges_db(rng))


def _draw_band_db(rng: Generator) -> Floats:
    centre = octaves_above_lowest(log_uniform(rng, 60, 12_000))
    width = log_uniform(rng, 0.03, 0.4)
    distance = (OCTAVES - centre) / width
    return uniform(rng, 5, 25) * exp(-0.5 * distance * distance)


def _draw_edges_db(rng: Generator) -> Floats:
    level_db = np.zeros_like(OCTAVES)
    if rng.random() < 0.35:
        corner = octaves_above_lowest(log_uniform(rng, 100, 8000))
        level_db -= uniform(rng, 6, 24) * np.maximum(OCTAVES - corner, 0)
    if rng.random() < 0.25:
        corner = octaves_above_lowest(log_uniform(rng, 60, 3000))
        level_db -= uniform(rng, 6, 24) * np.maximum(corner - OCTAVES, 0)
    return level_db


def shaped_noise(
    rng: Generator, n_samples: int, sample_rate: int, shape: Floats, below_hz: float = math.inf
) -> Waveform:
    """Draw Gaussian noise of a spectral shape, float32 [n_samples], RMS near 1.

    `shape` holds amplitudes at KNOTS_HZ; nothing lies above `below_hz` or half the sample rate.
    """
    n_fft = fft_length(n_samples)
    n_bins = min(n_fft // 2 - 1, int(min(below_hz, sample_rate) * n_fft / sample_rate))
    frequency = np.arange(1, n_bins + 1) * (sample_rate / n_fft)
    gain = np.interp(frequency, KNOTS_HZ, shape, left=0).astype(np.float32)
    gain *= np.float32(1 / max(float(np.sqrt(np.sum(gain * gain))), 1e-30))
    return noise_of_gains(rng, gain, n_fft)[:n_samples]


def noise_of_gains(rng: Generator, gains: Floats, n_fft: int) -> Waveform:
    """Draw Gaussian noise with the energy sum(gains**2) per sample, float32 [..., n_fft].

    `gains` is float32 [..., n_bins], the amplitudes of bins 1, 2, ... of its FFT.
    """
    spectrum = np.zeros((*gains.shape[:-1], n_fft // 2 + 1), np.complex64)
    band = slice(1, 1 + gains.shape[-1])
    scaled = gains * np.float32(n_fft / 2)
    spectrum.real[..., band] = scaled * rng.standard_normal(gains.shape, dtype=np.float32)
    spectrum.imag[..., band] = scaled * rng.standard_normal(gains.shape, dtype=np.float32)
    return np.fft.irfft(spectrum, n_fft, axis=-1).astype(np.float32)


def read_at(table: Waveform, positions: npt.NDArray[np.float64]) -> Waveform:
    """Read a table at positions from 0 to below its last sample, by linear interpolation."""
    index = positions.astype(np.int32)
    fraction = (positions - index).astype(np.float32)
    start = table[index]
    return start + fraction * (table[index + 1] - start)
