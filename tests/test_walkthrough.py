"""The walkthrough notebook: its form, and that it runs and shows what it says it shows."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.closures import ROOT
from tests.notebook import read_cells

NOTEBOOK = ROOT / "notebooks" / "walkthrough.ipynb"
CELLS = read_cells(NOTEBOOK)
CODE = {cell["id"]: cell for cell in CELLS if cell["cell_type"] == "code"}
LONGEST = 16  # lines of a code cell
TIMEOUT_SECONDS = 600
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)

Report = dict[str, Any]
Row = dict[str, Any]


def test_it_is_a_notebook_for_python_3() -> None:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in CELLS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", name) for name in ids)


def test_jupyter_accepts_it() -> None:
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT))


def test_it_is_committed_without_outputs() -> None:
    for cell in CODE.values():
        assert cell["outputs"] == [] and cell["execution_count"] is None, cell["id"]


def test_every_code_cell_follows_text() -> None:
    for before, cell in zip([None, *CELLS], CELLS, strict=False):
        if cell["cell_type"] == "code":
            assert before and before["cell_type"] == "markdown" and before["source"], cell["id"]


@pytest.mark.parametrize("name", CODE)
def test_cell_is_short_and_leaves_definitions_to_the_library(name: str) -> None:
    source = CODE[name]["source"]
    assert len(source.splitlines()) <= LONGEST
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, DEFINITIONS)]


def test_links_lead_to_files() -> None:
    text = "\n".join(cell["source"] for cell in CELLS if cell["cell_type"] == "markdown")
    links = re.findall(r"\]\(([^)#]+)", text)
    assert len(links) > 5
    for link in links:
        assert (NOTEBOOK.parent / link).exists(), link


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walkthrough")


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    """Run the notebook in a fresh process and an empty folder; return what it showed."""
    (folder / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.notebook", NOTEBOOK, folder / "report.json"],
        cwd=folder / "empty",
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    content: Report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.slow
def test_it_shows_pictures_players_and_tables(report: Report) -> None:
    assert report["pictures"] == 5
    assert report["players"] == 3 + 2 + 3 + 5
    assert len(report["tables"]) == 3


@pytest.mark.slow
def test_it_writes_nothing_where_it_runs(report: Report, folder: Path) -> None:
    assert list((folder / "empty").iterdir()) == []


@pytest.mark.slow
def test_it_prints_the_snr_that_it_asked_for(report: Report) -> None:
    assert re.search(r"^SNR: 3\.00 dB$", report["printed"], re.MULTILINE)


@pytest.mark.slow
def test_the_small_network_is_the_smaller_one(report: Report) -> None:
    found = re.findall(r"^(\w+): ([\d,]+) weights$", report["printed"], re.MULTILINE)
    weights = {name: int(count.replace(",", "")) for name, count in found}
    assert 10_000 < weights["small"] < weights["committed"] / 2


@pytest.mark.slow
def test_training_lowers_the_validation_loss(report: Report) -> None:
    losses = [float(loss) for loss in re.findall(r"validation (-?[\d.]+)", report["printed"])]
    assert len(losses) == 10
    assert losses[-1] < min(losses[:3]) - 1


@pytest.mark.slow
def test_the_trained_network_improves_the_test_clips(report: Report) -> None:
    by_noise = {row["noise"]: row for row in report["tables"][1]}
    assert set(by_noise) == {"white", "pink", "babble"}
    for noise in ("white", "pink"):
        row = by_noise[noise]
        assert abs(row["si_sdr_db_noisy"] - 3) < 0.5
        assert row["si_sdr_db_denoised"] > row["si_sdr_db_noisy"] + 4
        assert abs(row["si_sdr_db_denoised"] - row["si_sdr_db_wiener"]) < 2
        assert row["estoi_denoised"] > row["estoi_wiener"] > row["estoi_noisy"]


@pytest.mark.slow
def test_the_new_speaker_s_scores_are_what_the_text_says(report: Report) -> None:
    scores = {(row["noise"], row["network"]): row["si_sdr_db"] for row in report["tables"][2]}
    for network in ("briefly trained", "digits", "built-in"):
        assert scores["pink", network] > scores["pink", "none"] + 4
    built_in = scores["textures", "built-in"]
    assert built_in > scores["textures", "none"] + 4
    assert built_in > max(scores["textures", name] for name in ("briefly trained", "digits")) + 2
