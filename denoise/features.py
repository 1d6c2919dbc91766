"""From the manifest to the spectrogram caches that training reads."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator

from denoise.audio import Waveform, change_speed, fit_length
from denoise.cache import SplitWriter
from denoise.clips import Rejected, load_clips, load_words
from denoise.corpus.archive import CorpusArchive
from denoise.errors import CorpusError
from denoise.noise import Recorded, make_noisy, utterance_rng
from denoise.params import NOISE_KINDS, NoiseParams, NoiseWeights, Params
from denoise.spectrogram import n_frames

INDEX_COLUMNS = ["split", "utterance_id", "copy", "noise", "snr_db"]


def draw_kind(weights: NoiseWeights, rng: Generator) -> str:
    """Draw a kind of noise, each as often as its weight says."""
    shares = np.array([getattr(weights, kind) for kind in NOISE_KINDS])
    return NOISE_KINDS[rng.choice(len(shares), p=shares / shares.sum())]


def noisy_twins(
    clean: Waveform, utterance_id: str, sample_rate: int, params: NoiseParams, recorded: Recorded
) -> list[tuple[str, float, Waveform]]:
    """Draw `params.copies` noisy twins of a clip: the noise kind, the SNR in dB, the waveform."""
    twins = []
    for copy in range(params.copies):
        rng = utterance_rng(params.seed, utterance_id, copy)
        kind = draw_kind(params.weights, rng)
        snr_db = float(rng.uniform(params.snr_db[0], params.snr_db[1]))
        noisy = make_noisy(clean, sample_rate, kind, snr_db, rng, recorded)
        twins.append((kind, snr_db, noisy))
    return twins


def other_voices(clean: Waveform, params: Params) -> list[Waveform]:
    """Return a clip at each speed of `params.voices` but its own, as long as it is."""
    rate = params.audio.sample_rate
    return [
        fit_length(change_speed(clean, speed, rate), len(clean)) for speed in params.voices.others
    ]


def write_features(
    corpus: CorpusArchive, manifest: pd.DataFrame, recorded: Recorded, params: Params, folder: Path
) -> Rejected:
    """Write the caches of the train and validation splits, and `index.csv`, into `folder`.

    Raises CorpusError where a split is left with no usable clip.
    """
    rejected = Rejected()
    index: list[tuple[str, str, int, str, float]] = []
    for split in ("train", "validation"):
        index += _write_split(corpus, manifest, recorded, params, folder, split, rejected)
    table = pd.DataFrame(index, columns=INDEX_COLUMNS).round({"snr_db": 3})
    table.to_csv(folder / "index.csv", index=False, lineterminator="\n")
    losses = pd.DataFrame(sorted(rejected.reasons.items()), columns=["utterance_id", "reason"])
    losses.to_csv(folder / "rejected.csv", index=False, lineterminator="\n")
    return rejected


def _write_split(
    corpus: CorpusArchive,
    manifest: pd.DataFrame,
    recorded: Recorded,
    params: Params,
    folder: Path,
    split: str,
    rejected: Rejected,
) -> list[tuple[str, str, int, str, float]]:
    index = []
    frames = n_frames(params.audio.n_samples, params.spectrogram)
    rows = manifest[manifest["split"] == split]
    with closing(SplitWriter(folder, split, params.spectrogram, frames)) as writer:
        for row, clean in load_clips(corpus, rows, params.audio, rejected):
            utterance_id = str(row["utterance_id"])
            rate = params.audio.sample_rate
            twins = noisy_twins(clean, utterance_id, rate, params.noise, recorded)
            others = other_voices(clean, params) if split == "train" else []
            writer.append(clean, [noisy for _, _, noisy in twins], others)
            index += [(split, utterance_id, copy, k, s) for copy, (k, s, _) in enumerate(twins)]
        if split == "train":
            for word in load_words(corpus, params.audio, rejected):
                writer.append_word(word)
    if not index:
        raise CorpusError(
            f"None of the {len(rows)} {split} recordings is usable: {rejected.report()}."
        )
    return index
