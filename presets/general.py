"""Write general/dvc.yaml, the pipeline of the general model: `python -m presets.general`.

The folder `general` is a DVC project of its own, so its params, metrics and experiments stay apart
from those of the digit model. Its stages are those of dvc.yaml. A test compares the two files, so
a change of dvc.yaml cannot be forgotten here.
"""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
FOLDER = "general"
RESULT = re.compile(r"(?<!\S)(data|models|metrics)/")
HEADER = """\
# The pipeline of the general model: the stages of ../dvc.yaml, run in the folder above with the
# params and results of this one. Written by `python -m presets.general`.
"""


def general_pipeline(pipeline: dict[str, Any]) -> dict[str, Any]:
    """Return the parsed dvc.yaml as a pipeline whose params and results lie in FOLDER."""
    stages = {name: _move_stage(stage) for name, stage in pipeline["stages"].items()}
    return {**pipeline, "stages": stages}


def _move_stage(stage: dict[str, Any]) -> dict[str, Any]:
    module, options = stage["cmd"].strip().split(" --", 1)
    options = RESULT.sub(rf"{FOLDER}/\1/", f"--params {FOLDER}/params.yaml --{options}")
    deps = [dep if RESULT.match(dep) else f"../{dep}" for dep in stage["deps"]]
    return {**stage, "cmd": f"cd .. && {module} {options}", "deps": deps}


def render() -> str:
    """Return the text of general/dvc.yaml."""
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    return HEADER + yaml.safe_dump(general_pipeline(pipeline), sort_keys=False, width=100)


if __name__ == "__main__":
    (ROOT / FOLDER / "dvc.yaml").write_text(render(), encoding="utf-8")
