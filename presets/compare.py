"""Say whether two experiments differ significantly: `python -m presets.compare A [B]`.

A and B are experiments, commits, branches or tags, and B is the workspace if it is left out. Each
metric has a line with the means of both, their difference and its 95 % interval, which is that of
the test speakers' mean differences. The exit code is 1 if B is significantly worse in any metric,
and 2 if the two cannot be compared.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import dvc.api
import pandas as pd
from dvc.exceptions import DvcException
from dvc.scm import SCMError

from denoise.errors import DenoiseError
from denoise.evaluation.comparison import KEYS, ComparisonError, Difference, compare, pair

TABLE = "metrics/evaluation/utterances.csv"
WORKSPACE = "workspace"
TEXT_COLUMNS = {"utterance_id": str, "speaker_id": str, "noise": str}


def read_table(revision: str, path: str) -> pd.DataFrame:
    """Return the scores of a revision; raises ComparisonError if it has none."""
    try:
        if revision == WORKSPACE:
            table = pd.read_csv(Path(path), dtype=TEXT_COLUMNS)
        else:
            with dvc.api.open(path, rev=revision) as file:
                table = pd.read_csv(file, dtype=TEXT_COLUMNS)
    except (OSError, DvcException, SCMError) as error:
        raise ComparisonError(f"{revision} has no {path}: {error}") from error
    except ValueError as error:  # what pandas raises for a file that is empty or no CSV
        raise ComparisonError(f"{path} of {revision} is no table: {error}") from error
    _check_columns(table, f"{path} of {revision}")
    return table


def _check_columns(table: pd.DataFrame, name: str) -> None:
    """Raise ComparisonError if a column that identifies a clip is missing, or scores are text."""
    if missing := [key for key in KEYS if key not in table]:
        raise ComparisonError(f"{name} has no column {', '.join(missing)}.")
    numbers = ["snr_db", *(column for column in table if str(column).endswith("_denoised"))]
    for column in numbers:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise ComparisonError(f"{name} holds text in the column {column}, not numbers.")


def render(first: str, second: str, differences: Sequence[Difference]) -> str:
    """Return a table with a line for each metric."""
    header = ("metric", first, second, "difference", "95 % interval", "")
    rows = [header, *(_describe(difference) for difference in differences)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = []
    for name, *cells in rows:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *padded[:-1], cells[-1]]).rstrip())
    return "\n".join(lines)


def _describe(difference: Difference) -> tuple[str, ...]:
    verdict = "better" if difference.is_better else "worse" if difference.is_worse else "="
    return (
        difference.metric,
        f"{difference.first:.3f}",
        f"{difference.second:.3f}",
        f"{difference.second - difference.first:+.3f}",
        f"{difference.low:+.3f} to {difference.high:+.3f}",
        verdict,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparison and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m presets.compare", description=__doc__)
    parser.add_argument("first", metavar="A", help="an experiment, commit, branch or tag")
    parser.add_argument("second", metavar="B", nargs="?", default=WORKSPACE, help="the other")
    parser.add_argument("--table", default=TABLE, metavar="CSV", help="path of the scores")
    options = parser.parse_args(arguments)
    try:
        tables = [read_table(name, options.table) for name in (options.first, options.second)]
        pairs = pair(*tables)
        differences = compare(pairs)
        if not differences:
            raise ComparisonError("The experiments have no metric in common.")
        text = render(options.first, options.second, differences)
        is_worse = any(difference.is_worse for difference in differences)
    except DenoiseError as error:
        print(f"{parser.prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    unpaired = sum(map(len, tables)) - 2 * len(pairs)
    print(f"{len(pairs)} clips of {pairs['speaker_id'].nunique()} speakers", end="")
    print(f"; {unpaired} without a counterpart are left out." if unpaired else ".")
    print(text)
    return int(is_worse)


if __name__ == "__main__":
    sys.exit(main())
