"""Run a preset as a DVC experiment of the same name: `python -m presets NAME [OPTIONS]`.

A preset is a YAML file beside this module that holds the keys in which it differs from params.yaml.
It becomes the `-S` options of `dvc exp run`; further options are passed on, such as
`-S train.seed=21` or `--queue`.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_preset(name: str) -> dict[str, Any]:
    """Return a preset's keys, by their dotted paths."""
    tree = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return dict(_leaves(tree, ""))


def _leaves(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def experiment_command(name: str, options: list[str]) -> list[str]:
    """Return the `dvc exp run` command of a preset; `options` come last, and so win."""
    overrides = [
        word for key, value in load_preset(name).items() for word in ("-S", f"{key}={value}")
    ]
    return [sys.executable, "-m", "dvc", "exp", "run", "--name", name, *overrides, *options]


def main() -> int:
    """Run the preset's experiment and return DVC's exit status."""
    parser = argparse.ArgumentParser(prog="python -m presets", description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=NAMES)
    chosen, options = parser.parse_known_args()
    command = experiment_command(chosen.name, options)
    print(shlex.join(["dvc", *command[3:]]), flush=True)
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
