"""Batches of noisy and clean spectrograms; each depends on the seed, the epoch and its number."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from denoise.cache import SpectrogramCache, read_kinds
from denoise.noise import SPEECH_KINDS, draw_n_voices
from denoise.params import TrainParams
from denoise.spectrogram import Stft

UNTOUCHED_SNR_DB = 40.0


@dataclass(frozen=True)
class Remixing:
    """How training pairs are mixed anew: lowest and highest SNR, the share left nearly clean."""

    snr_db: tuple[float, ...]
    untouched: float


def energy(spectrograms: Stft) -> np.ndarray:
    """Return the energy of each spectrogram of a batch, float32 [batch, 1, 1]."""
    power = np.square(spectrograms.real) + np.square(spectrograms.imag)
    return power.sum(axis=(1, 2), keepdims=True)


def roll_frames(spectrograms: Stft, rng: Generator) -> Stft:
    """Turn each spectrogram of a batch by a random number of frames, around its end."""
    n_frames = spectrograms.shape[1]
    shifts = rng.integers(n_frames, size=len(spectrograms))
    order = (np.arange(n_frames) + shifts[:, None]) % n_frames
    return np.take_along_axis(spectrograms, order[:, :, None], axis=1)


def remix(clean: Stft, noise: Stft, snr_db: npt.NDArray[np.float32]) -> Stft:
    """Mix each clean spectrogram with another clip's noise at a new SNR: fresh pairs at no cost.

    Spectrograms are complex64 [batch, n_frames, n_bins], `snr_db` is float32 [batch]; the STFT is
    linear, so this is what mixing the waveforms would give.
    """
    below = np.exp(snr_db[:, None, None] * np.float32(-np.log(10) / 20))
    quietest = np.float32(1e-20)
    gain = np.sqrt(energy(clean) / np.maximum(energy(noise), quietest)) * below
    return clean + gain * noise


def draw_snr_db(rng: Generator, n_clips: int, remixing: Remixing) -> npt.NDArray[np.float32]:
    """Draw an SNR for each clip, float32 [n_clips]; a share of them is next to untouched."""
    drawn = rng.uniform(remixing.snr_db[0], remixing.snr_db[1], n_clips)
    is_untouched = rng.random(n_clips) < remixing.untouched
    return np.where(is_untouched, UNTOUCHED_SNR_DB, drawn).astype(np.float32)


def as_pair(noisy: Stft, clean: Stft) -> tuple[np.ndarray, np.ndarray]:
    """Return a network's input [..., 2] and a loss's `y_true` [..., 4] of complex spectrograms."""
    parts = [s.view(np.float32).reshape(*s.shape, 2) for s in (noisy, clean)]
    return parts[0], np.concatenate(parts, axis=-1)


class BatchSource:
    """Draws the batches of one split: shuffled and remixed for training, as cached otherwise."""

    def __init__(
        self, cache: SpectrogramCache, kinds: Sequence[str], batch_size: int, seed: int
    ) -> None:
        """Draw from `cache`; every batch is a function of `seed`, epoch and its number alone.

        `kinds` names the noise of each noisy row.
        """
        self._cache = cache
        self._kinds = kinds
        self._batch_size = batch_size
        self._seed = seed

    @classmethod
    def open(cls, folder: str | os.PathLike[str], split: str, params: TrainParams) -> "BatchSource":
        """Draw from a split of the features in `folder`."""
        cache, kinds = SpectrogramCache(folder, split), read_kinds(folder, split)
        return cls(cache, kinds, params.batch_size, params.seed)

    def __len__(self) -> int:
        """Count the batches of an epoch, the last one perhaps smaller."""
        return -(-len(self._cache) // self._batch_size)

    def cached(self, number: int) -> tuple[Stft, Stft]:
        """Return batch `number` in cached order: noisy and clean [batch, n_frames, n_bins]."""
        start = number * self._batch_size
        rows = np.arange(start, min(start + self._batch_size, len(self._cache)))
        return self._cache.noisy(rows), self._cache.clean(rows)

    def shuffled(self, epoch: int, number: int, remixing: Remixing | None) -> tuple[Stft, Stft]:
        """Return batch `number` of `epoch`, shuffled; or remixed and rolled in time."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._cache))
        start = number * self._batch_size
        rows = order[start : start + self._batch_size]
        clean = self._cache.clean(rows)
        if remixing is None:
            return self._cache.noisy(rows), clean
        # from 1 on: to NumPy a last 0 is no other seed, and `order` would give these draws too
        rng = np.random.default_rng([self._seed, epoch, number + 1])
        clean = roll_frames(clean, rng)
        noise = roll_frames(self._draw_noise(rng, len(rows)), rng)
        return remix(clean, noise, draw_snr_db(rng, len(rows), remixing)), clean

    def _draw_noise(self, rng: Generator, n_clips: int) -> Stft:
        """Draw the noise of any cached clips; where it is voices, others of the split speak."""
        rows = rng.integers(len(self._cache), size=n_clips)
        noise = self._cache.noisy(rows) - self._cache.clean(rows)
        for i, row in enumerate(rows):
            kind = self._kinds[row]
            if kind in SPEECH_KINDS:
                noise[i] = self._draw_voices(rng, draw_n_voices(rng, kind))
        return noise

    def _draw_voices(self, rng: Generator, n_voices: int) -> Stft:
        """Let clips of the split sound at once, equally loud, each starting anywhere."""
        voices = self._cache.clean(rng.integers(len(self._cache), size=n_voices))
        return np.sum(roll_frames(voices, rng) / np.sqrt(energy(voices)), axis=0)
