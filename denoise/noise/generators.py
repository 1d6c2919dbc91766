"""Synthetic noise: white, coloured, mains hum, and textures, which imitate everyday noise."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import Generator

from denoise import extensions
from denoise.dsp.audio import Waveform
from denoise.extensions import ExtensionError
from denoise.noise.textures import textures

NoiseGenerator = Callable[[Generator, int, int], Waveform]
"""(rng, n_samples, sample_rate) -> float32 [n_samples], at any level except silence."""

MIN_HZ = 20  # coloured noise holds nothing below: it would be inaudible, and dominate the level


def white(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw Gaussian noise with a flat spectrum."""
    return rng.standard_normal(n_samples, dtype=np.float32)


def _coloured(amplitude: Callable[[Waveform], Waveform]) -> NoiseGenerator:
    """Return a generator of noise with an amplitude spectrum, a function of frequency in Hz."""

    def draw(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
        spectrum = np.fft.rfft(white(rng, n_samples, sample_rate))
        frequency = np.fft.rfftfreq(n_samples, 1 / sample_rate).astype(np.float32)
        gain = np.where(frequency < MIN_HZ, np.float32(0), amplitude(np.maximum(frequency, MIN_HZ)))
        return np.fft.irfft(spectrum * gain, n=n_samples).astype(np.float32)

    return draw


pink = _coloured(lambda frequency: np.reciprocal(np.sqrt(frequency)))
brown = _coloured(np.reciprocal)
blue = _coloured(np.sqrt)
violet = _coloured(lambda frequency: frequency)


def hum(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw mains hum: 50 or 60 Hz within 0.5 %, and its harmonics up to 1 kHz, falling as 1/n."""
    fundamental = rng.choice([50.0, 60.0]) * rng.uniform(0.995, 1.005)
    harmonics = np.arange(1, int(min(1000, sample_rate / 2 - 1) / fundamental) + 1)
    amplitudes = rng.uniform(0.1, 1.0, len(harmonics)) / harmonics
    phases = rng.uniform(0, 2 * np.pi, len(harmonics))
    cycles = np.outer(harmonics * fundamental, np.arange(n_samples) / sample_rate) % 1.0
    waves = np.sin((2 * np.pi * cycles + phases[:, None]).astype(np.float32))
    return (waves * amplitudes[:, None].astype(np.float32)).sum(axis=0)


GENERATORS: Mapping[str, NoiseGenerator] = {
    "white": white,
    "pink": pink,
    "brown": brown,
    "blue": blue,
    "violet": violet,
    "hum": hum,
    "textures": textures,
}


def generator_of(noise_type: str) -> NoiseGenerator:
    """Return the generator of a noise type, of GENERATORS or of the folder `extensions`."""
    if noise_type in GENERATORS:
        return GENERATORS[noise_type]
    generate: NoiseGenerator = extensions.load("noise", noise_type).generate

    def checked(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
        waveform = np.asarray(generate(rng, n_samples, sample_rate), np.float32)
        if waveform.shape != (n_samples,) or not np.isfinite(waveform).all() or not waveform.any():
            raise ExtensionError(
                f"The noise type {noise_type} returned an array of shape {waveform.shape}; it must "
                f"return [{n_samples}] finite samples that are not all zero."
            )
        return waveform

    return checked
