"""Builds the spectrogram caches or waveform banks that training reads, from a corpus."""

from contextlib import closing
from pathlib import Path

import pandas as pd

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.loader import Rejections, load_clips, load_oov
from denoise.dsp.audio import (
    Waveform,
    change_speed,
    decode,
    fit_length,
    load_utterance,
    resample,
)
from denoise.dsp.stft import count_frames
from denoise.errors import CorpusError
from denoise.features.bank import BankWriter
from denoise.features.cache import SplitWriter
from denoise.noise.archive import MAX_PIECE_SECONDS, NoiseArchive
from denoise.noise.mixing import NoiseDistribution, NoiseSources, draw_noisy_versions
from denoise.params import NoiseParams, Params

INDEX_COLUMNS = ["split", "utterance_id", "version", "noise", "snr_db"]
IndexRow = tuple[str, str, int, str, float]


def noise_distribution(params: NoiseParams) -> NoiseDistribution:
    """Return what the noisy versions of training and validation clips are drawn from."""
    return NoiseDistribution(
        params.weights.by_type(), params.snr_db, params.noisy_versions, params.seed
    )


def perturb_speed(clean: Waveform, params: Params) -> list[Waveform]:
    """Return a clip at each speed factor but 1, cropped or padded to its own length."""
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
    """Write the caches of the train and validation splits into `folder`; return the rejected clips.

    `index.csv` says how each noisy row was made, and `rejected.csv` which clips could not be used.
    Raises CorpusError where a split has no usable clip.
    """
    rejections = Rejections()
    index: list[IndexRow] = []
    for split in ("train", "validation"):
        index += _write_split(corpus, manifest, sources, params, folder, split, rejections)
    table = pd.DataFrame(index, columns=INDEX_COLUMNS).round({"snr_db": 3})
    table.to_csv(folder / "index.csv", index=False, lineterminator="\n")
    _write_rejected(rejections, folder)
    return rejections


def write_banks(
    corpus: CorpusArchive,
    manifest: pd.DataFrame,
    noise: NoiseArchive,
    params: Params,
    folder: Path,
) -> Rejections:
    """Write the waveform banks of both splits, of OOV speech and of noise into `folder`.

    `rejected.csv` lists the utterances that could not be used. Raises CorpusError where a split
    has no usable utterance.
    """
    rejections = Rejections()
    for split in ("train", "validation"):
        rows = manifest[manifest["split"] == split]
        speakers = {name: number for number, name in enumerate(sorted(set(rows["speaker_id"])))}
        with closing(BankWriter(folder, split)) as bank:
            clips = load_clips(corpus, rows, params.audio, rejections, load_utterance)
            for row, clip in clips:
                bank.append(clip, speakers[str(row["speaker_id"])])
            if not bank.n_rows:
                raise CorpusError(
                    f"None of the {len(rows)} {split} recordings is usable: {rejections.report()}."
                )
    with closing(BankWriter(folder, "oov")) as bank:
        for clip in load_oov(corpus, params.audio, rejections, load_utterance):
            bank.append(clip, bank.n_rows)
    with closing(BankWriter(folder, "noise")) as bank:
        for number, recording in enumerate(noise.training):
            for piece in recording:
                bank.append(_load_piece(noise, piece, params.audio.sample_rate), number)
    _write_rejected(rejections, folder)
    return rejections


def _load_piece(noise: NoiseArchive, piece: str, sample_rate: int) -> Waveform:
    channels, own_rate = decode(noise.read(piece), MAX_PIECE_SECONDS)
    return resample(channels[:, 0], own_rate, sample_rate)


def _write_rejected(rejections: Rejections, folder: Path) -> None:
    rejected = pd.DataFrame(sorted(rejections.reasons.items()), columns=["utterance_id", "reason"])
    rejected.to_csv(folder / "rejected.csv", index=False, lineterminator="\n")


def _write_split(
    corpus: CorpusArchive,
    manifest: pd.DataFrame,
    sources: NoiseSources,
    params: Params,
    folder: Path,
    split: str,
    rejections: Rejections,
) -> list[IndexRow]:
    index: list[IndexRow] = []
    frames = count_frames(params.audio.n_samples, params.spectrogram)
    rows = manifest[manifest["split"] == split]
    distribution, rate = noise_distribution(params.noise), params.audio.sample_rate
    with closing(SplitWriter(folder, split, params.spectrogram, frames)) as writer:
        for row, clean in load_clips(corpus, rows, params.audio, rejections):
            utterance_id = str(row["utterance_id"])
            versions = draw_noisy_versions(clean, utterance_id, rate, distribution, sources)
            other_speeds = perturb_speed(clean, params) if split == "train" else []
            writer.append(clean, [version.waveform for version in versions], other_speeds)
            index += [
                (split, utterance_id, number, version.noise_type, version.snr_db)
                for number, version in enumerate(versions)
            ]
        if split == "train":
            for oov in load_oov(corpus, params.audio, rejections):
                writer.append_oov(oov)
    if not index:
        raise CorpusError(
            f"None of the {len(rows)} {split} recordings is usable: {rejections.report()}."
        )
    return index
