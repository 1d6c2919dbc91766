"""Tests of the summaries: equal weight per speaker, intervals over speakers, undefined values."""

import io
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from denoise.evaluation import tables


def make_rows(n_speakers: int = 4, seed: int = 0, with_pesq: bool = False) -> pd.DataFrame:
    """Return random results of speakers with different numbers of utterances."""
    rng = np.random.default_rng(seed)
    names = ["si_sdr_db", "estoi", "lsd_db", *(["pesq"] if with_pesq else [])]
    return pd.DataFrame(
        {
            "utterance_id": f"{digit}_{speaker:02}_0",
            "speaker_id": f"{speaker:02}",
            "digit": digit,
            "gender": "female" if speaker % 2 else "male",
            "noise": "white",
            "snr_db": snr_db,
            **{f"{name}_{m}": rng.normal() for name in names for m in tables.METHODS},
        }
        for speaker in range(n_speakers)
        for digit in range(2 + speaker)
        for snr_db in (6.0, -6.0, 0.5)
    )


def list_leaves(tree: tables.Tree, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    leaves: list[tuple[tuple[str, ...], Any]] = []
    for key, value in tree.items():
        is_tree = isinstance(value, dict)
        leaves += list_leaves(value, (*path, key)) if is_tree else [((*path, key), value)]
    return leaves


def test_headline_is_flat_and_short_enough_for_a_terminal() -> None:
    rows = add_digits(make_rows(with_pesq=True))
    metrics = tables.headline_metrics(rows)
    assert list(metrics) == [
        "si_sdri_db",
        "estoi",
        "lsd_db",
        "pesq",
        "acc_clean_asr",
        "acc_noisy_asr",
    ]
    assert all(type(value) is float and value == round(value, 3) for value in metrics.values())
    # `dvc metrics show` puts four spaces between the columns.
    assert len("    ".join(["metrics/metrics.json", *metrics])) <= 100


def test_headline_repeats_the_breakdown() -> None:
    rows = add_digits(make_rows(6))
    metrics, breakdown = tables.headline_metrics(rows), tables.break_down(rows)
    denoised = breakdown["overall"]["denoised"]
    assert metrics == {
        "si_sdri_db": breakdown["improvement"]["over_noisy"]["si_sdr_db"]["mean"],
        "estoi": denoised["estoi"]["mean"],
        "lsd_db": denoised["lsd_db"]["mean"],
        "acc_clean_asr": denoised["digits_clean_trained"]["mean"],
        "acc_noisy_asr": denoised["digits_noise_trained"]["mean"],
    }


def test_headline_leaves_out_undefined_metrics() -> None:
    rows = make_rows().assign(estoi_noisy=math.nan)
    assert list(tables.headline_metrics(rows)) == ["si_sdri_db", "lsd_db"]


def test_breakdown_starts_with_the_improvement() -> None:
    breakdown = tables.break_down(make_rows())
    assert list(breakdown)[:3] == ["improvement", "overall", "counts"]
    assert list(breakdown["improvement"]) == ["over_noisy", "over_wiener"]
    assert next(iter(breakdown["improvement"]["over_noisy"])) == "si_sdr_db"


def test_breakdown_counts_rejected_recordings() -> None:
    assert tables.break_down(make_rows())["counts"]["rejected"] == 0
    assert tables.break_down(make_rows(), n_rejected=3)["counts"]["rejected"] == 3


def test_improvement_is_positive_where_the_network_is_better() -> None:
    rows = make_rows()
    for metric, sign in (("si_sdr_db", 1), ("estoi", 1), ("lsd_db", -1)):
        rows[f"{metric}_noisy"] = 10.0
        rows[f"{metric}_wiener"] = 10.0 + sign
        rows[f"{metric}_denoised"] = 10.0 + 3 * sign
    improvement = tables.break_down(rows)["improvement"]
    for metric in ("si_sdr_db", "estoi", "lsd_db"):
        assert improvement["over_noisy"][metric] == {"mean": 3, "low": 3, "high": 3}
        assert improvement["over_wiener"][metric]["mean"] == 2


def test_each_speaker_counts_the_same() -> None:
    rows = make_rows(2)
    rows["estoi_denoised"] = np.where(rows["speaker_id"] == "00", 0.0, 1.0)
    breakdown = tables.break_down(rows)
    assert rows["estoi_denoised"].mean() > 0.55
    assert breakdown["overall"]["denoised"]["estoi"]["mean"] == 0.5
    assert breakdown["by_snr_db"]["-6"]["estoi"]["denoised"] == 0.5


def test_interval_is_students_t_over_speakers() -> None:
    rows = make_rows(5)
    per_speaker = rows.groupby("speaker_id")["estoi_wiener"].mean()
    low, high = stats.t.interval(0.95, 4, per_speaker.mean(), per_speaker.sem())
    interval = tables.break_down(rows)["overall"]["wiener"]["estoi"]
    assert interval["low"] == pytest.approx(low, abs=1e-3)
    assert interval["high"] == pytest.approx(high, abs=1e-3)


def test_interval_has_its_nominal_coverage() -> None:
    rng = np.random.default_rng(5)
    speakers = pd.Series(np.repeat(np.arange(9), 20))
    hits = 0
    for _ in range(400):
        values = pd.Series(np.repeat(rng.normal(size=9), 20) + rng.normal(size=180))
        interval = tables.confidence_interval(values, speakers)
        hits += interval["low"] <= 0 <= interval["high"]
    assert 0.92 < hits / 400 < 0.98


def test_repeated_utterances_do_not_narrow_the_interval() -> None:
    rows = make_rows()
    repeated = pd.concat([rows] * 5, ignore_index=True)
    assert tables.break_down(repeated)["overall"] == tables.break_down(rows)["overall"]


def test_one_speaker_has_a_mean_and_no_interval() -> None:
    breakdown = tables.break_down(make_rows(1))
    assert list(breakdown["overall"]["noisy"]["estoi"]) == ["mean"]
    assert breakdown["counts"]["speakers"] == 1


def test_undefined_rows_are_left_out_for_all_methods_and_counted() -> None:
    rows = make_rows()
    rows["estoi_noisy"] = rows["estoi_wiener"] = rows["estoi_denoised"] = 0.25
    rows.loc[2, ["estoi_noisy", "estoi_wiener", "estoi_denoised"]] = [99.0, 99.0, math.nan]
    breakdown = tables.break_down(rows)
    assert breakdown["overall"]["noisy"]["estoi"]["mean"] == 0.25
    assert breakdown["improvement"]["over_noisy"]["estoi"]["mean"] == 0
    assert breakdown["by_digit"]["0"]["estoi"] == {"noisy": 0.25, "wiener": 0.25, "denoised": 0.25}
    assert breakdown["counts"]["undefined"] == {"si_sdr_db": 0, "estoi": 1, "lsd_db": 0}


def test_metric_that_is_never_defined_is_left_out() -> None:
    rows = make_rows().assign(estoi_noisy=math.nan)
    breakdown = tables.break_down(rows)
    assert list(breakdown["overall"]["denoised"]) == ["si_sdr_db", "lsd_db"]
    assert list(breakdown["by_noise"]["white"]) == ["si_sdr_db", "lsd_db"]
    assert breakdown["counts"]["undefined"]["estoi"] == len(rows)
    assert breakdown["overall"]["noisy"]["si_sdr_db"]


def test_breakdown_is_rounded_json_of_at_most_four_levels() -> None:
    almost_zero = {f"estoi_{method}": -0.0001 for method in tables.METHODS}
    breakdown = tables.break_down(make_rows(with_pesq=True).assign(**almost_zero))
    json.dumps(breakdown, allow_nan=False)
    for path, value in list_leaves(breakdown):
        assert len(path) <= 4
        assert type(value) in (int, float)
        assert str(value) == str(round(value, 3)) != "-0.0"
    assert "pesq" in breakdown["overall"]["noisy"]
    assert "pesq" not in tables.break_down(make_rows())["overall"]["noisy"]


def test_rounding_hides_negligible_differences() -> None:
    rows = make_rows().round(2)
    perturbed = rows.copy()
    perturbed["estoi_denoised"] *= 1 + 1e-12
    assert tables.break_down(perturbed) == tables.break_down(rows)
    assert tables.headline_metrics(perturbed) == tables.headline_metrics(rows)


def test_groups_are_sorted_as_numbers_whatever_the_order_of_the_rows() -> None:
    rows = make_rows(12)
    breakdown = tables.break_down(rows)
    assert list(breakdown["by_snr_db"]) == ["-6", "0.5", "6"]
    assert list(breakdown["by_digit"]) == [str(digit) for digit in range(13)]
    assert list(breakdown["by_gender"]) == ["female", "male"]
    assert list(breakdown["by_noise"]) == ["white"]
    shuffled = rows.sample(frac=1, random_state=1)
    assert json.dumps(tables.break_down(shuffled)) == json.dumps(breakdown)
    assert tables.utterance_csv(shuffled) == tables.utterance_csv(rows)


def test_group_contains_only_its_own_rows() -> None:
    rows = make_rows()
    rows["lsd_db_noisy"] = rows["snr_db"]
    by_snr = tables.break_down(rows)["by_snr_db"]
    assert {snr: means["lsd_db"]["noisy"] for snr, means in by_snr.items()} == {
        "-6": -6,
        "0.5": 0.5,
        "6": 6,
    }


@pytest.mark.parametrize("unknown", ["", None, math.nan])
def test_speakers_of_unknown_gender_are_a_group(unknown: object) -> None:
    rows = make_rows()
    rows["gender"] = rows["gender"].astype(object).where(rows["speaker_id"] != "00", unknown)
    assert list(tables.break_down(rows)["by_gender"]) == ["female", "male", "unknown"]


@pytest.mark.parametrize(
    "table", [tables.break_down, tables.headline_metrics, tables.improvement_by_snr]
)
def test_incomplete_rows_are_rejected(table: Callable[[pd.DataFrame], object]) -> None:
    with pytest.raises(ValueError, match="no column gender, lsd_db_wiener"):
        table(make_rows().drop(columns=["gender", "lsd_db_wiener"]))
    with pytest.raises(ValueError, match="no row"):
        table(make_rows().head(0))


def test_improvement_by_snr_has_one_row_per_snr() -> None:
    rows = make_rows()
    rows["si_sdr_db_noisy"] = rows["snr_db"]
    rows["si_sdr_db_wiener"] = rows["snr_db"] + 5
    rows["si_sdr_db_denoised"] = 10.0
    table = tables.improvement_by_snr(rows)
    assert table["snr_db"].tolist() == [-6, 0.5, 6]
    assert table["wiener"].tolist() == [5, 5, 5]
    assert table["denoised"].tolist() == [16, 9.5, 4]
    assert table["denoised_low"].tolist() == [16, 9.5, 4]
    one_speaker = tables.improvement_by_snr(rows[rows["speaker_id"] == "00"])
    assert one_speaker["wiener"].tolist() == [5, 5, 5]
    assert one_speaker["wiener_low"].isna().all()


def test_utterance_csv_contains_each_row_rounded() -> None:
    rows = make_rows(with_pesq=True)
    rows.loc[0, ["estoi_noisy", "estoi_wiener", "pesq_noisy"]] = [0.12345, -0.0001, math.nan]
    text = tables.utterance_csv(rows)
    assert "\r" not in text
    first = text.splitlines()[1 + int((rows["snr_db"] < 6).sum())]
    assert first.startswith("0_00_0,00,0,male,white,6.0,")
    assert ",0.123,0.0," in first
    assert ",," in first
    table = pd.read_csv(io.StringIO(text), dtype={"speaker_id": str})
    assert len(table) == len(rows)
    expected = rows.sort_values(["noise", "snr_db", "utterance_id"])["lsd_db_wiener"].round(3)
    np.testing.assert_allclose(table["lsd_db_wiener"], expected)


def add_digits(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the results of two recognisers: accurate on the clean clips, poor on the noisy ones."""
    rng = np.random.default_rng(3)
    accuracies = {"clean": 1.0, "noisy": 0.2, "wiener": 0.5, "denoised": 0.9}
    digit_scores = {
        f"{name}_{method}": (rng.random(len(rows)) < accuracy).astype(float)
        for name in tables.DIGITS
        for method, accuracy in accuracies.items()
    }
    return rows.assign(**digit_scores)


def test_digit_accuracy_is_reported_for_the_clean_clips_too() -> None:
    rows = add_digits(make_rows(6))
    breakdown = tables.break_down(rows)
    per_speaker = rows.groupby("speaker_id")["digits_noise_trained_denoised"].mean()
    interval = breakdown["overall"]["denoised"]["digits_noise_trained"]
    assert interval["mean"] == round(per_speaker.mean(), 3)
    assert breakdown["overall"]["clean"] == {
        name: {"mean": 1, "low": 1, "high": 1} for name in tables.DIGITS
    }
    assert all(0 <= value <= 1 for value in interval.values())
    improvement = breakdown["improvement"]["over_noisy"]["digits_clean_trained"]["mean"]
    assert 0.5 < improvement < 0.9
    (condition, *_) = breakdown["by_condition"].values()
    assert list(condition["digits_clean_trained"]) == ["clean", *tables.METHODS]
    table = pd.read_csv(io.StringIO(tables.utterance_csv(rows)))
    assert (table["digits_clean_trained_clean"] == 1).all()


def test_interval_of_an_accuracy_is_clipped_to_0_and_1() -> None:
    rows = add_digits(make_rows(2))
    rows["digits_clean_trained_noisy"] = (rows["speaker_id"] == "00").astype(float)
    interval = tables.break_down(rows)["overall"]["noisy"]["digits_clean_trained"]
    assert interval == {"mean": 0.5, "low": 0, "high": 1}


def test_without_recognisers_there_is_no_digit_accuracy() -> None:
    breakdown = tables.break_down(make_rows())
    assert "clean" not in breakdown["overall"]
    assert "digits" not in json.dumps(breakdown)
    assert not any("acc" in name for name in tables.headline_metrics(make_rows()))
