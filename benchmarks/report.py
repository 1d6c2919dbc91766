"""The comparison as Markdown, from the tree that benchmarks.compare writes as JSON."""

from collections.abc import Mapping
from typing import Any

from benchmarks.methods import OURS, is_oracle
from benchmarks.verdicts import BETTER, NO_DIFFERENCE, WORSE, beaten

Tree = Mapping[str, Any]

SHORT = "white 0 dB"
ORDER = (BETTER, NO_DIFFERENCE, WORSE)
MARKS = {BETTER: "▼", WORSE: "▲", NO_DIFFERENCE: "="}  # the rival's side: below us, above us


def render(tree: Tree) -> str:
    """Return the whole report."""
    sections = [
        ["# The comparison", "", *_about(tree)],
        ["## The outcome", "", *_outcome(tree)],
        ["## In short", "", *short_table(tree)],
        *(_quality_section(tree, name) for name in tree["measures"]),
        ["## Cost", "", *_cost(tree)],
        ["## The machine", "", *_machine(tree["machine"])],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def short_table(tree: Tree) -> list[str]:
    """Return a table for the README: a row a method, one condition, the verdicts of all, cost."""
    measures = [name for name in tree["measures"] if name != "lsd_db"]
    labels = [tree["measures"][name]["label"] for name in measures]
    verdict_label = "ours is better / no difference / worse"
    lines = [
        _row(f"at {SHORT}", [*labels, verdict_label, "ms a second of audio", "start-up, s"]),
        "|---|" + "--:|" * len(measures) + ":-:|--:|--:|",
    ]
    for method, about in tree["methods"].items():
        means = [
            _number(tree["quality"][name][SHORT][method].get("mean"), _decimals(tree, name))
            for name in measures
        ]
        count = _count(tree, [method])
        counts = "" if method == OURS else " / ".join(str(count[v]) for v in ORDER)
        cost = about.get("cost") or {}
        times = [_number(cost.get(key), 1) for key in ("ms_per_second", "start_up_cpu_seconds")]
        lines.append(_row(_label(tree, method), [*means, counts, *times]))
    return lines


def _count(tree: Tree, methods: list[str]) -> dict[str, int]:
    """Return how often ours is better, worse, or not shown to differ, over all comparisons."""
    verdicts = [
        leaf["verdict"]
        for conditions in tree["difference"].values()
        for rivals in conditions.values()
        for rival, leaf in rivals.items()
        if rival in methods
    ]
    return {verdict: verdicts.count(verdict) for verdict in ORDER}


def _label(tree: Tree, method: str) -> str:
    label = str(tree["methods"][method]["label"])
    return f"**{label}**" if method == OURS else label


def _about(tree: Tree) -> list[str]:
    test_set = tree["test_set"]
    lines = [
        f"{test_set['clips']} clips of {test_set['speakers']} speakers (test split of "
        f"`{test_set['archive']}`); every method hears the same noisy clips. Written by "
        "`python -m benchmarks.compare`; the figures lie beside it as JSON.",
    ]
    lines += [f"- {label} is left out: {reason}" for label, reason in tree["left_out"].items()]
    return [lines[0], "", *lines[1:]] if lines[1:] else lines


def _outcome(tree: Tree) -> list[str]:
    """Count the verdicts over what one could use instead, and name every defeat."""
    usable = [name for name, method in tree["methods"].items() if method["is_usable"]]
    count = _count(tree, usable)
    first = (
        f"Against the methods that one could use instead, in {sum(count.values())} comparisons "
        f"(method x measure x condition), ours is better in {count[BETTER]}, worse in "
        f"{count[WORSE]}; {count[NO_DIFFERENCE]} show no difference. Of intervals of 95 %, one in "
        "twenty misses the truth: a single verdict at the edge is no proof."
    )
    return [first, "", *_defeats(tree), *_faster(tree)]


def _defeats(tree: Tree) -> list[str]:
    """Name every comparison in which ours is worse, the oracles' and the untouched input's too."""
    lost = [(m, c, r) for m, c, r in beaten(tree["difference"]) if not is_oracle(r)]
    if not lost:
        return ["No method beats ours in quality anywhere, the oracles apart."]
    lines = ["These beat ours in quality:", ""]
    for measure, condition, rival in lost:
        leaf = tree["difference"][measure][condition][rival]
        label = tree["measures"][measure]["label"]
        by = _signed(-leaf["mean"], -leaf["high"], -leaf["low"], _decimals(tree, measure))
        lines.append(f"- {tree['methods'][rival]['label']}: {label}, {condition}, by {by}")
    return lines


def _faster(tree: Tree) -> list[str]:
    """Name the methods that take less time than ours."""
    times = {
        method: about["cost"]["ms_per_second"]
        for method, about in tree["methods"].items()
        if about.get("cost")
    }
    faster = [
        f"{tree['methods'][method]['label']} ({time / times[OURS]:.2f} of its time)"
        for method, time in times.items()
        if OURS in times and time < times[OURS]
    ]
    return ["", f"Faster than ours: {', '.join(faster)}."] if faster else []


def _quality_section(tree: Tree, measure: str) -> list[str]:
    about = tree["measures"][measure]
    better = "higher" if about["higher_is_better"] else "lower"
    missing = [
        f"{tree['methods'][method]['label']} {count}"
        for method, count in tree["undefined"].get(measure, {}).items()
    ]
    note = f" Not defined, and left out, for: {', '.join(missing)} clips." if missing else ""
    return [
        f"## {about['label']}",
        "",
        f"Mean over speakers ± half of its 95 % interval; {better} is better. ▲ beats ours, ▼ is "
        f"beaten by ours, = no difference is shown.{note}",
        "",
        *_mean_table(tree, measure),
        "",
        "What ours is better by, on the same clips, with the 95 % interval over speakers:",
        "",
        *_difference_table(tree, measure),
    ]


def _mean_table(tree: Tree, measure: str) -> list[str]:
    quality, difference = tree["quality"][measure], tree["difference"][measure]
    lines = _header("method", quality)
    for method in tree["methods"]:
        cells = [
            f"{_plus_minus(quality[condition][method], _decimals(tree, measure))}"
            f"{'' if method == OURS else ' ' + MARKS[difference[condition][method]['verdict']]}"
            for condition in quality
        ]
        lines.append(_row(_label(tree, method), cells))
    return lines


def _difference_table(tree: Tree, measure: str) -> list[str]:
    difference, decimals = tree["difference"][measure], _decimals(tree, measure)
    lines = _header("ours against", difference)
    for method, about in tree["methods"].items():
        if method != OURS:
            leaves = [difference[condition][method] for condition in difference]
            lines.append(_row(about["label"], [_lead(leaf, decimals) for leaf in leaves]))
    return lines


def _decimals(tree: Tree, measure: str) -> int:
    return int(tree["measures"][measure]["decimals"])


def _plus_minus(leaf: Mapping[str, float], decimals: int) -> str:
    if "mean" not in leaf:
        return "—"
    mean = f"{leaf['mean']:.{decimals}f}"
    if "low" not in leaf:
        return mean
    return f"{mean} ± {(leaf['high'] - leaf['low']) / 2:.{decimals}f}"


def _lead(leaf: Mapping[str, Any], decimals: int) -> str:
    """Return a lead with its interval, in bold where it is none."""
    if "mean" not in leaf:
        return "—"
    low, high = leaf.get("low"), leaf.get("high")
    text = _signed(leaf["mean"], low, high, decimals)
    return f"**{text}**" if leaf["verdict"] == WORSE else text


def _signed(mean: float, low: float | None, high: float | None, decimals: int) -> str:
    if low is None or high is None:
        return f"{mean:+.{decimals}f}"
    return f"{mean:+.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})"


def _cost(tree: Tree) -> list[str]:
    lines = [
        "Processor time on one core and one thread: for a second of audio the median of repeats, "
        "clip by clip; start-up is a fresh process up to its first result.",
        "",
        "| method | ms a second of audio | start-up, s | peak memory, MB | training |",
        "|---|--:|--:|--:|--:|",
    ]
    for method in tree["methods"].values():
        if cost := method.get("cost"):
            cells = [
                _number(cost.get("ms_per_second"), 1),
                _number(cost.get("start_up_cpu_seconds"), 1),
                _number(cost.get("peak_memory_mb"), 0),
                _minutes(method.get("training_seconds")),
            ]
            lines.append(_row(method["label"], cells))
    return lines


def _number(value: float | None, decimals: int) -> str:
    return "—" if value is None else f"{value:.{decimals}f}"


def _minutes(seconds: float | None) -> str:
    return "—" if seconds is None else f"{seconds / 60:.1f} min"


def _machine(machine: Tree) -> list[str]:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}; {packages}."
    ]


def _header(first: str, columns: Mapping[str, Any]) -> list[str]:
    return [_row(first, list(columns)), "|---|" + "--:|" * len(columns)]


def _row(first: str, cells: list[str]) -> str:
    return f"| {first} | " + " | ".join(cells) + " |"
