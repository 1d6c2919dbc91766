"""The whole pipeline under the real `dvc`, at a tiny size: what runs, what does not, what stays."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from denoise.noise.archive import create_noise_archive
from tests.corpora import wav, write_tree
from tests.project import STAGES, Project, ran, served, two_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """Return two runs from scratch, to be looked at only."""
    return two_runs(tmp_path_factory)


@pytest.fixture(scope="module")
def project(runs: tuple[Project, Project], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a run whose results are committed; each test leaves it as it was."""
    copy = runs[0].copy(tmp_path_factory.mktemp("pipeline") / "project")
    copy.commit("Results")
    return copy


@contextmanager
def params(project: Project, changes: Mapping[str, Any]) -> Iterator[None]:
    """Change params, and put them back."""
    before = project.edit(changes)
    try:
        yield
    finally:
        project.put_back(before)


@contextmanager
def another_line(project: Project, name: str, line: str) -> Iterator[None]:
    """Append a line to a file, and take it away again."""
    path = project.folder / name
    before = path.read_bytes()
    path.write_bytes(before + f"\n{line}\n".encode())
    try:
        yield
    finally:
        path.write_bytes(before)


def stages_to_run(project: Project) -> list[str]:
    """List the stages that dvc sees changed, and those that depend on what they write."""
    changed = set(project.dvc_json("status"))
    for stage in STAGES:  # in the order in which they run
        written = {out for earlier in changed for out in project.outs(earlier)}
        if written & set(project.definition[stage]["deps"]):
            changed.add(stage)
    return [stage for stage in STAGES if stage in changed]


def assert_served(project: Project, *stages: str) -> None:
    """Check that a change put back trains nothing and gives back every byte.

    DVC's run-cache does not serve `export`, whose out git holds; it takes seconds.
    """
    output = project.dvc("repro")
    assert ran(output) == (["export"] if "train" in stages else [])
    assert served(output) == list(stages)
    assert project.git("status", "--porcelain") == ""


def test_first_run_runs_every_stage_and_writes_every_out(runs: tuple[Project, Project]) -> None:
    for project in runs:
        assert ran(project.log()) == STAGES
        assert [out for out in project.outs() if not (project.folder / out).exists()] == []
        assert list(yaml.safe_load(project.lock())["stages"]) == STAGES


def test_stages_write_nothing_else(runs: tuple[Project, Project]) -> None:
    declared = runs[0].content().keys()
    for folder in ("data", "models", "metrics"):
        for path in (runs[0].folder / folder).rglob("*"):
            name = path.relative_to(runs[0].folder).as_posix()
            assert path.is_dir() or path.name == ".gitignore" or name in declared


def test_two_runs_from_scratch_give_the_same_bytes(runs: tuple[Project, Project]) -> None:
    one, other = (project.content() for project in runs)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
    assert runs[0].lock() == runs[1].lock()


def test_second_run_runs_nothing(project: Project) -> None:
    output = project.dvc("repro")
    assert "up to date" in output
    assert ran(output) == served(output) == []


def test_git_holds_the_results_and_not_the_data(project: Project) -> None:
    held = set(project.git("ls-files", "-z").split("\0"))
    kept_out = {f"data/{name}" for name in ("corpus.zip", "corpus.json", "noise.zip", "noise.json")}
    kept_out |= {"data/features", "models/denoiser", "models/recogniser", "metrics/audio"}
    in_git = {o for o in project.outs() if any(h == o or h.startswith(f"{o}/") for h in held)}
    assert in_git == set(project.outs()) - kept_out
    assert {"dvc.lock", "data/manifest.csv", "metrics/metrics.json"} <= held
    assert set(project.git("check-ignore", *kept_out).split()) == kept_out
    assert project.git("status", "--porcelain") == ""


def test_a_fresh_clone_shows_metrics_and_plots(project: Project, tmp_path: Path) -> None:
    project.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    shown = clone.dvc_json("metrics", "show")
    assert shown == project.dvc_json("metrics", "show")
    (path, metrics) = shown[""]["data"].popitem()
    assert path == "metrics/metrics.json" and shown[""]["data"] == {}
    assert "si_sdri_db" in metrics["data"] and len(metrics["data"]) <= 10
    clone.dvc("plots", "show")
    page = (clone.folder / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert "validation_loss" in page and "held_out_clip.png" in page
    assert not (clone.folder / ".dvc" / "cache").exists()


def test_every_plot_has_data_and_says_what_its_axes_are(project: Project) -> None:
    shown = project.dvc_json("plots", "show", "--split")["data"]
    drawn = {name: plots[0] for name, plots in shown.items() if plots}  # dvc lists the JSON, too
    assert {"Learning curve", "SI-SDR improvement by input SNR", "data/manifest.csv"} <= set(drawn)
    columns = {"step", "snr_db", "denoised", "si_sdr_db_noisy", "si_sdr_db_denoised"}
    for name, plot in drawn.items():
        if plot["type"] == "vega":
            parts = plot["anchor_definitions"]
            assert parts["<DVC_METRIC_DATA>"], name
            labels = {parts["<DVC_METRIC_X_LABEL>"], parts["<DVC_METRIC_Y_LABEL>"]}
            assert not labels & columns, name
    assert sum(plot["type"] == "image" for plot in drawn.values()) == 4


def test_a_change_that_no_stage_reads_reruns_nothing(project: Project) -> None:
    path = project.folder / "params.yaml"
    before = path.read_text(encoding="utf-8")
    reordered = dict(reversed(yaml.safe_load(before).items()))
    text = yaml.safe_dump(reordered, sort_keys=False)
    path.write_text(f"# Another comment\n{text}", encoding="utf-8")
    another = project.folder / "tests" / "test_another.py"
    another.write_text("def test_nothing():\n    pass\n", encoding="utf-8")
    with (
        another_line(project, "README.md", "More."),
        another_line(project, "docs/params.md", "More."),
    ):
        output = project.dvc("repro")
    another.unlink()
    project.put_back(before)
    assert ran(output) == served(output) == []


@pytest.mark.parametrize(
    ("key", "value", "stages"),
    [
        ("download.local", "mine", STAGES[1:]),
        ("download.noise", "mine", ["import_noise", "features", "train", "export", "evaluate"]),
        (
            "sample.size",
            30,
            ["sample", "features", "train", "export", "train_recogniser", "evaluate"],
        ),
        ("noise.snr_db", [-3.0, 9.0], ["features", "train", "export", "evaluate"]),
        ("spectrogram.n_fft", 256, ["features", "train", "export", "evaluate"]),
        ("model.seed", 1, ["train", "export", "evaluate"]),
        ("recogniser.snr_db", [-3.0, 9.0], ["train_recogniser", "evaluate"]),
        ("parallel.jobs", 7, []),
    ],
)
def test_a_changed_parameter_reruns_the_stages_that_depend_on_it(
    project: Project, key: str, value: Any, stages: list[str]
) -> None:
    with params(project, {key: value}):
        assert stages_to_run(project) == stages


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        (
            "denoise/noise/generators.py",
            ["features", "train", "export", "train_recogniser", "evaluate"],
        ),
        ("denoise/export/keras_to_onnx.py", ["export"]),
        ("denoise/network/architectures.py", ["train", "export", "evaluate"]),
        ("denoise/recogniser/train.py", ["train_recogniser", "evaluate"]),
        ("denoise/recogniser/model.py", ["train_recogniser", "evaluate"]),
        ("denoise/evaluation/metrics.py", ["evaluate"]),
    ],
)
def test_changed_code_reruns_the_stages_that_import_it(
    project: Project, name: str, stages: list[str]
) -> None:
    with another_line(project, name, "# Another comment"):
        assert stages_to_run(project) == stages


@pytest.mark.slow
def test_changed_noise_reruns_features_and_training(project: Project) -> None:
    with params(project, {"noise.weights.pink": 0}):
        assert ran(project.dvc("repro", "features")) == ["features"]
        assert stages_to_run(project) == ["train", "export", "evaluate"]
    assert_served(project, "features")


@pytest.mark.slow
def test_noise_recordings_are_used_for_training_and_evaluation(
    project: Project, tmp_path: Path
) -> None:
    mine = write_tree(tmp_path / "mine", {f"{n}.flac": wav(n, 2.0) for n in range(5)})
    changes = {"download.noise": str(mine), "evaluate.noise_types": ["recordings"]}
    with params(project, {**changes, "noise.weights.recordings": 100}):
        assert ran(project.dvc("repro", "features")) == ["import_noise", "features"]
        index = project.content("features")["data/features/index.csv"].decode()
        provenance = json.loads(project.content("import_noise")["data/noise.json"])
        with create_noise_archive(project.folder / "data" / "noise.zip") as writer:
            for number in range(5):  # only what is kept for the evaluation is still sound
                writer.add(number, 0, wav(4, 2.0) if number == 4 else b"no audio")
        assert project.stage("evaluate").returncode == 0
        breakdown = json.loads(project.content("evaluate")["metrics/evaluation/breakdown.json"])
        assert "000.wav cannot be used" in project.stage("features").stderr
    assert index.count("recordings") > 5
    assert list(breakdown["by_noise"]) == ["recordings"]
    assert provenance["recordings"] == 5
    assert_served(project, "import_noise", "features", "evaluate")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample.size": 0}, "sample.size: 0 lies outside 3 to 10000000"),
        ({"sample.size": 30, "train": {"epoch": 1}}, "train.epoch: no such key"),
    ],
)
def test_impossible_params_stop_the_first_stage_before_any_work(
    project: Project, changes: Mapping[str, Any], message: str
) -> None:
    before = project.content()
    with params(project, changes):
        done = project.run_dvc("repro")
    assert done.returncode != 0
    assert ran(done.stdout) == ["sample"]
    assert f"error: {message}" in done.stderr
    assert "Traceback" not in done.stderr
    # dvc itself removes the outs of a stage before it starts; it has them in its cache
    kept = {name: before[name] for name in before if name not in project.outs("sample")}
    assert project.content() == kept
    assert_served(project, "sample")


def test_fine_tuning_has_curves_of_its_own(runs: tuple[Project, Project]) -> None:
    curves = runs[0].folder / "metrics" / "training" / "plots" / "metrics"
    for folder, first_step, n_epochs in ((curves, 0, 4), (curves / "fine_tuning", 4, 2)):
        rows = (folder / "loss.tsv").read_text(encoding="utf-8").splitlines()[1:]
        assert [int(row.split("\t")[0]) for row in rows] == list(
            range(first_step, first_step + n_epochs)
        )


@pytest.fixture(scope="module")
def shorter(project: Project) -> list[str]:
    """Train for fewer epochs, save that as an experiment, put it back; return what ran."""
    with params(project, {"train.epochs": 1}):
        output = project.dvc("repro")
        project.dvc("exp", "save", "--name", "shorter")
    assert_served(project, "train", "evaluate")
    return ran(output)


@pytest.fixture(scope="module")
def louder(project: Project) -> list[str]:
    """Evaluate at other SNRs as an experiment, put it back; return what ran."""
    with params(project, {}):  # dvc edits the file
        output = project.dvc("exp", "run", "--name", "louder", "-S", "evaluate.snr_db=[0.0,10.0]")
    assert_served(project, "evaluate")
    return ran(output)


@pytest.mark.slow
def test_changed_epochs_rerun_training_and_the_former_value_is_cached(shorter: list[str]) -> None:
    assert shorter == ["train", "export", "evaluate"]


@pytest.mark.slow
def test_changed_evaluation_snrs_rerun_the_evaluation_only(louder: list[str]) -> None:
    assert louder == ["evaluate"]


@pytest.mark.slow
def test_reference_and_griffin_lim_run(project: Project) -> None:
    changes = {"model.architecture": "reference", "reconstruction": "griffin_lim"}
    with params(project, {**changes, "train.epochs": 1}):
        assert ran(project.dvc("repro")) == ["train", "export", "evaluate"]
        description = json.loads(project.content("train")["models/denoiser/config.json"])
    assert description["model"]["architecture"] == "reference"
    assert_served(project, "train", "evaluate")


@pytest.mark.usefixtures("shorter", "louder")
@pytest.mark.slow
def test_experiments_compare(project: Project) -> None:
    table = csv.DictReader(io.StringIO(project.dvc("exp", "show", "--csv")))
    assert {"shorter", "louder"} <= {row["Experiment"] for row in table}
    assert len(project.dvc_json("exp", "show")[-1]["experiments"]) == 2
    changed = project.dvc_json("metrics", "diff", "shorter", "louder")["metrics/metrics.json"]
    assert "si_sdri_db" in changed
    changed = project.dvc_json("params", "diff", "shorter", "louder")["params.yaml"]
    assert changed.keys() == {"evaluate.snr_db", "train.epochs"}
    project.dvc("plots", "diff", "shorter", "louder")
    page = (project.folder / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert "shorter" in page and "louder" in page


@pytest.mark.usefixtures("shorter", "louder")
@pytest.mark.parametrize(
    "command",
    [
        "metrics show",
        "metrics diff shorter louder",
        "exp show --only-changed --drop Created|acc|.*/",
    ],
)
@pytest.mark.slow
def test_tables_of_dvc_fit_100_columns(project: Project, command: str) -> None:
    lines = project.dvc(*command.split()).splitlines()
    assert "si_sdri_db" in "".join(lines)
    assert max(len(line) for line in lines) <= 100
