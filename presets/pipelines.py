"""Write the pipelines of the shipped models from dvc.yaml: `python -m presets.pipelines`.

The folder `general` is a DVC project of its own, so its params, metrics and experiments stay apart
from those of the digit model. Its stages are those of dvc.yaml. `general/live` is a second pipeline
of that project, which trains the causal model on the data of the first. A test compares the files,
so a change of dvc.yaml cannot be forgotten here.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from posixpath import relpath
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
RESULT = re.compile(r"(?<!\S)(?:data|models|metrics)/\S*")
HEADER = """\
# The pipeline of {name}: the stages of {up}/dvc.yaml, run in that folder with the
# params and results of this one. Written by `python -m presets.pipelines`.
"""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline in `folder` that runs `stages` of dvc.yaml; all of them if it names none.

    What the other stages make is in the folder of the pipeline `above`.
    """

    name: str
    folder: str
    stages: tuple[str, ...] = ()
    above: str = ""

    @property
    def up(self) -> str:
        """Return the relative path from the folder to the root of the repository."""
        return "/".join(".." for _ in Path(self.folder).parts)


GENERAL = Pipeline("the general model", "general")
LIVE = Pipeline(
    "the live model", "general/live", stages=("train", "export", "evaluate"), above="general"
)
PIPELINES = (GENERAL, LIVE)


def render(pipeline: Pipeline) -> str:
    """Return the text of the pipeline's dvc.yaml."""
    tree = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    names = pipeline.stages or tuple(tree["stages"])
    made = [path for name in names for path in _results(tree["stages"][name])]
    stages = {name: _move_stage(tree["stages"][name], pipeline, made) for name in names}
    header = HEADER.format(name=pipeline.name, up=pipeline.up)
    return header + yaml.safe_dump({**tree, "stages": stages}, sort_keys=False, width=100)


def _results(stage: dict[str, Any]) -> list[str]:
    found = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    return [out if isinstance(out, str) else next(iter(out)) for out in found]


def _move_stage(stage: dict[str, Any], pipeline: Pipeline, made: list[str]) -> dict[str, Any]:
    def is_own(path: str) -> bool:
        return any(out == path or out.startswith(f"{path}/") for out in made)

    def from_root(result: re.Match[str]) -> str:
        folder = pipeline.folder if is_own(result[0]) else pipeline.above
        return f"{folder}/{result[0]}"

    def from_folder(dep: str) -> str:
        if not RESULT.match(dep):
            return f"{pipeline.up}/{dep}"
        return dep if is_own(dep) else relpath(f"{pipeline.above}/{dep}", pipeline.folder)

    module, options = stage["cmd"].strip().split(" --", 1)
    options = RESULT.sub(from_root, f"--params {pipeline.folder}/params.yaml --{options}")
    deps = [from_folder(dep) for dep in stage["deps"]]
    return {**stage, "cmd": f"cd {pipeline.up} && {module} {options}", "deps": deps}


if __name__ == "__main__":
    for pipeline in PIPELINES:
        path = ROOT / pipeline.folder / "dvc.yaml"
        path.write_text(render(pipeline), encoding="utf-8")
