"""What the machine listener learns from: digits that training speakers say, clean and in noise."""

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
from denoise.noise.generators import NoiseSources, make_noisy, no_recordings, utterance_rng
from denoise.params import AudioParams, RecogniserParams

Digits = npt.NDArray[np.int64]

SPLITS = ("train", "validation")
VOICES = 200  # recordings that babble is made of: enough, and little to hold in memory
MAX_SHIFT = 0.125  # of the clip
STRETCH = (0.85, 1.18)
BAND_STRETCH = (0.9, 1.1)  # about as far as one vocal tract differs from the next
BAND_SHIFT = 1.0
MAX_MASK = (8, 6)  # frames, bands


@dataclass(frozen=True)
class DigitDataset:
    """Digits to recognise; `takes` holds each clip clean, then with one noise after another.

    Takes are float16 [n_takes, n_clips, n_frames, n_bands], digits [n_clips].
    """

    versions: npt.NDArray[np.float16]
    digits: Digits

    def clean(self) -> "DigitDataset":
        """Return the clean takes alone."""
        return DigitDataset(self.versions[:1], self.digits)


def prepare_datasets(
    corpus: CorpusArchive,
    manifest: pd.DataFrame,
    audio: AudioParams,
    params: RecogniserParams,
    rejections: Rejections,
) -> tuple[DigitDataset, DigitDataset]:
    """Return the lessons of the training split and of the validation split.

    Raises CorpusError where a split has no usable clip.
    """
    splits = [manifest[manifest["split"] == name].head(params.size) for name in SPLITS]
    voices = _voices(corpus, splits[0], audio)

    def talk(rng: Generator) -> Waveform:
        return voices[int(rng.integers(len(voices)))]

    sources = NoiseSources(talk, no_recordings)
    training, validation = (
        _make_dataset(corpus, r, audio, params, sources, rejections) for r in splits
    )
    return training, validation


def _voices(corpus: CorpusArchive, rows: pd.DataFrame, audio: AudioParams) -> Sequence[Waveform]:
    rejections = Rejections()
    found = [clip for _, clip in load_clips(corpus, rows.head(VOICES), audio, rejections)]
    if not found:
        raise CorpusError(f"None of the training recordings is usable: {rejections.report()}.")
    return found


def _make_dataset(
    corpus: CorpusArchive,
    rows: pd.DataFrame,
    audio: AudioParams,
    params: RecogniserParams,
    sources: NoiseSources,
    rejections: Rejections,
) -> DigitDataset:
    versions, digits = [], []
    for row, clean in load_clips(corpus, rows, audio, rejections):
        noisy = draw_noisy_takes(
            clean, str(row["utterance_id"]), audio.sample_rate, params, sources
        )
        versions.append(
            log_mel_features(np.stack([clean, *noisy]), audio.sample_rate).astype(np.float16)
        )
        digits.append(int(row["digit"]))
    if not versions:
        raise CorpusError(f"No recording to learn digits from: {rejections.report()}.")
    return DigitDataset(np.stack(versions, axis=1), np.array(digits))


def draw_noisy_takes(
    clean: Waveform,
    utterance_id: str,
    sample_rate: int,
    params: RecogniserParams,
    sources: NoiseSources,
) -> list[Waveform]:
    """Draw `params.copies` noisy twins of a clip, each of any kind at any SNR of the params."""
    noisy = []
    for copy in range(params.noisy_versions):
        rng = utterance_rng(params.seed, utterance_id, copy)
        kind = params.noise_types[rng.integers(len(params.noise_types))]
        snr_db = float(rng.uniform(params.snr_db[0], params.snr_db[1]))
        noisy.append(make_noisy(clean, sample_rate, kind, snr_db, rng, sources))
    return noisy


def augment(batch: LogMel, rng: Generator) -> LogMel:
    """Return patterns [batch, n_frames, n_bands] as others might have said them.

    Each is shifted and stretched in time, as if said earlier or slower, and along its bands, as by
    another vocal tract; a stretch of time and a few bands are blotted out, so that no single cue
    is relied on (Park et al., "SpecAugment", Interspeech 2019).
    """
    count, n_frames, n_bands = batch.shape
    batch = _warp(batch, STRETCH, MAX_SHIFT * n_frames, rng)
    batch = _warp(batch.transpose(0, 2, 1), BAND_STRETCH, BAND_SHIFT, rng).transpose(0, 2, 1)
    frames, bands = (
        _kept(rng, count, size, widest)
        for size, widest in zip((n_frames, n_bands), MAX_MASK, strict=True)
    )
    return batch * frames[:, :, None] * bands[:, None, :]


def _warp(batch: LogMel, stretches: tuple[float, float], reach: float, rng: Generator) -> LogMel:
    """Stretch each of [batch, n, m] around the middle of its second axis, then shift it."""
    count, size, _ = batch.shape
    stretch = rng.uniform(*stretches, (count, 1))
    shift = rng.uniform(-reach, reach, (count, 1))
    middle = (size - 1) / 2
    places = (np.arange(size) - middle) * stretch + middle + shift
    places = np.clip(places, 0, size - 1)
    before = np.minimum(places.astype(np.int64), max(0, size - 2))
    after = np.minimum(before + 1, size - 1)
    share = (places - before).astype(np.float32)[..., None]
    rows = np.arange(count)[:, None]
    return batch[rows, before] * (1 - share) + batch[rows, after] * share


def _kept(rng: Generator, count: int, size: int, widest: int) -> npt.NDArray[np.bool_]:
    """Return [count, size]: false in a stretch of at most `widest` anywhere in each row."""
    width = rng.integers(0, min(widest, size // 4) + 1, count)[:, None]
    start = rng.integers(0, size, count)[:, None]
    places = np.arange(size)
    return (places < start) | (places >= start + width)
