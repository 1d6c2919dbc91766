"""Plot the comparison: one panel per metric, one band per condition, one point per method."""

import os
import textwrap
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from benchmarks.methods import OURS, is_oracle
from benchmarks.verdicts import NO_DIFFERENCE, WORSE
from denoise.evaluation.plots import png_figure

Tree = Mapping[str, Any]

# Okabe & Ito's palette and more colours, each with its own marker, so that grey prints work too.
BASELINE_STYLES = (
    ("#56B4E9", "s"),
    ("#E69F00", "D"),
    ("#009E73", "^"),
    ("#CC79A7", "v"),
    ("#D55E00", "P"),
    ("#8A6FDF", "X"),
    ("#7A5230", "<"),
    ("#C2A83E", ">"),
    ("#A03050", "p"),
    ("#30A0A0", "d"),
    ("#607020", "h"),
    ("#203060", "*"),
)
OTHER_MARKERS = ("o", "s", "D", "^")
BAND = 0.84  # share of a condition's height that its points use
COLUMNS = 2
TITLE_WIDTH = 52  # characters that fit a panel
CAPTION = (
    "Means over speakers; bars: 95 % confidence interval. Hollow: no significant difference from\n"
    "ours on the same clips. Ringed: significantly better than ours (oracles are not ringed)."
)


def draw(tree: Tree, path: str | os.PathLike[str]) -> None:
    """Plot the mean and interval of every method, metric and condition, as a PNG file."""
    metrics = tree["metrics"]
    n_rows = -(-len(metrics) // COLUMNS)
    with png_figure(path, 11.0, 0.9 + n_rows * _panel_inches(tree)) as figure:
        panels = figure.subplots(n_rows, COLUMNS, squeeze=False).ravel()
        for axes, metric in zip(panels, metrics, strict=False):
            _draw_metric(axes, tree, metric)
        for axes in panels[len(metrics) :]:
            axes.set_axis_off()
        figure.suptitle(CAPTION, x=0.01, ha="left", fontsize=11)
        entries = panels[0].get_legend_handles_labels()
        figure.legend(*entries, loc="outside lower center", ncols=4, fontsize=10)


def _panel_inches(tree: Tree) -> float:
    return 0.6 + 0.072 * len(tree["conditions"]) * (len(tree["methods"]) + 2)


def method_styles(methods: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the plot style of each method: ours large, unusable ones grey, the others coloured.

    Raises ValueError if there are more baselines than distinct styles.
    """
    baselines = [name for name, method in methods.items() if method["is_usable"] and name != OURS]
    others = [name for name in methods if name not in baselines and name != OURS]
    if len(baselines) > len(BASELINE_STYLES):
        raise ValueError(
            f"The plot has distinct styles for {len(BASELINE_STYLES)} methods, not for "
            f"{len(baselines)}; use fewer --model options."
        )
    styles: dict[str, dict[str, Any]] = {
        name: {"color": colour, "marker": marker}
        for name, (colour, marker) in zip(baselines, BASELINE_STYLES, strict=False)
    }
    styles |= {
        name: {"color": "#777777", "marker": marker}
        for name, marker in zip(others, OTHER_MARKERS, strict=False)
    }
    return styles | {OURS: {"color": "#0072B2", "marker": "o", "markersize": 8, "zorder": 3}}


def _draw_metric(axes: Axes, tree: Tree, metric: str) -> None:
    conditions = list(tree["conditions"])
    for method in tree["methods"]:
        for index, condition in enumerate(conditions):
            _draw_point(axes, tree, (metric, condition, method), index)
    for edge in range(1, len(conditions)):
        axes.axhline(edge - 0.5, color="#bbbbbb", linewidth=0.8)
    axes.set_yticks(range(len(conditions)), conditions)
    axes.set_ylim(len(conditions) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    description = tree["metrics"][metric]
    direction = "higher is better" if description["higher_is_better"] else "lower is better"
    title = textwrap.fill(f"{description['label']}, {direction}", TITLE_WIDTH)
    axes.set_title(title, loc="left", fontsize=11)


def _draw_point(axes: Axes, tree: Tree, key: tuple[str, str, str], index: int) -> None:
    """Draw one method in one condition; only the first condition adds a label to the legend."""
    metric, condition, method = key
    interval = tree["quality"][metric][condition][method]
    method_style = method_styles(tree["methods"])[method]
    label = {"label": tree["methods"][method]["label"]} if index == 0 else {}
    if "mean" not in interval:
        axes.plot([], [], **method_style, **label)
        return
    order = list(tree["methods"]).index(method)
    height = index + BAND * ((order + 0.5) / len(tree["methods"]) - 0.5)
    half = interval.get("high", interval["mean"]) - interval["mean"]
    verdict = tree["difference"][metric][condition].get(method, {}).get("verdict")
    hollow = {"markerfacecolor": "white"} if verdict == NO_DIFFERENCE else {}
    style = {"linestyle": "none", "markersize": 5, **method_style, **hollow}
    axes.errorbar(interval["mean"], height, xerr=half, elinewidth=1.2, **style, **label)
    if verdict == WORSE and not is_oracle(method):
        ring: dict[str, Any] = {
            "markerfacecolor": "none",
            "markeredgecolor": "black",
            "markersize": 10,
        }
        axes.plot(interval["mean"], height, "o", **ring)
