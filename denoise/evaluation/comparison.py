"""Tell whether two experiments differ significantly, by paired differences between speakers.

Both experiments score the same test clips, so the scores are compared clip by clip. Clips of one
speaker are not independent, so the interval is that of the speakers' mean differences
(`tables.exact_interval`).
"""

import math
from dataclasses import dataclass

import pandas as pd

from denoise.errors import DenoiseError
from denoise.evaluation.tables import exact_interval, higher_is_better

KEYS = ("utterance_id", "speaker_id", "noise", "snr_db")


class ComparisonError(DenoiseError):
    """Two experiments cannot be compared."""


@dataclass(frozen=True)
class Difference:
    """How one metric of the denoised clips differs between two experiments.

    `low` and `high` bound the 95 % interval of `second - first`, in the metric's unit; they are NaN
    for a single speaker, since the variation between speakers is unknown.
    """

    metric: str
    first: float
    second: float
    low: float
    high: float

    @property
    def is_better(self) -> bool:
        """Whether the second experiment is significantly better."""
        return self.low > 0 if higher_is_better()[self.metric] else self.high < 0

    @property
    def is_worse(self) -> bool:
        """Whether the second experiment is significantly worse."""
        return self.high < 0 if higher_is_better()[self.metric] else self.low > 0


def pair(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that both experiments have, their columns with the suffixes _1 and _2.

    The arguments are the tables `utterances.csv` of two experiments. Raises ComparisonError if they
    have no row of the same utterance, noise and SNR.
    """
    pairs = first.merge(second, on=list(KEYS), suffixes=("_1", "_2"))
    if pairs.empty:
        raise ComparisonError("The experiments share no test clip in the same noise and SNR.")
    return pairs


def compare(pairs: pd.DataFrame) -> list[Difference]:
    """Return the differences of every metric that both experiments have, from what `pair` returns.

    Clips for which a metric is undefined in either experiment are left out of both.
    """
    return [
        _difference(pairs, metric)
        for metric in higher_is_better()
        if {f"{metric}_denoised_1", f"{metric}_denoised_2"} <= set(pairs.columns)
        and pairs[[f"{metric}_denoised_1", f"{metric}_denoised_2"]].notna().all(axis=1).any()
    ]


def _difference(pairs: pd.DataFrame, metric: str) -> Difference:
    columns = [f"{metric}_denoised_1", f"{metric}_denoised_2"]
    scores = pairs[["speaker_id", *columns]].dropna()
    first, second = scores.groupby("speaker_id").mean().mean()
    interval = exact_interval(scores[columns[1]] - scores[columns[0]], scores["speaker_id"])
    low, high = (interval.get(end, math.nan) for end in ("low", "high"))
    return Difference(metric, float(first), float(second), low, high)
