"""The tables: speakers count alike, intervals are over speakers, nothing undefined slips in."""

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


def rows_of(n_speakers: int = 4, seed: int = 0, with_pesq: bool = False) -> pd.DataFrame:
    """Return rows of speakers with unlike numbers of utterances."""
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
            **{f"{m}_{method}": rng.normal() for m in names for method in tables.METHODS},
        }
        for speaker in range(n_speakers)
        for digit in range(2 + speaker)
        for snr_db in (6.0, -6.0, 0.5)
    )


def leaves(tree: tables.Tree, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, value in tree.items():
        deeper = leaves(value, (*path, key)) if isinstance(value, dict) else [((*path, key), value)]
        found += deeper
    return found


def summarise(rows: pd.DataFrame) -> dict[str, Any]:
    return {**tables.headline(rows), **tables.break_down(rows)}


def test_the_plain_answer_comes_first() -> None:
    tree = summarise(rows_of())
    assert list(tree)[:3] == ["improvement", "overall", "counts"]
    assert list(tree["improvement"]) == ["over_noisy", "over_wiener"]
    assert next(iter(tree["improvement"]["over_noisy"])) == "si_sdr_db"


def test_improvement_is_positive_where_the_network_is_better() -> None:
    rows = rows_of()
    for metric, sign in (("si_sdr_db", 1), ("estoi", 1), ("lsd_db", -1)):
        rows[f"{metric}_noisy"] = 10.0
        rows[f"{metric}_wiener"] = 10.0 + sign
        rows[f"{metric}_denoised"] = 10.0 + 3 * sign
    improvement = summarise(rows)["improvement"]
    for metric in ("si_sdr_db", "estoi", "lsd_db"):
        assert improvement["over_noisy"][metric] == {"mean": 3, "low": 3, "high": 3}
        assert improvement["over_wiener"][metric]["mean"] == 2


def test_each_speaker_counts_the_same() -> None:
    rows = rows_of(2)
    rows["estoi_denoised"] = np.where(rows["speaker_id"] == "00", 0.0, 1.0)
    tree = summarise(rows)
    assert rows["estoi_denoised"].mean() > 0.55
    assert tree["overall"]["denoised"]["estoi"]["mean"] == 0.5
    assert tree["by_snr_db"]["-6"]["estoi"]["denoised"] == 0.5


def test_the_interval_is_student_s_over_speakers() -> None:
    rows = rows_of(5)
    per_speaker = rows.groupby("speaker_id")["estoi_wiener"].mean()
    low, high = stats.t.interval(0.95, 4, per_speaker.mean(), per_speaker.sem())
    leaf = summarise(rows)["overall"]["wiener"]["estoi"]
    assert leaf["low"] == pytest.approx(low, abs=1e-3)
    assert leaf["high"] == pytest.approx(high, abs=1e-3)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    speakers = pd.Series(np.repeat(np.arange(9), 20))
    hits = 0
    for _ in range(400):
        values = pd.Series(np.repeat(rng.normal(size=9), 20) + rng.normal(size=180))
        leaf = tables.interval(values, speakers)
        hits += leaf["low"] <= 0 <= leaf["high"]
    assert 0.92 < hits / 400 < 0.98


def test_copies_of_an_utterance_buy_no_certainty() -> None:
    rows = rows_of()
    repeated = pd.concat([rows] * 5, ignore_index=True)
    assert summarise(repeated)["overall"] == summarise(rows)["overall"]


def test_one_speaker_has_a_mean_and_no_interval() -> None:
    tree = summarise(rows_of(1))
    assert list(tree["overall"]["noisy"]["estoi"]) == ["mean"]
    assert tree["counts"]["speakers"] == 1


def test_what_is_undefined_is_left_out_for_all_methods_and_counted() -> None:
    rows = rows_of()
    rows["estoi_noisy"] = rows["estoi_wiener"] = rows["estoi_denoised"] = 0.25
    rows.loc[2, ["estoi_noisy", "estoi_wiener", "estoi_denoised"]] = [99.0, 99.0, math.nan]
    tree = summarise(rows)
    assert tree["overall"]["noisy"]["estoi"]["mean"] == 0.25
    assert tree["improvement"]["over_noisy"]["estoi"]["mean"] == 0
    assert tree["by_digit"]["0"]["estoi"] == {"noisy": 0.25, "wiener": 0.25, "denoised": 0.25}
    assert tree["counts"]["undefined"] == {"si_sdr_db": 0, "estoi": 1, "lsd_db": 0}


def test_a_metric_that_is_nowhere_defined_has_no_leaf() -> None:
    rows = rows_of().assign(estoi_noisy=math.nan)
    tree = summarise(rows)
    assert list(tree["overall"]["denoised"]) == ["si_sdr_db", "lsd_db"]
    assert list(tree["by_noise"]["white"]) == ["si_sdr_db", "lsd_db"]
    assert tree["counts"]["undefined"]["estoi"] == len(rows)
    assert tree["overall"]["noisy"]["si_sdr_db"]


def test_the_tree_is_json_rounded_and_at_most_four_levels_deep() -> None:
    almost_zero = {f"estoi_{method}": -0.0001 for method in tables.METHODS}
    tree = summarise(rows_of(with_pesq=True).assign(**almost_zero))
    json.dumps(tree, allow_nan=False)
    for path, value in leaves(tree):
        assert len(path) <= 4
        assert type(value) in (int, float)
        assert str(value) == str(round(value, 3)) != "-0.0"
    assert "pesq" in tree["overall"]["noisy"]
    assert "pesq" not in summarise(rows_of())["overall"]["noisy"]


def test_a_change_too_small_to_mean_anything_changes_nothing() -> None:
    rows = rows_of().round(2)
    shaken = rows.copy()
    shaken["estoi_denoised"] *= 1 + 1e-12
    assert summarise(shaken) == summarise(rows)


def test_groups_are_sorted_as_numbers_and_the_order_of_rows_changes_nothing() -> None:
    rows = rows_of(12)
    tree = summarise(rows)
    assert list(tree["by_snr_db"]) == ["-6", "0.5", "6"]
    assert list(tree["by_digit"]) == [str(digit) for digit in range(13)]
    assert list(tree["by_gender"]) == ["female", "male"]
    assert list(tree["by_noise"]) == ["white"]
    shuffled = rows.sample(frac=1, random_state=1)
    assert json.dumps(summarise(shuffled)) == json.dumps(tree)
    assert tables.utterance_csv(shuffled) == tables.utterance_csv(rows)


def test_a_group_holds_its_own_rows_only() -> None:
    rows = rows_of()
    rows["lsd_db_noisy"] = rows["snr_db"]
    tree = tables.break_down(rows)["by_snr_db"]
    assert {snr: leaf["lsd_db"]["noisy"] for snr, leaf in tree.items()} == {
        "-6": -6,
        "0.5": 0.5,
        "6": 6,
    }


@pytest.mark.parametrize("unknown", ["", None, math.nan])
def test_speakers_of_unknown_gender_are_a_group_too(unknown: object) -> None:
    rows = rows_of()
    rows["gender"] = rows["gender"].astype(object).where(rows["speaker_id"] != "00", unknown)
    assert list(tables.break_down(rows)["by_gender"]) == ["female", "male", "unknown"]


@pytest.mark.parametrize("table", [summarise, tables.improvement_by_snr])
def test_rows_that_cannot_be_summed_up_are_refused(table: Callable[[pd.DataFrame], object]) -> None:
    with pytest.raises(ValueError, match="no column gender, lsd_db_wiener"):
        table(rows_of().drop(columns=["gender", "lsd_db_wiener"]))
    with pytest.raises(ValueError, match="no row"):
        table(rows_of().head(0))


def test_improvement_by_snr_is_one_row_an_snr() -> None:
    rows = rows_of()
    rows["si_sdr_db_noisy"] = rows["snr_db"]
    rows["si_sdr_db_wiener"] = rows["snr_db"] + 5
    rows["si_sdr_db_denoised"] = 10.0
    table = tables.improvement_by_snr(rows)
    assert table["snr_db"].tolist() == [-6, 0.5, 6]
    assert table["wiener"].tolist() == [5, 5, 5]
    assert table["denoised"].tolist() == [16, 9.5, 4]
    assert table["denoised_low"].tolist() == [16, 9.5, 4]
    alone = tables.improvement_by_snr(rows[rows["speaker_id"] == "00"])
    assert alone["wiener"].tolist() == [5, 5, 5]
    assert alone["wiener_low"].isna().all()


def test_utterance_csv_holds_each_row_rounded() -> None:
    rows = rows_of(with_pesq=True)
    rows.loc[0, ["estoi_noisy", "estoi_wiener", "pesq_noisy"]] = [0.12345, -0.0001, math.nan]
    text = tables.utterance_csv(rows)
    assert "\r" not in text
    first = text.splitlines()[1 + int((rows["snr_db"] < 6).sum())]
    assert first.startswith("0_00_0,00,0,male,white,6.0,")
    assert ",0.123,0.0," in first
    assert ",," in first
    back = pd.read_csv(io.StringIO(text), dtype={"speaker_id": str})
    assert len(back) == len(rows)
    expected = rows.sort_values(["noise", "snr_db", "utterance_id"])["lsd_db_wiener"].round(3)
    np.testing.assert_allclose(back["lsd_db_wiener"], expected)


def with_digits(rows: pd.DataFrame) -> pd.DataFrame:
    """Add what two recognisers understood: all of the clean clips, little of the noisy ones."""
    rng = np.random.default_rng(3)
    shares = {"clean": 1.0, "noisy": 0.2, "wiener": 0.5, "denoised": 0.9}
    digit_scores = {
        f"{name}_{method}": (rng.random(len(rows)) < share).astype(float)
        for name in tables.DIGITS
        for method, share in shares.items()
    }
    return rows.assign(**digit_scores)


def test_digits_are_shares_that_stand_beside_the_clean_clips() -> None:
    rows = with_digits(rows_of(6))
    tree = summarise(rows)
    per_speaker = rows.groupby("speaker_id")["digits_noise_trained_denoised"].mean()
    leaf = tree["overall"]["denoised"]["digits_noise_trained"]
    assert leaf["mean"] == round(per_speaker.mean(), 3)
    assert tree["overall"]["clean"] == {
        name: {"mean": 1, "low": 1, "high": 1} for name in tables.DIGITS
    }
    assert all(0 <= value <= 1 for value in leaf.values())
    gained = tree["improvement"]["over_noisy"]["digits_clean_trained"]["mean"]
    assert 0.5 < gained < 0.9
    (condition, *_) = tree["by_condition"].values()
    assert list(condition["digits_clean_trained"]) == ["clean", *tables.METHODS]
    back = pd.read_csv(io.StringIO(tables.utterance_csv(rows)))
    assert (back["digits_clean_trained_clean"] == 1).all()


def test_no_interval_of_a_share_leaves_nought_to_one() -> None:
    rows = with_digits(rows_of(2))
    rows["digits_clean_trained_noisy"] = (rows["speaker_id"] == "00").astype(float)
    leaf = tables.headline(rows)["overall"]["noisy"]["digits_clean_trained"]
    assert leaf == {"mean": 0.5, "low": 0, "high": 1}


def test_without_digits_nothing_is_said_of_them() -> None:
    assert "clean" not in summarise(rows_of())["overall"]
    assert "digits" not in json.dumps(summarise(rows_of()))
