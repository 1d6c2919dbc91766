"""The comparison of two experiments by a paired bootstrap over speakers."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from denoise.evaluation.comparison import (
    ComparisonError,
    compare,
    pair,
)
from presets.compare import TABLE, main

SPEAKERS, CLIPS = 12, 6


def scores(gain: float = 0.0, seed: int = 1, spread: float = 0.05) -> pd.DataFrame:
    """Return scores whose SI-SDR is better by `gain` dB, and LSD lower by as much."""
    rng = np.random.default_rng(seed)
    rows = [
        {"utterance_id": f"{speaker}_{clip}", "speaker_id": f"{speaker:02}", "noise": "pink"}
        for speaker in range(SPEAKERS)
        for clip in range(CLIPS)
    ]
    level = np.random.default_rng(0).normal(8, 3, len(rows))  # differs more than any gain
    change = gain + spread * rng.standard_normal(len(rows))
    values = {"si_sdr_db_denoised": level + change, "lsd_db_denoised": 5 - change}
    return pd.DataFrame(rows).assign(snr_db=0.0, estoi_denoised=np.nan, **values)


def test_a_small_difference_in_every_clip_is_more_than_chance() -> None:
    si_sdr, lsd = compare(pair(scores(), scores(gain=0.1, seed=2)))
    assert (si_sdr.metric, lsd.metric) == ("si_sdr_db", "lsd_db")
    assert si_sdr.is_better and lsd.is_better and not (si_sdr.is_worse or lsd.is_worse)
    assert si_sdr.second - si_sdr.first == pytest.approx(0.1, abs=0.03)
    assert si_sdr.low < si_sdr.second - si_sdr.first < si_sdr.high


def test_the_same_difference_the_other_way_round_is_worse() -> None:
    assert all(each.is_worse for each in compare(pair(scores(gain=0.1, seed=2), scores())))


def test_a_difference_of_a_few_speakers_may_be_chance() -> None:
    first, second = scores(spread=0), scores(spread=0)
    second.loc[second["speaker_id"] == "03", "si_sdr_db_denoised"] += 5
    si_sdr, _ = compare(pair(first, second))
    assert si_sdr.second > si_sdr.first
    assert not (si_sdr.is_better or si_sdr.is_worse)


def test_five_of_a_hundred_comparisons_of_few_speakers_are_wrong_by_chance() -> None:
    rng = np.random.default_rng(5)
    first = scores(spread=0)
    few = first[first["speaker_id"] < "06"]
    wrong = 0
    for _ in range(300):
        changes = dict(zip(few["speaker_id"].unique(), rng.normal(size=6), strict=True))
        changed = few["si_sdr_db_denoised"] + few["speaker_id"].map(changes)
        si_sdr, _ = compare(pair(few, few.assign(si_sdr_db_denoised=changed)))
        wrong += si_sdr.is_better or si_sdr.is_worse
    assert 0.025 < wrong / 300 < 0.075  # a percentile bootstrap is wrong in 13 of 100


def test_one_speaker_tells_nothing() -> None:
    first, second = scores(spread=0), scores(gain=0.1, spread=0)
    si_sdr, _ = compare(pair(first[first["speaker_id"] == "03"], second))
    assert np.isnan([si_sdr.low, si_sdr.high]).all()
    assert not (si_sdr.is_better or si_sdr.is_worse)


def test_each_speaker_has_the_same_weight() -> None:
    first, second = scores(spread=0), scores(spread=0)
    second.loc[second["speaker_id"] == "03", "si_sdr_db_denoised"] += 1.2
    extra = first["speaker_id"].eq("03") & ~first["utterance_id"].eq("3_0")
    si_sdr, _ = compare(pair(first[~extra], second[~extra]))
    assert si_sdr.second - si_sdr.first == pytest.approx(1.2 / SPEAKERS)


def test_tables_without_a_common_clip_are_an_error() -> None:
    with pytest.raises(ComparisonError, match="no test clip"):
        pair(scores(), scores().assign(noise="white"))


def git(folder: Path, *arguments: str) -> None:
    names = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a DVC project with scores in two tagged commits and in the workspace."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").touch()
    (tmp_path / TABLE).parent.mkdir(parents=True)
    for name, gain in (("first", 0.0), ("second", 0.1)):
        scores(gain, seed=round(10 * gain)).to_csv(tmp_path / TABLE, index=False)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", name)
        git(tmp_path, "tag", name)
    scores(gain=-0.3, seed=9).iloc[1:].to_csv(tmp_path / TABLE, index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_revisions_are_compared(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["first", "second"]) == 0
    counts, header, si_sdr, lsd = capsys.readouterr().out.splitlines()
    assert counts == "72 clips of 12 speakers."
    assert header.split() == ["metric", "first", "second", "difference", "95", "%", "interval"]
    assert si_sdr.startswith("si_sdr_db") and si_sdr.endswith("better")
    assert lsd.startswith("lsd_db") and lsd.endswith("better")
    assert main(["second", "first"]) == 1


def test_a_revision_is_compared_with_the_workspace(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["first"]) == 1
    out = capsys.readouterr().out
    assert "71 clips of 12 speakers; 1 without a counterpart are left out." in out
    assert out.count("worse") == 2 and "workspace" in out


@pytest.mark.parametrize("arguments", [["nothing"], ["first", "--table", "no.csv"]])
def test_what_cannot_be_compared_is_an_error(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    assert f"python -m presets.compare: {arguments[0]} has no " in capsys.readouterr().err


def rewrite(project: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change the scores in the workspace."""
    table = pd.read_csv(project / TABLE)
    change(table).to_csv(project / TABLE, index=False)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: (p / TABLE).write_text(""), "is no table: No columns to parse"),
    "ragged": (lambda p: (p / TABLE).write_text("a\nb,c,d\ne,f\ng,h,i,j\n"), "is no table: "),
    "binary": (lambda p: (p / TABLE).write_bytes(b"\xff\xfe\xff"), "is no table: "),
    "other": (
        lambda p: rewrite(p, lambda t: t.drop(columns=["utterance_id", "snr_db"])),
        "of workspace has no column utterance_id, snr_db.",
    ),
    "text": (
        lambda p: rewrite(p, lambda t: t.assign(lsd_db_denoised="x")),
        "holds text in the column lsd_db_denoised",
    ),
    "noise levels": (lambda p: rewrite(p, lambda t: t.assign(snr_db="a")), "the column snr_db"),
    "no scores": (
        lambda p: rewrite(p, lambda t: t.drop(columns=["si_sdr_db_denoised", "lsd_db_denoised"])),
        "no metric in common",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_never_significantly_worse(
    project: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    spoil, message = BROKEN[name]
    spoil(project)
    assert main(["first"]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("python -m presets.compare: ") and message in line
    assert not captured.out


def test_a_broken_metric_of_the_user_is_an_error(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "extensions" / "metrics").mkdir(parents=True)
    (project / "extensions" / "metrics" / "mine.py").write_text("1 / 0\n", encoding="utf-8")
    assert main(["first"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "mine.py, line 1: ZeroDivisionError" in line
