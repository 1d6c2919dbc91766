"""Print the README's table of results from metrics/, as Markdown."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
METHODS = {"noisy": "noisy input", "wiener": "Wiener filter", "denoised": "**denoised**"}
METRICS = {
    "si_sdr_db": "SI-SDR, dB",
    "estoi": "ESTOI",
    "lsd_db": "log-spectral distance, dB",
    "digits_clean_trained": "digits, clean-trained",
    "digits_noise_trained": "digits, noise-trained",
}
HARDER_JUDGE = "digits_noise_trained"


def overall_table(metrics: dict[str, Any]) -> list[str]:
    """Return a row a method: the mean over speakers and its 95 % confidence interval."""
    overall = metrics["overall"]
    measured = [metric for metric in METRICS if metric in overall["noisy"]]
    lines = ["| all conditions | " + " | ".join(METRICS[metric] for metric in measured) + " |"]
    lines.append("|---|" + "--:|" * len(measured))
    for method, label in {**METHODS, "clean": "clean"}.items():
        if method in overall:
            cells = [_cell(metric, overall[method].get(metric)) for metric in measured]
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def _cell(metric: str, leaf: dict[str, float] | None) -> str:
    if leaf is None:
        return ""
    if metric.startswith("digits"):
        return f"{leaf['mean']:.0%} ({leaf['low']:.0%} to {leaf['high']:.0%})".replace("%", " %")
    return f"{leaf['mean']:.2f} ({leaf['low']:.2f} to {leaf['high']:.2f})"


def condition_table(breakdown: dict[str, Any]) -> list[str]:
    """Return a row a condition: SI-SDR, ESTOI, digits, noisy, Wiener-filtered and denoised.

    Digits are those that the recogniser trained in noise understands.
    """
    conditions = breakdown["by_condition"]
    styles = {"si_sdr_db": "SI-SDR", "estoi": "ESTOI", HARDER_JUDGE: "digits"}
    measured = [m for m in styles if all(m in metrics for metrics in conditions.values())]
    heads = [f"{styles[metric]} noisy | Wiener | denoised" for metric in measured]
    lines = ["| noise | " + " | ".join(heads) + " |", "|---|" + "--:|" * 3 * len(measured)]
    for condition, metrics in conditions.items():
        cells = [_short(metric, metrics[metric][m]) for metric in measured for m in METHODS]
        lines.append(f"| {condition} | " + " | ".join(cells) + " |")
    return lines


def _short(metric: str, value: float) -> str:
    if metric == HARDER_JUDGE:
        return f"{value:.0%}".replace("%", " %")
    return f"{value:.1f}" if metric == "si_sdr_db" else f"{value:.2f}"


def results() -> str:
    """Return both tables of the committed metrics."""
    metrics = json.loads((ROOT / "metrics" / "metrics.json").read_text(encoding="utf-8"))
    path = ROOT / "metrics" / "evaluation" / "breakdown.json"
    breakdown = json.loads(path.read_text(encoding="utf-8"))
    return "\n".join([*overall_table(metrics), "", *condition_table(breakdown)])


if __name__ == "__main__":
    print(results())
