"""From the manifest to the spectrogram caches that training reads."""

from contextlib import closing
from pathlib import Path

import pandas as pd
from numpy.random import Generator

from denoise.audio import Waveform, load_clip
from denoise.cache import SplitWriter
from denoise.clips import Rejected, load_clips
from denoise.corpus.archive import CorpusArchive
from denoise.errors import AudioError, CorpusError
from denoise.manifest import utterance_of
from denoise.noise import Talk, make_noisy, utterance_rng
from denoise.params import AudioParams, NoiseParams, Params
from denoise.spectrogram import n_frames

MOST_DRAWS = 100
INDEX_COLUMNS = ["split", "utterance_id", "copy", "noise", "snr_db"]


class TrainingSpeech:
    """Recordings of the training speakers, which babble is made of, whatever the split."""

    def __init__(self, corpus: CorpusArchive, manifest: pd.DataFrame, params: AudioParams) -> None:
        """Draw from the training rows of `manifest`."""
        self._corpus = corpus
        training = manifest[manifest["split"] == "train"]
        self._rows = training.sort_values("utterance_id")  # whatever the manifest's order
        self._params = params

    def __call__(self, rng: Generator) -> Waveform:
        """Draw one clip, float32 [params.n_samples]; a broken or silent one is drawn again."""
        for _ in range(MOST_DRAWS):
            row = self._rows.iloc[int(rng.integers(len(self._rows)))]
            try:
                return load_clip(self._corpus.read(utterance_of(row)), self._params)
            except AudioError:
                continue
        raise CorpusError(f"{MOST_DRAWS} training recordings in a row are broken or silent.")


def noisy_twins(
    clean: Waveform, utterance_id: str, sample_rate: int, params: NoiseParams, talk: Talk
) -> list[tuple[str, float, Waveform]]:
    """Draw `params.copies` noisy twins of a clip: the noise kind, the SNR in dB, the waveform."""
    twins = []
    for copy in range(params.copies):
        rng = utterance_rng(params.seed, utterance_id, copy)
        kind = params.weights.draw(rng)
        snr_db = float(rng.uniform(params.snr_db[0], params.snr_db[1]))
        twins.append((kind, snr_db, make_noisy(clean, sample_rate, kind, snr_db, rng, talk)))
    return twins


def write_features(
    corpus: CorpusArchive, manifest: pd.DataFrame, params: Params, folder: Path
) -> Rejected:
    """Write the caches of the train and validation splits, and `index.csv`, into `folder`.

    Raises CorpusError where a split is left with no usable clip.
    """
    rejected = Rejected()
    index: list[tuple[str, str, int, str, float]] = []
    for split in ("train", "validation"):
        index += _write_split(corpus, manifest, params, folder, split, rejected)
    table = pd.DataFrame(index, columns=INDEX_COLUMNS).round({"snr_db": 3})
    table.to_csv(folder / "index.csv", index=False, lineterminator="\n")
    losses = pd.DataFrame(sorted(rejected.reasons.items()), columns=["utterance_id", "reason"])
    losses.to_csv(folder / "rejected.csv", index=False, lineterminator="\n")
    return rejected


def _write_split(
    corpus: CorpusArchive,
    manifest: pd.DataFrame,
    params: Params,
    folder: Path,
    split: str,
    rejected: Rejected,
) -> list[tuple[str, str, int, str, float]]:
    index = []
    talk = TrainingSpeech(corpus, manifest, params.audio)
    frames = n_frames(params.audio.n_samples, params.spectrogram)
    rows = manifest[manifest["split"] == split]
    with closing(SplitWriter(folder, split, params.spectrogram, frames)) as writer:
        for row, clean in load_clips(corpus, rows, params.audio, rejected):
            utterance_id = str(row["utterance_id"])
            twins = noisy_twins(clean, utterance_id, params.audio.sample_rate, params.noise, talk)
            writer.append(clean, [noisy for _, _, noisy in twins])
            index += [(split, utterance_id, copy, k, s) for copy, (k, s, _) in enumerate(twins)]
    if not index:
        raise CorpusError(
            f"None of the {len(rows)} {split} recordings is usable: {rejected.report()}."
        )
    return index
