"""Batches of noisy and clean spectrograms; each depends on the seed, the epoch and its number."""

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from denoise.dsp.stft import Stft, to_real_imag
from denoise.features.cache import SpectrogramCache, read_noise_types
from denoise.noise.generators import SPEECH_NOISE_TYPES, draw_n_voices
from denoise.params import TrainParams
from denoise.training.augmentation import (
    Augmentation,
    band_limit,
    draw_snr_db,
    energy,
    mix_at_snr,
    random_crop,
    random_eq,
    reverse_time,
    roll_time,
)

Pair = tuple[np.ndarray, np.ndarray]


def to_network_input(noisy: Stft, clean: Stft) -> tuple[np.ndarray, Pair]:
    """Return a network's input and a loss's `y_true` of complex spectrograms, [..., 2] each."""
    stft = to_real_imag(noisy)
    return stft, (stft, to_real_imag(clean))


class BatchSource:
    """Draws the batches of one split: shuffled and remixed for training, as cached otherwise."""

    def __init__(
        self, cache: SpectrogramCache, noise_types: Sequence[str], batch_size: int, seed: int
    ) -> None:
        """Draw from `cache`; every batch is a function of `seed`, epoch and its number alone.

        `kinds` names the noise of each noisy row.
        """
        self._cache = cache
        self._noise_types = noise_types
        self._batch_size = batch_size
        self._seed = seed

    @classmethod
    def open(cls, folder: str | os.PathLike[str], split: str, params: TrainParams) -> "BatchSource":
        """Draw from a split of the features in `folder`."""
        cache, noise_types = SpectrogramCache(folder, split), read_noise_types(folder, split)
        return cls(cache, noise_types, params.batch_size, params.seed)

    def __len__(self) -> int:
        """Count the batches of an epoch, the last one perhaps smaller."""
        return -(-len(self._cache) // self._batch_size)

    def cached(self, number: int) -> tuple[Stft, Stft]:
        """Return batch `number` in cached order: noisy and clean [batch, n_frames, n_bins]."""
        return self.noisy(number), self._cache.clean(self._rows(number))

    def noisy(self, number: int) -> Stft:
        """Return the noisy half of `cached(number)` without reading the other."""
        return self._cache.noisy(self._rows(number))

    def _rows(self, number: int) -> npt.NDArray[np.int64]:
        start = number * self._batch_size
        return np.arange(start, min(start + self._batch_size, len(self._cache)))

    def shuffled(
        self, epoch: int, number: int, augmentation: Augmentation | None
    ) -> tuple[Stft, Stft]:
        """Return batch `number` of `epoch`, shuffled; or remixed and rolled in time."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._cache))
        start = number * self._batch_size
        rows = order[start : start + self._batch_size]
        if augmentation is None:
            return self._cache.noisy(rows), self._cache.clean(rows)
        # from 1 on: to NumPy a last 0 is no other seed, and `order` would give these draws too
        rng = np.random.default_rng([self._seed, epoch, number + 1])
        noise_rows = rng.integers(len(self._cache), size=len(rows))
        clean = self._cache.clean_at_speed(rows, self._draw_speeds(rng, noise_rows))
        clean = self._with_oov(clean, augmentation, rng)
        clean = random_eq(roll_time(clean, rng), augmentation.random_eq_db, rng)
        noise = roll_time(self._draw_noise(rng, noise_rows, augmentation), rng)
        noisy = mix_at_snr(clean, noise, draw_snr_db(rng, len(rows), augmentation))
        noisy, clean = random_crop(noisy, clean, augmentation.n_frames, rng)
        return band_limit(noisy, clean, augmentation.band_limit_probability, rng)

    def _is_speech(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return np.array([self._noise_types[row] in SPEECH_NOISE_TYPES for row in rows], bool)

    def _draw_speeds(
        self, rng: Generator, noise_rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Draw the voice of each clip: its own among other people, or it would be known by it."""
        voices = rng.integers(self._cache.n_speeds + 1, size=len(noise_rows))
        return np.where(self._is_speech(noise_rows), 0, voices)

    def _with_oov(self, speech: Stft, augmentation: Augmentation, rng: Generator) -> Stft:
        """Where the cache has words, let a share of `speech` be those and turn a share around."""
        if not self._cache.n_oov:
            return speech
        (others,) = np.nonzero(rng.random(len(speech)) < augmentation.oov_probability)
        speech[others] = self._cache.oov(rng.integers(self._cache.n_oov, size=len(others)))
        return reverse_time(speech, augmentation.time_reversal_probability, rng)

    def _draw_noise(
        self, rng: Generator, rows: npt.NDArray[np.int64], augmentation: Augmentation
    ) -> Stft:
        """Return the noise in cached `rows`; where it is voices, others of the split speak."""
        noise = np.empty((len(rows), self._cache.n_frames, self._cache.n_bins), np.complex64)
        is_speech = self._is_speech(rows)
        cached = rows[~is_speech]
        noise[~is_speech] = self._cache.noisy(cached) - self._cache.clean(cached)
        for i in np.flatnonzero(is_speech):
            n_voices = draw_n_voices(rng, self._noise_types[rows[i]])
            noise[i] = self._draw_speech(rng, n_voices, augmentation)
        return noise

    def _draw_speech(self, rng: Generator, n_voices: int, augmentation: Augmentation) -> Stft:
        """Let clips of the split sound at once, equally loud, each starting anywhere.

        Each is coloured as the clip in front of them is, and as often other words and backwards, or
        that clip would be known by it.
        """
        voices = self._cache.clean(rng.integers(len(self._cache), size=n_voices))
        voices = self._with_oov(voices, augmentation, rng)
        voices = random_eq(voices, augmentation.random_eq_db, rng)
        return np.sum(roll_time(voices, rng) / np.sqrt(energy(voices)), axis=0)
