"""Run a grid of experiments and draw them: `python -m presets.grid KEY=V1,V2,... [KEY=V1,V2,...]`.

The arguments name params and the values that they take; a value may be a list, as in
`evaluate.snr_db=[-6.0],[6.0]`. Every combination becomes an experiment NAME-1, NAME-2, ... of DVC's
queue, and DVC runs all that is queued, each in a copy of the workspace. The table and the picture
hold the improvement of the denoised test clips over the noisy ones, with its 95 % interval over the
test speakers: the first param's values are the rows and the horizontal axis, the second's the
columns and the lines.
"""

import argparse
import itertools
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dvc.api
import pandas as pd
import yaml
from dvc.exceptions import DvcException

from denoise.errors import DenoiseError, UsageError
from denoise.evaluation.tables import confidence_interval, higher_is_better
from denoise.params_file import load_params, parse_params
from denoise.util.atomic import replacing
from presets.compare import TABLE, read_table
from presets.grid_picture import Panel, draw
from presets.keys import look_up, set_value

PARAMS = "params.yaml"
LABELS = {
    "si_sdr_db": "SI-SDR improvement (dB)",
    "estoi": "ESTOI improvement",
    "lsd_db": "LSD improvement (dB)",
    "pesq": "PESQ improvement",
    "digits_clean_trained": "accuracy of digits, clean-trained: improvement",
    "digits_noise_trained": "accuracy of digits, noise-trained: improvement",
}
DECIMALS = {"si_sdr_db": 2, "lsd_db": 2}  # of the others: 3
DVC = [sys.executable, "-m", "dvc"]

Interval = Mapping[str, float]


@dataclass(frozen=True)
class Axis:
    """A param and the values that it takes, as the user wrote them."""

    key: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Axis":
        """Read KEY=V1,V2,...; raises UsageError where there are no two values, each in YAML."""
        key, _, values = text.partition("=")
        axis = cls(key, tuple(split_values(values)))
        if not key or len(axis.values) < 2 or not all(axis.values):
            raise UsageError(f"{text}: KEY=V1,V2,... with at least two values is needed.")
        if len(set(axis.values)) < len(axis.values):
            raise UsageError(f"{text}: a value is named twice.")
        for value in axis.values:
            try:
                yaml.safe_load(value)
            except (yaml.YAMLError, ValueError) as error:
                raise UsageError(f"{text}: the value {value} is not YAML.") from error
        return axis

    def __str__(self) -> str:
        """Return it as `dvc exp run -S` takes it."""
        return f"{self.key}={','.join(self.values)}"


def split_values(text: str) -> list[str]:
    """Split at the commas that are not inside brackets."""
    values, depth = [""], 0
    for character in text:
        depth += (character in "[{(") - (character in "]})")
        if character == "," and depth == 0:
            values.append("")
        else:
            values[-1] += character
    return values


@dataclass(frozen=True)
class Grid:
    """The experiments of one or two axes, numbered as DVC numbers them."""

    name: str
    axes: tuple[Axis, ...]

    @property
    def cells(self) -> dict[str, dict[str, Any]]:
        """Each experiment's name, and its values by the params' keys."""
        keys = [axis.key for axis in self.axes]
        combinations = itertools.product(*(axis.values for axis in self.axes))
        return {
            f"{self.name}-{number}": dict(zip(keys, map(yaml.safe_load, values), strict=True))
            for number, values in enumerate(combinations, start=1)
        }

    def check(self, params: str) -> None:
        """Raise ParamsError or UsageError for a combination that is not valid."""
        for cell in self.cells.values():
            tree = yaml.safe_load(params)
            for key, value in cell.items():
                _look_up(tree, key)
                set_value(tree, key, value)
            parse_params(tree)

    def queue_command(self) -> list[str]:
        """Return the command that queues all experiments."""
        changes = [word for axis in self.axes for word in ("-S", str(axis))]
        return [*DVC, "exp", "run", "--queue", "--name", self.name, *changes]


def _look_up(tree: Any, key: str) -> Any:
    try:
        return look_up(tree, key)
    except (KeyError, TypeError) as error:
        raise UsageError(f"{PARAMS} has no {key}.") from error


def improvement(table: pd.DataFrame, metric: str) -> Interval:
    """Return the mean and the interval of a metric's improvement, from a table `utterances.csv`."""
    columns = [f"{metric}_noisy", f"{metric}_denoised"]
    if not set(columns) <= set(table.columns):
        raise UsageError(f"The experiments did not measure {metric}.")
    scores = table[columns].dropna()
    difference = scores[columns[1]] - scores[columns[0]]
    sign = 1 if higher_is_better()[metric] else -1
    return confidence_interval(sign * difference, table["speaker_id"])


def taken_names(grid: Grid) -> list[str]:
    """Return the names of the grid's experiments that have run already."""
    command = [*DVC, "exp", "list", "--name-only"]
    listed = subprocess.run(command, check=False, capture_output=True, text=True).stdout.split()
    return [name for name in grid.cells if name in listed]


def check_names(grid: Grid) -> None:
    """Raise UsageError if an experiment of the same name has run, before any is queued."""
    if taken := taken_names(grid):
        advice = "--draw draws those that have run, --force replaces them, --name gives another"
        raise UsageError(f"There is an experiment {taken[0]} already: {advice}.")


def read_results(grid: Grid, metrics: Sequence[str]) -> dict[str, list[Interval]]:
    """Return the intervals of each metric, in the order of the grid's cells.

    Raises UsageError for an experiment that has no result, or has other values than the grid says.
    """
    results: dict[str, list[Interval]] = {metric: [] for metric in metrics}
    for name, cell in grid.cells.items():
        try:
            table = read_table(name, TABLE)
            params = yaml.safe_load(dvc.api.read(PARAMS, rev=name, encoding="utf-8"))
        except (DenoiseError, DvcException, OSError, yaml.YAMLError) as error:
            advice = f"`dvc queue logs {name}` says why it failed, `dvc queue status` what waits"
            raise UsageError(f"{name} has no result: {advice}.") from error
        for key, value in cell.items():
            if _numbers_in(found := _look_up(params, key)) != _numbers_in(value):
                raise UsageError(f"{name} ran with {key}={found}, not {value}: choose a --name.")
        for metric in metrics:
            results[metric].append(improvement(table, metric))
    return results


def _numbers_in(value: Any) -> Any:
    """Return a value with the texts that are numbers as such: YAML reads 1e-5 as text."""
    if isinstance(value, list):
        return [_numbers_in(each) for each in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def render_table(grid: Grid, metric: str, intervals: Sequence[Interval]) -> list[str]:
    """Return a table in Markdown: the first param down, the second across."""
    rows, columns = grid.axes[0], grid.axes[1:]
    heads = [f"`{columns[0].key}` {value}" for value in columns[0].values] if columns else [""]
    label = LABELS.get(metric, f"{metric}: improvement")
    lines = [f"| {label}: `{rows.key}` | " + " | ".join(heads) + " |"]
    lines.append("|--:|" + "--:|" * len(heads))
    decimals = DECIMALS.get(metric, 3)
    cells = [_format(interval, decimals) for interval in intervals]
    for number, value in enumerate(rows.values):
        row = cells[number * len(heads) : (number + 1) * len(heads)]
        lines.append(f"| {value} | " + " | ".join(row) + " |")
    return lines


def _format(interval: Interval, decimals: int) -> str:
    if not interval:
        return ""
    mean, *ends = (
        f"{interval[end]:.{decimals}f}" for end in ("mean", "low", "high") if end in interval
    )
    return f"{mean} ({' to '.join(ends)})" if ends else mean


def panels(grid: Grid, results: Mapping[str, Sequence[Interval]]) -> list[Panel]:
    """Return what the picture shows, a panel for each metric."""
    columns = grid.axes[1:]
    names = [f"{columns[0].key} {value}" for value in columns[0].values] if columns else [""]
    return [
        Panel(
            label=LABELS.get(metric, f"{metric}: improvement"),
            key=grid.axes[0].key,
            values=grid.axes[0].values,
            lines={name: intervals[number :: len(names)] for number, name in enumerate(names)},
        )
        for metric, intervals in results.items()
    ]


def queue(grid: Grid, force: bool) -> int:
    """Queue all experiments, and return DVC's exit code.

    With `force`, those of the same name are removed first: DVC's own `--force` would also run the
    stages whose results are known. Raises UsageError if there are some, without `force`.
    """
    if not force:
        check_names(grid)
    elif (taken := taken_names(grid)) and (status := call([*DVC, "exp", "remove", *taken])):
        return status
    return call(grid.queue_command())


def call(command: Sequence[str]) -> int:
    """Print a command of DVC, run it, and return its exit code."""
    print(shlex.join(["dvc", *command[len(DVC) :]]), flush=True)
    return subprocess.call(command)


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m presets.grid", description=__doc__)
    parser.add_argument("axes", metavar="KEY=V1,V2,...", nargs="+", help="one or two params")
    parser.add_argument(
        "--name", default="grid", help="of the experiments: NAME-1, ... (%(default)s)"
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=["si_sdr_db", "estoi"],
        choices=sorted(higher_is_better()),
        metavar="METRIC",
        help=f"of {', '.join(sorted(higher_is_better()))} (si_sdr_db estoi)",
    )
    parser.add_argument("--jobs", type=int, default=1, help="experiments at a time (%(default)s)")
    parser.add_argument("--force", action="store_true", help="replace experiments of the same name")
    parser.add_argument(
        "--draw", action="store_true", help="run nothing: draw the experiments that have run"
    )
    parser.add_argument("--table", type=Path, metavar="MD", help="write the tables to this file")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the picture to this file")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the grid, print its tables, and return the exit code."""
    try:
        return _run(parse_options(arguments))  # an extension may fail in either
    except (DenoiseError, OSError) as error:
        print(f"python -m presets.grid: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    axes = tuple(map(Axis.parse, options.axes))
    if len(axes) > 2 or len({axis.key for axis in axes}) < len(axes):
        raise UsageError("One param or two different ones make a grid.")
    grid = Grid(options.name, axes)
    load_params(PARAMS)  # raises ParamsError outside the project
    grid.check(Path(PARAMS).read_text(encoding="utf-8"))
    if not options.draw:
        if status := queue(grid, options.force):
            return status
        call([*DVC, "exp", "run", "--run-all", "--jobs", str(options.jobs)])
    results = read_results(grid, options.metrics)
    tables = [render_table(grid, metric, intervals) for metric, intervals in results.items()]
    text = "\n\n".join("\n".join(lines) for lines in tables) + "\n"
    print(text, end="")
    if options.table:
        with replacing(options.table) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")
    if options.picture:
        draw(panels(grid, results), options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
