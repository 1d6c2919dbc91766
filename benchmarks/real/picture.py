"""Draw the comparison on real recordings as one PNG: overall, by noise type and by SNR."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from benchmarks.methods import OURS
from benchmarks.real.report import HEADLINES, has_means
from benchmarks.verdicts import NO_DIFFERENCE, WORSE
from denoise.evaluation.plots import png_figure

Tree = Mapping[str, Any]

OURS_COLOUR, OTHER_COLOUR = "#0072B2", "#777777"
COLUMNS = 4
DARK_SHARE = 0.65  # of the largest distance; text on darker cells is white
HEAT_MAPS = (("noise", "noise type"), ("snr", "SNR"))
CAPTION = (
    "Points: means and 95 % confidence intervals. Ours is blue. Hollow: no significant difference "
    "from ours.\nRinged: significantly better than ours. Higher is better everywhere. Maps: PESQ "
    "less that of ours, the mean in each cell."
)


def draw(tree: Tree, path: str | os.PathLike[str]) -> None:
    """Draw the figure; the methods are in the order of their mean PESQ, the best at the top."""
    panels = [each for each in HEADLINES if has_means(tree, *each[:3])]
    order = sort_methods(tree)
    n_rows = -(-len(panels) // COLUMNS)
    row_inches = 0.8 + 0.22 * len(order)
    with png_figure(path, 13.0, 0.9 + (n_rows + 1.2) * row_inches) as figure:
        parts: Any = figure.subfigures(2, 1, height_ratios=(n_rows, 1.2))
        top, bottom = parts
        grid = top.subplots(n_rows, COLUMNS, squeeze=False, sharey=True).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _draw_points(axes, tree, order, panel)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        metric = "pesq" if "pesq" in tree["tables"]["noise"]["metrics"] else "estoi"
        widths = [len(tree["tables"][name]["quality"][metric]) + 2 for name, _ in HEAT_MAPS]
        maps = bottom.subplots(1, len(HEAT_MAPS), width_ratios=widths)
        for axes, (name, title) in zip(maps, HEAT_MAPS, strict=True):
            _draw_map(axes, tree, order, (name, metric))
            label = tree["metrics"][metric]["label"]
            axes.set_title(f"{label} by {title}", loc="left", fontsize=11)
        figure.suptitle(CAPTION, x=0.01, ha="left", fontsize=10)


def sort_methods(tree: Tree) -> list[str]:
    """Return the methods, the best first, by the first metric of the overall table."""
    overall = tree["tables"]["overall"]
    (means,) = overall["quality"][overall["metrics"][0]].values()
    return sorted(tree["methods"], key=lambda m: -means[m].get("mean", -np.inf))


def _draw_points(
    axes: Axes, tree: Tree, order: list[str], panel: tuple[str, str, str, str]
) -> None:
    table, condition, metric, title = panel
    part = tree["tables"][table]
    for height, method in enumerate(order):
        interval = part["quality"][metric][condition][method]
        if "mean" not in interval:
            continue
        verdict = part["difference"][metric][condition].get(method, {}).get("verdict")
        colour = OURS_COLOUR if method == OURS else OTHER_COLOUR
        face = "white" if verdict == NO_DIFFERENCE else colour
        half = interval.get("high", interval["mean"]) - interval["mean"]
        style: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markersize": 6}
        axes.errorbar(interval["mean"], height, xerr=half, fmt="o", **style)
        if verdict == WORSE:
            axes.plot(interval["mean"], height, "o", mfc="none", mec="black", ms=11)
    axes.set_title(title, loc="left", fontsize=11)
    _label_methods(axes, tree, order)


def _label_methods(axes: Axes, tree: Tree, order: list[str]) -> None:
    axes.set_yticks(range(len(order)), [tree["methods"][method]["label"] for method in order])
    axes.set_ylim(len(order) - 0.5, -0.5)
    shown = axes.get_yticklabels()  # none in a panel that shares its neighbour's labels
    for label, method in zip(shown, order, strict=False):
        label.set_color(OURS_COLOUR if method == OURS else "black")


def _draw_map(axes: Axes, tree: Tree, order: list[str], key: tuple[str, str]) -> None:
    """Draw the means of a metric, methods by conditions; the colour is the distance to ours."""
    name, metric = key
    quality = tree["tables"][name]["quality"][metric]
    means = np.array(
        [[quality[each][method].get("mean", np.nan) for each in quality] for method in order]
    )
    distance = means - means[order.index(OURS)]
    limit = max(0.1, float(np.nanmax(np.abs(distance), initial=0)))
    axes.imshow(distance, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    decimals = tree["metrics"][metric]["decimals"]
    for (y, x), mean in np.ndenumerate(means):
        if np.isfinite(mean):
            colour = "white" if abs(distance[y, x]) > DARK_SHARE * limit else "black"
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": colour}
            axes.text(x, y, f"{mean:.{decimals}f}", **style)
    axes.set_xticks(range(len(quality)), list(quality), fontsize=9)
    axes.grid(visible=False)
    _label_methods(axes, tree, order)
