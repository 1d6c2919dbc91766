"""Summarise the scores: means, paired differences and verdicts, by noise type, SNR and part."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from benchmarks import verdicts
from benchmarks.methods import OURS
from benchmarks.quality import Metric
from benchmarks.real.scores import METRICS, PART_METRICS

MIN_SPEAKERS = 5  # with fewer, the recording and not the speaker is the independent unit
ALL = "all"  # the condition that holds every mixture
EXTRA_PARTS = ("light", "clean", "rooms", "music")

Tree = dict[str, Any]


def choose_unit(rows: pd.DataFrame) -> str:
    """Return what the intervals treat as independent: "speaker", or "recording" if few speak."""
    speakers = rows.loc[rows["part"] == "mixtures", "speaker_id"].nunique()
    return "speaker" if speakers >= MIN_SPEAKERS else "recording"


def summarise(rows: pd.DataFrame, unit: str) -> Tree:
    """Return {table: {"metrics", "quality", "difference", "undefined"}}; see `tables`.

    The last three are those of benchmarks.verdicts. `unit` is "speaker" or "recording".
    """
    if unit == "recording":
        rows = rows.assign(speaker_id=rows["utterance_id"])
    rows = rows.assign(utterance_id=rows["utterance_id"] + _cells(rows))
    return {
        name: {
            "metrics": list(metrics),
            "quality": verdicts.summarise(table, metrics),
            "difference": verdicts.compare(table, OURS, metrics),
            "undefined": verdicts.count_undefined(table, metrics),
        }
        for name, table, metrics in tables(rows)
    }


def tables(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, Mapping[str, Metric]]]:
    """Yield the name, the rows and the metrics of each table.

    `overall` has the one condition ALL, `noise` one for each noise type, `snr` one for each SNR;
    the others are the parts EXTRA_PARTS that the rows hold. A metric that was not measured is left
    out.
    """
    mixed = rows[rows["part"] == "mixtures"]
    metrics = _measured(mixed, "mixtures")
    yield "overall", mixed.assign(condition=ALL), metrics
    by_noise = mixed.sort_values("noise", kind="stable")
    yield "noise", by_noise.assign(condition=by_noise["noise"]), metrics
    yield "snr", mixed.sort_values("snr_db", kind="stable"), metrics
    for part in EXTRA_PARTS:
        of_part = rows[rows["part"] == part].sort_values("snr_db", kind="stable")
        if len(of_part):
            yield part, of_part, _measured(of_part, part)


def _cells(rows: pd.DataFrame) -> pd.Series:
    """Return noise and SNR as text, which tells the mixtures of one utterance apart."""
    return " | " + rows["noise"].astype(str) + " | " + rows["snr_db"].astype(str)


def _measured(rows: pd.DataFrame, part: str) -> dict[str, Metric]:
    return {
        name: METRICS[name]
        for name in PART_METRICS[part]
        if name in rows and rows[name].notna().any()
    }
