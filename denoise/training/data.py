"""Batches of noisy and clean spectrograms; each depends on the seed, the epoch and its number."""

import os
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.random import Generator

from denoise.dsp.stft import Stft, to_real_imag
from denoise.features.cache import Rows, SpectrogramCache, read_noise_types
from denoise.noise.mixing import SPEECH_NOISE_TYPES, draw_n_voices, overlay_voices, roll_time
from denoise.params import Params
from denoise.training.augmentation import (
    Augmentation,
    band_limit,
    draw_snr_db,
    mix_at_snr,
    random_crop,
    random_eq,
    reverse_time,
)

Pair = tuple[np.ndarray, np.ndarray]


class Batches(Protocol):
    """The batches of one split: noisy and clean spectrograms, [batch, n_frames, n_bins] each."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""

    def cached(self, number: int) -> tuple[Stft, Stft]:
        """Return batch `number` without augmentation, the same each time."""

    def noisy(self, number: int) -> Stft:
        """Return the noisy half of `cached(number)`."""

    def shuffled(
        self, epoch: int, number: int, augmentation: Augmentation | None
    ) -> tuple[Stft, Stft]:
        """Return batch `number` of `epoch` in shuffled order, augmented."""


def to_network_input(noisy: Stft, clean: Stft) -> tuple[np.ndarray, Pair]:
    """Return a network's input and a loss's `y_true`, real and imaginary parts [..., 2] each."""
    stft = to_real_imag(noisy)
    return stft, (stft, to_real_imag(clean))


class BatchSource:
    """Draws the batches of one split: augmented for training, as cached for validation."""

    def __init__(
        self, cache: SpectrogramCache, noise_types: Sequence[str], batch_size: int, seed: int
    ) -> None:
        """Draw from `cache`; `noise_types` names the noise of each noisy row."""
        self._cache = cache
        self._is_speech = np.array([name in SPEECH_NOISE_TYPES for name in noise_types], bool)
        self._noise_types = noise_types
        self._batch_size = batch_size
        self._seed = seed

    @classmethod
    def open(cls, folder: str | os.PathLike[str], split: str, params: Params) -> "BatchSource":
        """Draw from a split of the features in `folder`."""
        cache, noise_types = SpectrogramCache(folder, split), read_noise_types(folder, split)
        return cls(cache, noise_types, params.train.batch_size, params.train.seed)

    def __len__(self) -> int:
        """Return the number of batches in an epoch; the last one may be smaller."""
        return -(-len(self._cache) // self._batch_size)

    def cached(self, number: int) -> tuple[Stft, Stft]:
        """Return batch `number` in cached order: noisy and clean [batch, n_frames, n_bins]."""
        return self.noisy(number), self._cache.clean(self._rows(number))

    def noisy(self, number: int) -> Stft:
        """Return the noisy half of `cached(number)` without reading the clean one."""
        return self._cache.noisy(self._rows(number))

    def _rows(self, number: int) -> Rows:
        start = number * self._batch_size
        return np.arange(start, min(start + self._batch_size, len(self._cache)))

    def shuffled(
        self, epoch: int, number: int, augmentation: Augmentation | None
    ) -> tuple[Stft, Stft]:
        """Return batch `number` of `epoch` in shuffled order: noisy and clean spectrograms.

        With an augmentation, each clean clip is mixed with the noise of another clip (dynamic
        mixing) and both are augmented; without one, the cached pairs are returned.
        """
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._cache))
        start = number * self._batch_size
        rows = order[start : start + self._batch_size]
        if augmentation is None:
            return self._cache.noisy(rows), self._cache.clean(rows)
        # Numbers start at 1: NumPy treats a trailing 0 as no seed, which is the generator of order.
        rng = np.random.default_rng([self._seed, epoch, number + 1])
        noise_rows = rng.integers(len(self._cache), size=len(rows))
        clean = self._draw_clean(rng, rows, noise_rows, augmentation)
        noise = roll_time(self._draw_noise(rng, noise_rows, augmentation), rng)
        noisy = mix_at_snr(clean, noise, draw_snr_db(rng, len(rows), augmentation))
        noisy, clean = random_crop(noisy, clean, augmentation.n_frames, rng)
        return band_limit(noisy, clean, augmentation.band_limit_probability, rng)

    def _draw_clean(
        self, rng: Generator, rows: Rows, noise_rows: Rows, augmentation: Augmentation
    ) -> Stft:
        """Return the clean clips at random speeds, some replaced by OOV speech, equalised.

        Among other voices a clip keeps its speed. Those voices are not speed-perturbed, so another
        speed would tell the network which voice to keep.
        """
        speeds = rng.integers(self._cache.n_speeds + 1, size=len(rows))
        speeds = np.where(self._is_speech[noise_rows], 0, speeds)
        clean = self._cache.clean_at_speed(rows, speeds)
        clean = self._mix_in_oov(clean, augmentation, rng)
        return random_eq(roll_time(clean, rng), augmentation.random_eq_db, rng)

    def _mix_in_oov(self, speech: Stft, augmentation: Augmentation, rng: Generator) -> Stft:
        """Replace a share of the clips by OOV speech and reverse a share, if the cache has any."""
        if not self._cache.n_oov:
            return speech
        (replaced,) = np.nonzero(rng.random(len(speech)) < augmentation.oov_probability)
        speech[replaced] = self._cache.oov(rng.integers(self._cache.n_oov, size=len(replaced)))
        return reverse_time(speech, augmentation.time_reversal_probability, rng)

    def _draw_noise(self, rng: Generator, rows: Rows, augmentation: Augmentation) -> Stft:
        """Return the noise of cached `rows`; where it is speech, new voices are drawn."""
        noise = np.empty((len(rows), self._cache.n_frames, self._cache.n_bins), np.complex64)
        is_speech = self._is_speech[rows]
        cached = rows[~is_speech]
        noise[~is_speech] = self._cache.noisy(cached) - self._cache.clean(cached)
        for i in np.flatnonzero(is_speech):
            n_voices = draw_n_voices(rng, self._noise_types[rows[i]])
            noise[i] = self._draw_voices(rng, n_voices, augmentation)
        return noise

    def _draw_voices(self, rng: Generator, n_voices: int, augmentation: Augmentation) -> Stft:
        """Return `n_voices` clips of the split at once, augmented as the clean clips are.

        Otherwise the network could tell the target speaker from the others by the augmentation.
        """
        voices = self._cache.clean(rng.integers(len(self._cache), size=n_voices))
        voices = self._mix_in_oov(voices, augmentation, rng)
        voices = random_eq(voices, augmentation.random_eq_db, rng)
        return overlay_voices(voices, rng)
