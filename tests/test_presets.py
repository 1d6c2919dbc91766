"""The presets: every key exists, the params they give are valid, and they become `dvc exp run`."""

import copy
import sys
from typing import Any

import pytest

from benchmarks.training import with_params
from denoise.params_file import parse_params
from presets.__main__ import NAMES, experiment_command, load_preset
from tests.test_structure import leaves


def test_both_presets_are_there() -> None:
    assert NAMES == ["high_quality", "reference"]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_changes_known_keys_to_valid_values(name: str, tree: dict[str, Any]) -> None:
    preset = load_preset(name)
    assert preset and set(preset) <= set(leaves(tree))
    before = copy.deepcopy(tree)
    params = with_params(tree, preset)
    assert parse_params(params) != parse_params(before) and tree == before


@pytest.mark.parametrize("name", NAMES)
def test_no_key_of_a_preset_repeats_params_yaml(name: str, tree: dict[str, Any]) -> None:
    for key, value in load_preset(name).items():
        section = tree
        *path, leaf = key.split(".")
        for part in path:
            section = section[part]
        assert section[leaf] != value, f"{name}: {key} is what params.yaml says"


def test_a_preset_becomes_the_options_of_dvc_exp_run() -> None:
    command = experiment_command("reference", ["--queue", "-S", "train.seed=21"])
    assert command[:7] == [sys.executable, "-m", "dvc", "exp", "run", "--name", "reference"]
    assert command[7:9] == ["-S", "spectrogram.n_fft=2048"]
    assert "reconstruction=griffin_lim" in command
    assert command[-3:] == ["--queue", "-S", "train.seed=21"]
