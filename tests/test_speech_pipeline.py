"""The whole pipeline under the real `dvc` on a folder of speech without digits."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from tests.corpora import encode, write_tree
from tests.project import STAGES, Project, make_project, ran
from tests.speechlike import voice

PEOPLE = ("anna", "bob", "carl", "dora", "eve")
RATE = 8000

pytestmark = pytest.mark.slow  # a whole pipeline, besides that of tests/test_pipeline.py


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run the pipeline once on sentences of five people, and one damaged file."""
    folder = tmp_path_factory.mktemp("speech")
    files = {
        f"{who}/session1/{who}_{n}.flac": encode(
            voice(10 * number + n, 3.0, RATE)[:, None], "FLAC", sample_rate=RATE
        )
        for number, who in enumerate(PEOPLE)
        for n in range(4)
    }
    mine = write_tree(folder / "mine", {**files, "eve/broken.mp3": b"no sound"})
    project = make_project(Project(folder / "project"))
    project.edit(
        {
            "download.source": "local",
            "download.local": str(mine),
            "download.max_damaged_fraction": 0.1,
            "sample.size": 20,
        }
    )
    assert ran(project.dvc("repro")) == STAGES
    return project


def test_the_manifest_has_speakers_and_no_digits(project: Project) -> None:
    manifest = (project.folder / "data" / "manifest.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(manifest)))
    assert len({row["utterance_id"] for row in rows}) == 20
    assert {row["speaker_id"] for row in rows} == {"01", "02", "03", "04", "05"}
    assert {row["digit"] for row in rows} == {""}
    provenance = json.loads(project.content("download")["data/corpus.json"])
    assert (provenance["files"], provenance["speakers"], provenance["damaged"]) == (20, 5, 1)


def test_the_recognisers_are_left_out_with_a_word(project: Project) -> None:
    config = project.content("train_recogniser")["models/recogniser/config.json"]
    assert json.loads(config)["reason"] == "The corpus has no spoken digits to recognise."
    done = project.stage("train_recogniser")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "The corpus has no spoken digits to recognise. The recognisers are left out."
    ]


def test_the_evaluation_has_all_metrics_but_the_digits(project: Project) -> None:
    results = project.content("evaluate")
    metrics = json.loads(results["metrics/metrics.json"])
    assert metrics.keys() == {"si_sdri_db", "estoi", "lsd_db"}
    breakdown = json.loads(results["metrics/evaluation/breakdown.json"])
    assert breakdown["by_digit"] == {} and breakdown["by_gender"].keys() == {"unknown"}
    assert breakdown["overall"].keys() == {"noisy", "wiener", "denoised"}
    table = list(csv.DictReader(io.StringIO(results["metrics/evaluation/utterances.csv"].decode())))
    assert table and {row["digit"] for row in table} == {""}
    assert not [name for name in table[0] if name.startswith("digits_")]


def test_the_comparison_runs_and_says_that_digits_are_left_out(
    project: Project, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    words = ("-m", "benchmarks.compare", "--limit", "1", "--output", str(tmp_path / "report"))
    printed = project.succeed(sys.executable, *words, "--rows", str(rows))
    assert "Digit accuracy is left out: The corpus has no spoken digits to recognise." in printed
    assert "si_sdr_db" in rows.read_text(encoding="utf-8").splitlines()[0]


def test_too_many_damaged_files_stop_the_stage(project: Project) -> None:
    before = project.edit({"download.max_damaged_fraction": 0.01})
    done = project.stage("download")
    project.put_back(before)
    assert done.returncode == 1
    assert "error: 1 of 21 recordings" in done.stderr and "eve/broken.mp3: " in done.stderr
    assert "Traceback" not in done.stderr
