"""Whether a lead is a win: intervals over speakers, and paired differences with theirs.

The speaker is the unit of independence, as in denoise.evaluation.tables, and the comparison is
paired: two methods on the same noisy clips differ far less from clip to clip than the clips do.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from benchmarks.quality import Measure
from denoise.evaluation.tables import interval

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference"
Tree = dict[str, Any]


def summarise(rows: pd.DataFrame, measures: Mapping[str, Measure]) -> Tree:
    """Return {measure: {condition: {method: {mean, low, high}}}}, in the order of the rows."""
    return {
        name: {
            condition: {
                method: interval(group[name], group["speaker_id"])
                for method, group in of_condition.groupby("method", sort=False)
            }
            for condition, of_condition in rows.groupby("condition", sort=False)
        }
        for name in measures
    }


def compare(rows: pd.DataFrame, ours: str, measures: Mapping[str, Measure]) -> Tree:
    """Return {measure: {condition: {rival: {mean, low, high, pairs, verdict}}}}.

    The mean is what we are better by, in the measure's unit: positive where we are, for distances
    too. Clips for which either of the two is not defined are left out of both.
    """
    return {
        name: {
            condition: {
                rival: _difference(scores, ours, rival, measure.higher_is_better)
                for rival in scores.columns
                if rival != ours
            }
            for condition, scores in _side_by_side(rows, name)
        }
        for name, measure in measures.items()
    }


def _side_by_side(rows: pd.DataFrame, measure: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each condition with its scores: a column a method, a row a clip."""
    methods = list(dict.fromkeys(rows["method"]))
    for condition, group in rows.groupby("condition", sort=False):
        scores = group.pivot(index=["utterance_id", "speaker_id"], columns="method", values=measure)
        yield (
            str(condition),
            scores[methods].reset_index("speaker_id").set_index("speaker_id", append=True),
        )


def _difference(scores: pd.DataFrame, ours: str, rival: str, higher_is_better: bool) -> Tree:
    lead = (scores[ours] - scores[rival]).dropna()
    lead = (lead if higher_is_better else -lead).reset_index(name="lead")
    leaf = interval(lead["lead"], lead["speaker_id"])
    return {**leaf, "pairs": len(lead), "verdict": verdict(leaf)}


def verdict(leaf: Mapping[str, float]) -> str:
    """Say what a paired difference shows: nothing, unless its interval lies on one side of 0."""
    if leaf.get("low", 0) > 0:
        return BETTER
    if leaf.get("high", 0) < 0:
        return WORSE
    return NO_DIFFERENCE


def undefined(rows: pd.DataFrame, measures: Mapping[str, Measure]) -> Tree:
    """Return {measure: {method: how many rows have no score}}, those with some alone."""
    counts = rows.groupby("method", sort=False)[list(measures)].agg(lambda s: int(s.isna().sum()))
    return {
        name: {str(method): int(count) for method, count in counts[name].items() if count}
        for name in measures
    }


def beaten(comparison: Tree) -> list[tuple[str, str, str]]:
    """List every (measure, condition, rival) in which the rival is better."""
    return [
        (measure, condition, rival)
        for measure, conditions in comparison.items()
        for condition, rivals in conditions.items()
        for rival, leaf in rivals.items()
        if leaf["verdict"] == WORSE
    ]
