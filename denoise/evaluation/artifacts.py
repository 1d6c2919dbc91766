"""What evaluate leaves to look at and listen to: tables, pictures, example clips.

The examples are one clip that training heard and one of a held-out speaker.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.loader import Rejections, load_clips
from denoise.dsp.audio import Waveform, write_wav
from denoise.errors import CorpusError
from denoise.evaluation.plots import improvement_by_snr, learning_curve, spectrogram_triptych
from denoise.evaluation.run import Condition, Corrupter, Denoise
from denoise.evaluation.tables import break_down, table_csv, utterance_csv
from denoise.evaluation.tables import improvement_by_snr as table_improvement
from denoise.params import AudioParams, EvaluateParams
from denoise.util.atomic import write_text

EXAMPLES = {"train": "training_clip", "test": "held_out_clip"}
MAX_AMPLITUDE = np.float32(0.9)


def write_report(rows: pd.DataFrame, curves: pd.DataFrame, folder: Path) -> None:
    """Write the tables and pictures of evaluated `rows` and of the learning `curves`."""
    improvement = table_improvement(rows)
    write_text(folder / "improvement.csv", table_csv(improvement))
    write_text(folder / "utterances.csv", utterance_csv(rows))
    write_text(folder / "breakdown.json", json.dumps(break_down(rows), indent=1) + "\n")
    improvement_by_snr(improvement, folder / "improvement.png")
    learning_curve(curves, folder / "learning_curve.png")


def middle_condition(params: EvaluateParams) -> Condition:
    """Return the first noise kind at the middle SNR."""
    return Condition(params.noise_types[0], sorted(params.snr_db)[len(params.snr_db) // 2])


def write_examples(
    corpus: CorpusArchive,
    manifest: pd.DataFrame,
    denoise: Denoise,
    corrupter: Corrupter,
    audio: AudioParams,
    evaluate: EvaluateParams,
    pictures: Path,
    recordings: Path,
) -> None:
    """Write each example's spectrograms into `pictures` and its three WAVs into `recordings`.

    Raises CorpusError where a split has no usable clip.
    """
    condition = middle_condition(evaluate)
    for split, name in EXAMPLES.items():
        row, clean = _first_clip(corpus, manifest[manifest["split"] == split], audio)
        identity, rate = str(row["utterance_id"]), corrupter.sample_rate
        noisy = corrupter.corrupt(clean, identity, condition)
        heard = {"clean": clean, "noisy": noisy, "denoised": denoise(noisy[None])[0]}
        title = (
            f"Digit {row['digit']} by speaker {row['speaker_id']} ({split}), "
            f"{condition.noise} noise at {condition.snr_db:g} dB"
        )
        spectrogram_triptych(heard, rate, pictures / f"{name}.png", title)
        _write_recordings(heard, rate, recordings, name)


def _first_clip(
    corpus: CorpusArchive, rows: pd.DataFrame, params: AudioParams
) -> "tuple[pd.Series[object], Waveform]":
    rejections = Rejections()
    for row, clean in load_clips(corpus, rows, params, rejections):
        return row, clean
    raise CorpusError(f"No clip to show: {rejections.report()}.")


def _write_recordings(
    heard: Mapping[str, Waveform], sample_rate: int, folder: Path, name: str
) -> None:
    """Write the waveforms at one common gain, so that their levels compare."""
    loudest = max(np.abs(waveform).max() for waveform in heard.values())
    for role, waveform in heard.items():
        write_wav(folder / f"{name}_{role}.wav", waveform * (MAX_AMPLITUDE / loudest), sample_rate)
