"""Write the comparison as Markdown, from the tree that benchmarks.compare writes as JSON."""

from collections.abc import Mapping
from typing import Any

from benchmarks.cells import (
    MARKS,
    cost_cells,
    decimals_of,
    describe_machine_line,
    format_difference,
    header,
    join_sections,
    label_of,
    number,
    plus_minus,
    row,
    signed,
)
from benchmarks.methods import OURS, is_oracle
from benchmarks.verdicts import BETTER, NO_DIFFERENCE, WORSE, list_losses

Tree = Mapping[str, Any]

OVERVIEW_CONDITION = "white 0 dB"
VERDICTS = (BETTER, NO_DIFFERENCE, WORSE)


def render(tree: Tree) -> str:
    """Return the whole report."""
    sections = [
        ["# Comparison with other methods", "", *_test_set(tree)],
        ["## Result", "", *_result(tree)],
        ["## Overview", "", *overview_table(tree)],
        *(_metric_section(tree, metric) for metric in tree["metrics"]),
        ["## Cost", "", *_cost(tree)],
        ["## Machine", "", *describe_machine_line(tree["machine"])],
    ]
    return join_sections(sections)


def overview_table(tree: Tree) -> list[str]:
    """Return one row per method: its metrics in one condition, the verdicts of all, its cost."""
    metrics = [name for name in tree["metrics"] if name != "lsd_db"]
    labels = [tree["metrics"][name]["label"] for name in metrics]
    verdict_label = "ours is better / no difference / worse"
    lines = [
        row(
            OVERVIEW_CONDITION,
            [*labels, verdict_label, "ms per second of audio", "start-up (s)"],
        ),
        "|---|" + "--:|" * len(metrics) + ":-:|--:|--:|",
    ]
    for method, description in tree["methods"].items():
        means = [
            number(
                tree["quality"][name][OVERVIEW_CONDITION][method].get("mean"),
                decimals_of(tree, name),
            )
            for name in metrics
        ]
        count = _count_verdicts(tree, [method])
        counts = "" if method == OURS else " / ".join(str(count[v]) for v in VERDICTS)
        cost = description.get("cost") or {}
        times = [number(cost.get(key), 1) for key in ("ms_per_second", "start_up_cpu_seconds")]
        lines.append(row(label_of(tree, method), [*means, counts, *times]))
    return lines


def _count_verdicts(tree: Tree, methods: list[str]) -> dict[str, int]:
    """Return how often ours is better than, worse than or not different from the methods."""
    verdicts = [
        difference["verdict"]
        for conditions in tree["difference"].values()
        for baselines in conditions.values()
        for baseline, difference in baselines.items()
        if baseline in methods
    ]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


def _test_set(tree: Tree) -> list[str]:
    test_set = tree["test_set"]
    first = (
        f"The test set is {test_set['clips']} clips of {test_set['speakers']} speakers, the test "
        f"split of `{test_set['archive']}`. All methods process the same noisy clips. "
        "`python -m benchmarks.compare` wrote this report; comparison.json holds the figures."
    )
    left_out = [f"- {label} is left out: {reason}" for label, reason in tree["left_out"].items()]
    return [first, "", *left_out] if left_out else [first]


def _result(tree: Tree) -> list[str]:
    """Count the verdicts against the usable methods, and list every loss."""
    usable = [name for name, method in tree["methods"].items() if method["is_usable"]]
    count = _count_verdicts(tree, usable)
    first = (
        f"A comparison is one other method, one metric and one condition. In {sum(count.values())} "
        f"comparisons with methods that are usable in practice, ours is better in {count[BETTER]} "
        f"and worse in {count[WORSE]}; {count[NO_DIFFERENCE]} show no significant difference. One "
        "95 % confidence interval in twenty misses the true value, so a single result close to the "
        "limit proves little."
    )
    return [first, "", *_losses(tree), *_faster(tree)]


def _losses(tree: Tree) -> list[str]:
    """List every comparison in which ours is worse, also with the noisy input; not the oracles."""
    losses = [loss for loss in list_losses(tree["difference"]) if not is_oracle(loss[2])]
    if not losses:
        return ["No method is better than ours in any comparison, except the oracles."]
    lines = ["These methods are better than ours:", ""]
    for metric, condition, baseline in losses:
        difference = tree["difference"][metric][condition][baseline]
        label = tree["metrics"][metric]["label"]
        ends = (-difference["mean"], -difference["high"], -difference["low"])
        by = signed(*ends, decimals_of(tree, metric))
        lines.append(f"- {tree['methods'][baseline]['label']}: {label}, {condition}, by {by}")
    return lines


def _faster(tree: Tree) -> list[str]:
    """Name the methods that are faster than ours."""
    times = {
        name: method["cost"]["ms_per_second"]
        for name, method in tree["methods"].items()
        if method.get("cost")
    }
    faster = [
        f"{tree['methods'][name]['label']} ({time / times[OURS]:.2f} times our processing time)"
        for name, time in times.items()
        if OURS in times and time < times[OURS]
    ]
    return ["", f"Faster than ours: {', '.join(faster)}."] if faster else []


def _metric_section(tree: Tree, metric: str) -> list[str]:
    description = tree["metrics"][metric]
    better = "higher" if description["higher_is_better"] else "lower"
    undefined = [
        f"{tree['methods'][method]['label']} {count}"
        for method, count in tree["undefined"].get(metric, {}).items()
    ]
    note = f" Clips left out, since the metric is undefined: {', '.join(undefined)}."
    return [
        f"## {description['label']}",
        "",
        f"Mean over speakers ± half the width of its 95 % confidence interval; {better} is better. "
        "▲: significantly better than ours. ▼: significantly worse than ours. =: no significant "
        f"difference.{note if undefined else ''}",
        "",
        *_mean_table(tree, metric),
        "",
        "Paired difference between ours and each method on the same clips, with its 95 % "
        "confidence interval over speakers. It is positive where ours is better, and bold where "
        "ours is significantly worse.",
        "",
        *_difference_table(tree, metric),
    ]


def _mean_table(tree: Tree, metric: str) -> list[str]:
    quality, difference = tree["quality"][metric], tree["difference"][metric]
    lines = header("method", quality)
    for method in tree["methods"]:
        cells = [
            f"{plus_minus(quality[condition][method], decimals_of(tree, metric))}"
            f"{'' if method == OURS else ' ' + MARKS[difference[condition][method]['verdict']]}"
            for condition in quality
        ]
        lines.append(row(label_of(tree, method), cells))
    return lines


def _difference_table(tree: Tree, metric: str) -> list[str]:
    differences, decimals = tree["difference"][metric], decimals_of(tree, metric)
    lines = header("ours compared with", differences)
    for method, description in tree["methods"].items():
        if method != OURS:
            cells = [
                format_difference(differences[condition][method], decimals)
                for condition in differences
            ]
            lines.append(row(description["label"], cells))
    return lines


def _cost(tree: Tree) -> list[str]:
    lines = [
        "Processor time on one core with one thread. The time per second of audio is the median of "
        "several runs, clip by clip. Start-up is the time of a new process until its first result.",
        "",
        "| method | ms per second of audio | start-up (s) | peak memory (MB) | training |",
        "|---|--:|--:|--:|--:|",
    ]
    for method in tree["methods"].values():
        if cost := method.get("cost"):
            cells = [
                *cost_cells(cost),
                _minutes(method.get("training_seconds")),
            ]
            lines.append(row(method["label"], cells))
    return lines


def _minutes(seconds: float | None) -> str:
    return "—" if seconds is None else f"{seconds / 60:.1f} min"
