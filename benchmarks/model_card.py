"""Write the figures of the model cards from the metrics: `python -m benchmarks.model_card`.

A card is `MODEL_CARD.md` beside the exported model. Its figures stand between two comments, and
come from `metrics/evaluation/breakdown.json` of the same pipeline. A test compares the two.
"""

from pathlib import Path

from benchmarks.table import METRICS, Tree, format_cell, overall_table, read_breakdown
from presets import pipelines

ROOT = Path(__file__).parent.parent
PIPELINES = ("", *(pipeline.folder for pipeline in pipelines.PIPELINES))
BEGIN = "<!-- written by python -m benchmarks.model_card -->"
END = "<!-- end of what is written -->"
GROUPS = {"by_noise": "noise", "by_snr_db": "SNR", "by_gender": "gender", "by_digit": "digit"}
SHOWN = ("si_sdr_db", "estoi", "digits_noise_trained")


def figures(breakdown: Tree) -> list[str]:
    """Return the Markdown of a breakdown: who was tested, all conditions, and the groups."""
    counts = breakdown["counts"]
    noise, snr = (", ".join(breakdown[key]) for key in ("by_noise", "by_snr_db"))
    return [
        f"Tested on {counts['utterances']} recordings of {counts['speakers']} speakers of the "
        f"split `test`, each in noise of the types {noise} at {snr} dB. Means over speakers, with "
        "95 % intervals.",
        "",
        *overall_table(breakdown),
        "",
        *group_table(breakdown),
    ]


def group_table(breakdown: Tree) -> list[str]:
    """Return a row for each noise type, SNR, gender and digit: noisy and denoised means.

    A group with one member, such as a gender where none is known, has no row.
    """
    shown = [metric for metric in SHOWN if metric in breakdown["overall"]["noisy"]]
    heads = [f"{METRICS[metric]}: noisy | denoised" for metric in shown]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "--:|--:|" * len(shown)]
    for key, title in GROUPS.items():
        groups = breakdown[key]
        for label, means in groups.items() if len(groups) > 1 else ():
            cells = [
                format_cell(metric, means[metric][method]) if metric in means else ""
                for metric in shown
                for method in ("noisy", "denoised")
            ]
            unit = " dB" if title == "SNR" else ""
            lines.append(f"| {title} {label}{unit} | " + " | ".join(cells) + " |")
    return lines


def with_figures(card: str, breakdown: Tree) -> str:
    """Return the text of a card with the figures of `breakdown` in the place of its former ones."""
    before, rest = card.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n" + "\n".join(figures(breakdown)) + f"\n{END}{after}"


def main() -> None:
    for pipeline in PIPELINES:
        path = ROOT / pipeline / "models" / "MODEL_CARD.md"
        card = path.read_text(encoding="utf-8")
        path.write_text(with_figures(card, read_breakdown(pipeline)), encoding="utf-8")


if __name__ == "__main__":
    main()
