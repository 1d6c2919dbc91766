"""Cells and rows of the Markdown tables that the reports consist of."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.methods import OURS
from benchmarks.verdicts import BETTER, NO_DIFFERENCE, WORSE

Tree = Mapping[str, Any]

MARKS = {BETTER: "▼", WORSE: "▲", NO_DIFFERENCE: "="}  # the other method is below or above ours


def label_of(tree: Tree, method: str) -> str:
    """Return a method's label, ours in bold."""
    label = str(tree["methods"][method]["label"])
    return f"**{label}**" if method == OURS else label


def decimals_of(tree: Tree, metric: str) -> int:
    """Return with how many decimals a metric is shown."""
    return int(tree["metrics"][metric]["decimals"])


def plus_minus(interval: Mapping[str, float], decimals: int) -> str:
    """Return a mean and half the width of its interval."""
    if "mean" not in interval:
        return "—"
    mean = f"{interval['mean']:.{decimals}f}"
    if "low" not in interval:
        return mean
    return f"{mean} ± {(interval['high'] - interval['low']) / 2:.{decimals}f}"


def format_difference(difference: Mapping[str, Any], decimals: int) -> str:
    """Return a difference with its interval, in bold where ours is worse."""
    if "mean" not in difference:
        return "—"
    low, high = difference.get("low"), difference.get("high")
    text = signed(difference["mean"], low, high, decimals)
    return f"**{text}**" if difference["verdict"] == WORSE else text


def signed(mean: float, low: float | None, high: float | None, decimals: int) -> str:
    """Return a difference with its sign and, where it is known, its interval."""
    if low is None or high is None:
        return f"{mean:+.{decimals}f}"
    return f"{mean:+.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})"


def number(value: float | None, decimals: int) -> str:
    """Return a number, or a dash where there is none."""
    return "—" if value is None else f"{value:.{decimals}f}"


def describe_machine_line(machine: Tree) -> list[str]:
    """Return the processor, the system and the versions of the packages."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}; {packages}."
    ]


def header(first: str, columns: Mapping[str, Any]) -> list[str]:
    """Return the first two lines of a table."""
    return [row(first, list(columns)), "|---|" + "--:|" * len(columns)]


def row(first: str, cells: list[str]) -> str:
    """Return a line of a table."""
    return f"| {first} | " + " | ".join(cells) + " |"


def join_sections(sections: Iterable[Sequence[str]]) -> str:
    """Return a document of sections, each a list of lines, with an empty line between them."""
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def cost_cells(cost: Tree) -> list[str]:
    """Return the time per second of audio (ms), the start-up (s) and the peak memory (MB)."""
    decimals = {"ms_per_second": 1, "start_up_cpu_seconds": 1, "peak_memory_mb": 0}
    return [number(cost.get(key), digits) for key, digits in decimals.items()]
