"""Tests of the documentation's tables of results."""

import sys
from collections.abc import Callable

import pytest

from benchmarks import table
from benchmarks.table import METHODS, METRICS, condition_table, overall_table

INTERVAL = {"mean": 0.876, "low": 0.8, "high": 1.0}


def make_breakdown(*metrics: str) -> dict:
    """Return a breakdown of one condition that holds only these metrics."""
    overall = {method: dict.fromkeys(metrics, INTERVAL) for method in METHODS}
    digits = {metric: INTERVAL for metric in metrics if metric.startswith("digits")}
    by_condition = {"white at 0 dB": {metric: dict.fromkeys(METHODS, 0.5) for metric in metrics}}
    return {
        "overall": {**overall, "clean": digits} if digits else overall,
        "by_condition": by_condition,
    }


@pytest.mark.parametrize("metrics", [list(METRICS), list(METRICS)[:3]])
def test_every_row_has_as_many_cells_as_the_head(metrics: list[str]) -> None:
    lines = overall_table(make_breakdown(*metrics))
    assert {line.count("|") for line in lines} == {len(metrics) + 2}
    assert len({line.count("|") for line in condition_table(make_breakdown(*metrics))}) == 1


def test_digits_are_percentages() -> None:
    lines = overall_table(make_breakdown(*METRICS))
    assert lines[2].endswith(
        "| 0.88 (0.80 to 1.00) | 88 % (80 % to 100 %) | 88 % (80 % to 100 %) |"
    )
    assert lines[-1] == "| clean |  |  |  | 88 % (80 % to 100 %) | 88 % (80 % to 100 %) |"
    head, _, row = condition_table(make_breakdown(*METRICS))
    assert "digits: noisy | Wiener | denoised" in head
    assert row.endswith("| 50 % | 50 % | 50 % |")


def test_a_single_speaker_has_a_mean_and_no_interval() -> None:
    breakdown = make_breakdown(*METRICS)
    for row in breakdown["overall"].values():
        row.update({metric: {"mean": 0.876} for metric in row})
    assert overall_table(breakdown)[2].endswith("| 0.88 | 88 % | 88 % |")


def test_without_digits_the_tables_have_no_such_column() -> None:
    lines = overall_table(make_breakdown("si_sdr_db", "estoi", "lsd_db"))
    assert len(lines) == 5
    assert not any("digits" in line or "clean" in line for line in lines)
    head, _, row = condition_table(make_breakdown("si_sdr_db", "estoi", "lsd_db"))
    assert "digits" not in head
    assert row == "| white at 0 dB | 0.5 | 0.5 | 0.5 | 0.50 | 0.50 | 0.50 |"


def test_readme_table_has_at_most_six_rows() -> None:
    rows = overall_table(table.read_breakdown())[2:]
    assert 0 < len(rows) <= 6


def test_rounded_zero_has_no_sign() -> None:
    breakdown = make_breakdown(*METRICS)
    breakdown["by_condition"]["white at 0 dB"]["si_sdr_db"]["noisy"] = -0.003
    assert condition_table(breakdown)[2].startswith("| white at 0 dB | 0.0 | 0.5 |")


@pytest.mark.parametrize(
    ("options", "make_table"), [([], overall_table), (["--by-condition"], condition_table)]
)
def test_command_prints_the_committed_figures(
    options: list[str],
    make_table: Callable[[table.Tree], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["table", *options])
    table.main()
    assert capsys.readouterr().out.splitlines() == make_table(table.read_breakdown())
