"""The README's table: what the metrics hold, and nothing that they do not."""

import pytest

from benchmarks.table import METHODS, METRICS, condition_table, overall_table

LEAF = {"mean": 0.876, "low": 0.8, "high": 1.0}


def metrics_of(*names: str) -> dict:
    overall = {method: dict.fromkeys(names, LEAF) for method in METHODS}
    digits = {name: LEAF for name in names if name.startswith("digits")}
    return {"overall": {**overall, "clean": digits} if digits else overall}


@pytest.mark.parametrize("names", [list(METRICS), list(METRICS)[:3]])
def test_every_row_is_as_wide_as_the_head(names: list[str]) -> None:
    lines = overall_table(metrics_of(*names))
    assert {line.count("|") for line in lines} == {len(names) + 2}
    by_condition = {"white at 0 dB": {name: dict.fromkeys(METHODS, 0.5) for name in names}}
    assert len({line.count("|") for line in condition_table({"by_condition": by_condition})}) == 1


def test_digits_are_told_in_per_cent_where_there_are_any() -> None:
    lines = overall_table(metrics_of(*METRICS))
    assert lines[2].endswith(
        "| 0.88 (0.80 to 1.00) | 88 % (80 % to 100 %) | 88 % (80 % to 100 %) |"
    )
    assert lines[-1] == "| clean |  |  |  | 88 % (80 % to 100 %) | 88 % (80 % to 100 %) |"
    by_condition = {"white at 0 dB": {name: dict.fromkeys(METHODS, 0.5) for name in METRICS}}
    head, _, row = condition_table({"by_condition": by_condition})
    assert "digits noisy | Wiener | denoised" in head
    assert row.endswith("| 50 % | 50 % | 50 % |")


def test_without_digits_the_table_has_none() -> None:
    lines = overall_table(metrics_of("si_sdr_db", "estoi", "lsd_db"))
    assert len(lines) == 5
    assert not any("digits" in line or "clean" in line for line in lines)
