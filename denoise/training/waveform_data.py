"""Batches from waveform banks: speech and noise are cropped, augmented and mixed for each batch.

It has the interface of `data.BatchSource`, whose clips come from spectrogram caches. Here noise is
drawn anew for every pair, utterances may have any length, and the STFT is computed in the loop.
"""

import os

import numpy as np
from numpy.random import Generator

from denoise.dsp.audio import Waveform, change_speed, fit_length, rms
from denoise.dsp.rooms import convolve, draw_room_response, early_part
from denoise.dsp.stft import Stft, stft
from denoise.features.bank import Bank
from denoise.features.cache import Rows
from denoise.noise.mixing import SPEECH_NOISE_TYPES, NoiseSources, draw_noise, draw_noise_type
from denoise.params import Params
from denoise.training.augmentation import (
    CLEAN_SNR_DB,
    Augmentation,
    band_limit,
    random_eq,
)

MAX_DRAWS = 100
ACTIVE_FRACTION = 0.1
"""A silent crop has no SNR, so a crop must have this share of the energy of the loudest one. The
share is small, because the network must hear pauses in training; otherwise it leaves noise in them.
"""
BLOCK_SECONDS = 0.032  # in which the level of speech is measured
ACTIVE_RANGE_DB = 25.0  # blocks this far below the loudest are pauses
SECOND_NOISE_DB = (-15.0, 0.0)  # a second noise relative to the first
SHARED_ROOM_PROBABILITY = 0.5  # voices in the background sound from one room


def active_rms(waveform: Waveform, sample_rate: int) -> float:
    """Return the RMS of the blocks that hold speech, a simple form of ITU-T P.56's active level.

    An SNR that counts pauses would make the noise weaker where an utterance is short.
    """
    n_block = round(BLOCK_SECONDS * sample_rate)
    padded = np.pad(waveform, (0, -len(waveform) % n_block))
    power = np.mean(np.square(padded.reshape(-1, n_block), dtype=np.float64), axis=1)
    return float(np.sqrt(np.mean(power[power >= power.max() * 10 ** (-ACTIVE_RANGE_DB / 10)])))


def equalise(waveforms: Waveform, depth_db: float, rng: Generator) -> Waveform:
    """Apply one `random_eq` to waveforms, float32 [..., n_samples]."""
    spectra = np.fft.rfft(waveforms).astype(np.complex64, copy=False)
    frames = spectra.reshape(1, -1, spectra.shape[-1])
    equalised = random_eq(frames, depth_db, rng).reshape(spectra.shape)
    return np.fft.irfft(equalised, n=waveforms.shape[-1]).astype(np.float32)


class WaveformSource:
    """Draws the batches of one split from its banks."""

    def __init__(self, speech: Bank, oov: Bank, noise: Bank, params: Params) -> None:
        """Draw speech from `speech` and `oov`, and the noise type `recordings` from `noise`."""
        self._speech, self._oov, self._noise = speech, oov, noise
        self._params = params
        self._rate = params.audio.sample_rate
        seconds = min(params.train.crop_seconds, params.audio.duration_seconds)
        frames = round(seconds * self._rate / params.spectrogram.hop_length)
        self._n_crop = max(1, frames - 1) * params.spectrogram.hop_length
        self._weights = params.noise.weights.by_type()
        self._groups = np.array(speech.groups)
        # Each row as often as a crop fits into it, so that every second is heard equally often.
        counts = [max(1, round(speech.n_samples(r) / self._n_crop)) for r in range(len(speech))]
        self._crops = np.repeat(np.arange(len(speech)), counts)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], split: str, params: Params) -> "WaveformSource":
        """Open the banks of a split in the features' folder."""
        return cls(Bank(folder, split), Bank(folder, "oov"), Bank(folder, "noise"), params)

    def __len__(self) -> int:
        """Return the number of batches in an epoch; the last one may be smaller."""
        return -(-len(self._crops) // self._params.train.batch_size)

    def _batch(self, number: int, order: Rows) -> Rows:
        size = self._params.train.batch_size
        return order[number * size : (number + 1) * size]

    def cached(self, number: int) -> tuple[Stft, Stft]:
        """Return batch `number` in the order of the bank, without augmentation, always the same."""
        rows = self._batch(number, self._crops)
        rng = np.random.default_rng([self._params.train.seed, number])
        return self._spectra([self._draw_pair(rng, int(row), None) for row in rows])

    def noisy(self, number: int) -> Stft:
        """Return the noisy half of `cached(number)`."""
        return self.cached(number)[0]

    def shuffled(
        self, epoch: int, number: int, augmentation: Augmentation | None
    ) -> tuple[Stft, Stft]:
        """Return batch `number` of `epoch` in shuffled order: noisy and clean spectrograms."""
        seed = self._params.train.seed
        order = np.random.default_rng([seed, epoch]).permutation(self._crops)
        # Numbers start at 1: NumPy treats a trailing 0 as no seed, which is the generator of order.
        rng = np.random.default_rng([seed, epoch, number + 1])
        rows = self._batch(number, order)
        pairs = [self._draw_pair(rng, int(row), augmentation) for row in rows]
        noisy, clean = self._spectra(pairs)
        if augmentation is None:
            return noisy, clean
        return band_limit(noisy, clean, augmentation.band_limit_probability, rng)

    def _spectra(self, pairs: list[tuple[Waveform, Waveform]]) -> tuple[Stft, Stft]:
        noisy, clean = (
            np.stack([stft(pair[i], self._params.spectrogram) for pair in pairs]) for i in (0, 1)
        )
        return noisy, clean

    def _draw_pair(
        self, rng: Generator, row: int, augmentation: Augmentation | None
    ) -> tuple[Waveform, Waveform]:
        """Return a noisy and a clean crop, float32 [n_crop]."""
        noise_type = draw_noise_type(self._weights, rng)
        perturbs_speed = noise_type not in SPEECH_NOISE_TYPES
        speech, target = self._draw_speech(rng, row, augmentation, perturbs_speed)
        noise = self._draw_noise(rng, noise_type, row, augmentation)
        if augmentation and rng.random() < augmentation.second_noise_probability:
            other = self._draw_noise(rng, draw_noise_type(self._weights, rng), row, augmentation)
            gain = rms(noise) / rms(other) * 10 ** (rng.uniform(*SECOND_NOISE_DB) / 20)
            noise = noise + np.float32(gain) * other
        snr = 10 ** (self._draw_snr_db(rng, augmentation) / 20)
        scale = np.float32(active_rms(speech, self._rate) / rms(noise) / snr)
        return speech + scale * noise, target

    def _draw_noise(
        self, rng: Generator, noise_type: str, row: int, augmentation: Augmentation | None
    ) -> Waveform:
        """Return noise for a crop of `row`, float32 [n_crop]; voices are those of others."""

        def draw_voice(rng: Generator, n_samples: int) -> Waveform:
            other = self._other_row(rng, row)
            return self._draw_speech(rng, other, augmentation, perturbs_speed=False)[0]

        sources = NoiseSources(draw_voice, self._draw_recording)
        noise = draw_noise(rng, noise_type, self._n_crop, self._rate, sources)
        if augmentation and noise_type == "recordings":
            noise = equalise(noise, augmentation.random_eq_db, rng)
        has_rooms = augmentation and augmentation.room_probability
        is_voices = noise_type in SPEECH_NOISE_TYPES
        if has_rooms and is_voices and rng.random() < SHARED_ROOM_PROBABILITY:
            noise = convolve(noise, draw_room_response(rng, self._rate))
        return noise

    def _draw_snr_db(self, rng: Generator, augmentation: Augmentation | None) -> float:
        low, high = augmentation.snr_db if augmentation else self._params.noise.snr_db
        snr_db = float(rng.uniform(low, high))
        is_clean = augmentation and rng.random() < augmentation.clean_probability
        return CLEAN_SNR_DB if is_clean else snr_db

    def _other_row(self, rng: Generator, row: int) -> int:
        """Draw a row of another speaker, or any row where there is only one speaker."""
        (others,) = np.nonzero(self._groups != self._groups[row])
        return int(rng.choice(others)) if len(others) else int(rng.integers(len(self._groups)))

    def _draw_speech(
        self, rng: Generator, row: int, augmentation: Augmentation | None, perturbs_speed: bool
    ) -> tuple[Waveform, Waveform]:
        """Return an augmented crop of a row, or of OOV speech in its place, and its target.

        Both are float32 [n_crop]. They differ where the speech is in a room: the target has the
        early echoes alone. If the (first) noise consists of voices, all voices keep their speed,
        since another speed would tell the network which voice to keep.
        """
        if augmentation is None:
            (crop,) = self._crop(rng, self._speech.read(row))
            return crop, crop
        is_oov = bool(len(self._oov)) and rng.random() < augmentation.oov_probability
        if is_oov:
            waveform = self._oov.read(int(rng.integers(len(self._oov))))
        else:
            waveform = self._speech.read(row)
        if perturbs_speed:
            speed = float(rng.choice(self._params.features.speed_perturbation))
            waveform = change_speed(waveform, speed, self._rate)
        waveforms = [waveform]
        if rng.random() < augmentation.room_probability:
            response = draw_room_response(rng, self._rate)
            early = early_part(response, augmentation.room_target_seconds, self._rate)
            waveforms = [convolve(waveform, each) for each in (response, early)]
        crops = self._crop(rng, *waveforms)
        if len(self._oov) and rng.random() < augmentation.time_reversal_probability:
            crops = [np.ascontiguousarray(crop[::-1]) for crop in crops]
        equalised = equalise(np.stack(crops), augmentation.random_eq_db, rng)
        return equalised[0], equalised[-1]

    def _crop(self, rng: Generator, *waveforms: Waveform) -> list[Waveform]:
        """Return [n_crop] samples from a random place with speech; short ones are padded.

        The place is drawn from the first waveform, and the others are cropped there too.
        """
        waveform = waveforms[0]
        missing = self._n_crop - len(waveform)
        if missing >= 0:
            before = int(rng.integers(missing + 1))
            return [np.pad(each, (before, missing - before)) for each in waveforms]
        energy = np.concatenate(([0.0], np.cumsum(np.square(waveform, dtype=np.float64))))
        by_start = energy[self._n_crop :] - energy[: -self._n_crop]
        (starts,) = np.nonzero(by_start >= ACTIVE_FRACTION * by_start.max())
        start = int(rng.choice(starts))
        return [each[start : start + self._n_crop] for each in waveforms]

    def _draw_recording(self, rng: Generator, n_samples: int) -> Waveform:
        """Return a segment of a noise recording, float32 [n_samples], each equally often.

        After MAX_DRAWS silent segments, it is the loudest of the last recording.
        """
        groups = np.array(self._noise.groups)
        (rows,) = np.nonzero(groups == rng.choice(np.unique(groups)))
        for _ in range(MAX_DRAWS):
            row = int(rng.choice(rows))
            spare = self._noise.n_samples(row) - n_samples
            segment = self._noise.read(row, int(rng.integers(max(0, spare) + 1)), n_samples)
            if segment.any():
                return np.resize(segment, n_samples)
        return fit_length(self._noise.read(row), n_samples)
