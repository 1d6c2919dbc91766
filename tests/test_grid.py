"""A grid of experiments: what is queued, and the table and the picture of the results."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from denoise.errors import ParamsError, UsageError
from presets import grid
from presets.grid import Axis, Grid, improvement, main, panels, render_table, split_values
from presets.grid_picture import draw, positions
from tests.closures import ROOT
from tests.project import Project, two_runs

PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")
POWER = "export.mask_power=1.0,1.4"
SNR = "evaluate.snr_db=[-5.0],[5.0]"
GRID = Grid("grid", (Axis.parse(POWER), Axis.parse(SNR)))
INTERVALS = [{"mean": m, "low": m - 1, "high": m + 1} for m in (1.0, 2.0, 3.0, 4.0)]


def test_commas_inside_brackets_belong_to_the_value() -> None:
    assert split_values("1,2.5,yes") == ["1", "2.5", "yes"]
    assert split_values("[1, 2],[3],[[4,5],[6]]") == ["[1, 2]", "[3]", "[[4,5],[6]]"]


@pytest.mark.parametrize("written", ["0.001", "1e-03", "1.0e-3"])
def test_a_number_is_the_same_however_it_is_written(
    written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = f"train: {{learning_rate: {written}, rates: [{written}]}}"
    axes = ("train.learning_rate=1e-3,1e-4", "train.rates=[1e-3],[1e-4]")
    (first, *_) = Grid("grid", tuple(map(Axis.parse, axes))).cells.items()
    monkeypatch.setattr(grid, "read_table", lambda *_: pd.DataFrame())
    monkeypatch.setattr("dvc.api.read", lambda *_, **__: params)
    grid.read_results(SimpleNamespace(cells=dict([first])), [])
    with pytest.raises(UsageError, match="ran with"):
        grid.read_results(SimpleNamespace(cells={"grid-1": {"train.learning_rate": 0.1}}), [])


@pytest.mark.parametrize("text", ["a", "a=", "a=1", "=1,2", "a=1,,2", "a=1,1"])
def test_an_axis_needs_two_values(text: str) -> None:
    with pytest.raises(UsageError, match="value"):
        Axis.parse(text)


def test_every_combination_is_an_experiment_with_the_number_that_dvc_gives_it() -> None:
    assert GRID.cells == {
        "grid-1": {"export.mask_power": 1.0, "evaluate.snr_db": [-5.0]},
        "grid-2": {"export.mask_power": 1.0, "evaluate.snr_db": [5.0]},
        "grid-3": {"export.mask_power": 1.4, "evaluate.snr_db": [-5.0]},
        "grid-4": {"export.mask_power": 1.4, "evaluate.snr_db": [5.0]},
    }
    words = ["exp", "run", "--queue", "--name", "grid", "-S", POWER, "-S", SNR]
    assert GRID.queue_command()[3:] == words


@pytest.mark.parametrize("listed", ["grid-1\ngrid-3\ngrid-10\nother\n", ""])
def test_force_removes_experiments_of_the_same_names_and_reruns_nothing_else(
    listed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(grid.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=listed))
    monkeypatch.setattr(grid.subprocess, "call", lambda command: called.append(command[3:]) or 0)
    monkeypatch.setattr(grid, "read_results", lambda *_: {})
    monkeypatch.chdir(ROOT)
    assert main([POWER, SNR, "--force"]) == 0
    removed = [["exp", "remove", "grid-1", "grid-3"]] if listed else []
    queued = GRID.queue_command()[3:]
    assert called == [*removed, queued, ["exp", "run", "--run-all", "--jobs", "1"]]
    assert "--force" not in queued


def test_nothing_is_queued_where_the_experiments_cannot_be_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grid, "taken_names", lambda _: ["grid-1"])
    monkeypatch.setattr(grid, "call", lambda command: 255 if "remove" in command else 0)
    assert grid.queue(GRID, force=True) == 255


@pytest.mark.parametrize(
    ("axis", "error"),
    [
        ("export.mask_power=1.0,0.5", ParamsError),  # too small
        ("export.mask=1.0,2.0", UsageError),
        ("reconstruction.x=1,2", UsageError),
    ],
)
def test_what_is_not_valid_is_an_error_before_anything_runs(
    axis: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"mask|reconstruction"):
        Grid("grid", (Axis.parse(axis),)).check(PARAMS)
    GRID.check(PARAMS)


def test_an_improvement_is_positive_where_the_denoised_clips_are_better() -> None:
    scores: dict[str, Any] = {"speaker_id": ["a", "a", "b", "c"]}
    scores |= {"lsd_db_noisy": [9.0, 9, 9, np.nan], "lsd_db_denoised": [8.0, 6, 4, 1]}
    interval = improvement(pd.DataFrame(scores), "lsd_db")
    assert interval["mean"] == pytest.approx((2 + 5) / 2)
    assert interval["low"] < interval["mean"] < interval["high"]
    with pytest.raises(UsageError, match="pesq"):
        improvement(pd.DataFrame(scores), "pesq")


def test_the_table_has_the_first_param_down_and_the_second_across() -> None:
    assert render_table(GRID, "estoi", INTERVALS) == [
        "| ESTOI improvement: `export.mask_power` | "
        "`evaluate.snr_db` [-5.0] | `evaluate.snr_db` [5.0] |",
        "|--:|--:|--:|",
        "| 1.0 | 1.000 (0.000 to 2.000) | 2.000 (1.000 to 3.000) |",
        "| 1.4 | 3.000 (2.000 to 4.000) | 4.000 (3.000 to 5.000) |",
    ]
    one = Grid("grid", GRID.axes[:1])
    assert render_table(one, "si_sdr_db", [{"mean": 1.0}, {}])[2:] == [
        "| 1.0 | 1.00 |",
        "| 1.4 |  |",
    ]


def test_the_picture_has_a_panel_for_each_metric_and_a_line_for_each_value(
    tmp_path: Path, drawn: list[Any]
) -> None:
    results = {"si_sdr_db": INTERVALS, "estoi": [*INTERVALS[:3], {}]}
    draw(panels(GRID, results), tmp_path / "grid.png")
    left, right = drawn[0].axes
    assert left.get_title("left") == "SI-SDR improvement (dB)"
    assert right.get_xlabel() == "export.mask_power"
    first, second = left.containers
    assert (first.get_label(), second.get_label()) == (
        "evaluate.snr_db [-5.0]",
        "evaluate.snr_db [5.0]",
    )
    assert first.lines[0].get_ydata() == pytest.approx([1, 3])
    assert second.lines[0].get_xdata() == pytest.approx([1, 1.4], abs=0.01)
    assert imread(tmp_path / "grid.png")[0, 0] == pytest.approx([1, 1, 1, 1])  # white, opaque


def test_names_are_drawn_side_by_side(tmp_path: Path, drawn: list[Any]) -> None:
    assert positions(["[-6.0]", "3"]) == pytest.approx([-6, 3])
    assert positions(["noisy_phase", "griffin_lim"]) is None
    grid = Grid("grid", (Axis.parse("reconstruction=noisy_phase,griffin_lim"),))
    draw(panels(grid, {"estoi": INTERVALS[:2]}), tmp_path / "grid.png")
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["noisy_phase", "griffin_lim"]
    assert axes.containers[0].lines[0].get_linestyle() == "None"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([POWER, SNR, "train.epochs=1,2"], "One param or two"),
        ([POWER, POWER], "One param or two"),
        (["export.mask_power=1.0,0.5"], "mask_power"),
        (["evaluate.snr_db=[1],[2"], "the value [2 is not YAML"),
        (["train.seed=1,%2"], "the value %2 is not YAML"),
        (["train.seed=1,2026-02-31"], "the value 2026-02-31 is not YAML"),
    ],
)
def test_a_mistake_is_a_message_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    check_error(capsys.readouterr().err, message)


def check_error(text: str, message: str) -> None:
    (line,) = text.splitlines()
    assert line.startswith("python -m presets.grid: ") and message in line


def test_outside_the_project_the_message_says_where_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([POWER]) == 2
    check_error(capsys.readouterr().err, "Run from the project's folder")
    (tmp_path / "params.yaml").write_text("train: [1\n", encoding="utf-8")
    assert main([POWER]) == 2
    check_error(capsys.readouterr().err, "params.yaml is not YAML")


def test_a_broken_metric_of_the_user_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    metric = tmp_path / "extensions" / "metrics" / "mine.py"
    metric.parent.mkdir(parents=True)
    metric.write_text("HIGHER_IS_BETTER = ", encoding="utf-8")
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main([POWER]) == 2
    check_error(capsys.readouterr().err, f"{metric.resolve()}: SyntaxError")


def test_a_table_that_cannot_be_written_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(grid, "read_results", lambda *_: {"estoi": INTERVALS[:2]})
    (tmp_path / "file").touch()
    assert main([POWER, "--draw", "--table", str(tmp_path / "file" / "grid.md")]) == 2
    check_error(capsys.readouterr().err, "file")


def run_grid(project: Project, *options: str) -> subprocess.CompletedProcess[str]:
    return project.run(sys.executable, "-m", "presets.grid", *options)


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Project]:
    """Return a project that ran the pipeline and has committed the results."""
    run, _ = two_runs(tmp_path_factory)
    project = run.copy(tmp_path / "project")
    project.commit("Results")
    yield project
    project.run_dvc("queue", "stop", "--kill")  # what a test that failed has left running


@pytest.mark.slow
def test_the_command_runs_the_grid_and_draws_it(project: Project) -> None:
    files = ("--table", "grid.md", "--picture", "grid.png")
    before = project.lock()
    done = run_grid(project, SNR, *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.lock() == before  # the experiments ran elsewhere
    table = (project.folder / "grid.md").read_text(encoding="utf-8")
    assert done.stdout.endswith(table)
    assert table.count("| [-5.0] |") == table.count("| [5.0] |") == 2  # SI-SDR and ESTOI
    picture = (project.folder / "grid.png").read_bytes()
    assert sorted(project.dvc("exp", "list", "--name-only").split()) == ["grid-1", "grid-2"]

    again = run_grid(project, SNR, "--draw", *files)
    assert again.stdout == table
    assert (project.folder / "grid.png").read_bytes() == picture

    other = run_grid(project, "evaluate.snr_db=[-5.0],[4.0]", "--draw")
    assert other.returncode == 2 and "grid-2 ran with" in other.stderr
    missing = run_grid(project, SNR, "--name", "nothing", "--draw")
    assert missing.returncode == 2 and "nothing-1 has no result" in missing.stderr
    taken = run_grid(project, SNR)
    assert taken.returncode == 2 and "--force" in taken.stderr
