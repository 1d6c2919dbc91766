"""The structure that docs/architecture.md describes, held to the source."""

import ast
import functools
import re
from pathlib import Path

import pytest
import yaml

import stages
from denoise.extensions import KINDS
from stages import source_files
from tests.closures import ROOT, import_closure, imported_names, module_files

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = DVC["stages"]

ORDER = [
    "util",
    "dsp",
    "containers",
    "corpus",
    "noise",
    "features",
    "network",
    "training",
    "recogniser",
    "export",
    "evaluation",
    "inference",
    "server",
    "cli",
]
"""The packages, each of which may import itself and those before it."""
BASE = {"", "errors", "extensions", "version", "schema", "params", "params_file"}
"""The modules directly under denoise/, which every package may import."""
TENSORFLOW = {"network", "training", "recogniser", "export"}
EXTENSIONS = {f"extensions/{kind}" for kind in KINDS}  # code, like modules


def package_of(module: str) -> str:
    """Return a library module's package, or the module itself where it lies under none."""
    return module.partition(".")[2].partition(".")[0]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_import_closure(stage: str) -> None:
    declared = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert declared == import_closure(f"stages.{stage}")


def test_a_checkpoint_depends_on_the_modules_that_train_imports_and_no_others() -> None:
    files = {path.relative_to(ROOT).as_posix() for path in source_files("train")}  # no extension
    assert files == import_closure("stages.train")
    assert "denoise/training/trainer.py" in files
    assert not [name for name in files if "cli" in name or "server" in name]


def test_a_checkpoint_depends_on_all_files_of_the_extensions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text("utf-8"), "utf-8")
    used = ("losses/one.py", "losses/helpers/curves.py", "noise/table.csv")
    others = ("losses/.one.py.swp", "losses/__pycache__/one.pyc", "metrics/none.py")
    for name in (*used, *others):
        path = tmp_path / "extensions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    files = [path.relative_to(tmp_path).as_posix() for path in source_files("train")]
    found = {name for name in files if not name.startswith(("denoise/", "stages/"))}
    assert found == {f"extensions/{name}" for name in used}


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
    paths |= {dep for dep in entry["deps"] if not dep.endswith(".py")} - EXTENSIONS
    assert {path for path in written if not is_or_holds(path, paths)} == set()
    assert {path for path in paths if not any(is_or_holds(w, {path}) for w in written)} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_outs_in_git_are_metrics_or_plots(stage: str) -> None:
    # Any other keeps DVC from serving the stage from the run-cache.
    # `export` is the exception: it takes seconds, and nothing follows from it.
    uncached = [p for p, options in outs_of(STAGES[stage], "outs").items() if "cache" in options]
    assert uncached == (["models/denoiser.onnx"] if stage == "export" else [])


def test_the_lock_holds_these_stages_and_no_others() -> None:
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    assert set(lock["stages"]) == set(STAGES)


def test_every_leaf_of_the_params_is_some_stage_s() -> None:
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    declared = {key for entry in STAGES.values() for key in entry["params"]}
    sections = {key for key in declared if isinstance(section_of(tree, key), dict)}
    assert sections == {"noise.weights", "train.loss", "train.fine_tuning.loss"}  # extensible
    covered = {leaf for leaf in leaves(tree) if leaf.rpartition(".")[0] in sections}
    # Results do not depend on where clips are worked on, so a change must not rerun a stage.
    of_no_stage = {"parallel.jobs", "parallel.scheduler"}
    assert (declared - sections) | covered == set(leaves(tree)) - of_no_stage


def section_of(tree: dict, key: str) -> object:
    return functools.reduce(dict.__getitem__, key.split("."), tree)


def leaves(tree: dict, prefix: str = "") -> list[str]:
    found = []
    for name, value in tree.items():
        deeper = leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
        found += deeper
    return found


def test_imports_run_downwards() -> None:
    height = {package: level for level, package in enumerate(ORDER)}
    for module, path in module_files().items():
        if not module.startswith("denoise.") or package_of(module) == "__main__":
            continue
        for name in imported_names(path) & module_files().keys():
            here, there = package_of(module), package_of(name)
            assert name.startswith("denoise"), f"{module} imports {name}"
            is_allowed = there in BASE or (
                here not in BASE and (here == there or height[there] < height[here])
            )
            assert is_allowed, f"{module} imports {name}"


def test_every_package_says_what_it_is_for() -> None:
    folders = {path.parent for path in (ROOT / "denoise").rglob("*.py")} - {ROOT / "denoise"}
    assert {folder.relative_to(ROOT / "denoise").parts[0] for folder in folders} == set(ORDER)
    for folder in folders:
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
        assert docstring and "Start" in docstring, f"{folder} does not say where to start reading"


def test_stages_never_import_each_other() -> None:
    for module, path in module_files().items():
        if module.startswith("stages."):
            others = {name for name in imported_names(path) if name.startswith("stages.")}
            assert others <= {"stages.run", "stages.source_files"}


def test_heavy_libraries_stay_in_their_packages() -> None:
    homes = {
        "tensorflow": TENSORFLOW,
        "keras": TENSORFLOW,
        "onnx": {"export"},
        "flask": {"server"},
        "waitress": {"server"},
        "prometheus_client": {"server"},
        "onnxruntime": {"inference"},
        "sounddevice": {"inference"},
        "av": {"inference"},
        "matplotlib": {"evaluation"},
        "librosa": {"evaluation"},
        "joblib": {"util"},
        "distributed": {"util"},
    }
    for module, path in module_files().items():
        for library in {name.split(".")[0] for name in imported_names(path)} & homes.keys():
            assert package_of(module) in homes[library], f"{module} imports {library}"


def test_architecture_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for module, path in module_files().items():
        if path.name != "__init__.py" and path.parts[0] == "denoise":
            assert f"`{path.stem}`" in text, f"{module} is missing from docs/architecture.md"
