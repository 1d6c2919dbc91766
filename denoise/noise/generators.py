"""Noise kinds, and mixing them with speech at the SNR that is asked for."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from denoise.dsp.audio import Waveform, rms

NoiseGenerator = Callable[[Generator, int, int], Waveform]
"""(rng, n_samples, sample_rate) -> float32 [n_samples], at any level but silence."""

Sampler = Callable[[Generator], Waveform]
"""Draws from recordings, float32 [n_samples], not silent."""


@dataclass(frozen=True)
class NoiseSources:
    """What the kinds that are made of recordings draw from: people who talk, and noise."""

    speech: Sampler
    noise: Sampler


def no_recordings(rng: Generator) -> Waveform:
    """Draw noise where none is recorded: always a ValueError."""
    raise ValueError("No recordings of noise are at hand here.")


def utterance_rng(seed: int, utterance_id: str, *context: int) -> Generator:
    """Return the generator of one utterance, whatever the order or the worker it is met in."""
    digest = hashlib.sha256(utterance_id.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little"), *context])


def white(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw Gaussian noise, flat in frequency."""
    return rng.standard_normal(n_samples, dtype=np.float32)


def _coloured(shape: Callable[[Waveform], Waveform]) -> NoiseGenerator:
    """Make the kind whose amplitude spectrum is `shape` of the frequency in Hz, none below 20."""

    def draw(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
        spectrum = np.fft.rfft(white(rng, n_samples, sample_rate))
        frequency = np.fft.rfftfreq(n_samples, 1 / sample_rate).astype(np.float32)
        gain = np.where(frequency < 20, np.float32(0), shape(np.maximum(frequency, 20)))
        return np.fft.irfft(spectrum * gain, n=n_samples).astype(np.float32)

    return draw


pink = _coloured(lambda frequency: np.reciprocal(np.sqrt(frequency)))
brown = _coloured(np.reciprocal)
blue = _coloured(np.sqrt)
violet = _coloured(lambda frequency: frequency)


def hum(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw mains hum: 50 or 60 Hz, a little off, and its harmonics up to 1 kHz, fading."""
    fundamental = rng.choice([50.0, 60.0]) * rng.uniform(0.995, 1.005)
    harmonics = np.arange(1, int(min(1000, sample_rate / 2 - 1) / fundamental) + 1)
    level = rng.uniform(0.1, 1.0, len(harmonics)) / harmonics
    offset = rng.uniform(0, 2 * np.pi, len(harmonics))
    cycles = np.outer(harmonics * fundamental, np.arange(n_samples) / sample_rate) % 1.0
    waves = np.sin((2 * np.pi * cycles + offset[:, None]).astype(np.float32))
    return (waves * level[:, None].astype(np.float32)).sum(axis=0)


KINDS: Mapping[str, NoiseGenerator] = {
    "white": white,
    "pink": pink,
    "brown": brown,
    "blue": blue,
    "violet": violet,
    "hum": hum,
}


SPEECH_NOISE_TYPES: Mapping[str, tuple[int, int]] = {"babble": (4, 8), "speech": (1, 1)}
"""The kinds that are made of other people talking: how many at least, at most."""


def draw_n_voices(rng: Generator, kind: str) -> int:
    """Draw how many people talk."""
    fewest, most = SPEECH_NOISE_TYPES[kind]
    return int(rng.integers(fewest, most + 1))


def voices(rng: Generator, kind: str, talk: Sampler) -> Waveform:
    """Let people talk at once, equally loud, each starting anywhere."""
    clips = [talk(rng) for _ in range(draw_n_voices(rng, kind))]
    turned = [np.roll(clip / np.float32(rms(clip)), rng.integers(len(clip))) for clip in clips]
    return np.sum(turned, axis=0, dtype=np.float32)


RECORDED_NOISE_TYPES: Mapping[str, Callable[[Generator, NoiseSources], Waveform]] = {
    "babble": lambda rng, sources: voices(rng, "babble", sources.speech),
    "speech": lambda rng, sources: voices(rng, "speech", sources.speech),
    "recordings": lambda rng, sources: sources.noise(rng),
}


def noise_gain(clean: Waveform, noise: Waveform, snr_db: float) -> float:
    """Return what `noise` is multiplied with to lie `snr_db` under `clean`, both by their RMS.

    White noise at 0 dB thus has a standard deviation equal to the clip's RMS. Raises ValueError
    for a silent `clean` or `noise`, at which no SNR can be had.
    """
    clean_rms, noise_rms = rms(clean), rms(noise)
    if clean_rms == 0 or noise_rms == 0:
        raise ValueError("No SNR can be had with silence.")
    return clean_rms / noise_rms * 10 ** (-snr_db / 20)


def mix(clean: Waveform, noise: Waveform, snr_db: float) -> Waveform:
    """Add `noise` to `clean`, both float32 [n_samples], at `snr_db`."""
    return clean + np.float32(noise_gain(clean, noise, snr_db)) * noise


def make_noisy(
    clean: Waveform,
    sample_rate: int,
    kind: str,
    snr_db: float,
    rng: Generator,
    sources: NoiseSources,
) -> Waveform:
    """Return the noisy twin of `clean`, float32 [n_samples], with noise of `kind` from `rng`."""
    if kind in RECORDED_NOISE_TYPES:
        return mix(clean, RECORDED_NOISE_TYPES[kind](rng, sources), snr_db)
    return mix(clean, KINDS[kind](rng, len(clean), sample_rate), snr_db)
