"""Builds the spectrogram caches or waveform banks that training reads, from a corpus."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.loader import Rejections
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
from denoise.features.cache import (
    ClipRows,
    SplitWriter,
    StoredRow,
    make_clip_rows,
    make_row,
)
from denoise.features.recordings import named_oov, named_utterances, process_recordings
from denoise.noise.archive import MAX_PIECE_SECONDS, NoiseArchive
from denoise.noise.mixing import NoiseDistribution, NoiseSources, draw_noisy_versions
from denoise.params import NoiseParams, Params, SpectrogramParams
from denoise.util.parallel import SERIAL, Workers

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
    workers: Workers = SERIAL,
) -> Rejections:
    """Write the caches of the train and validation splits into `folder`; return the rejected clips.

    `index.csv` says how each noisy row was made, and `rejected.csv` which clips could not be used.
    Raises CorpusError where a split has no usable clip.
    """
    rejections = Rejections()
    index: list[IndexRow] = []
    for split in ("train", "validation"):
        rows = manifest[manifest["split"] == split]
        index += _write_split(corpus, rows, sources, params, folder, split, rejections, workers)
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
    workers: Workers = SERIAL,
) -> Rejections:
    """Write the waveform banks of both splits, of OOV speech and of noise into `folder`.

    `rejected.csv` lists the utterances that could not be used. Raises CorpusError where a split
    has no usable utterance.
    """
    rejections = Rejections()
    collect = (params.audio, rejections, _keep, None, workers, load_utterance)
    for split in ("train", "validation"):
        rows = manifest[manifest["split"] == split]
        speaker_of = dict(zip(rows["utterance_id"], rows["speaker_id"], strict=True))
        numbers = {name: number for number, name in enumerate(sorted(set(rows["speaker_id"])))}
        with closing(BankWriter(folder, split)) as bank:
            for name, clip in process_recordings(corpus, named_utterances(rows), *collect):
                bank.append(clip, numbers[speaker_of[name]])
            if not bank.n_rows:
                raise CorpusError(
                    f"None of the {len(rows)} {split} recordings is usable: {rejections.report()}."
                )
    with closing(BankWriter(folder, "oov")) as bank:
        for _, clip in process_recordings(corpus, named_oov(corpus), *collect):
            bank.append(clip, bank.n_rows)
    with closing(BankWriter(folder, "noise")) as bank:
        pieces = [(piece, n) for n, recording in enumerate(noise.training) for piece in recording]
        context = (noise, params.audio.sample_rate)
        for clip, number in workers.map(_load_piece, context, pieces):
            bank.append(clip, number)
    _write_rejected(rejections, folder)
    return rejections


def _keep(context: None, name: str, clip: Waveform) -> Waveform:
    return clip


def _load_piece(context: tuple[NoiseArchive, int], piece: tuple[str, int]) -> tuple[Waveform, int]:
    """Return a piece of a noise recording, and the recording's number."""
    (noise, sample_rate), (name, number) = context, piece
    channels, own_rate = decode(noise.read(name), MAX_PIECE_SECONDS)
    return resample(channels[:, 0], own_rate, sample_rate), number


def _write_rejected(rejections: Rejections, folder: Path) -> None:
    rejected = pd.DataFrame(sorted(rejections.reasons.items()), columns=["utterance_id", "reason"])
    rejected.to_csv(folder / "rejected.csv", index=False, lineterminator="\n")


@dataclass(frozen=True)
class _ClipContext:
    """What the rows of a split's clips are made with."""

    sources: NoiseSources
    params: Params
    split: str


def _write_split(
    corpus: CorpusArchive,
    rows: pd.DataFrame,
    sources: NoiseSources,
    params: Params,
    folder: Path,
    split: str,
    rejections: Rejections,
    workers: Workers,
) -> list[IndexRow]:
    index: list[IndexRow] = []
    frames = count_frames(params.audio.n_samples, params.spectrogram)
    context = _ClipContext(sources, params, split)
    utterances, oov = named_utterances(rows), named_oov(corpus) if split == "train" else {}
    with closing(SplitWriter(folder, split, params.spectrogram, frames)) as writer:
        for _, (clip, described) in process_recordings(
            corpus, utterances, params.audio, rejections, _make_rows, context, workers
        ):
            writer.append(clip)
            index += described
        for _, row in process_recordings(
            corpus, oov, params.audio, rejections, _make_oov_row, params.spectrogram, workers
        ):
            writer.append_oov(row)
    if not index:
        raise CorpusError(
            f"None of the {len(rows)} {split} recordings is usable: {rejections.report()}."
        )
    return index


def _make_rows(
    context: _ClipContext, utterance_id: str, clean: Waveform
) -> tuple[ClipRows, list[IndexRow]]:
    params, split = context.params, context.split
    distribution, rate = noise_distribution(params.noise), params.audio.sample_rate
    versions = draw_noisy_versions(clean, utterance_id, rate, distribution, context.sources)
    other_speeds = perturb_speed(clean, params) if split == "train" else []
    noisy = [version.waveform for version in versions]
    index = [
        (split, utterance_id, number, version.noise_type, version.snr_db)
        for number, version in enumerate(versions)
    ]
    return make_clip_rows(clean, noisy, other_speeds, params.spectrogram), index


def _make_oov_row(params: SpectrogramParams, name: str, clip: Waveform) -> StoredRow:
    return make_row(clip, params)
