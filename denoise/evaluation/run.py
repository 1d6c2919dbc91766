"""Denoising the test split under every condition, and measuring what came of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from denoise.dsp.audio import Waveform
from denoise.dsp.statistical_filters import wiener
from denoise.evaluation import metrics
from denoise.noise.mixing import NoiseSources, make_noisy, utterance_rng
from denoise.params import EvaluateParams

Denoise = Callable[[Waveform], Waveform]
"""Cleans clips at the corpus' rate, float32 [n_clips, n_samples]."""

Recognise = Callable[[Waveform], Mapping[str, Sequence[int]]]
"""The digit that each recogniser, by its name, hears in each of float32 [n_clips, n_samples]."""


@dataclass(frozen=True)
class Condition:
    """One way of disturbing a clip."""

    noise: str
    snr_db: float


@dataclass(frozen=True)
class Corrupter:
    """Makes the noisy twins of test clips."""

    sample_rate: int
    seed: int
    sources: NoiseSources

    def corrupt(self, clean: Waveform, utterance_id: str, condition: Condition) -> Waveform:
        """Return the clip's noisy twin, float32 [n_samples]; each condition has its own noise."""
        kind, snr_db = condition.noise, condition.snr_db
        rng = utterance_rng(self.seed, f"{utterance_id} {kind} {snr_db}")
        return make_noisy(clean, self.sample_rate, kind, snr_db, rng, self.sources)


def conditions(params: EvaluateParams) -> list[Condition]:
    """List every noise kind at every SNR."""
    return [Condition(kind, snr_db) for kind in params.noise_types for snr_db in params.snr_db]


def evaluate(
    clips: "Iterable[tuple[pd.Series[object], Waveform]]",
    denoise: Denoise,
    recognise: Recognise,
    corrupter: Corrupter,
    params: EvaluateParams,
) -> pd.DataFrame:
    """Measure every clip in every condition, noisy, Wiener-filtered and denoised, a row each."""
    every = conditions(params)
    with_pesq = params.pesq == "auto" and metrics.has_pesq()
    rows: list[dict[str, object]] = []
    for row, clean in clips:
        identity = str(row["utterance_id"])
        noisy = np.stack([corrupter.corrupt(clean, identity, c) for c in every])
        about = row[["utterance_id", "speaker_id", "digit", "gender"]].to_dict()
        heard = _apply_methods(noisy, corrupter.sample_rate, denoise)
        digit_scores = score_digits(clean, heard, recognise, int(about["digit"]))
        for number, condition in enumerate(every):
            waveforms = {method: batch[number] for method, batch in heard.items()}
            figures = _measure_each(clean, waveforms, corrupter.sample_rate, with_pesq)
            rows.append({**about, **vars(condition), **figures, **digit_scores[number]})
    return pd.DataFrame(rows)


def _apply_methods(noisy: Waveform, sample_rate: int, denoise: Denoise) -> dict[str, Waveform]:
    """Return what each method makes of the noisy twins of a clip, [n_conditions, n_samples]."""
    filtered = np.stack([wiener(noisy, sample_rate) for noisy in noisy])
    return {"noisy": noisy, "wiener": filtered, "denoised": denoise(noisy)}


def score_digits(
    clean: Waveform, heard: Mapping[str, Waveform], recognise: Recognise, digit: int
) -> list[dict[str, float]]:
    """Return `<recogniser>_<method>` for each condition: 1 where the digit is understood, else 0.

    `heard` holds [n_conditions, n_samples] for each method; the method `clean` is added.
    """
    count = len(next(iter(heard.values())))
    columns: dict[str, np.ndarray] = {}
    for name, digits in recognise(np.concatenate([clean[None], *heard.values()])).items():
        is_right = np.equal(digits, digit).astype(float)
        columns[f"{name}_clean"] = np.repeat(is_right[:1], count)
        by_method = is_right[1:].reshape(len(heard), count)
        columns |= {f"{name}_{m}": part for m, part in zip(heard, by_method, strict=True)}
    return [{name: float(part[n]) for name, part in columns.items()} for n in range(count)]


def _measure_each(
    clean: Waveform, heard: Mapping[str, Waveform], sample_rate: int, with_pesq: bool
) -> dict[str, float]:
    """Return `<metric>_<method>` for each waveform of `heard`, all float32 [n_samples]."""
    return {
        f"{metric}_{method}": figure
        for method, waveform in heard.items()
        for metric, figure in measure(clean, waveform, sample_rate, with_pesq).items()
    }


def measure(
    clean: Waveform, waveform: Waveform, sample_rate: int, with_pesq: bool
) -> dict[str, float]:
    """Return every metric of float32 [n_samples] by its name, PESQ where it is asked for."""
    figures = {
        "si_sdr_db": metrics.si_sdr_db(clean, waveform),
        "estoi": metrics.estoi(clean, waveform, sample_rate),
        "lsd_db": metrics.log_spectral_distance_db(clean, waveform, sample_rate),
    }
    if with_pesq:
        figures["pesq"] = metrics.pesq_wide_band(clean, waveform, sample_rate)
    return figures
