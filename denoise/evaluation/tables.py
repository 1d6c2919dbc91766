"""From per-utterance rows to the tables that answer "did it help?".

A row holds utterance_id, speaker_id, digit, gender, noise, snr_db, and `<metric>_<method>` for each
metric and method. `digits_<recogniser>` is 1 where a recogniser understood the digit, else 0; what
it understands of the clean clip, `digits_<recogniser>_clean`, stands beside the methods.

The speaker is the unit of independence: utterances of one speaker resemble each other, so every
mean is the mean of per-speaker means, in which each speaker counts the same.
"""

import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

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
IDENTITY = ("utterance_id", "speaker_id", "digit", "gender", "noise", "snr_db")
GROUPS = ("condition", "snr_db", "noise", "digit", "gender")
DECIMALS = 3
CONFIDENCE = 0.95

Tree = dict[str, Any]


def headline(rows: pd.DataFrame) -> Tree:
    """Return whether it helped, how good each method is, and how much was measured.

    `improvement` is what the network wins over the noisy input and over the Wiener filter: positive
    where the network is better, for distances too. A leaf is {mean, low, high}. `counts` holds the
    speakers, utterances and rows, and for each metric the number of rows in which it is undefined
    for some method: all methods leave those out. Where digits were listened to, `overall` has what
    is understood of the clean clips too.
    """
    metrics = _metrics_of(rows)
    improvement = {
        f"over_{rival}": _intervals(
            {metric: _gain(rows, metric, "denoised", rival) for metric in metrics}, rows
        )
        for rival in ("noisy", "wiener")
    }
    overall = {
        method: _intervals(
            {m: _defined(rows, m)[f"{m}_{method}"] for m in metrics if method in methods_of(m)},
            rows,
        )
        for method in (*METHODS, "clean")
    }
    overall = {method: _with_shares(leaves) for method, leaves in overall.items() if leaves}
    return {"improvement": improvement, "overall": overall, "counts": _counts(rows, metrics)}


def _intervals(values: dict[str, pd.Series], rows: pd.DataFrame) -> Tree:
    """Return an interval for each metric that has one."""
    found = {metric: interval(column, rows["speaker_id"]) for metric, column in values.items()}
    return {metric: leaf for metric, leaf in found.items() if leaf}


def _with_shares(leaves: Tree) -> Tree:
    """Keep the intervals of shares within 0 and 1."""
    for metric in leaves.keys() & set(DIGITS):
        leaves[metric] = {end: min(max(value, 0.0), 1.0) for end, value in leaves[metric].items()}
    return leaves


def break_down(rows: pd.DataFrame) -> Tree:
    """Return the mean of each metric and method by condition, SNR, noise, digit and gender.

    The shape is {"by_snr_db": {"-6": {"si_sdr_db": {"noisy": ..., "wiener": ..., "denoised":
    ...}}}}; numbers are sorted as numbers.
    """
    metrics = _metrics_of(rows)
    at = [
        f"{noise} at {snr:g} dB" for noise, snr in zip(rows["noise"], rows["snr_db"], strict=True)
    ]
    rows = rows.assign(condition=at)
    return {
        f"by_{column}": {
            label: {metric: means for metric in metrics if (means := _means(group, metric))}
            for label, group in _groups(rows, column)
        }
        for column in GROUPS
    }


def interval(values: pd.Series, speakers: pd.Series) -> dict[str, float]:
    """Return the mean over speakers and its 95 % confidence interval, {mean, low, high}.

    Student's t interval on the per-speaker means: with about ten test speakers it is wider than,
    and covers better than, a bootstrap over speakers, and it needs no seed. nan is left out. One
    speaker has a mean but no interval; without any value the result is empty.
    """
    per_speaker = values.groupby(speakers.loc[values.index]).mean().dropna()
    if per_speaker.empty:
        return {}
    mean = float(per_speaker.mean())
    if len(per_speaker) == 1:
        return {"mean": _rounded(mean)}
    freedom = len(per_speaker) - 1
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * per_speaker.sem())
    return {"mean": _rounded(mean), "low": _rounded(mean - half), "high": _rounded(mean + half)}


def improvement_by_snr(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the SI-SDR in dB that each method wins over the noisy input, a row an input SNR.

    The columns are snr_db, then for wiener and denoised `<method>`, `<method>_low` and
    `<method>_high`: wide, since DVC draws the rows of one column as one curve.
    """
    _metrics_of(rows)
    table = []
    for snr_db, group in rows.groupby("snr_db"):
        row: dict[str, float] = {"snr_db": snr_db}
        for method in METHODS[1:]:
            leaf = interval(_gain(group, "si_sdr_db", method, "noisy"), group["speaker_id"])
            row[method] = leaf.get("mean", math.nan)
            row |= {f"{method}_{end}": leaf.get(end, math.nan) for end in ("low", "high")}
        table.append(row)
    return pd.DataFrame(table)


def read_curves(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """Read what training logged with DVCLive: columns epoch (from 1), loss, validation_loss."""
    curves = Path(folder) / "plots" / "metrics"
    tables = [
        pd.read_csv(curves / f"{name}.tsv", sep="\t", index_col="step")[name]
        for name in ("loss", "validation_loss")
    ]
    history = pd.concat(tables, axis=1).reset_index(names="epoch")
    return history.assign(epoch=history["epoch"] + 1)


def utterance_csv(rows: pd.DataFrame) -> str:
    """Return the rows as CSV, sorted and rounded to three decimals; what is undefined is empty."""
    measured = [f"{m}_{method}" for m in _metrics_of(rows) for method in methods_of(m)]
    ordered = rows.sort_values(["noise", "snr_db", "utterance_id"], kind="stable")
    return table_csv(ordered[[*IDENTITY, *measured]])


def table_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV with Unix line ends, its floats rounded to three decimals."""
    text = io.StringIO()
    rounded = table.copy()
    for name in table.select_dtypes("floating"):
        rounded[name] = table[name].round(DECIMALS) + 0.0  # -0.0 becomes 0.0
    rounded.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def _metrics_of(rows: pd.DataFrame) -> list[str]:
    """Return the metrics that the rows hold; PESQ and digits may be absent."""
    present = [m for m in HIGHER_IS_BETTER if m not in OPTIONAL or f"{m}_noisy" in rows]
    needed = [
        *IDENTITY,
        *(f"{metric}_{method}" for metric in present for method in methods_of(metric)),
    ]
    missing = [name for name in needed if name not in rows]
    if missing or rows.empty:
        lack = f"no column {', '.join(missing)}" if missing else "no row"
        raise ValueError(f"The evaluation's table has {lack}: nothing can be summed up.")
    return present


def methods_of(metric: str) -> tuple[str, ...]:
    """Return the methods that a metric is measured for: digits are heard in the clean clip too."""
    return ("clean", *METHODS) if metric in DIGITS else METHODS


def _defined(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the metric's columns in the rows where it is defined for every method."""
    return rows[[f"{metric}_{method}" for method in methods_of(metric)]].dropna()


def _gain(rows: pd.DataFrame, metric: str, method: str, rival: str) -> pd.Series:
    defined = _defined(rows, metric)
    difference = defined[f"{metric}_{method}"] - defined[f"{metric}_{rival}"]
    return difference if HIGHER_IS_BETTER[metric] else -difference


def _means(rows: pd.DataFrame, metric: str) -> dict[str, float]:
    per_speaker = _defined(rows, metric).groupby(rows["speaker_id"]).mean()
    if per_speaker.empty:
        return {}
    return {
        method: _rounded(per_speaker[f"{metric}_{method}"].mean()) for method in methods_of(metric)
    }


def _groups(rows: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each value of a column as a key, with its rows; an unknown value is "unknown"."""
    values = rows[column]
    if column == "gender":
        values = values.astype(object).where(values.notna() & (values != ""), "unknown")
    for value, group in rows.groupby(values):
        yield (str(value) if isinstance(value, str) else f"{value:g}"), group


def _counts(rows: pd.DataFrame, metrics: list[str]) -> Tree:
    return {
        "speakers": int(rows["speaker_id"].nunique()),
        "utterances": int(rows["utterance_id"].nunique()),
        "rows": len(rows),
        "undefined": {metric: len(rows) - len(_defined(rows, metric)) for metric in metrics},
    }


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS) + 0.0  # -0.0 becomes 0.0
