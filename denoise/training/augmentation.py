"""Augmentation of training batches in the STFT domain.

Spectrograms are complex64 [batch, n_frames, n_bins]. The STFT is linear, so mixing spectrograms
gives what mixing the waveforms would, at a fraction of the cost.
"""

import functools
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from denoise.dsp.stft import Stft
from denoise.noise.mixing import energy
from denoise.params import Params

EQ_HALF_COSINES = (1, 2, 3, 4)
EQ_RELATIVE_DEPTHS = (1.0, 0.67, 0.5, 0.33)
CLEAN_SNR_DB = 40.0  # of the pairs that are nearly clean
CROP_JITTER_DIVISOR = 5  # a crop starts up to a fifth of its length from the loudest place
MIN_BANDWIDTH = 0.3  # of the full band: at 22050 Hz, recordings of 7 kHz and more
BAND_EDGE_WIDTH = 0.04  # width of the transition, relative to the cut-off frequency
EPSILON = np.float32(1e-20)


@dataclass(frozen=True)
class Augmentation:
    """How training pairs are augmented.

    `snr_db` is the lowest and the highest SNR of mixtures; `clean_probability` the share of pairs
    that are nearly clean; `random_eq_db` the depth of the random equaliser. The other
    probabilities are shares of the pairs as well. OOV speech and time reversal apply only to a
    corpus with OOV speech. The target keeps a room's echoes of the first `room_target_seconds`.
    `n_frames` is the length of the crop of a cached spectrogram; waveforms are cropped before.
    """

    snr_db: tuple[float, ...]
    clean_probability: float
    random_eq_db: float
    band_limit_probability: float = 0.0
    oov_probability: float = 0.0
    time_reversal_probability: float = 0.0
    room_probability: float = 0.0
    room_target_seconds: float = 0.0
    second_noise_probability: float = 0.0
    n_frames: int = sys.maxsize

    @classmethod
    def from_params(cls, params: Params) -> "Augmentation | None":
        """Return the augmentation of `params`, or None where pairs are used as they are cached."""
        train, hop_length = params.train, params.spectrogram.hop_length
        if not train.dynamic_mixing:
            return None
        return cls(
            snr_db=params.noise.snr_db,
            clean_probability=train.clean_probability,
            random_eq_db=train.random_eq_db,
            band_limit_probability=train.band_limit_probability,
            oov_probability=train.oov_probability,
            time_reversal_probability=train.time_reversal_probability,
            room_probability=train.room_probability,
            room_target_seconds=train.room_target_seconds,
            second_noise_probability=train.second_noise_probability,
            n_frames=round(train.crop_seconds * params.audio.sample_rate / hop_length),
        )


def mix_at_snr(clean: Stft, noise: Stft, snr_db: npt.NDArray[np.float32]) -> Stft:
    """Mix clean spectrograms with noise; `snr_db` is float32 [batch]."""
    attenuation = np.exp(snr_db[:, None, None] * np.float32(-np.log(10) / 20))
    gain = np.sqrt(energy(clean) / np.maximum(energy(noise), EPSILON)) * attenuation
    return clean + gain * noise


def draw_snr_db(
    rng: Generator, n_clips: int, augmentation: Augmentation
) -> npt.NDArray[np.float32]:
    """Draw SNRs, float32 [n_clips]: uniform, except for a share of CLEAN_SNR_DB."""
    uniform = rng.uniform(augmentation.snr_db[0], augmentation.snr_db[1], n_clips)
    is_clean = rng.random(n_clips) < augmentation.clean_probability
    return np.where(is_clean, CLEAN_SNR_DB, uniform).astype(np.float32)


def reverse_time(spectrograms: Stft, probability: float, rng: Generator) -> Stft:
    """Reverse a share of a batch in time: the frames in reverse order, each conjugated.

    Reversed speech is speech-like, and no vocabulary that a network could overfit to.
    """
    is_reversed = rng.random(len(spectrograms)) < probability
    result = spectrograms.copy()
    result[is_reversed] = np.conj(spectrograms[is_reversed, ::-1])
    return result


def random_eq(spectrograms: Stft, depth_db: float, rng: Generator) -> Stft:
    """Apply a random frequency response to each spectrogram, as another microphone would.

    The gain in dB is a sum of four half cosines over warped frequency, with more detail at low
    frequencies. The widest reaches up to `depth_db`, the others less.
    """
    depths_db = depth_db * rng.uniform(-1, 1, (len(spectrograms), len(EQ_HALF_COSINES)))
    depths_db *= EQ_RELATIVE_DEPTHS
    # A sum instead of a matrix product, which may round differently on another processor.
    curves = _half_cosines(spectrograms.shape[2])
    gain_db = np.sum(depths_db.astype(np.float32)[:, :, None] * curves, axis=1)
    return spectrograms * np.exp(gain_db * np.float32(np.log(10) / 20))[:, None]


@functools.cache
def _half_cosines(n_bins: int) -> npt.NDArray[np.float32]:
    """Return the curves of `random_eq`, [len(EQ_HALF_COSINES), n_bins]."""
    warped = np.log(1 + np.linspace(0, 31, n_bins, dtype=np.float32)) / np.float32(np.log(32))
    return np.cos(np.pi * np.outer(EQ_HALF_COSINES, warped).astype(np.float32))


def random_crop(noisy: Stft, clean: Stft, n_frames: int, rng: Generator) -> tuple[Stft, Stft]:
    """Crop each pair to `n_frames` frames near the place where its speech is loudest.

    Clips are treated as circular. Pauses contribute little to training, and shorter clips allow
    more steps in the same time.
    """
    n_clips, length = clean.shape[:2]
    if n_frames >= length:
        return noisy, clean
    power = (np.square(clean.real) + np.square(clean.imag)).sum(axis=2)
    circular = np.concatenate([power, power[:, : n_frames - 1]], axis=1)
    crop_power = np.lib.stride_tricks.sliding_window_view(circular, n_frames, axis=1).sum(axis=2)
    jitter = n_frames // CROP_JITTER_DIVISOR
    starts = np.argmax(crop_power, axis=1) + rng.integers(-jitter, jitter, n_clips, endpoint=True)
    frames = (starts[:, None] + np.arange(n_frames)) % length
    clips = np.arange(n_clips)[:, None]
    return noisy[clips, frames], clean[clips, frames]


def band_limit(noisy: Stft, clean: Stft, probability: float, rng: Generator) -> tuple[Stft, Stft]:
    """Remove everything above a random frequency from a share of the pairs.

    This is what a recording of a lower sample rate looks like. A network that has only seen noise
    in every bin mistakes the noise below such an edge for speech.
    """
    if not probability:
        return noisy, clean
    n_clips, _, n_bins = clean.shape
    cutoffs = rng.integers(round(MIN_BANDWIDTH * n_bins), n_bins, size=(n_clips, 1))
    gains = np.clip(1 - (np.arange(n_bins) - cutoffs) / (BAND_EDGE_WIDTH * cutoffs), 0, 1)
    gains[rng.random(n_clips) >= probability] = 1
    gains = gains.astype(np.float32)[:, None]
    return noisy * gains, clean * gains
