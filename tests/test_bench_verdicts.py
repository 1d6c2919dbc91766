"""What the comparison concludes: a small lead is no win, and a defeat is shown."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from benchmarks import picture
from benchmarks.methods import OURS
from benchmarks.quality import Measure
from benchmarks.report import render, short_table
from benchmarks.verdicts import beaten, compare, summarise, undefined, verdict

UP = Measure("up", decimals=2)
DOWN = Measure("down", higher_is_better=False, decimals=2)
MEASURES = {"up": UP, "down": DOWN}
CONDITIONS = ("white 0 dB", "babble 0 dB")


def table(lead: float, spread: float = 0.1, speakers: int = 6, clips: int = 4) -> pd.DataFrame:
    """Return rows in which ours lies `lead` above its rival, give or take, whoever speaks.

    The clips themselves differ a hundred times as much, so only pairs can show it.
    """
    rng = np.random.default_rng(5)
    rows = []
    for condition in CONDITIONS:
        for speaker in range(speakers):
            for clip in range(clips):
                about = {"utterance_id": f"{clip}_{speaker}", "speaker_id": str(speaker)}
                base = rng.normal(0, 100 * spread)
                ours = base + lead + rng.normal(0, spread)
                for method, score in (("rival", base), (OURS, ours)):
                    scores = {"up": score, "down": score, "condition": condition}
                    rows.append({**about, **scores, "method": method})
    return pd.DataFrame(rows)


def test_pairs_show_a_lead_that_two_intervals_hide() -> None:
    rows = table(lead=0.3)
    found = compare(rows, OURS, MEASURES)["up"]["white 0 dB"]["rival"]
    assert found["verdict"] == "better"
    assert found["low"] < 0.3 < found["high"]
    assert found["high"] - found["low"] < 0.5
    means = summarise(rows, MEASURES)["up"]["white 0 dB"]
    assert means[OURS]["low"] < means["rival"]["high"]


def test_lower_is_better_turns_the_verdict() -> None:
    found = compare(table(lead=0.3), OURS, MEASURES)
    up, down = (found[name]["white 0 dB"]["rival"] for name in ("up", "down"))
    assert (up["verdict"], down["verdict"]) == ("better", "worse")
    assert down["mean"] == -up["mean"]
    assert (down["low"], down["high"]) == (-up["high"], -up["low"])


def test_a_small_lead_is_no_win() -> None:
    found = compare(table(lead=0.001), OURS, MEASURES)
    leaves = [leaf["rival"] for conditions in found.values() for leaf in conditions.values()]
    assert [leaf["verdict"] for leaf in leaves] == ["no difference"] * 4


def test_speakers_not_clips_are_counted() -> None:
    # One speaker in two gains: a hundred clips of each prove no more than one clip does.
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
            for method in (OURS, "rival")
        )
        for n_clips in (1, 100)
    )
    one, hundred = (compare(rows, OURS, {"up": UP})["up"]["c"]["rival"] for rows in (few, many))
    assert hundred["verdict"] == "no difference"
    assert (hundred["low"], hundred["high"]) == (one["low"], one["high"])
    assert (one["pairs"], hundred["pairs"]) == (4, 400)


def test_what_is_undefined_is_left_out_of_both_and_counted() -> None:
    rows = table(lead=0.3)
    silent = (rows["method"] == "rival") & (rows["utterance_id"] == "0_0")
    rows.loc[silent, "up"] = np.nan
    rows.loc[(rows["method"] == OURS) & (rows["utterance_id"] == "0_0"), "up"] = 1e6
    found = compare(rows, OURS, MEASURES)
    assert found["up"]["white 0 dB"]["rival"]["pairs"] == 23
    assert found["up"]["white 0 dB"]["rival"]["mean"] < 1
    assert found["down"]["white 0 dB"]["rival"]["pairs"] == 24
    assert undefined(rows, MEASURES) == {"up": {"rival": 2}, "down": {}}


def test_the_order_of_rows_changes_no_difference() -> None:
    rows = table(lead=0.3)
    shuffled = rows.sample(frac=1, random_state=1)
    one, other = (compare(r, OURS, MEASURES)["up"]["babble 0 dB"] for r in (rows, shuffled))
    assert one == other


@pytest.mark.parametrize(
    ("leaf", "said"),
    [
        ({"mean": 1.0, "low": 0.1, "high": 2.0}, "better"),
        ({"mean": -1.0, "low": -2.0, "high": -0.1}, "worse"),
        ({"mean": 1.0, "low": -0.1, "high": 2.0}, "no difference"),
        ({"mean": 1.0, "low": 0.0, "high": 2.0}, "no difference"),
        ({"mean": 9.0}, "no difference"),
        ({}, "no difference"),
    ],
)
def test_verdicts(leaf: dict[str, float], said: str) -> None:
    assert verdict(leaf) == said


def tree(lead: float) -> dict[str, Any]:
    """Return what benchmarks.compare writes, of one rival, an oracle and ours."""
    rows = table(lead)
    oracle = rows[rows["method"] == OURS].assign(method="oracle_512")
    oracle["up"], oracle["down"] = oracle["up"] + 1, oracle["down"] - 1
    rows = pd.concat([rows, oracle])
    cost = {"ms_per_second": 12.34, "start_up_cpu_seconds": 5.67, "peak_memory_mb": 89.0}
    about = {"label": "a rival", "is_usable": True, "cost": cost, "training_seconds": None}
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
        "measures": {
            name: {k: v for k, v in vars(measure).items() if k != "score"}
            for name, measure in MEASURES.items()
        },
        "methods": {
            "rival": about,
            OURS: {**about, "label": "ours", "training_seconds": 90.0},
            "oracle_512": {"label": "an oracle", "is_usable": False},
        },
        "left_out": {"RNNoise": "it is not here."},
        "undefined": {"up": {"rival": 2}, "down": {}},
        "quality": summarise(rows, MEASURES),
        "difference": compare(rows, OURS, MEASURES),
    }


def test_a_rival_that_beats_us_is_named_and_marked() -> None:
    results = tree(lead=-0.3)
    assert {defeat for defeat in beaten(results["difference"]) if defeat[2] == "rival"} == {
        ("up", condition, "rival") for condition in CONDITIONS
    }
    text = render(results)
    assert (
        "in 4 comparisons (method x measure x condition), ours is better in 2, worse in 2" in text
    )
    leaf = results["difference"]["up"]["white 0 dB"]["rival"]
    by = f"{-leaf['mean']:+.2f} ({-leaf['high']:.2f} to {-leaf['low']:.2f})"
    assert f"\n- a rival: up, white 0 dB, by {by}\n" in text
    assert "an oracle: " not in text
    assert f"**{leaf['mean']:+.2f} ({leaf['low']:.2f} to {leaf['high']:.2f})**" in text
    row = next(
        line for line in text.splitlines() if line.startswith("| a rival | ") and "±" in line
    )
    assert row.count("▲") == 2


def test_a_clean_sweep_is_said_with_the_oracles_apart() -> None:
    results = tree(lead=0.3)
    results["measures"].pop("down")
    results["difference"].pop("down")
    text = render(results)
    assert "No method beats ours in quality anywhere, the oracles apart." in text
    assert "ours is better in 2, worse in 0; 0 show no difference" in text


def test_the_report_holds_cost_machine_and_what_is_missing() -> None:
    text = render(tree(lead=0.3))
    assert "| a rival | 12.3 | 5.7 | 89 | — |" in text
    assert "| ours | 12.3 | 5.7 | 89 | 1.5 min |" in text
    assert "a processor, 2 cores, Linux x86_64, Python 3.11.7; numpy 2.4." in text
    assert "- RNNoise is left out: it is not here." in text
    assert "left out, for: a rival 2 clips" in text
    widths = [line.count("|") for line in short_table(tree(lead=0.3))]
    assert len(set(widths)) == 1
    assert "| a rival | " in short_table(tree(lead=0.3))[2]
    assert " | 2 / 0 / 2 | " in short_table(tree(lead=0.3))[2]


def test_faster_methods_are_named() -> None:
    results = tree(lead=0.3)
    assert "Faster than ours" not in render(results)
    rival = results["methods"]["rival"]
    results["methods"]["rival"] = {**rival, "cost": {**rival["cost"], "ms_per_second": 6.17}}
    assert "\nFaster than ours: a rival (0.50 of its time).\n" in render(results)


def test_one_speaker_has_a_mean_and_no_interval() -> None:
    rows = table(lead=5, speakers=1)
    results = tree(lead=0.3)
    results["quality"] = summarise(rows, MEASURES)
    results["difference"] = compare(rows, OURS, MEASURES)
    del results["methods"]["oracle_512"]
    text = render(results)
    assert "ours is better in 0, worse in 0; 4 show no difference" in text
    mean = results["quality"]["up"]["white 0 dB"]["rival"]["mean"]
    assert f"| a rival | {mean:.2f} = |" in text
    lead = results["difference"]["up"]["white 0 dB"]["rival"]["mean"]
    assert f"| a rival | {lead:+.2f} | " in text and not re.search(r"\([-\d.]+ to ", text)


def test_the_picture_shows_every_mean_and_rings_a_defeat(tmp_path: Path, drawn: list[Any]) -> None:
    results = tree(lead=-0.3)
    picture.draw(results, tmp_path / "one.png")
    picture.draw(results, tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert imread(tmp_path / "one.png").std() > 0.05
    axes = drawn[0].axes[0]
    rings = [line for line in axes.lines if line.get_markersize() == 10]
    quality = results["quality"]["up"]
    assert [ring.get_xdata()[0] for ring in rings] == [
        quality[condition]["rival"]["mean"] for condition in CONDITIONS
    ]
    shown = {float(line.get_xdata()[0]) for line in axes.lines if len(line.get_xdata()) == 1}
    assert shown >= {leaf["mean"] for methods in quality.values() for leaf in methods.values()}
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["a rival", "ours", "an oracle"]


def test_methods_that_cannot_be_told_apart_are_refused() -> None:
    usable = {f"m{index}": {"is_usable": True} for index in range(len(picture.LOOKS))}
    found = picture.looks({**usable, OURS: {"is_usable": True}})
    assert len({(look["color"], look["marker"]) for look in found.values()}) == len(found)
    with pytest.raises(ValueError, match="cannot be told apart"):
        picture.looks({**usable, "more": {"is_usable": True}})
