"""Print the tables of results in the documentation, as Markdown, from metrics/evaluation.

`python -m benchmarks.table` prints the README's table of means over all test conditions;
`--by-condition` prints the table of docs/results.md.
"""

import argparse
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
METHODS = {"noisy": "noisy input", "wiener": "Wiener filter", "denoised": "**denoised**"}
METRICS = {
    "si_sdr_db": "SI-SDR (dB)",
    "estoi": "ESTOI",
    "lsd_db": "LSD (dB)",
    "digits_clean_trained": "digits, clean-trained",
    "digits_noise_trained": "digits, noise-trained",
}
METRICS_BY_CONDITION = {
    "si_sdr_db": "SI-SDR (dB)",
    "estoi": "ESTOI",
    "digits_noise_trained": "digits",
}

Tree = dict[str, Any]


def overall_table(breakdown: Tree) -> list[str]:
    """Return one row per method: the mean over speakers and its 95 % confidence interval."""
    overall = breakdown["overall"]
    measured = [metric for metric in METRICS if metric in overall["noisy"]]
    lines = ["| all conditions | " + " | ".join(METRICS[metric] for metric in measured) + " |"]
    lines.append("|---|" + "--:|" * len(measured))
    for method, label in {**METHODS, "clean": "clean"}.items():
        if method in overall:
            cells = [_interval_cell(metric, overall[method].get(metric)) for metric in measured]
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def condition_table(breakdown: Tree) -> list[str]:
    """Return one row per condition: each metric of the noisy, Wiener-filtered and denoised clips.

    The digits are those of the recogniser that was trained on noisy speech.
    """
    conditions = breakdown["by_condition"]
    measured = [
        metric
        for metric in METRICS_BY_CONDITION
        if all(metric in means for means in conditions.values())
    ]
    heads = [f"{METRICS_BY_CONDITION[metric]}: noisy | Wiener | denoised" for metric in measured]
    lines = ["| condition | " + " | ".join(heads) + " |", "|---|" + "--:|" * 3 * len(measured)]
    for condition, means in conditions.items():
        cells = [
            format_cell(metric, means[metric][method], 1 if metric == "si_sdr_db" else 2)
            for metric in measured
            for method in METHODS
        ]
        lines.append(f"| {condition} | " + " | ".join(cells) + " |")
    return lines


def _interval_cell(metric: str, interval: dict[str, float] | None) -> str:
    if interval is None:
        return ""
    mean, *ends = (
        format_cell(metric, interval[end]) for end in ("mean", "low", "high") if end in interval
    )
    return f"{mean} ({' to '.join(ends)})" if ends else mean  # one speaker has no interval


def format_cell(metric: str, value: float, decimals: int = 2) -> str:
    """Return a metric's value as a cell: digits in percent, others with so many decimals."""
    if metric.startswith("digits"):
        return f"{100 * value:.0f} %"
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # -0.0 becomes 0.0


def read_breakdown(pipeline: str = "") -> Tree:
    """Read the committed breakdown of the evaluation of the digit model, or of `general`."""
    path = ROOT / pipeline / "metrics" / "evaluation" / "breakdown.json"
    breakdown: Tree = json.loads(path.read_text(encoding="utf-8"))
    return breakdown


def main() -> None:
    """Print one of the two tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument(
        "--by-condition", action="store_true", help="print the table of docs/results.md"
    )
    make_table = condition_table if parser.parse_args().by_condition else overall_table
    print("\n".join(make_table(read_breakdown())))


if __name__ == "__main__":
    main()
