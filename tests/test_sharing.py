"""What docs/sharing.md describes: a remote, and the registered models."""

import shutil
from pathlib import Path

import dvc.api
import pytest

from tests.closures import ROOT
from tests.project import Project, ran, served, two_runs

MODELS = {"denoiser": "models/denoiser.onnx", "general:denoiser": "general/models/denoiser.onnx"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project that ran and pushed to a folder."""
    run, _ = two_runs(tmp_path_factory)
    folder = tmp_path_factory.mktemp("sharing")
    project = run.copy(folder / "project")
    project.dvc("remote", "add", "--default", "shared", str(folder / "remote"))
    project.commit("Results and a remote")
    project.dvc("push")
    return project


@pytest.fixture(scope="module")
def clone(project: Project) -> Project:
    """Return a fresh clone that pulled."""
    folder = project.folder.with_name("clone")
    project.git("clone", "--quiet", ".", str(folder))
    clone = Project(folder)
    clone.dvc("pull")
    return clone


def test_a_clone_that_pulls_has_everything_and_runs_nothing(
    project: Project, clone: Project
) -> None:
    assert clone.content() == project.content()
    output = clone.dvc("repro")
    assert "up to date" in output
    assert ran(output) == served(output) == []


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a repository with this project's models, registered as version 1.0.0."""
    registry = Project(tmp_path_factory.mktemp("registry") / "project")
    for name in ("dvc.yaml", "general/dvc.yaml", *MODELS.values()):
        (registry.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, registry.folder / name)
    for folder in (".", "general"):
        (registry.folder / folder / ".dvc").mkdir()
        (registry.folder / folder / ".dvc" / "config").touch()
    registry.git("init", "--quiet")
    for key, value in (("user.name", "a"), ("user.email", "a@b")):
        registry.git("config", key, value)
    registry.commit("Models")
    for tag in ("denoiser@v1.0.0", "general=denoiser@v1.0.0"):
        registry.git("tag", "--annotate", "--message", "First version", tag)
    return registry


@pytest.mark.parametrize("revision", [(), ("--rev", "v1.0.0")])
@pytest.mark.parametrize("name", MODELS)
def test_a_registered_model_is_downloaded_by_its_name(
    registry: Project, tmp_path: Path, name: str, revision: tuple[str, ...]
) -> None:
    target = tmp_path / "model.onnx"
    options = [*revision, "--out", str(target)]
    registry.dvc("artifacts", "get", str(registry.folder), name, *options)
    assert target.read_bytes() == (ROOT / MODELS[name]).read_bytes()
    found = dvc.api.artifacts_show(name, repo=str(registry.folder))
    assert found["path"] == MODELS[name]
    assert found["rev"] == registry.git("rev-parse", "HEAD").strip()
