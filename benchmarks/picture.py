"""The comparison as a picture: a panel a measure, a band a condition, a dot a method."""

import os
import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.methods import OURS, is_oracle
from benchmarks.verdicts import NO_DIFFERENCE, WORSE
from denoise.evaluation.plots import DOTS_PER_INCH, STYLE
from denoise.util.atomic import replacing

Tree = Mapping[str, Any]

# Okabe & Ito's palette, and four more, with a marker each: told apart in grey too.
LOOKS = (
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
GREYS = ("o", "s", "D", "^")
BAND = 0.84  # of the height that a condition has
COLUMNS = 2
TITLE_WIDTH = 52  # letters; a panel is no wider
CAPTION = (
    "Means over speakers, 95 % intervals. Hollow: on the same clips no difference from ours is\n"
    "shown. Ringed: better than ours, as the oracles are."
)


def draw(tree: Tree, path: str | os.PathLike[str]) -> None:
    """Draw every method's mean and 95 % interval, by measure and condition, as a PNG file."""
    measures = tree["measures"]
    n_rows = -(-len(measures) // COLUMNS)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        size = (11.0, 0.9 + n_rows * _panel_inches(tree))
        figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
        panels = figure.subplots(n_rows, COLUMNS, squeeze=False).ravel()
        for axes, measure in zip(panels, measures, strict=False):
            _draw_measure(axes, tree, measure)
        for axes in panels[len(measures) :]:
            axes.set_axis_off()
        figure.suptitle(CAPTION, x=0.01, ha="left", fontsize=11)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})


def _panel_inches(tree: Tree) -> float:
    return 0.6 + 0.072 * len(tree["conditions"]) * (len(tree["methods"]) + 2)


def looks(methods: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return how each method is drawn: ours bold, what one could not use in grey, the rest apart.

    Raises ValueError where there are more rivals than looks.
    """
    rivals = [name for name, about in methods.items() if about["is_usable"] and name != OURS]
    others = [name for name in methods if name not in rivals and name != OURS]
    if len(rivals) > len(LOOKS):
        raise ValueError(f"{len(rivals)} methods cannot be told apart; leave out --model options.")
    drawn: dict[str, dict[str, Any]] = {
        name: {"color": colour, "marker": marker}
        for name, (colour, marker) in zip(rivals, LOOKS, strict=False)
    }
    drawn |= {
        name: {"color": "#777777", "marker": marker}
        for name, marker in zip(others, GREYS, strict=False)
    }
    return drawn | {OURS: {"color": "#0072B2", "marker": "o", "markersize": 8, "zorder": 3}}


def _draw_measure(axes: Axes, tree: Tree, measure: str) -> None:
    conditions = list(tree["conditions"])
    for method in tree["methods"]:
        for index, condition in enumerate(conditions):
            _draw_dot(axes, tree, (measure, condition, method), index)
    for edge in range(1, len(conditions)):
        axes.axhline(edge - 0.5, color="#bbbbbb", linewidth=0.8)
    axes.set_yticks(range(len(conditions)), conditions)
    axes.set_ylim(len(conditions) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    about = tree["measures"][measure]
    arrow = "higher is better" if about["higher_is_better"] else "lower is better"
    title = textwrap.fill(f"{about['label']} ({arrow})", TITLE_WIDTH)
    axes.set_title(title, loc="left", fontsize=11)


def _draw_dot(axes: Axes, tree: Tree, key: tuple[str, str, str], index: int) -> None:
    """Draw one method in one condition, its label for the legend in the first alone."""
    measure, condition, method = key
    leaf = tree["quality"][measure][condition][method]
    label = {"label": tree["methods"][method]["label"]} if index == 0 else {}
    if "mean" not in leaf:
        axes.plot([], [], **looks(tree["methods"])[method], **label)
        return
    order = list(tree["methods"]).index(method)
    height = index + BAND * ((order + 0.5) / len(tree["methods"]) - 0.5)
    half = leaf.get("high", leaf["mean"]) - leaf["mean"]
    verdict = tree["difference"][measure][condition].get(method, {}).get("verdict")
    hollow = {"markerfacecolor": "white"} if verdict == NO_DIFFERENCE else {}
    style = {"linestyle": "none", "markersize": 5, **looks(tree["methods"])[method], **hollow}
    axes.errorbar(leaf["mean"], height, xerr=half, elinewidth=1.2, **style, **label)
    if verdict == WORSE and not is_oracle(method):
        ring: dict[str, Any] = {
            "markerfacecolor": "none",
            "markeredgecolor": "black",
            "markersize": 10,
        }
        axes.plot(leaf["mean"], height, "o", **ring)
