"""Denoise and score every test clip in every noise condition."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from denoise import extensions
from denoise.corpus.manifest import DIGIT_TYPE
from denoise.dsp.audio import Waveform
from denoise.dsp.statistical_filters import wiener
from denoise.evaluation import metrics
from denoise.evaluation.tables import NAMES
from denoise.extensions import ExtensionError
from denoise.noise.mixing import NoiseSources, make_noisy, utterance_rng
from denoise.params import EvaluateParams
from denoise.util.parallel import SERIAL, Workers

Denoise = Callable[[Waveform], Waveform]
"""Denoises clips at the corpus' sample rate, float32 [n_clips, n_samples]."""

Recognise = Callable[[Waveform], Mapping[str, Sequence[int]]]
"""Maps float32 [n_clips, n_samples] to {recogniser's name: the digit of each clip}."""


@dataclass(frozen=True)
class Condition:
    """A noise type and an SNR."""

    noise: str
    snr_db: float


@dataclass(frozen=True)
class Corrupter:
    """Adds noise to test clips."""

    sample_rate: int
    seed: int
    sources: NoiseSources

    def corrupt(self, clean: Waveform, utterance_id: str, condition: Condition) -> Waveform:
        """Return the noisy clip, float32 [n_samples]; each condition draws its own noise."""
        noise_type, snr_db = condition.noise, condition.snr_db
        rng = utterance_rng(self.seed, f"{utterance_id} {noise_type} {snr_db}")
        return make_noisy(clean, self.sample_rate, noise_type, snr_db, rng, self.sources)


def list_conditions(params: EvaluateParams) -> list[Condition]:
    """List every noise type at every SNR."""
    return [
        Condition(noise_type, snr_db)
        for noise_type in params.noise_types
        for snr_db in params.snr_db
    ]


def evaluate(
    clips: "Iterable[tuple[pd.Series[object], Waveform]]",
    denoise: Denoise,
    recognise: Recognise,
    corrupter: Corrupter,
    params: EvaluateParams,
    workers: Workers = SERIAL,
) -> pd.DataFrame:
    """Return the scores of every clip in every condition, one row each.

    Each row scores the noisy, the Wiener-filtered and the denoised clip; `tables` describes the
    columns. An utterance that is not a digit has no scores of the recognisers. Noise, the Wiener
    filter and the metrics are computed in `workers`; the networks run in this process.
    """
    scoring = Scoring(corrupter.sample_rate, params.pesq == "auto" and metrics.has_pesq())
    tasks = _denoise_clips(clips, denoise, recognise, corrupter, list_conditions(params), workers)
    table = pd.DataFrame(workers.map(_score_task, scoring, tasks))
    return table if table.empty else table.astype({"digit": DIGIT_TYPE})


@dataclass(frozen=True)
class Scoring:
    """How waveforms are scored."""

    sample_rate: int
    with_pesq: bool


@dataclass(frozen=True)
class _ScoreTask:
    """A clip in one condition: its columns, the recognisers' scores, and each method's result."""

    columns: dict[str, object]
    digit_scores: dict[str, float]
    clean: Waveform
    by_method: dict[str, Waveform]


def _denoise_clips(
    clips: "Iterable[tuple[pd.Series[object], Waveform]]",
    denoise: Denoise,
    recognise: Recognise,
    corrupter: Corrupter,
    conditions: list[Condition],
    workers: Workers,
) -> Iterator[_ScoreTask]:
    """Yield what is to be scored: every clip in every condition, in order."""
    clips, ahead = itertools.tee(clips)
    pairs = workers.map(
        _corrupt_and_filter,
        corrupter,
        ((str(row["utterance_id"]), clean, c) for row, clean in ahead for c in conditions),
    )
    for row, clean in clips:
        utterance = row[["utterance_id", "speaker_id", "digit", "gender"]].to_dict()
        noisy, filtered = map(np.stack, zip(*itertools.islice(pairs, len(conditions)), strict=True))
        by_method = {"noisy": noisy, "wiener": filtered, "denoised": denoise(noisy)}
        is_digit = not pd.isna(utterance["digit"])
        digit_scores = (
            score_digits(clean, by_method, recognise, int(utterance["digit"])) if is_digit else None
        )
        for index, condition in enumerate(conditions):
            yield _ScoreTask(
                {**utterance, **vars(condition)},
                digit_scores[index] if digit_scores else {},
                clean,
                {method: batch[index] for method, batch in by_method.items()},
            )


def _corrupt_and_filter(
    corrupter: Corrupter, task: tuple[str, Waveform, Condition]
) -> tuple[Waveform, Waveform]:
    """Return the noisy clip in one condition, and the same after the Wiener filter."""
    utterance_id, clean, condition = task
    noisy = corrupter.corrupt(clean, utterance_id, condition)
    return noisy, wiener(noisy, corrupter.sample_rate)


def score_digits(
    clean: Waveform, by_method: Mapping[str, Waveform], recognise: Recognise, digit: int
) -> list[dict[str, float]]:
    """Return `<recogniser>_<method>` for each condition: 1 if the digit was recognised, else 0.

    `by_method` holds [n_conditions, n_samples] for each method; the method `clean` is added.
    """
    n_conditions = len(next(iter(by_method.values())))
    columns: dict[str, np.ndarray] = {}
    for name, digits in recognise(np.concatenate([clean[None], *by_method.values()])).items():
        is_right = np.equal(digits, digit).astype(float)
        columns[f"{name}_clean"] = np.repeat(is_right[:1], n_conditions)
        parts = is_right[1:].reshape(len(by_method), n_conditions)
        columns |= {f"{name}_{m}": part for m, part in zip(by_method, parts, strict=True)}
    return [
        {name: float(column[index]) for name, column in columns.items()}
        for index in range(n_conditions)
    ]


def _score_task(scoring: Scoring, task: _ScoreTask) -> dict[str, object]:
    """Return the row of a clip in one condition, with `<metric>_<method>` for each method."""
    scores = {
        f"{metric}_{method}": score
        for method, waveform in task.by_method.items()
        for metric, score in score_waveform(
            task.clean, waveform, scoring.sample_rate, scoring.with_pesq
        ).items()
    }
    return {**task.columns, **scores, **task.digit_scores}


def score_waveform(
    clean: Waveform, waveform: Waveform, sample_rate: int, with_pesq: bool
) -> dict[str, float]:
    """Return every metric of a waveform, float32 [n_samples], by name; PESQ if `with_pesq`."""
    scores = {
        "si_sdr_db": metrics.si_sdr_db(clean, waveform),
        "estoi": metrics.estoi(clean, waveform, sample_rate),
        "lsd_db": metrics.log_spectral_distance_db(clean, waveform, sample_rate),
    }
    if with_pesq:
        scores["pesq"] = metrics.pesq_wide_band(clean, waveform, sample_rate)
    for name in extensions.names("metrics", NAMES):
        score = extensions.load("metrics", name).score
        # Copies: a metric that works in place would change the waveforms that others score.
        scores[name] = _number_of(name, score(clean.copy(), waveform.copy(), sample_rate))
    return scores


def _number_of(metric: str, score: Any) -> float:
    """Return the score of an extension's metric; raises ExtensionError where it is no number."""
    try:
        number = float(score)
    except (TypeError, ValueError):
        number = None
    if number is None or math.isinf(number):
        found = f"an object of type {type(score).__name__}" if number is None else number
        raise ExtensionError(
            f"The metric {metric} returned {found}; it must return one finite number, or nan "
            "where it is undefined."
        )
    return number
