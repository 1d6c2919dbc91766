"""From the manifest to the spectrogram caches that training reads."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.loader import Rejections, load_clips, load_oov
from denoise.dsp.audio import Waveform, change_speed, fit_length
from denoise.dsp.stft import count_frames
from denoise.errors import CorpusError
from denoise.features.cache import SplitWriter
from denoise.noise.generators import NoiseSources, make_noisy, utterance_rng
from denoise.params import NOISE_TYPES, NoiseParams, NoiseWeights, Params

INDEX_COLUMNS = ["split", "utterance_id", "copy", "noise", "snr_db"]


def draw_noise_type(weights: NoiseWeights, rng: Generator) -> str:
    """Draw a kind of noise, each as often as its weight says."""
    shares = np.array([getattr(weights, kind) for kind in NOISE_TYPES])
    return NOISE_TYPES[rng.choice(len(shares), p=shares / shares.sum())]


def draw_noisy_versions(
    clean: Waveform, utterance_id: str, sample_rate: int, params: NoiseParams, sources: NoiseSources
) -> list[tuple[str, float, Waveform]]:
    """Draw `params.copies` noisy twins of a clip: the noise kind, the SNR in dB, the waveform."""
    noisy_versions = []
    for copy in range(params.noisy_versions):
        rng = utterance_rng(params.seed, utterance_id, copy)
        kind = draw_noise_type(params.weights, rng)
        snr_db = float(rng.uniform(params.snr_db[0], params.snr_db[1]))
        noisy = make_noisy(clean, sample_rate, kind, snr_db, rng, sources)
        noisy_versions.append((kind, snr_db, noisy))
    return noisy_versions


def perturb_speed(clean: Waveform, params: Params) -> list[Waveform]:
    """Return a clip at each speed of `params.voices` but its own, as long as it is."""
    rate = params.audio.sample_rate
    return [
        fit_length(change_speed(clean, speed, rate), len(clean))
        for speed in params.features.other_speeds
    ]


def write_features(
    corpus: CorpusArchive,
    manifest: pd.DataFrame,
    sources: NoiseSources,
    params: Params,
    folder: Path,
) -> Rejections:
    """Write the caches of the train and validation splits, and `index.csv`, into `folder`.

    Raises CorpusError where a split is left with no usable clip.
    """
    rejections = Rejections()
    index: list[tuple[str, str, int, str, float]] = []
    for split in ("train", "validation"):
        index += _write_split(corpus, manifest, sources, params, folder, split, rejections)
    table = pd.DataFrame(index, columns=INDEX_COLUMNS).round({"snr_db": 3})
    table.to_csv(folder / "index.csv", index=False, lineterminator="\n")
    losses = pd.DataFrame(sorted(rejections.reasons.items()), columns=["utterance_id", "reason"])
    losses.to_csv(folder / "rejected.csv", index=False, lineterminator="\n")
    return rejections


def _write_split(
    corpus: CorpusArchive,
    manifest: pd.DataFrame,
    sources: NoiseSources,
    params: Params,
    folder: Path,
    split: str,
    rejections: Rejections,
) -> list[tuple[str, str, int, str, float]]:
    index = []
    frames = count_frames(params.audio.n_samples, params.spectrogram)
    rows = manifest[manifest["split"] == split]
    with closing(SplitWriter(folder, split, params.spectrogram, frames)) as writer:
        for row, clean in load_clips(corpus, rows, params.audio, rejections):
            utterance_id = str(row["utterance_id"])
            rate = params.audio.sample_rate
            noisy_versions = draw_noisy_versions(clean, utterance_id, rate, params.noise, sources)
            speed_perturbed = perturb_speed(clean, params) if split == "train" else []
            writer.append(clean, [noisy for _, _, noisy in noisy_versions], speed_perturbed)
            index += [
                (split, utterance_id, copy, k, s) for copy, (k, s, _) in enumerate(noisy_versions)
            ]
        if split == "train":
            for word in load_oov(corpus, params.audio, rejections):
                writer.append_oov(word)
    if not index:
        raise CorpusError(
            f"None of the {len(rows)} {split} recordings is usable: {rejections.report()}."
        )
    return index
