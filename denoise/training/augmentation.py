"""Mixing clean and noise spectrograms anew: other levels, places, microphones, sample rates."""

import functools
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from denoise.dsp.stft import Stft
from denoise.params import Params

SWEEPS = (1, 2, 3, 4)
SWEEP_SHARES = (1.0, 0.67, 0.5, 0.33)
CLEAN_SNR_DB = 40.0
ASIDE = 5  # an excerpt begins up to a fifth of it before or after where most is said
MIN_BANDWIDTH = 0.3  # of the band, is left of a narrowed pair: of 22050 Hz, what 7 kHz can hold
BAND_EDGE_WIDTH = 0.04  # of that, over which it ends


@dataclass(frozen=True)
class Augmentation:
    """How training pairs are mixed anew.

    Lowest and highest SNR, the share left nearly clean, how far clean speech is coloured, the share
    with nothing above some frequency, the shares of speech that is other words and that is played
    backwards where there are such words, how many frames are kept of each pair.
    """

    snr_db: tuple[float, ...]
    clean_probability: float
    random_eq_db: float
    band_limit_probability: float = 0.0
    oov_probability: float = 0.0
    time_reversal_probability: float = 0.0
    n_frames: int = sys.maxsize

    @classmethod
    def of(cls, params: Params) -> "Augmentation | None":
        """Return what `params` ask for; None where the pairs are to be as they were cached."""
        train, hop_length = params.train, params.spectrogram.hop_length
        if not train.dynamic_mixing:
            return None
        n_frames = round(train.crop_seconds * params.audio.sample_rate / hop_length)
        shares = (
            train.clean_probability,
            train.random_eq_db,
            train.band_limit_probability,
            train.oov_probability,
            train.time_reversal_probability,
        )
        return cls(params.noise.snr_db, *shares, n_frames)


def frame_energy(spectrograms: Stft) -> npt.NDArray[np.float32]:
    """Return the energy of each frame of a batch, float32 [batch, n_frames, 1]."""
    power = np.square(spectrograms.real) + np.square(spectrograms.imag)
    return power.sum(axis=2, keepdims=True)


def energy(spectrograms: Stft) -> npt.NDArray[np.float32]:
    """Return the energy of each spectrogram of a batch, float32 [batch, 1, 1]."""
    return frame_energy(spectrograms).sum(axis=1, keepdims=True)


def roll_time(spectrograms: Stft, rng: Generator) -> Stft:
    """Turn each spectrogram of a batch by a random number of frames, around its end."""
    n_frames = spectrograms.shape[1]
    shifts = rng.integers(n_frames, size=len(spectrograms))
    order = (np.arange(n_frames) + shifts[:, None]) % n_frames
    return spectrograms[np.arange(len(spectrograms))[:, None], order]


def reverse_time(spectrograms: Stft, share: float, rng: Generator) -> Stft:
    """Play a share of a batch backwards: speech still, and words that nobody knows by heart.

    Time reversed is the conjugate of each frame, the last one first.
    """
    is_turned = rng.random(len(spectrograms)) < share
    turned = spectrograms.copy()
    turned[is_turned] = np.conj(spectrograms[is_turned, ::-1])
    return turned


def mix_at_snr(clean: Stft, noise: Stft, snr_db: npt.NDArray[np.float32]) -> Stft:
    """Mix each clean spectrogram with another clip's noise at a new SNR: fresh pairs at no cost.

    Spectrograms are complex64 [batch, n_frames, n_bins], `snr_db` is float32 [batch]; the STFT is
    linear, so this is what mixing the waveforms would give.
    """
    below = np.exp(snr_db[:, None, None] * np.float32(-np.log(10) / 20))
    quietest = np.float32(1e-20)
    gain = np.sqrt(energy(clean) / np.maximum(energy(noise), quietest)) * below
    return clean + gain * noise


def draw_snr_db(
    rng: Generator, n_clips: int, augmentation: Augmentation
) -> npt.NDArray[np.float32]:
    """Draw an SNR for each clip, float32 [n_clips]; a share of them is next to untouched."""
    drawn = rng.uniform(augmentation.snr_db[0], augmentation.snr_db[1], n_clips)
    is_untouched = rng.random(n_clips) < augmentation.clean_probability
    return np.where(is_untouched, CLEAN_SNR_DB, drawn).astype(np.float32)


def random_eq(spectrograms: Stft, up_to_db: float, rng: Generator) -> Stft:
    """Colour each spectrogram of a batch, [batch, n_frames, n_bins], as another microphone would.

    The gain in dB is a sum of four half cosines over frequency, which is warped to look at low ones
    closer; the widest one swings by up to `up_to_db`, the others less.
    """
    swings_db = up_to_db * rng.uniform(-1, 1, (len(spectrograms), len(SWEEPS))) * SWEEP_SHARES
    # a sum, and not a matrix product: that may round otherwise on another processor
    gain_db = np.sum(
        swings_db.astype(np.float32)[:, :, None] * _sweeps(spectrograms.shape[2]), axis=1
    )
    return spectrograms * np.exp(gain_db * np.float32(np.log(10) / 20))[:, None]


@functools.cache
def _sweeps(n_bins: int) -> npt.NDArray[np.float32]:
    """Return the half cosines of `equalise`, [len(SWEEPS), n_bins]."""
    warped = np.log(1 + np.linspace(0, 31, n_bins, dtype=np.float32)) / np.float32(np.log(32))
    return np.cos(np.pi * np.outer(SWEEPS, warped).astype(np.float32))


def random_crop(noisy: Stft, clean: Stft, n_frames: int, rng: Generator) -> tuple[Stft, Stft]:
    """Keep `n_frames` frames of each pair, from about where its speech is loudest.

    Clips go around their ends. Pauses teach little: steps without most of them are as good, and
    there are more of them in the same time.
    """
    count, length = clean.shape[:2]
    if n_frames >= length:
        return noisy, clean
    loudness = frame_energy(clean)[..., 0]
    twice = np.concatenate([loudness, loudness[:, : n_frames - 1]], axis=1)
    heard = np.lib.stride_tricks.sliding_window_view(twice, n_frames, axis=1).sum(axis=2)
    aside = n_frames // ASIDE
    starts = np.argmax(heard, axis=1) + rng.integers(-aside, aside, count, endpoint=True)
    frames = (starts[:, None] + np.arange(n_frames)) % length
    clips = np.arange(count)[:, None]
    return noisy[clips, frames], clean[clips, frames]


def band_limit(noisy: Stft, clean: Stft, share: float, rng: Generator) -> tuple[Stft, Stft]:
    """Leave a share of the pairs nothing above some frequency.

    Such are recordings of a lower rate, whatever rate they were brought to since. A network that
    has heard noise in every bin takes the noise below their edge for speech.
    """
    if not share:
        return noisy, clean
    n_clips, _, n_bins = clean.shape
    lasts = rng.integers(round(MIN_BANDWIDTH * n_bins), n_bins, size=(n_clips, 1))
    gains = np.clip(1 - (np.arange(n_bins) - lasts) / (BAND_EDGE_WIDTH * lasts), 0, 1)
    gains[rng.random(n_clips) >= share] = 1
    gains = gains.astype(np.float32)[:, None]
    return noisy * gains, clean * gains
