"""Draw the results of a grid: a panel for each metric, a line for each value of a param."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from denoise.evaluation.plots import IMPROVEMENT_TITLE, png_figure

# Okabe & Ito's palette, which colour-blind people can distinguish; markers help in grey.
STYLES = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "v"),
    ("#E69F00", "D"),
    ("#56B4E9", "P"),
    ("#555555", "X"),
)
DOTS_PER_INCH = 90  # keeps the file small: git holds it
OFFSET = 0.008  # between the bars of neighbouring lines, as a share of the width


@dataclass(frozen=True)
class Panel:
    """The results of one metric: {mean, low, high} for each of the values, by line."""

    label: str
    key: str
    values: Sequence[str]
    lines: Mapping[str, Sequence[Mapping[str, float]]]


def draw(panels: Sequence[Panel], path: str | os.PathLike[str]) -> None:
    """Write the picture as a PNG file on white, whose bytes depend on the results alone."""
    with png_figure(path, max(7.0, 4.6 * len(panels)), 4.2, DOTS_PER_INCH) as figure:
        all_axes = figure.subplots(1, len(panels), squeeze=False).ravel()
        for axes, panel in zip(all_axes, panels, strict=True):
            _draw_panel(axes, panel)
        figure.suptitle(IMPROVEMENT_TITLE, x=0.01, ha="left", fontsize=11)
        if len(panels[0].lines) > 1:
            entries = all_axes[0].get_legend_handles_labels()
            figure.legend(*entries, loc="outside lower center", ncols=4, fontsize=10)


def positions(values: Sequence[str]) -> np.ndarray | None:
    """Return the values as numbers, `[6.0]` as 6; None if one is no number."""
    try:
        return np.array([float(value.strip("[] ")) for value in values])
    except ValueError:
        return None


def _draw_panel(axes: Axes, panel: Panel) -> None:
    numbers = positions(panel.values)
    places = np.arange(len(panel.values), dtype=float) if numbers is None else numbers
    middle = (len(panel.lines) - 1) / 2
    for index, (name, intervals) in enumerate(panel.lines.items()):
        colour, marker = STYLES[index % len(STYLES)]
        ends = np.array(
            [[cell.get(end, np.nan) for end in ("mean", "low", "high")] for cell in intervals]
        )
        mean, low, high = ends.T
        style: dict[str, Any] = {"color": colour, "marker": marker, "capsize": 3, "label": name}
        if numbers is None:
            style["linestyle"] = "none"  # nothing lies between two names
        shifted = places + (index - middle) * OFFSET * np.ptp(places)
        axes.errorbar(shifted, mean, yerr=[mean - low, high - mean], **style)
    axes.axhline(0, color="#999999", linewidth=1, zorder=0)
    axes.set_xticks(places, [value.strip("[] ") for value in panel.values])
    axes.set_xlabel(panel.key)
    axes.set_title(panel.label, loc="left", fontsize=11)
