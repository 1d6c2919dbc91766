"""Writes the results of a comparison: figures, report, picture and, if asked for, every score."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from denoise.errors import DenoiseError
from denoise.util.atomic import write_text

Compare = Callable[[argparse.Namespace], tuple[dict[str, Any], pd.DataFrame]]


def write_results(
    options: argparse.Namespace,
    name: str,
    compare: Compare,
    render: Callable[[dict[str, Any]], str],
    draw: Callable[[dict[str, Any], Path], None],
) -> None:
    """Run a comparison; write NAME.json, NAME.md, NAME.png and `options.rows`; print the report.

    Exits with an error message for a DenoiseError.
    """
    try:
        tree, rows = compare(options)
    except DenoiseError as error:
        sys.exit(f"error: {error}")
    write_text(options.output / f"{name}.json", json.dumps(tree, indent=1) + "\n")
    write_text(options.output / f"{name}.md", render(tree))
    draw(tree, options.output / f"{name}.png")
    if options.rows:
        write_text(options.rows, rows.round(4).to_csv(index=False, lineterminator="\n"))
    print(render(tree))
