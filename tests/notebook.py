"""Runs a notebook's code cells without Jupyter: `python -m tests.notebook NOTEBOOK REPORT`.

The cells run one after another in this process. A stand-in for IPython.display counts what they
show, also where IPython is installed. The report, in JSON, holds the numbers of pictures and
players, the tables, and what the cells printed.
"""

import contextlib
import io
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PNG = b"\x89PNG\r\n\x1a\n"


class Audio:
    """A player of float [n_samples]."""

    def __init__(self, data: np.ndarray, rate: int) -> None:
        assert data.ndim == 1 and len(data) > rate / 2, data.shape
        assert np.isfinite(data).all() and data.any()


class Image:
    """A picture, a PNG file."""

    def __init__(self, filename: str) -> None:
        assert Path(filename).read_bytes().startswith(PNG)


def read_cells(notebook: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook, with the source of each in one string."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def run_cells(notebook: Path) -> tuple[list[Any], str]:
    """Run the code cells; return what they displayed and printed."""
    shown: list[Any] = []
    stand_in: Any = ModuleType("IPython.display")
    stand_in.Audio, stand_in.Image = Audio, Image
    stand_in.display = lambda *values: shown.extend(values)
    sys.modules["IPython.display"] = stand_in  # found before Python looks for IPython
    names: dict[str, Any] = {}
    printed = io.StringIO()
    for cell in read_cells(notebook):
        if cell["cell_type"] == "code":
            with contextlib.redirect_stdout(printed):
                exec(compile(cell["source"], f"cell {cell['id']}", "exec"), names)
    return shown, printed.getvalue()


def main(notebook: Path, report: Path) -> None:
    shown, printed = run_cells(notebook)
    tables = [value for value in shown if not isinstance(value, Audio | Image)]
    content = {
        "pictures": sum(isinstance(value, Image) for value in shown),
        "players": sum(isinstance(value, Audio) for value in shown),
        "tables": [json.loads(table.reset_index().to_json(orient="records")) for table in tables],
        "printed": printed,
        "processor_seconds": time.process_time(),
    }
    report.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
