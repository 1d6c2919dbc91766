"""The recognisers' data sets: log-mel features of spoken digits, clean and in noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.random import Generator

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.loader import Rejections, load_clips
from denoise.dsp.audio import Waveform
from denoise.dsp.log_mel import LogMel, log_mel_features
from denoise.errors import CorpusError
from denoise.noise.mixing import (
    NoiseDistribution,
    NoiseSources,
    draw_noisy_versions,
    no_recordings,
)
from denoise.params import AudioParams, RecogniserParams

Digits = npt.NDArray[np.int64]

SPLITS = ("train", "validation")
N_BABBLE_CLIPS = 200  # training clips that babble is drawn from; all are kept in memory
MAX_SHIFT = 0.125  # of the clip's length
TIME_STRETCH = (0.85, 1.18)
BAND_STRETCH = (0.9, 1.1)  # about the difference between two vocal tracts
BAND_SHIFT = 1.0
MAX_MASK = (8, 6)  # frames, bands


@dataclass(frozen=True)
class DigitDataset:
    """Digits to recognise, each in several versions: the first is clean, the others are noisy.

    `versions` is float16 [n_versions, n_clips, n_frames, n_bands], `digits` is [n_clips].
    """

    versions: npt.NDArray[np.float16]
    digits: Digits

    def clean(self) -> "DigitDataset":
        """Return the clean versions alone."""
        return DigitDataset(self.versions[:1], self.digits)


def has_digits(manifest: pd.DataFrame) -> bool:
    """Return whether each split that the recognisers are trained on has digits."""
    is_digit = manifest["digit"].notna()
    return set(SPLITS) <= set(manifest["split"][is_digit])


def noise_distribution(params: RecogniserParams) -> NoiseDistribution:
    """Return what the noisy versions are drawn from: each noise type with equal probability."""
    weights = dict.fromkeys(params.noise_types, 1.0)
    return NoiseDistribution(weights, params.snr_db, params.noisy_versions, params.seed)


def prepare_datasets(
    corpus: CorpusArchive,
    manifest: pd.DataFrame,
    audio: AudioParams,
    params: RecogniserParams,
    rejections: Rejections,
) -> tuple[DigitDataset, DigitDataset]:
    """Return the data sets of the digits of the training and of the validation split.

    Raises CorpusError where a split has no usable clip.
    """
    digits = manifest[manifest["digit"].notna()]
    splits = [digits[digits["split"] == name].head(params.size) for name in SPLITS]
    voices = _load_voices(corpus, splits[0], audio)

    def speech(rng: Generator, n_samples: int) -> Waveform:
        return voices[int(rng.integers(len(voices)))]

    sources = NoiseSources(speech, no_recordings)
    training, validation = (
        _make_dataset(corpus, rows, audio, params, sources, rejections) for rows in splits
    )
    return training, validation


def _load_voices(
    corpus: CorpusArchive, rows: pd.DataFrame, audio: AudioParams
) -> Sequence[Waveform]:
    """Return the training clips that babble is made of."""
    rejections = Rejections()
    clips = [clip for _, clip in load_clips(corpus, rows.head(N_BABBLE_CLIPS), audio, rejections)]
    if not clips:
        raise CorpusError(f"None of the training recordings is usable: {rejections.report()}.")
    return clips


def _make_dataset(
    corpus: CorpusArchive,
    rows: pd.DataFrame,
    audio: AudioParams,
    params: RecogniserParams,
    sources: NoiseSources,
    rejections: Rejections,
) -> DigitDataset:
    features, digits = [], []
    distribution, rate = noise_distribution(params), audio.sample_rate
    for row, clean in load_clips(corpus, rows, audio, rejections):
        utterance_id = str(row["utterance_id"])
        noisy = draw_noisy_versions(clean, utterance_id, rate, distribution, sources)
        clips = np.stack([clean, *(version.waveform for version in noisy)])
        features.append(log_mel_features(clips, rate).astype(np.float16))
        digits.append(int(row["digit"]))
    if not features:
        raise CorpusError(f"No recording to train the recognisers on: {rejections.report()}.")
    return DigitDataset(np.stack(features, axis=1), np.array(digits))


def augment(batch: LogMel, rng: Generator) -> LogMel:
    """Augment features, float32 [batch, n_frames, n_bands].

    Each clip is shifted and stretched in time, and along the bands as another vocal tract would;
    then one range of frames and one of bands are masked (Park et al., "SpecAugment",
    Interspeech 2019).
    """
    n_clips, n_frames, n_bands = batch.shape
    batch = _warp(batch, TIME_STRETCH, MAX_SHIFT * n_frames, rng)
    batch = _warp(batch.transpose(0, 2, 1), BAND_STRETCH, BAND_SHIFT, rng).transpose(0, 2, 1)
    frame_mask, band_mask = (
        _draw_mask(rng, n_clips, size, max_width)
        for size, max_width in zip((n_frames, n_bands), MAX_MASK, strict=True)
    )
    return batch * frame_mask[:, :, None] * band_mask[:, None, :]


def _warp(
    batch: LogMel, stretch_range: tuple[float, float], max_shift: float, rng: Generator
) -> LogMel:
    """Stretch each of [batch, n, m] around the middle of its second axis, then shift it."""
    n_clips, size, _ = batch.shape
    stretch = rng.uniform(*stretch_range, (n_clips, 1))
    shift = rng.uniform(-max_shift, max_shift, (n_clips, 1))
    middle = (size - 1) / 2
    positions = (np.arange(size) - middle) * stretch + middle + shift
    positions = np.clip(positions, 0, size - 1)
    before = np.minimum(positions.astype(np.int64), max(0, size - 2))
    after = np.minimum(before + 1, size - 1)
    fraction = (positions - before).astype(np.float32)[..., None]
    clips = np.arange(n_clips)[:, None]
    return batch[clips, before] * (1 - fraction) + batch[clips, after] * fraction


def _draw_mask(rng: Generator, n_clips: int, size: int, max_width: int) -> npt.NDArray[np.bool_]:
    """Return [n_clips, size], False in one random range of at most `max_width` in each row."""
    width = rng.integers(0, min(max_width, size // 4) + 1, n_clips)[:, None]
    start = rng.integers(0, size, n_clips)[:, None]
    positions = np.arange(size)
    return (positions < start) | (positions >= start + width)
