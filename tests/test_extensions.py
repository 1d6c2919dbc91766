"""Extensions: one of each kind, from docs/extending.md, in the whole pipeline; and their errors."""

import dataclasses
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.scale import set_params
from denoise import extensions
from denoise.errors import ParamsError
from denoise.evaluation import tables
from denoise.extensions import ExtensionError
from denoise.noise.generators import GENERATORS, generator_of
from denoise.params import LossWeights, SpectrogramParams
from denoise.params_file import load_params, parse_params
from tests.closures import ROOT
from tests.corpora import wav, write_tree
from tests.project import Project, make_project, ran

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
EXAMPLES: dict[str, str] = {
    re.match(r"# (\S+):", code)[1]: code  # type: ignore[index]
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
}
RATE = 8000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, where extensions may be written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, name: str, code: str) -> None:
    path = folder / "extensions" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")


def write_tape(path: Path) -> None:
    """Write a tar file with recordings of four speakers, who say each digit once."""
    speakers = ("anna", "bob", "carl", "dora")
    files = {
        f"{speaker}/{digit}_{speaker}_0.wav": wav(10 * number + digit, 0.5)
        for number, speaker in enumerate(speakers)
        for digit in range(10)
    }
    write_tree(path.parent / "tape", files)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(path.parent / "tape", arcname="tape")


def test_the_page_has_one_of_each_kind_and_all_are_short() -> None:
    assert {name.split("/")[1] for name in EXAMPLES} == set(extensions.KINDS)
    assert all(len(code.splitlines()) <= 20 for code in EXAMPLES.values())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a run with the page's five extensions."""
    tmp_path = tmp_path_factory.mktemp("extensions")
    project = make_project(Project(tmp_path / "project"))
    write_tape(tmp_path / "tape.tar.gz")
    for name, code in EXAMPLES.items():
        code = code.replace("/mnt/speech/tape.tar.gz", str(tmp_path / "tape.tar.gz"))
        write(project.folder, name.removeprefix("extensions/"), code)
    set_params(
        project.folder,
        {
            "download.source": "tape",
            "noise.weights.drops": 1000.0,
            "evaluate.noise_types": ["drops"],
            "model.architecture": "two_layers",
            "train.loss.too_loud": 2.0,
        },
    )
    project.dvc("repro")
    return project


@pytest.mark.slow
def test_the_pipeline_uses_each_extension(project: Project) -> None:
    provenance = json.loads((project.folder / "data/corpus.json").read_text())
    assert provenance["source"] == "tape"
    assert provenance["speakers"] == 4
    index = (project.folder / "data/features/index.csv").read_text()
    assert ",drops," in index
    config = json.loads((project.folder / "models/denoiser/config.json").read_text())
    assert config["model"]["architecture"] == "two_layers"
    metrics = json.loads((project.folder / "metrics/metrics.json").read_text())
    assert -10 <= metrics["segmental_snr_db"] <= 35
    breakdown = json.loads((project.folder / "metrics/evaluation/breakdown.json").read_text())
    assert set(breakdown["by_noise"]) == {"drops"}
    assert "segmental_snr_db" in breakdown["improvement"]["over_noisy"]


@pytest.mark.slow
def test_an_edit_runs_the_stages_that_can_use_the_extension(project: Project) -> None:
    path = project.folder / "extensions/metrics/segmental_snr_db.py"
    path.write_text(path.read_text() + "\n# the same\n")
    assert ran(project.dvc("repro")) == ["evaluate"]
    assert "up to date" in project.dvc("repro")  # nothing was written beside the extensions
    set_params(project.folder, {"train.loss.too_loud": 0.0})
    assert set(project.dvc_json("status")) == {"train"}


def test_a_loss_counts_with_its_weight(folder: Path) -> None:
    from denoise.training.losses import SpectralLoss  # here: TensorFlow takes seconds to import

    write(folder, "losses/constant.py", "def loss(noisy, clean, mask):\n    return 3.0\n")
    names = [field.name for field in dataclasses.fields(LossWeights)][:-1]
    weights = LossWeights(**dict.fromkeys(names, 0.0), extensions={"constant": 0.5})
    stft = np.random.default_rng(0).normal(size=(1, 40, 65, 2)).astype(np.float32)
    loss = SpectralLoss(SpectrogramParams(128, 64, 128), RATE, weights)
    mask = np.ones((1, 40, 65), np.float32)
    assert loss.call((stft, stft), mask).numpy() == pytest.approx([1.5], abs=1e-5)


def test_a_weight_is_read_and_may_be_left_out(folder: Path, tree: dict[str, Any]) -> None:
    write(folder, "noise/drops.py", EXAMPLES["extensions/noise/drops.py"])
    assert parse_params(tree).noise.weights.extensions == {}
    tree["noise"]["weights"]["drops"] = 5
    params = parse_params(tree)
    assert list(params.noise.weights.by_type().items())[-1] == ("drops", 5.0)
    tree["noise"]["weights"]["drops"] = 2000
    with pytest.raises(ParamsError, match=r"^noise\.weights\.drops: 2000 lies outside"):
        parse_params(tree)


def test_a_name_without_a_file_is_no_key(folder: Path, tree: dict[str, Any]) -> None:
    tree["noise"]["weights"]["drops"] = 5
    with pytest.raises(ParamsError, match=r"^noise\.weights\.drops: no such key"):
        parse_params(tree)


@pytest.mark.parametrize("name", ["noise/white.py", "architectures/reference.py", "losses/pesq.py"])
def test_a_built_in_name_is_refused(folder: Path, name: str) -> None:
    write(folder, name, "")
    with pytest.raises(ExtensionError, match=f"extensions/{name}: .* is built in"):
        load_params(ROOT / "params.yaml")


def test_a_metric_may_not_have_a_built_in_name(folder: Path) -> None:
    write(folder, "metrics/estoi.py", "HIGHER_IS_BETTER = True\ndef score(*_):\n    return 1\n")
    with pytest.raises(ExtensionError, match=r"estoi\.py: estoi is built in"):
        tables.higher_is_better()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def other():\n    pass\n", "defines no generate"),
        ("import nothing_like_it\n", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("def generate(:\n", "SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(folder: Path, code: str, message: str) -> None:
    write(folder, "noise/drops.py", code)
    with pytest.raises(ExtensionError, match=message) as raised:
        generator_of("drops")
    assert str(folder / "extensions/noise/drops.py") in str(raised.value)


@pytest.mark.parametrize("result", ["[0.5]", "[0.0] * n", "[float('nan')] * n"])
def test_noise_of_no_use_is_refused(folder: Path, result: str) -> None:
    write(folder, "noise/drops.py", f"def generate(rng, n, rate):\n    return {result}\n")
    generate = generator_of("drops")
    with pytest.raises(ExtensionError, match="drops returned an array of shape"):
        generate(np.random.default_rng(0), 100, RATE)


def test_built_in_noise_is_not_looked_for_in_the_folder(folder: Path) -> None:
    assert {name: generator_of(name) for name in GENERATORS} == dict(GENERATORS)


def test_the_pipeline_s_folders_are_there_and_empty() -> None:
    for kind in extensions.KINDS:
        assert [path.name for path in (ROOT / "extensions" / kind).iterdir()] == [".gitkeep"]
