"""Print the README's table of results from metrics/, as Markdown."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
METHODS = {"noisy": "noisy input", "wiener": "Wiener filter", "denoised": "**denoised**"}
METRICS = {"si_sdr_db": "SI-SDR, dB", "estoi": "ESTOI", "lsd_db": "log-spectral distance, dB"}


def overall_table(metrics: dict[str, Any]) -> list[str]:
    """Return a row a method: the mean over speakers and its 95 % confidence interval."""
    lines = ["| all conditions | " + " | ".join(METRICS.values()) + " |", "|---|--:|--:|--:|"]
    for method, label in METHODS.items():
        leaves = [metrics["overall"][method][metric] for metric in METRICS]
        cells = [f"{leaf['mean']:.2f} ({leaf['low']:.2f} to {leaf['high']:.2f})" for leaf in leaves]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def condition_table(breakdown: dict[str, Any]) -> list[str]:
    """Return a row a condition: SI-SDR and ESTOI, noisy, Wiener-filtered and denoised."""
    lines = [
        "| noise | SI-SDR noisy | Wiener | denoised | ESTOI noisy | Wiener | denoised |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for condition, metrics in breakdown["by_condition"].items():
        figures = [metrics["si_sdr_db"][method] for method in METHODS]
        shares = [metrics["estoi"][method] for method in METHODS]
        cells = [f"{value:.1f}" for value in figures] + [f"{value:.2f}" for value in shares]
        lines.append(f"| {condition} | " + " | ".join(cells) + " |")
    return lines


def results() -> str:
    """Return both tables of the committed metrics."""
    metrics = json.loads((ROOT / "metrics" / "metrics.json").read_text(encoding="utf-8"))
    path = ROOT / "metrics" / "evaluation" / "breakdown.json"
    breakdown = json.loads(path.read_text(encoding="utf-8"))
    return "\n".join([*overall_table(metrics), "", *condition_table(breakdown)])


if __name__ == "__main__":
    print(results())
