"""Write the comparison on real recordings as Markdown, from the tree that becomes JSON."""

from collections.abc import Mapping, Sequence
from itertools import islice
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
)
from benchmarks.methods import OURS
from benchmarks.real.summary import ALL

Tree = Mapping[str, Any]

HEADLINES = (  # table, condition, metric, and the column's label
    ("overall", ALL, "pesq", "PESQ"),
    ("overall", ALL, "estoi", "ESTOI"),
    ("overall", ALL, "si_sdr_db", "SI-SDR (dB)"),
    ("overall", ALL, "ovrl", "OVRL"),
    ("overall", ALL, "sig", "SIG"),
    ("overall", ALL, "bak", "BAK"),
    ("overall", ALL, "pause_db", "pauses (dB)"),
    ("clean", "clean", "pesq", "clean in, PESQ"),
    ("light", "30 dB", "pesq", "30 dB, PESQ"),
    ("light", "20 dB", "pesq", "20 dB, PESQ"),
    ("rooms", "rooms", "pesq", "rooms, PESQ"),
    ("music", "music", "kept_db", "music kept (dB)"),
)
TABLE_METRICS = ("pesq", "estoi", "si_sdr_db", "ovrl")  # the others are in the JSON
MAX_NAMED = 10  # recordings that could not be used
TITLES = {
    "light": "Light noise",
    "clean": "Clean speech",
    "rooms": "Speech in simulated rooms, without noise; the reference has the echoes up to 50 ms",
    "music": "Music; the output is compared with the input",
}


def render(tree: Tree) -> str:
    """Return the whole report."""
    sections = [
        ["# Comparison on real recordings", "", *_test_set(tree)],
        ["## Overview", "", *overview_table(tree)],
        ["## Paired differences", "", *_differences(tree)],
        *_tables(tree, "noise", "by noise type"),
        *_tables(tree, "snr", "by SNR"),
        *(_extra(tree, part, title) for part, title in TITLES.items() if part in tree["tables"]),
        ["## Cost", "", *_cost(tree)],
        ["## Machine", "", *describe_machine_line(tree["machine"])],
    ]
    return join_sections(sections)


def _test_set(tree: Tree) -> list[str]:
    test_set = tree["test_set"]
    counts = ", ".join(f"{n} {part}" for part, n in test_set["parts"].items())
    lines = [
        f"Speech: `{'`, `'.join(test_set['speech'])}`, {test_set['speakers']} speakers. Noise: "
        f"`{'`, `'.join(test_set['noise'])}`, the types {', '.join(test_set['noise_types'])}. "
        f"{test_set['utterances']} utterances. Clips: {counts}; {test_set['sample_rate']} Hz. "
        f"The mean and the interval treat each {test_set['unit']} as independent. "
        "`python -m benchmarks.real` wrote this report; real.json holds the figures.",
        "",
    ]
    for metric, undefined in tree["tables"]["overall"]["undefined"].items():
        if undefined:
            n_clips = test_set["parts"]["mixtures"]
            n_defined = n_clips - max(undefined.values())
            label = tree["metrics"][metric]["label"]
            lines.append(f"- {label} is defined for {n_defined} of {n_clips} mixtures.")
    rejected = test_set["rejected"]
    if rejected:
        lines.append(f"- {len(rejected)} recordings could not be used:")
        lines += [f"  - {name}: {reason}" for name, reason in islice(rejected.items(), MAX_NAMED)]
        if len(rejected) > MAX_NAMED:
            lines.append(f"  - and {len(rejected) - MAX_NAMED} more, which real.json names.")
    lines += [f"- {label} is left out: {reason}" for label, reason in tree["left_out"].items()]
    return lines


def overview_table(tree: Tree) -> list[str]:
    """Return one row per method: the mean of each headline metric, and the cost."""
    columns = [each for each in HEADLINES if has_means(tree, *each[:3])]
    labels = [*(label for *_, label in columns), "ms per second of audio", "start-up (s)"]
    lines = ["▲: significantly better than ours. ▼: significantly worse. =: no difference.", ""]
    lines += header("method", dict.fromkeys(labels))
    for method, description in tree["methods"].items():
        cells = [_marked(tree, table, c, metric, method) for table, c, metric, _ in columns]
        cost = description.get("cost") or {}
        times = [number(cost.get(key), 1) for key in ("ms_per_second", "start_up_cpu_seconds")]
        lines.append(row(label_of(tree, method), [*cells, *times]))
    return lines


def has_means(tree: Tree, table: str, condition: str, metric: str) -> bool:
    """Tell whether a metric was measured in this condition, and is defined for some method."""
    quality = tree["tables"].get(table, {}).get("quality", {})
    return any("mean" in each for each in quality.get(metric, {}).get(condition, {}).values())


def _marked(
    tree: Tree, table: str, condition: str, metric: str, method: str, interval: bool = False
) -> str:
    """Return a mean, with its interval if wanted, and the mark of its verdict."""
    quality = tree["tables"][table]["quality"][metric][condition][method]
    decimals = decimals_of(tree, metric)
    text = plus_minus(quality if interval else _only_mean(quality), decimals)
    if method == OURS or text == "—":
        return text
    verdict = tree["tables"][table]["difference"][metric][condition][method]["verdict"]
    return f"{text} {MARKS[verdict]}"


def _only_mean(interval: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in interval.items() if key == "mean"}


def _differences(tree: Tree) -> list[str]:
    overall = tree["tables"]["overall"]
    metrics: Sequence[str] = overall["metrics"]
    lines = [
        "Ours less the other method, on the same mixtures, with the 95 % confidence interval; "
        "positive where ours is better, bold where it is significantly worse. The noise recordings "
        "are few, and the interval does not count them as drawn by chance: it holds for these "
        "types of noise.",
        "",
        *header("ours compared with", {tree["metrics"][m]["label"]: None for m in metrics}),
    ]
    for method, description in tree["methods"].items():
        if method != OURS:
            cells = [
                format_difference(overall["difference"][m][ALL][method], decimals_of(tree, m))
                for m in metrics
            ]
            lines.append(row(description["label"], cells))
    return lines


def _tables(tree: Tree, name: str, title: str) -> list[list[str]]:
    """Return a section for each metric, with a column for each noise type or SNR."""
    table = tree["tables"][name]
    sections = []
    for metric in (metric for metric in TABLE_METRICS if metric in table["metrics"]):
        conditions = table["quality"][metric]
        lines = [f"## {tree['metrics'][metric]['label']} {title}", "", *header("", conditions)]
        for method in tree["methods"]:
            cells = [_marked(tree, name, each, metric, method) for each in conditions]
            lines.append(row(label_of(tree, method), cells))
        margins = [_margin(tree, table, metric, each) for each in conditions]
        lines.append(row("ours less the best other", margins))
        sections.append(lines)
    return sections


def _margin(tree: Tree, table: Tree, metric: str, condition: str) -> str:
    """Return ours less the best of the other methods, in bold where it is negative."""
    means = {
        method: interval["mean"]
        for method, interval in table["quality"][metric][condition].items()
        if "mean" in interval
    }
    others = [mean for method, mean in means.items() if method != OURS]
    if OURS not in means or not others:
        return "—"
    margin = means[OURS] - max(others)
    text = f"{margin:+.{decimals_of(tree, metric)}f}"
    return f"**{text}**" if margin < 0 else text


def _extra(tree: Tree, part: str, title: str) -> list[str]:
    table = tree["tables"][part]
    columns = [(m, c) for m in table["metrics"] for c in table["quality"][m]]
    several = len({condition for _, condition in columns}) > 1
    labels = [
        tree["metrics"][m]["label"] + (f", {condition}" if several else "")
        for m, condition in columns
    ]
    lines = [f"## {title}", "", *header("method", dict.fromkeys(labels))]
    for method in tree["methods"]:
        cells = [_marked(tree, part, c, m, method, interval=True) for m, c in columns]
        lines.append(row(label_of(tree, method), cells))
    return lines


def _cost(tree: Tree) -> list[str]:
    columns = ("delay (ms)", "ms per second of audio", "start-up (s)", "peak memory (MB)")
    lines = [
        "Processor time on one core with one thread, in a process of its own. Start-up is the time "
        "until the first result. The delay is what was measured and removed; it is 0 for programs "
        "that look ahead in a file, whatever they look ahead.",
        "",
        *header("method", dict.fromkeys(columns)),
    ]
    for description in tree["methods"].values():
        if cost := description.get("cost"):
            cells = [
                number(description.get("delay_ms"), 1),
                *cost_cells(cost),
            ]
            lines.append(row(description["label"], cells))
    return lines
