"""Write general/dvc.yaml, the pipeline of the general model: `python -m presets.general`.

It has the stages of dvc.yaml, with params and results in the folder `general`. A test compares the
two files, so a change of dvc.yaml cannot be forgotten here.
"""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
FOLDER = "general"
KINDS = ("deps", "outs", "metrics", "plots")
RESULT = re.compile(r"^(data|models|metrics)/")
HEADER = """\
# The pipeline of the general model: the stages of ../dvc.yaml, with params and results in this
# folder. Written by `python -m presets.general`. `dvc repro general/dvc.yaml` runs it.
"""


def general_pipeline(pipeline: dict[str, Any]) -> dict[str, Any]:
    """Return the parsed dvc.yaml with all params and results moved to FOLDER."""
    stages = {name: _move_stage(stage) for name, stage in pipeline["stages"].items()}
    # DVC draws plots of one name into one picture, so these have other names.
    plots = [
        {f"General model: {name}": plot for name, plot in e.items()} for e in pipeline["plots"]
    ]
    return {"stages": stages, "plots": plots}


def _move_stage(stage: dict[str, Any]) -> dict[str, Any]:
    module, *options = re.split(r" (?=--)", stage["cmd"].strip())
    moved = [" ".join(_move(word) for word in option.split()) for option in options]
    command = " ".join([module, f"--params {FOLDER}/params.yaml", *moved])
    lists = {kind: [_move_entry(e) for e in stage[kind]] for kind in KINDS if kind in stage}
    params = {"params": [{f"{FOLDER}/params.yaml": stage["params"]}]} if stage["params"] else {}
    return {"cmd": command, "desc": stage["desc"], "wdir": "..", **params, **lists}


def _move_entry(entry: str | dict[str, Any]) -> str | dict[str, Any]:
    if isinstance(entry, str):
        return _move(entry)
    return {_move(path): options for path, options in entry.items()}


def _move(path: str) -> str:
    return f"{FOLDER}/{path}" if RESULT.match(path) else path


def render() -> str:
    """Return the text of general/dvc.yaml."""
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    body = yaml.safe_dump(general_pipeline(pipeline), sort_keys=False, width=100)
    return HEADER + body


if __name__ == "__main__":
    (ROOT / FOLDER / "dvc.yaml").write_text(render(), encoding="utf-8")
