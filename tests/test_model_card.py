"""The model cards: their figures are those of the metrics, and what the tables show."""

import re

import pytest

from benchmarks.model_card import BEGIN, END, PIPELINES, ROOT, figures, group_table, with_figures
from benchmarks.table import read_breakdown
from denoise.params_file import load_params


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_committed_card_has_the_figures_of_the_committed_metrics(pipeline: str) -> None:
    card = (ROOT / pipeline / "models" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert with_figures(card, read_breakdown(pipeline)) == card


def test_new_figures_replace_the_former_ones_and_nothing_else() -> None:
    card = f"# Card\n{BEGIN}\nold\n{END}\n## Limits\n"
    breakdown = read_breakdown()
    assert with_figures(card, breakdown).split("\n")[2:-3] == figures(breakdown)
    assert with_figures(card, breakdown).startswith(f"# Card\n{BEGIN}\n")
    assert with_figures(card, breakdown).endswith(f"\n{END}\n## Limits\n")


def test_digits_have_genders_and_digits_and_a_group_of_its_own_has_no_row() -> None:
    lines = group_table(read_breakdown())
    assert len({line.count("|") for line in lines}) == 1
    assert sum(line.startswith("| digit ") for line in lines) == 10
    assert sum(line.startswith("| gender ") for line in lines) == 2
    assert not any("gender" in line for line in group_table(read_breakdown("general")))


def test_an_undefined_mean_is_an_empty_cell() -> None:
    breakdown = read_breakdown()
    del breakdown["by_noise"]["pink"]["estoi"]
    (row,) = [line for line in group_table(breakdown) if line.startswith("| noise pink")]
    assert row.split("|")[4:6] == ["  ", "  "]


@pytest.mark.parametrize("pipeline", [folder for folder in PIPELINES if folder])
def test_cards_describe_the_training_that_the_params_define(pipeline: str) -> None:
    card = (ROOT / pipeline / "models" / "MODEL_CARD.md").read_text(encoding="utf-8")
    params = load_params(ROOT / pipeline / "params.yaml")
    train = params.train
    assert f"raised to the power of {params.export.mask_power:g}" in card
    assert re.search(rf"\| {train.epochs} epochs of \d+ steps, ", card)
    assert f"then {train.fine_tuning.epochs} epochs " in card
    assert f" {train.batch_size} utterances each" in card
