"""Batches of noisy and clean spectrograms; each depends on the seed, the epoch and its number."""

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from denoise.cache import SpectrogramCache, read_kinds
from denoise.noise import SPEECH_KINDS, draw_n_voices
from denoise.params import TrainParams
from denoise.remixing import (
    Remixing,
    draw_snr_db,
    energy,
    equalise,
    excerpt,
    narrow,
    remix,
    roll_frames,
    turn_back,
)
from denoise.spectrogram import Stft, real_parts

Pair = tuple[np.ndarray, np.ndarray]


def as_lesson(noisy: Stft, clean: Stft) -> tuple[np.ndarray, Pair]:
    """Return a network's input and a loss's `y_true` of complex spectrograms, [..., 2] each."""
    stft = real_parts(noisy)
    return stft, (stft, real_parts(clean))


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
        return self.noisy(number), self._cache.clean(self._rows(number))

    def noisy(self, number: int) -> Stft:
        """Return the noisy half of `cached(number)` without reading the other."""
        return self._cache.noisy(self._rows(number))

    def _rows(self, number: int) -> npt.NDArray[np.int64]:
        start = number * self._batch_size
        return np.arange(start, min(start + self._batch_size, len(self._cache)))

    def shuffled(self, epoch: int, number: int, remixing: Remixing | None) -> tuple[Stft, Stft]:
        """Return batch `number` of `epoch`, shuffled; or remixed and rolled in time."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._cache))
        start = number * self._batch_size
        rows = order[start : start + self._batch_size]
        if remixing is None:
            return self._cache.noisy(rows), self._cache.clean(rows)
        # from 1 on: to NumPy a last 0 is no other seed, and `order` would give these draws too
        rng = np.random.default_rng([self._seed, epoch, number + 1])
        noise_rows = rng.integers(len(self._cache), size=len(rows))
        clean = self._cache.spoken(rows, self._draw_voices(rng, noise_rows))
        clean = self._with_words(clean, remixing, rng)
        clean = equalise(roll_frames(clean, rng), remixing.equalise_db, rng)
        noise = roll_frames(self._draw_noise(rng, noise_rows, remixing), rng)
        noisy = remix(clean, noise, draw_snr_db(rng, len(rows), remixing))
        noisy, clean = excerpt(noisy, clean, remixing.n_frames, rng)
        return narrow(noisy, clean, remixing.narrowed, rng)

    def _is_speech(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return np.array([self._kinds[row] in SPEECH_KINDS for row in rows], bool)

    def _draw_voices(
        self, rng: Generator, noise_rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Draw the voice of each clip: its own among other people, or it would be known by it."""
        voices = rng.integers(self._cache.n_others + 1, size=len(noise_rows))
        return np.where(self._is_speech(noise_rows), 0, voices)

    def _with_words(self, speech: Stft, remixing: Remixing, rng: Generator) -> Stft:
        """Where the cache has words, let a share of `speech` be those and turn a share around."""
        if not self._cache.n_words:
            return speech
        (others,) = np.nonzero(rng.random(len(speech)) < remixing.words)
        speech[others] = self._cache.words(rng.integers(self._cache.n_words, size=len(others)))
        return turn_back(speech, remixing.backwards, rng)

    def _draw_noise(self, rng: Generator, rows: npt.NDArray[np.int64], remixing: Remixing) -> Stft:
        """Return the noise in cached `rows`; where it is voices, others of the split speak."""
        noise = np.empty((len(rows), self._cache.n_frames, self._cache.n_bins), np.complex64)
        is_speech = self._is_speech(rows)
        cached = rows[~is_speech]
        noise[~is_speech] = self._cache.noisy(cached) - self._cache.clean(cached)
        for i in np.flatnonzero(is_speech):
            n_voices = draw_n_voices(rng, self._kinds[rows[i]])
            noise[i] = self._draw_speech(rng, n_voices, remixing)
        return noise

    def _draw_speech(self, rng: Generator, n_voices: int, remixing: Remixing) -> Stft:
        """Let clips of the split sound at once, equally loud, each starting anywhere.

        Each is coloured as the clip in front of them is, and as often other words and backwards, or
        that clip would be known by it.
        """
        voices = self._cache.clean(rng.integers(len(self._cache), size=n_voices))
        voices = self._with_words(voices, remixing, rng)
        voices = equalise(voices, remixing.equalise_db, rng)
        return np.sum(roll_frames(voices, rng) / np.sqrt(energy(voices)), axis=0)
