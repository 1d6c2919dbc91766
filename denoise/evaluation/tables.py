"""Summarise the per-utterance results: headline metrics, breakdown and CSV tables.

A row of the results holds utterance_id, speaker_id, digit, gender, noise, snr_db, and
`<metric>_<method>` for each metric and method. `<recogniser>_<method>` is 1 where that recogniser
returned the right digit, else 0; it is also measured on the clean clip, in `<recogniser>_clean`. An
utterance that is not a digit has neither a digit nor these columns.

Utterances of one speaker are not independent, so every mean is the mean of the per-speaker means:
each speaker has the same weight.
"""

import io
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from denoise import extensions

METHODS = ("noisy", "wiener", "denoised")
DIGITS = ("digits_clean_trained", "digits_noise_trained")
OPTIONAL = ("pesq", *DIGITS)
HIGHER_IS_BETTER = {
    "si_sdr_db": True,
    "estoi": True,
    "lsd_db": False,
    "pesq": True,
    **dict.fromkeys(DIGITS, True),
}
NAMES = (*HIGHER_IS_BETTER, "si_sdri_db", "acc_clean_asr", "acc_noisy_asr")
"""The names of metrics and of headline metrics, which no extension may have."""
UTTERANCE_COLUMNS = ("utterance_id", "speaker_id", "digit", "gender", "noise", "snr_db")
GROUPS = ("condition", "snr_db", "noise", "digit", "gender")
DECIMALS = 3
CONFIDENCE = 0.95

Tree = dict[str, Any]


def higher_is_better() -> dict[str, bool]:
    """Return each metric by name, and whether higher is better; those of `extensions` last.

    Raises ExtensionError for an extension with the name of a metric or of a headline.
    """
    added = extensions.names("metrics", NAMES)
    directions = {name: bool(extensions.load("metrics", name).HIGHER_IS_BETTER) for name in added}
    return {**HIGHER_IS_BETTER, **directions}


def headline_metrics(rows: pd.DataFrame) -> dict[str, float]:
    """Return the few figures that DVC shows as metrics, flat: means over all test conditions.

    All are of the denoised clips: si_sdri_db, the SI-SDR improvement over the noisy input; estoi;
    lsd_db; pesq where it was measured; acc_clean_asr and acc_noisy_asr, the digit accuracy of the
    recogniser trained on clean speech and of the one trained on noisy speech. Those of `extensions`
    come last. A metric that is defined in no row is left out. The names are short because
    `dvc metrics show` prints all of them as columns of one table.
    """
    denoised = _overall(rows, "denoised")
    intervals = {
        "si_sdri_db": _improvement_over(rows, "noisy").get("si_sdr_db"),
        "estoi": denoised.get("estoi"),
        "lsd_db": denoised.get("lsd_db"),
        "pesq": denoised.get("pesq"),
        "acc_clean_asr": denoised.get("digits_clean_trained"),
        "acc_noisy_asr": denoised.get("digits_noise_trained"),
        **{name: denoised.get(name) for name in extensions.names("metrics")},
    }
    return {name: interval["mean"] for name, interval in intervals.items() if interval}


def break_down(rows: pd.DataFrame, n_rejected: int = 0) -> Tree:
    """Return every metric with its confidence interval, the counts, and the means by condition.

    `improvement` holds the improvement over the noisy input and over the Wiener filter, positive
    where the network is better, for distances too; `overall` holds each method's own values, and
    the digit accuracy on the clean clips. Both hold {mean, low, high} for each metric.

    `counts` holds the number of speakers, utterances and rows, of the `n_rejected` recordings that
    could not be used, and, for each metric, of the rows in which it is undefined for at least one
    method. Such rows are left out for all methods.

    The other keys hold means by condition, SNR, noise type, digit and gender, in the shape
    {"by_snr_db": {"-6": {"si_sdr_db": {"noisy": ..., "wiener": ..., "denoised": ...}}}}. Numbers
    are sorted as numbers.
    """
    overall = {method: _overall(rows, method) for method in (*METHODS, "clean")}
    return {
        "improvement": {
            f"over_{baseline}": _improvement_over(rows, baseline)
            for baseline in ("noisy", "wiener")
        },
        "overall": {method: intervals for method, intervals in overall.items() if intervals},
        "counts": _counts(rows, n_rejected),
        **_means_by_group(rows),
    }


def _overall(rows: pd.DataFrame, method: str) -> Tree:
    """Return the interval of each metric of one method; `clean` has the digit accuracies only."""
    metrics = [metric for metric in _metrics_of(rows) if method in methods_of(metric)]
    values = {metric: _defined(rows, metric)[f"{metric}_{method}"] for metric in metrics}
    return _clipped_accuracies(_intervals(values, rows))


def _improvement_over(rows: pd.DataFrame, baseline: str) -> Tree:
    metrics = _metrics_of(rows)
    return _intervals({m: _improvement(rows, m, "denoised", baseline) for m in metrics}, rows)


def _intervals(values: dict[str, pd.Series], rows: pd.DataFrame) -> Tree:
    """Return the interval of each metric, without the metrics that have no defined value."""
    found = {
        metric: confidence_interval(column, rows["speaker_id"]) for metric, column in values.items()
    }
    return {metric: interval for metric, interval in found.items() if interval}


def _clipped_accuracies(intervals: Tree) -> Tree:
    """Clip the intervals of accuracies to 0 and 1."""
    for metric in intervals.keys() & set(DIGITS):
        interval = intervals[metric]
        intervals[metric] = {end: min(max(value, 0.0), 1.0) for end, value in interval.items()}
    return intervals


def _means_by_group(rows: pd.DataFrame) -> Tree:
    metrics = _metrics_of(rows)
    conditions = [
        f"{noise} at {snr:g} dB" for noise, snr in zip(rows["noise"], rows["snr_db"], strict=True)
    ]
    rows = rows.assign(condition=conditions)
    return {
        f"by_{column}": {
            label: {metric: means for metric in metrics if (means := _means(group, metric))}
            for label, group in _groups(rows, column)
        }
        for column in GROUPS
    }


def confidence_interval(values: pd.Series, speakers: pd.Series) -> dict[str, float]:
    """Return what `exact_interval` returns, rounded."""
    return round_interval(exact_interval(values, speakers))


def round_interval(interval: Mapping[str, float]) -> dict[str, float]:
    """Round the mean and the bounds of an interval as the tables show them."""
    return {end: _rounded(value) for end, value in interval.items()}


def exact_interval(values: pd.Series, speakers: pd.Series) -> dict[str, float]:
    """Return the mean over speakers and its 95 % confidence interval, {mean, low, high}.

    This is Student's t interval on the per-speaker means. With about ten test speakers it is wider
    than a bootstrap over speakers, covers the true mean more reliably, and needs no seed. nan
    values are left out. For a single speaker only the mean is returned; without any value the
    result is empty.
    """
    per_speaker = values.groupby(speakers.loc[values.index]).mean().dropna()
    if per_speaker.empty:
        return {}
    mean = float(per_speaker.mean())
    if len(per_speaker) == 1:
        return {"mean": mean}
    degrees_of_freedom = len(per_speaker) - 1
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom) * per_speaker.sem())
    return {"mean": mean, "low": mean - half, "high": mean + half}


def improvement_by_snr(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the SI-SDR improvement of each method over the noisy input in dB, a row per SNR.

    The columns are snr_db and, for wiener and denoised, `<method>`, `<method>_low` and
    `<method>_high`. The table is wide because DVC draws one column as one curve.
    """
    _metrics_of(rows)
    table = []
    for snr_db, group in rows.groupby("snr_db"):
        row: dict[str, float] = {"snr_db": snr_db}
        for method in METHODS[1:]:
            improvement = _improvement(group, "si_sdr_db", method, "noisy")
            interval = confidence_interval(improvement, group["speaker_id"])
            row[method] = interval.get("mean", math.nan)
            row |= {f"{method}_{end}": interval.get(end, math.nan) for end in ("low", "high")}
        table.append(row)
    return pd.DataFrame(table)


def read_curves(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the curves that DVCLive logged: columns epoch (from 1), loss, validation_loss.

    They are those of the main training; fine-tuning's are left out.
    """
    curves = Path(folder) / "plots" / "metrics"
    tables = [
        pd.read_csv(curves / f"{name}.tsv", sep="\t", index_col="step")[name]
        for name in ("loss", "validation_loss")
    ]
    history = pd.concat(tables, axis=1).reset_index(names="epoch")
    return history.assign(epoch=history["epoch"] + 1)


def utterance_csv(rows: pd.DataFrame) -> str:
    """Return the rows as CSV, sorted, with three decimals; undefined values are empty."""
    measured = [f"{m}_{method}" for m in _metrics_of(rows) for method in methods_of(m)]
    ordered = rows.sort_values(["noise", "snr_db", "utterance_id"], kind="stable")
    return table_csv(ordered[[*UTTERANCE_COLUMNS, *measured]])


def table_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV with Unix line ends, its floats rounded to three decimals."""
    text = io.StringIO()
    rounded = table.copy()
    for name in table.select_dtypes("floating"):
        rounded[name] = table[name].round(DECIMALS) + 0.0  # -0.0 becomes 0.0
    rounded.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def _metrics_of(rows: pd.DataFrame) -> list[str]:
    """Return the metrics that the rows hold; PESQ, digits and extensions may be absent.

    Raises ValueError where a column that is needed is missing, or there is no row.
    """
    required = HIGHER_IS_BETTER.keys() - set(OPTIONAL)
    present = [m for m in higher_is_better() if m in required or f"{m}_noisy" in rows]
    needed = [
        *UTTERANCE_COLUMNS,
        *(f"{metric}_{method}" for metric in present for method in methods_of(metric)),
    ]
    missing = [name for name in needed if name not in rows]
    if missing or rows.empty:
        problem = f"no column {', '.join(missing)}" if missing else "no row"
        raise ValueError(f"The evaluation's results have {problem}, so they cannot be summarised.")
    return present


def methods_of(metric: str) -> tuple[str, ...]:
    """Return the methods that a metric is measured for: digits on the clean clip as well."""
    return ("clean", *METHODS) if metric in DIGITS else METHODS


def _defined(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the metric's columns in the rows where it is defined for every method."""
    return rows[[f"{metric}_{method}" for method in methods_of(metric)]].dropna()


def _improvement(rows: pd.DataFrame, metric: str, method: str, baseline: str) -> pd.Series:
    """Return by how much a method is better than a baseline in each row, positive if better."""
    defined = _defined(rows, metric)
    difference = defined[f"{metric}_{method}"] - defined[f"{metric}_{baseline}"]
    return difference if higher_is_better()[metric] else -difference


def _means(rows: pd.DataFrame, metric: str) -> dict[str, float]:
    per_speaker = _defined(rows, metric).groupby(rows["speaker_id"]).mean()
    if per_speaker.empty:
        return {}
    return {
        method: _rounded(per_speaker[f"{metric}_{method}"].mean()) for method in methods_of(metric)
    }


def _groups(rows: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each value of a column as a key, with its rows; a missing gender is "unknown"."""
    values = rows[column]
    if column == "gender":
        values = values.astype(object).where(values.notna() & (values != ""), "unknown")
    for value, group in rows.groupby(values):
        yield (str(value) if isinstance(value, str) else f"{value:g}"), group


def _counts(rows: pd.DataFrame, n_rejected: int) -> Tree:
    metrics = _metrics_of(rows)
    return {
        "speakers": int(rows["speaker_id"].nunique()),
        "utterances": int(rows["utterance_id"].nunique()),
        "rows": len(rows),
        "undefined": {metric: len(rows) - len(_defined(rows, metric)) for metric in metrics},
        "rejected": n_rejected,
    }


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS) + 0.0  # -0.0 becomes 0.0
