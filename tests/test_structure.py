"""The structure that docs/architecture.md describes, held to the source."""

import re

import pytest
import yaml

from tests.closures import ROOT, import_closure, imported_names, module_files

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = DVC["stages"]

ORDER = [
    {"errors", "atomic"},
    {"schema"},
    {"params"},
    {"audio"},
    {"corpus"},
    {"spectrogram", "noise", "manifest", "determinism"},
    {"metrics", "classical", "reconstruction", "cache"},
    {"features", "batches", "model"},
    {"losses", "bundle"},
    {"training", "inference"},
    {"evaluation", "report", "figures"},
    {"gallery"},
]
TENSORFLOW = {"model", "losses", "training", "bundle", "determinism"}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_import_closure(stage: str) -> None:
    declared = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert declared == import_closure(f"stages.{stage}")


@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_thin_and_runs_as_a_module(stage: str) -> None:
    source = (ROOT / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 60
    assert STAGES[stage]["cmd"].startswith(f"python -m stages.{stage} ")


@pytest.mark.parametrize("stage", STAGES)
def test_paths_in_the_command_are_deps_and_outs(stage: str) -> None:
    entry = STAGES[stage]
    written = re.findall(r"--\w+ (\S+)", entry["cmd"])
    outs = [
        next(iter(o)) if isinstance(o, dict) else o
        for o in entry["outs"] + entry.get("metrics", [])
    ]
    data = [dep for dep in entry["deps"] if not dep.endswith(".py")]
    assert sorted(written) == sorted(outs + data)


def test_every_leaf_of_the_params_is_some_stage_s() -> None:
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    declared = {key for entry in STAGES.values() for key in entry["params"]}
    assert declared == set(leaves(tree))


def leaves(tree: dict, prefix: str = "") -> list[str]:
    found = []
    for name, value in tree.items():
        deeper = leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
        found += deeper
    return found


def test_imports_run_downwards() -> None:
    height = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
    for module, path in module_files().items():
        if not module.startswith("denoise."):
            continue
        for name in imported_names(path) & module_files().keys() - {"denoise"}:
            here, there = room_of(module), room_of(name)
            lazily_up = (here, there) == ("inference", "bundle")
            assert name.startswith("denoise."), f"{module} imports {name}"
            assert here == there or height[there] < height[here] or lazily_up, (
                f"{module} imports {name}"
            )


def test_stages_never_import_each_other() -> None:
    for module, path in module_files().items():
        if module.startswith("stages."):
            others = {name for name in imported_names(path) if name.startswith("stages.")}
            assert others <= {"stages.run"}


def test_tensorflow_stays_in_its_rooms() -> None:
    for module, path in module_files().items():
        tops = {name.split(".")[0] for name in imported_names(path)}
        if tops & {"tensorflow", "keras"}:
            assert room_of(module) in TENSORFLOW, module


def test_architecture_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for module, path in module_files().items():
        if path.name != "__init__.py" and path.parent.name == "denoise":
            assert f"{path.name} " in text, f"{module} is missing from docs/architecture.md"
