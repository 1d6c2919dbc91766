"""Extensions: one of each kind, from docs/extending.md, in the whole pipeline; and their errors."""

import argparse
import dataclasses
import json
import pickle
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.scale import set_params
from denoise import extensions
from denoise.corpus.source import write_corpus
from denoise.errors import AudioError, ParamsError
from denoise.evaluation import tables
from denoise.evaluation.run import score_waveform
from denoise.extensions import ExtensionError
from denoise.noise.generators import GENERATORS, generator_of
from denoise.params import LossWeights, SpectrogramParams
from denoise.params_file import load_params, parse_params
from tests.closures import ROOT
from tests.corpora import wav, write_tree
from tests.project import Project, make_project, ran
from tests.speechlike import SAMPLE_RATE, voice

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


@pytest.mark.parametrize("key", ["train.loss", "train.fine_tuning.loss"])
def test_a_loss_with_weights_of_0_alone_is_refused(
    folder: Path, tree: dict[str, Any], key: str
) -> None:
    write(folder, "losses/constant.py", "def loss(noisy, clean, mask):\n    return 3.0\n")
    tree["train"]["fine_tuning"]["epochs"] = 1
    train = tree["train"]
    weights = (train if key == "train.loss" else train["fine_tuning"])["loss"]
    weights |= dict.fromkeys([*weights, "constant"], 0.0)
    with pytest.raises(ParamsError, match=f"^{key}: all are 0"):
        parse_params(tree)
    weights["constant"] = 1.0
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


@pytest.mark.parametrize("name", ["estoi", "si_sdri_db", "acc_clean_asr", "acc_noisy_asr"])
def test_a_metric_may_not_have_a_built_in_name(folder: Path, name: str) -> None:
    write(folder, f"metrics/{name}.py", "HIGHER_IS_BETTER = True\ndef score(*_):\n    return 1\n")
    with pytest.raises(ExtensionError, match=rf"{name}\.py: {name} is built in"):
        tables.higher_is_better()
    with pytest.raises(ExtensionError, match="is built in"):  # before anything is denoised
        score_waveform(voice(), voice(), SAMPLE_RATE, with_pesq=False)


def test_a_metric_that_works_in_place_changes_no_other(folder: Path) -> None:
    code = (
        "HIGHER_IS_BETTER = True\n\n\ndef score(clean, estimate, sample_rate):\n"
        "    clean *= 0\n    estimate += 1\n    return estimate.mean() - clean.mean()\n"
    )
    write(folder, "metrics/first.py", code)
    write(folder, "metrics/second.py", code)
    clean, estimate = voice(1), voice(2)
    scores = score_waveform(clean, estimate, SAMPLE_RATE, with_pesq=False)
    assert scores["first"] == scores["second"] == pytest.approx(estimate.mean() + 1)
    np.testing.assert_array_equal(clean, voice(1))
    np.testing.assert_array_equal(estimate, voice(2))


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


def test_noise_that_raises_an_error_is_named_with_the_line(folder: Path) -> None:
    code = "def generate(rng, n, rate):\n    n = 0\n    return rate / n\n"
    write(folder, "noise/drops.py", code)
    generate = generator_of("drops")
    path = re.escape(str(folder / "extensions/noise/drops.py"))
    message = f"^{path}, line 3: ZeroDivisionError: division by zero$"
    with pytest.raises(ExtensionError, match=message) as raised:
        generate(np.random.default_rng(0), 100, RATE)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)  # from a worker


def test_the_error_of_a_metric_is_one_line_and_an_error_of_the_library_stays_as_it_is(
    folder: Path,
) -> None:
    code = (
        "from denoise.errors import AudioError\n\nHIGHER_IS_BETTER = True\n\n\n"
        "def score(clean, estimate, sample_rate):\n"
        "    raise (AudioError if sample_rate == 1 else ValueError)('two\\n\\nlines')\n"
    )
    write(folder, "metrics/broken.py", code)
    with pytest.raises(ExtensionError, match=r"broken\.py, line 7: ValueError: two lines$"):
        score_waveform(voice(), voice(), SAMPLE_RATE, with_pesq=False)
    with pytest.raises(AudioError, match="two\n\nlines"):
        extensions.load("metrics", "broken").score([], [], 1)


def test_an_architecture_and_a_source_that_raise_an_error_are_named(
    folder: Path, tree: dict[str, Any]
) -> None:
    from denoise.network.saved_model import ModelConfig  # here: TensorFlow takes seconds to import

    code = "def mask(*_):\n    return {}['a']\n\n\ndef receptive_field(_):\n    return 1 / 0\n"
    write(folder, "architectures/broken.py", code)
    write(folder, "sources/gone.py", "def download(folder):\n    open(folder / 'x')\n")
    tree["model"]["architecture"], tree["download"]["source"] = "broken", "gone"
    params = parse_params(tree)
    config = ModelConfig(params.audio, params.spectrogram, params.model, 1.0)
    with pytest.raises(ExtensionError, match=r"broken\.py, line 2: KeyError: 'a'"):
        config.build_model()
    with pytest.raises(ExtensionError, match=r"broken\.py, line 6: ZeroDivisionError"):
        config.spec()
    with pytest.raises(ExtensionError, match=r"gone\.py, line 2: FileNotFoundError: .*/x'"):
        write_corpus(params.download, folder / "corpus", folder, folder)


def test_a_loss_that_raises_an_error_in_the_training_is_named(folder: Path) -> None:
    # Here: TensorFlow takes seconds to import.
    from tests.few_steps import tiny_params, tiny_training

    write(folder, "losses/broken.py", "def loss(noisy, clean, mask):\n    return mask + noisy\n")
    params = tiny_params()
    loss = dataclasses.replace(params.train.loss, extensions={"broken": 1.0})
    params = dataclasses.replace(params, train=dataclasses.replace(params.train, loss=loss))
    step, *batch = tiny_training(params)
    with pytest.raises(ExtensionError, match=r"broken\.py, line 2: ValueError: ") as raised:
        step.step(*batch, 0.01)
    assert "\n" not in str(raised.value)


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


@pytest.mark.parametrize(
    "field",
    ["3", "None", "ReceptiveField(2.5, 1)", "ReceptiveField(-1, 1)", "ReceptiveField(2, 0)"],
)
def test_a_wrong_receptive_field_is_an_error_that_names_the_architecture(
    folder: Path, tree: dict[str, Any], field: str
) -> None:
    from denoise.network.saved_model import ModelConfig  # here: TensorFlow takes seconds to import

    code = (
        "from denoise.network.architectures import ReceptiveField\n\n\n"
        f"def mask(*_):\n    pass\n\n\ndef receptive_field(_):\n    return {field}\n"
    )
    write(folder, "architectures/wrong.py", code)
    tree["model"]["architecture"] = "wrong"
    params = parse_params(tree)
    config = ModelConfig(params.audio, params.spectrogram, params.model, 1.0)
    with pytest.raises(ExtensionError, match=r"architecture wrong is .*must be a ReceptiveField"):
        config.spec()


def test_the_stage_train_looks_at_the_receptive_field_before_it_trains(
    folder: Path, tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages import train  # here: TensorFlow takes seconds to import

    def stand_in(*_: object, **__: object) -> Any:
        return argparse.Namespace(open=lambda *_: None)

    for name in ("make_deterministic", "keep_freed_memory", "join_workers"):
        monkeypatch.setattr(train, name, stand_in)
    monkeypatch.setattr(train, "BatchSource", stand_in())
    code = "def mask(*_):\n    1 / 0\n\n\ndef receptive_field(_):\n    return 3\n"
    write(folder, "architectures/wrong.py", code)
    tree["model"]["architecture"] = "wrong"
    with pytest.raises(ExtensionError, match="receptive_field of the architecture wrong is 3"):
        train.main(parse_params(tree), argparse.Namespace(features=folder))


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ("None", "an object of type NoneType"),
        ("'loud'", "an object of type str"),
        ("clean", "an object of type ndarray"),
        ("float('inf')", "inf"),
        ("-float('inf')", "-inf"),
    ],
)
def test_a_metric_that_returns_no_finite_number_is_named(
    folder: Path, result: str, found: str
) -> None:
    code = f"HIGHER_IS_BETTER = True\n\n\ndef score(clean, *_):\n    return {result}\n"
    write(folder, "metrics/odd.py", code)
    with pytest.raises(ExtensionError, match=f"^The metric odd returned {found}; it must return"):
        score_waveform(voice(), voice(), SAMPLE_RATE, with_pesq=False)


def test_a_metric_may_be_undefined(folder: Path) -> None:
    write(
        folder,
        "metrics/odd.py",
        "HIGHER_IS_BETTER = True\ndef score(*_):\n    return float('nan')\n",
    )
    scores = score_waveform(voice(), voice(), SAMPLE_RATE, with_pesq=False)
    assert np.isnan(scores["odd"])
