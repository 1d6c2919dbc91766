"""Mixing speech with noise of any type at a given SNR; several voices at once make babble."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from denoise.dsp.audio import Waveform, rms
from denoise.dsp.seeding import make_rng
from denoise.noise.generators import generator_of

Sampler = Callable[[Generator, int], Waveform]
"""(rng, n_samples) -> a clip drawn from recordings, float32 [n_samples], not silent."""

SPEECH_NOISE_TYPES: Mapping[str, tuple[int, int]] = {"babble": (4, 8), "speech": (1, 1)}
"""The noise types that are made of other speakers, with the least and the most of them."""


@dataclass(frozen=True)
class NoiseSources:
    """Where the noise types that are made of recordings come from: other speakers, and noise."""

    speech: Sampler
    noise: Sampler


def no_recordings(rng: Generator, n_samples: int) -> Waveform:
    """Stand in for a sampler of noise recordings where there are none; raises ValueError."""
    raise ValueError("There are no noise recordings to draw from.")


def utterance_rng(seed: int, utterance_id: str, *context: int) -> Generator:
    """Return a generator seeded by the utterance's id, so that order and workers do not matter."""
    return make_rng(seed, utterance_id, *context)


def energy(batch: np.ndarray) -> npt.NDArray[np.float32]:
    """Return the energy of each real or complex item, float32 [batch, 1, ...]."""
    power = np.square(batch.real) + np.square(batch.imag) if np.iscomplexobj(batch) else batch**2
    return power.sum(axis=tuple(range(1, batch.ndim)), keepdims=True)


def roll_time(batch: np.ndarray, rng: Generator) -> np.ndarray:
    """Rotate each item of [batch, n_time, ...] in time by a random offset."""
    n_time = batch.shape[1]
    offsets = rng.integers(n_time, size=len(batch))
    order = (np.arange(n_time) - offsets[:, None]) % n_time
    return batch[np.arange(len(batch))[:, None], order]


def draw_n_voices(rng: Generator, noise_type: str) -> int:
    """Draw how many speakers one of SPEECH_NOISE_TYPES consists of."""
    fewest, most = SPEECH_NOISE_TYPES[noise_type]
    return int(rng.integers(fewest, most + 1))


def overlay_voices(voices: np.ndarray, rng: Generator) -> np.ndarray:
    """Sum waveforms or spectrograms [n_voices, n_time, ...], at energy 1 and at random starts."""
    return np.sum(roll_time(voices, rng) / np.sqrt(energy(voices)), axis=0)


def draw_voices(rng: Generator, noise_type: str, n_samples: int, speech: Sampler) -> Waveform:
    """Draw one of SPEECH_NOISE_TYPES, float32 [n_samples]; each voice has an RMS of 1."""
    voices = np.stack([speech(rng, n_samples) for _ in range(draw_n_voices(rng, noise_type))])
    return overlay_voices(voices, rng) * np.float32(n_samples**0.5)


def draw_noise(
    rng: Generator, noise_type: str, n_samples: int, sample_rate: int, sources: NoiseSources
) -> Waveform:
    """Draw noise of any type, float32 [n_samples], at any level except silence."""
    if noise_type in SPEECH_NOISE_TYPES:
        return draw_voices(rng, noise_type, n_samples, sources.speech)
    if noise_type == "recordings":
        return sources.noise(rng, n_samples)
    return generator_of(noise_type)(rng, n_samples, sample_rate)


def noise_gain(clean: Waveform, noise: Waveform, snr_db: float) -> float:
    """Return the gain that brings `noise` to `snr_db` below `clean`, both measured by their RMS.

    White noise at 0 dB thus has a standard deviation equal to the clip's RMS. Raises ValueError
    where either is silent, since no SNR is defined then.
    """
    clean_rms, noise_rms = rms(clean), rms(noise)
    if clean_rms == 0 or noise_rms == 0:
        raise ValueError("The SNR is undefined for silent speech or noise.")
    return clean_rms / noise_rms * 10 ** (-snr_db / 20)


def mix(clean: Waveform, noise: Waveform, snr_db: float) -> Waveform:
    """Add `noise` to `clean`, both float32 [n_samples], at `snr_db`."""
    return clean + np.float32(noise_gain(clean, noise, snr_db)) * noise


def make_noisy(
    clean: Waveform,
    sample_rate: int,
    noise_type: str,
    snr_db: float,
    rng: Generator,
    sources: NoiseSources,
) -> Waveform:
    """Mix `clean`, float32 [n_samples], with noise of a type, drawn by `rng`."""
    return mix(clean, draw_noise(rng, noise_type, len(clean), sample_rate, sources), snr_db)


@dataclass(frozen=True)
class NoiseDistribution:
    """What the noisy versions of a clip are drawn from.

    `weights` holds the relative probability of each noise type; the SNR is uniform in `snr_db`.
    """

    weights: Mapping[str, float]
    snr_db: tuple[float, ...]
    n_versions: int
    seed: int


class NoisyVersion(NamedTuple):
    """A noisy clip, float32 [n_samples], and how it was made."""

    noise_type: str
    snr_db: float
    waveform: Waveform


def draw_noise_type(weights: Mapping[str, float], rng: Generator) -> str:
    """Draw a noise type with a probability proportional to its weight."""
    shares = np.array(list(weights.values()))
    return list(weights)[rng.choice(len(shares), p=shares / shares.sum())]


def draw_noisy_versions(
    clean: Waveform,
    utterance_id: str,
    sample_rate: int,
    distribution: NoiseDistribution,
    sources: NoiseSources,
) -> list[NoisyVersion]:
    """Draw the noisy versions of a clip; they depend on the seed and the utterance's id alone."""
    versions = []
    for number in range(distribution.n_versions):
        rng = utterance_rng(distribution.seed, utterance_id, number)
        noise_type = draw_noise_type(distribution.weights, rng)
        snr_db = float(rng.uniform(distribution.snr_db[0], distribution.snr_db[1]))
        noisy = make_noisy(clean, sample_rate, noise_type, snr_db, rng, sources)
        versions.append(NoisyVersion(noise_type, snr_db, noisy))
    return versions
