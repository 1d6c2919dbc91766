"""What the tests share: the committed params, tiny ones, and how Hypothesis searches."""

import copy
import dataclasses
import os
import signal
from typing import Any

import pytest
import yaml
from hypothesis import settings

from denoise.params import (
    NOISE_TYPES,
    AudioParams,
    NoiseParams,
    NoiseWeights,
    Params,
    SpectrogramParams,
)
from denoise.params_file import load_params
from tests.closures import ROOT

# Derandomised: a test that fails here fails everywhere. No deadline: machines are busy.
settings.register_profile("tests", derandomize=True, deadline=None, max_examples=30, database=None)
settings.load_profile("tests")

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # some tests import onnxruntime themselves

# What a shell starts in the background may come to life deaf to Ctrl-C, and hand that down.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

COMMITTED = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def tree() -> dict[str, Any]:
    """Return the committed params.yaml as plain dictionaries, free to be changed."""
    return copy.deepcopy(COMMITTED)


@pytest.fixture
def tiny_params() -> Params:
    """Return params for clips of 2000 samples with two noisy versions each."""
    weights = {**dict.fromkeys(NOISE_TYPES, 0.0), "white": 1.0, "babble": 1.0}
    return dataclasses.replace(
        load_params(ROOT / "params.yaml"),
        audio=AudioParams(sample_rate=8000, duration_seconds=0.25),
        spectrogram=SpectrogramParams(n_fft=128, hop_length=64, win_length=128),
        noise=NoiseParams(NoiseWeights(**weights), snr_db=(-5.0, 5.0), noisy_versions=2, seed=7),
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the figures that are written."""
    from matplotlib.figure import Figure  # no other test waits for it

    written: list[Any] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        written.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return written
