"""Decide whether a difference between two methods is significant.

As in denoise.evaluation.tables, the speaker is the independent unit. The comparison is paired: two
methods on the same noisy clips differ much less than the clips differ from each other.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from benchmarks.quality import Metric
from denoise.evaluation.tables import confidence_interval, exact_interval, round_interval

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference"
Tree = dict[str, Any]


def summarise(rows: pd.DataFrame, metrics: Mapping[str, Metric]) -> Tree:
    """Return {metric: {condition: {method: {mean, low, high}}}}, in the order of the rows."""
    return {
        name: {
            condition: {
                method: confidence_interval(group[name], group["speaker_id"])
                for method, group in of_condition.groupby("method", sort=False)
            }
            for condition, of_condition in rows.groupby("condition", sort=False)
        }
        for name in metrics
    }


def compare(rows: pd.DataFrame, ours: str, metrics: Mapping[str, Metric]) -> Tree:
    """Return {metric: {condition: {baseline: {mean, low, high, pairs, verdict}}}}.

    The mean is the paired difference in the metric's unit, positive where ours is better, for
    distances too. Clips for which the metric is undefined for either method are left out of both.
    """
    return {
        name: {
            condition: {
                baseline: _difference(scores, ours, baseline, metric.higher_is_better)
                for baseline in scores.columns
                if baseline != ours
            }
            for condition, scores in _scores_by_method(rows, name)
        }
        for name, metric in metrics.items()
    }


def _scores_by_method(rows: pd.DataFrame, metric: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each condition with its scores: one column per method, one row per clip."""
    methods = list(dict.fromkeys(rows["method"]))
    for condition, group in rows.groupby("condition", sort=False):
        scores = group.pivot(index=["utterance_id", "speaker_id"], columns="method", values=metric)
        yield (
            str(condition),
            scores[methods].reset_index("speaker_id").set_index("speaker_id", append=True),
        )


def _difference(scores: pd.DataFrame, ours: str, baseline: str, higher_is_better: bool) -> Tree:
    difference = (scores[ours] - scores[baseline]).dropna()
    difference = (difference if higher_is_better else -difference).reset_index(name="difference")
    interval = exact_interval(difference["difference"], difference["speaker_id"])
    found = verdict(interval)  # before rounding, which may make a bound 0
    return {**round_interval(interval), "pairs": len(difference), "verdict": found}


def verdict(interval: Mapping[str, float]) -> str:
    """Return BETTER or WORSE if the interval of a difference excludes 0, else NO_DIFFERENCE."""
    if interval.get("low", 0) > 0:
        return BETTER
    if interval.get("high", 0) < 0:
        return WORSE
    return NO_DIFFERENCE


def count_undefined(rows: pd.DataFrame, metrics: Mapping[str, Metric]) -> Tree:
    """Return {metric: {method: number of rows without a score}}, without the zeros."""
    counts = rows.groupby("method", sort=False)[list(metrics)].agg(lambda s: int(s.isna().sum()))
    return {
        name: {str(method): int(count) for method, count in counts[name].items() if count}
        for name in metrics
    }


def list_losses(differences: Tree) -> list[tuple[str, str, str]]:
    """List every (metric, condition, baseline) in which the baseline is better than ours."""
    return [
        (metric, condition, baseline)
        for metric, conditions in differences.items()
        for condition, baselines in conditions.items()
        for baseline, difference in baselines.items()
        if difference["verdict"] == WORSE
    ]
