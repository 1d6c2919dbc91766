"""Write the files of the evaluation: tables, plots and example recordings.

The examples are one clip of the training split and one of a held-out test speaker.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.loader import Rejections, load_clips, loader_for
from denoise.dsp.audio import Waveform, write_wav
from denoise.errors import CorpusError
from denoise.evaluation.plots import (
    plot_improvement_by_snr,
    plot_learning_curve,
    plot_spectrograms,
)
from denoise.evaluation.run import Condition, Corrupter, Denoise
from denoise.evaluation.tables import break_down, improvement_by_snr, table_csv, utterance_csv
from denoise.params import AudioParams, EvaluateParams
from denoise.util.atomic import write_text

EXAMPLES = {"train": "training_clip", "test": "held_out_clip"}
MAX_AMPLITUDE = np.float32(0.9)


def write_report(rows: pd.DataFrame, n_rejected: int, curves: pd.DataFrame, folder: Path) -> None:
    """Write the tables and plots of the results and of the learning curves into `folder`.

    `rows` is what `run.evaluate` returns, `n_rejected` the number of unusable test recordings, and
    `curves` what `tables.read_curves` returns.
    """
    improvement = improvement_by_snr(rows)
    breakdown = break_down(rows, n_rejected)
    write_text(folder / "improvement.csv", table_csv(improvement))
    write_text(folder / "utterances.csv", utterance_csv(rows))
    write_text(folder / "breakdown.json", json.dumps(breakdown, indent=1) + "\n")
    plot_improvement_by_snr(improvement, folder / "improvement.png")
    plot_learning_curve(curves, folder / "learning_curve.png")


def middle_condition(params: EvaluateParams) -> Condition:
    """Return the first noise type at the middle SNR."""
    return Condition(params.noise_types[0], sorted(params.snr_db)[len(params.snr_db) // 2])


def write_examples(
    corpus: CorpusArchive,
    manifest: pd.DataFrame,
    denoise: Denoise,
    corrupter: Corrupter,
    audio: AudioParams,
    evaluate: EvaluateParams,
    plots: Path,
    recordings: Path,
) -> None:
    """Write the spectrograms of each example into `plots` and its three WAVs into `recordings`.

    Raises CorpusError where a split has no usable clip.
    """
    condition = middle_condition(evaluate)
    for split, name in EXAMPLES.items():
        row, clean = _first_clip(corpus, manifest[manifest["split"] == split], audio)
        noisy = corrupter.corrupt(clean, str(row["utterance_id"]), condition)
        waveforms = {"clean": clean, "noisy": noisy, "denoised": denoise(noisy[None])[0]}
        content = "Speech" if pd.isna(row["digit"]) else f"Digit {row['digit']}"
        title = (
            f"{content} by speaker {row['speaker_id']} ({split}), "
            f"{condition.noise} noise at {condition.snr_db:g} dB SNR"
        )
        plot_spectrograms(waveforms, corrupter.sample_rate, plots / f"{name}.png", title)
        _write_recordings(waveforms, corrupter.sample_rate, recordings, name)


def _first_clip(
    corpus: CorpusArchive, rows: pd.DataFrame, params: AudioParams
) -> "tuple[pd.Series[object], Waveform]":
    rejections = Rejections()
    for row, clean in load_clips(corpus, rows, params, rejections, loader_for(rows)):
        return row, clean
    raise CorpusError(f"No clip can serve as an example: {rejections.report()}.")


def _write_recordings(
    waveforms: Mapping[str, Waveform], sample_rate: int, folder: Path, name: str
) -> None:
    """Write the waveforms with one common gain, so that their loudness can be compared."""
    peak = max(np.abs(waveform).max() for waveform in waveforms.values())
    for role, waveform in waveforms.items():
        write_wav(folder / f"{name}_{role}.wav", waveform * (MAX_AMPLITUDE / peak), sample_rate)
