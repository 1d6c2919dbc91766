"""The structure that docs/architecture.md describes, held to the source."""

import re

import pytest
import yaml

from tests.closures import ROOT, import_closure, imported_names, module_files

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = DVC["stages"]

ORDER = [
    {"errors", "atomic", "version"},
    {"formats"},
    {"schema"},
    {"params"},
    {"audio"},
    {"corpus"},
    {"spectrogram", "noise", "manifest", "determinism", "memory", "bands"},
    {"schedule", "stored", "graph", "optimizer", "learner"},
    {"streaming", "recordings"},
    {"files"},
    {"metrics", "mel", "clips", "remixing", "classical", "reconstruction", "cache", "recorded"},
    {"features", "lessons", "listener", "batches", "model", "intelligibility", "hearing", "timbre"},
    {"losses", "bundle", "runtime", "onnx_builder"},
    {"onnx_nodes"},
    {"training", "teaching", "inference", "onnx_graph"},
    {"evaluation", "report", "figures"},
    {"gallery", "completion", "console", "plan"},
    {"arguments"},
    {"jobs", "pipes"},
    {"summary", "server", "client"},
    {"cli"},
    {"__main__"},
]
TENSORFLOW = {
    "model",
    "intelligibility",
    "hearing",
    "timbre",
    "losses",
    "training",
    "bundle",
    "determinism",
    "optimizer",
    "learner",
    "graph",
    "listener",
    "teaching",
    "onnx_builder",
    "onnx_nodes",
    "onnx_graph",
}


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


def outs_of(entry: dict, kind: str) -> dict[str, dict]:
    outs = [out if isinstance(out, dict) else {out: {}} for out in entry.get(kind, [])]
    return {path: options for out in outs for path, options in out.items()}


def is_or_holds(path: str, others: set[str]) -> bool:
    return any(other == path or other.startswith(f"{path}/") for other in others)


@pytest.mark.parametrize("stage", STAGES)
def test_paths_in_the_command_are_deps_and_outs(stage: str) -> None:
    entry = STAGES[stage]
    written = set(re.findall(r"--\w+ (\S+)", entry["cmd"]))
    paths = {path for kind in ("outs", "metrics", "plots") for path in outs_of(entry, kind)}
    paths |= {dep for dep in entry["deps"] if not dep.endswith(".py")}
    assert {path for path in written if not is_or_holds(path, paths)} == set()
    assert {path for path in paths if not any(is_or_holds(w, {path}) for w in written)} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_outs_in_git_are_metrics_or_plots(stage: str) -> None:
    # Any other keeps DVC from serving the stage from the run-cache.
    # `export` is the exception: it takes seconds, and nothing follows from it.
    uncached = [p for p, options in outs_of(STAGES[stage], "outs").items() if "cache" in options]
    assert uncached == (["models/denoiser.onnx"] if stage == "export" else [])


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
