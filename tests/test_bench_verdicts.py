"""Tests of the comparison's conclusions: significance, and a report that shows every loss."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from benchmarks import picture
from benchmarks.methods import OURS
from benchmarks.quality import Metric
from benchmarks.report import overview_table, render
from benchmarks.verdicts import compare, count_undefined, list_losses, summarise, verdict

UP = Metric("up", decimals=2)
DOWN = Metric("down", higher_is_better=False, decimals=2)
METRICS = {"up": UP, "down": DOWN}
CONDITIONS = ("white 0 dB", "babble 0 dB")


def make_rows(
    difference: float, spread: float = 0.1, speakers: int = 6, clips: int = 4
) -> pd.DataFrame:
    """Return scores in which ours is about `difference` above the baseline, for every speaker.

    The clips differ a hundred times as much, so only a paired comparison can show it.
    """
    rng = np.random.default_rng(5)
    rows = []
    for condition in CONDITIONS:
        for speaker in range(speakers):
            for clip in range(clips):
                utterance = {"utterance_id": f"{clip}_{speaker}", "speaker_id": str(speaker)}
                base = rng.normal(0, 100 * spread)
                ours = base + difference + rng.normal(0, spread)
                for method, score in (("baseline", base), (OURS, ours)):
                    scores = {"up": score, "down": score, "condition": condition}
                    rows.append({**utterance, **scores, "method": method})
    return pd.DataFrame(rows)


def test_paired_comparison_shows_a_difference_between_overlapping_intervals() -> None:
    rows = make_rows(difference=0.3)
    difference = compare(rows, OURS, METRICS)["up"]["white 0 dB"]["baseline"]
    assert difference["verdict"] == "better"
    assert difference["low"] < 0.3 < difference["high"]
    assert difference["high"] - difference["low"] < 0.5
    means = summarise(rows, METRICS)["up"]["white 0 dB"]
    assert means[OURS]["low"] < means["baseline"]["high"]


def test_lower_is_better_reverses_the_verdict() -> None:
    differences = compare(make_rows(difference=0.3), OURS, METRICS)
    up, down = (differences[name]["white 0 dB"]["baseline"] for name in ("up", "down"))
    assert (up["verdict"], down["verdict"]) == ("better", "worse")
    assert down["mean"] == -up["mean"]
    assert (down["low"], down["high"]) == (-up["high"], -up["low"])


def test_small_difference_is_not_significant() -> None:
    by_metric = compare(make_rows(difference=0.001), OURS, METRICS)
    differences = [
        baselines["baseline"]
        for conditions in by_metric.values()
        for baselines in conditions.values()
    ]
    assert [difference["verdict"] for difference in differences] == ["no difference"] * 4


def test_speakers_are_the_independent_units_not_clips() -> None:
    # Every second speaker improves: a hundred clips of each are no more evidence than one clip.
    few, many = (
        pd.DataFrame(
            {
                "utterance_id": f"{clip}_{speaker}",
                "speaker_id": str(speaker),
                "condition": "c",
                "method": method,
                "up": float(speaker % 2) if method == OURS else 0.0,
            }
            for speaker in range(4)
            for clip in range(n_clips)
            for method in (OURS, "baseline")
        )
        for n_clips in (1, 100)
    )
    one, hundred = (compare(rows, OURS, {"up": UP})["up"]["c"]["baseline"] for rows in (few, many))
    assert hundred["verdict"] == "no difference"
    assert (hundred["low"], hundred["high"]) == (one["low"], one["high"])
    assert (one["pairs"], hundred["pairs"]) == (4, 400)


def test_undefined_scores_are_left_out_of_both_methods_and_counted() -> None:
    rows = make_rows(difference=0.3)
    is_undefined = (rows["method"] == "baseline") & (rows["utterance_id"] == "0_0")
    rows.loc[is_undefined, "up"] = np.nan
    rows.loc[(rows["method"] == OURS) & (rows["utterance_id"] == "0_0"), "up"] = 1e6
    differences = compare(rows, OURS, METRICS)
    assert differences["up"]["white 0 dB"]["baseline"]["pairs"] == 23
    assert differences["up"]["white 0 dB"]["baseline"]["mean"] < 1
    assert differences["down"]["white 0 dB"]["baseline"]["pairs"] == 24
    assert count_undefined(rows, METRICS) == {"up": {"baseline": 2}, "down": {}}


def test_differences_do_not_depend_on_the_order_of_the_rows() -> None:
    rows = make_rows(difference=0.3)
    shuffled = rows.sample(frac=1, random_state=1)
    one, other = (compare(r, OURS, METRICS)["up"]["babble 0 dB"] for r in (rows, shuffled))
    assert one == other


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ({"mean": 1.0, "low": 0.1, "high": 2.0}, "better"),
        ({"mean": -1.0, "low": -2.0, "high": -0.1}, "worse"),
        ({"mean": 1.0, "low": -0.1, "high": 2.0}, "no difference"),
        ({"mean": 1.0, "low": 0.0, "high": 2.0}, "no difference"),
        ({"mean": 9.0}, "no difference"),
        ({}, "no difference"),
    ],
)
def test_verdicts(interval: dict[str, float], expected: str) -> None:
    assert verdict(interval) == expected


def make_tree(difference: float) -> dict[str, Any]:
    """Return the results of benchmarks.compare for one baseline, an oracle and ours."""
    rows = make_rows(difference)
    oracle = rows[rows["method"] == OURS].assign(method="oracle_512")
    oracle["up"], oracle["down"] = oracle["up"] + 1, oracle["down"] - 1
    rows = pd.concat([rows, oracle])
    cost = {"ms_per_second": 12.34, "start_up_cpu_seconds": 5.67, "peak_memory_mb": 89.0}
    baseline = {"label": "a baseline", "is_usable": True, "cost": cost, "training_seconds": None}
    return {
        "test_set": {"archive": "corpus.zip", "speakers": 6, "clips": 24},
        "machine": {
            "processor": "a processor",
            "cores": 2,
            "system": "Linux x86_64",
            "python": "3.11.7",
            "packages": {"numpy": "2.4"},
        },
        "conditions": dict.fromkeys(CONDITIONS),
        "metrics": {name: dict(vars(metric)) for name, metric in METRICS.items()},
        "methods": {
            "baseline": baseline,
            OURS: {**baseline, "label": "ours", "training_seconds": 90.0},
            "oracle_512": {"label": "an oracle", "is_usable": False},
        },
        "left_out": {"RNNoise": "it is not installed."},
        "undefined": {"up": {"baseline": 2}, "down": {}},
        "quality": summarise(rows, METRICS),
        "difference": compare(rows, OURS, METRICS),
    }


def test_baseline_that_is_better_than_ours_is_listed_and_marked() -> None:
    results = make_tree(difference=-0.3)
    assert {loss for loss in list_losses(results["difference"]) if loss[2] == "baseline"} == {
        ("up", condition, "baseline") for condition in CONDITIONS
    }
    text = render(results)
    assert (
        "A comparison is one other method, one metric and one condition. In 4 comparisons" in text
    )
    assert "ours is better in 2 and worse in 2" in text
    difference = results["difference"]["up"]["white 0 dB"]["baseline"]
    mean, low, high = (difference[end] for end in ("mean", "low", "high"))
    by = f"{-mean:+.2f} ({-high:.2f} to {-low:.2f})"
    assert f"\n- a baseline: up, white 0 dB, by {by}\n" in text
    assert "an oracle: " not in text
    assert f"**{mean:+.2f} ({low:.2f} to {high:.2f})**" in text
    row = next(
        line for line in text.splitlines() if line.startswith("| a baseline | ") and "±" in line
    )
    assert row.count("▲") == 2


def test_report_says_so_if_only_the_oracles_are_better() -> None:
    results = make_tree(difference=0.3)
    results["metrics"].pop("down")
    results["difference"].pop("down")
    text = render(results)
    assert "No method is better than ours in any comparison, except the oracles." in text
    assert "ours is better in 2 and worse in 0; 0 show no significant difference" in text


def test_report_contains_cost_machine_and_missing_methods() -> None:
    text = render(make_tree(difference=0.3))
    assert "| a baseline | 12.3 | 5.7 | 89 | — |" in text
    assert "| ours | 12.3 | 5.7 | 89 | 1.5 min |" in text
    assert "a processor, 2 cores, Linux x86_64, Python 3.11.7; numpy 2.4." in text
    assert "- RNNoise is left out: it is not installed." in text
    assert "left out, since the metric is undefined: a baseline 2." in text
    overview = overview_table(make_tree(difference=0.3))
    assert len({line.count("|") for line in overview}) == 1
    assert "| a baseline | " in overview[2]
    assert " | 2 / 0 / 2 | " in overview[2]


def test_faster_methods_are_named() -> None:
    results = make_tree(difference=0.3)
    assert "Faster than ours" not in render(results)
    baseline = results["methods"]["baseline"]
    faster = {**baseline, "cost": {**baseline["cost"], "ms_per_second": 6.17}}
    results["methods"]["baseline"] = faster
    expected = "\nFaster than ours: a baseline (0.50 times our processing time).\n"
    assert expected in render(results)


def test_one_speaker_has_a_mean_and_no_interval() -> None:
    rows = make_rows(difference=5, speakers=1)
    results = make_tree(difference=0.3)
    results["quality"] = summarise(rows, METRICS)
    results["difference"] = compare(rows, OURS, METRICS)
    del results["methods"]["oracle_512"]
    text = render(results)
    assert "ours is better in 0 and worse in 0; 4 show no significant difference" in text
    mean = results["quality"]["up"]["white 0 dB"]["baseline"]["mean"]
    assert f"| a baseline | {mean:.2f} = |" in text
    difference = results["difference"]["up"]["white 0 dB"]["baseline"]["mean"]
    assert f"| a baseline | {difference:+.2f} | " in text
    assert not re.search(r"\([-\d.]+ to ", text)


def test_plot_shows_every_mean_and_rings_a_loss(tmp_path: Path, drawn: list[Any]) -> None:
    results = make_tree(difference=-0.3)
    picture.draw(results, tmp_path / "one.png")
    picture.draw(results, tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert imread(tmp_path / "one.png").std() > 0.05
    axes = drawn[0].axes[0]
    rings = [line for line in axes.lines if line.get_markersize() == 10]
    quality = results["quality"]["up"]
    assert [ring.get_xdata()[0] for ring in rings] == [
        quality[condition]["baseline"]["mean"] for condition in CONDITIONS
    ]
    shown = {float(line.get_xdata()[0]) for line in axes.lines if len(line.get_xdata()) == 1}
    assert shown >= {
        interval["mean"] for methods in quality.values() for interval in methods.values()
    }
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["a baseline", "ours", "an oracle"]


def test_too_many_methods_for_distinct_styles_are_an_error() -> None:
    usable = {f"m{index}": {"is_usable": True} for index in range(len(picture.BASELINE_STYLES))}
    styles = picture.method_styles({**usable, OURS: {"is_usable": True}})
    assert len({(style["color"], style["marker"]) for style in styles.values()}) == len(styles)
    with pytest.raises(ValueError, match="distinct styles for 12 methods, not for 13"):
        picture.method_styles({**usable, "more": {"is_usable": True}})
