"""Measures the training time of the default network and of the reference autoencoder.

Both are trained in turns, by the pipeline's own stages in processes of their own, for a few epochs;
the time of a whole training is extrapolated. Run `python -m benchmarks.training` after `dvc repro`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from benchmarks.cost import describe_machine, status_mb
from denoise.errors import DenoiseError
from presets.__main__ import load_preset
from presets.keys import set_value

ROOT = Path(__file__).parent.parent
SHORT = {"train.frozen_batch_norm_fraction": 0.0, "train.fine_tuning.epochs": 0}


@dataclass
class Trainee:
    """One training: its params, and the time and memory that it took."""

    name: str
    params: dict[str, Any]
    first: list[float] = field(default_factory=list)  # seconds from the start to the end of epoch 1
    later: list[float] = field(default_factory=list)  # seconds of each later epoch
    peak_mb: float = 0.0

    @property
    def epochs(self) -> int:
        """The epochs of the whole training, fine-tuning included."""
        train = self.params["train"]
        return int(train["epochs"] + train["fine_tuning"]["epochs"])

    def seconds(self) -> float:
        """Return the seconds of the whole training, start-up included."""
        return statistics.median(self.first) + (self.epochs - 1) * statistics.median(self.later)


def with_params(tree: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of params with `overrides`, by their dotted keys."""
    changed: dict[str, Any] = yaml.safe_load(yaml.safe_dump(tree))
    for key, value in overrides.items():
        set_value(changed, key, value)
    return changed


def stage(name: str, folder: Path, params: Path, **paths: Path) -> subprocess.Popen[str]:
    """Start a stage in `folder`, where a training also keeps its checkpoint."""
    named = [word for option, path in paths.items() for word in (f"--{option}", str(path))]
    return subprocess.Popen(
        [sys.executable, "-u", "-m", f"stages.{name}", "--params", str(params), *named],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def prepare(trainee: Trainee, folder: Path, corpus: Mapping[str, Path]) -> None:
    """Write the spectrogram caches that `trainee` is trained on."""
    whole = folder / "whole.yaml"
    whole.write_text(yaml.safe_dump(trainee.params), encoding="utf-8")
    running = stage("features", folder, whole, **corpus, features=folder / "features")
    running.communicate()
    if running.returncode:
        raise DenoiseError(f"Spectrograms for {trainee.name} failed.")


def train(trainee: Trainee, folder: Path, n_epochs: int) -> None:
    """Train for a few epochs; record the time of each and the peak memory."""
    few = folder / "few.yaml"
    # Epochs with frozen batch-norm take as long, but the first of them compiles a second graph.
    shortened = with_params(trainee.params, SHORT | {"train.epochs": n_epochs})
    few.write_text(yaml.safe_dump(shortened), encoding="utf-8")
    ends = [time.monotonic()]
    running = stage(
        "train",
        folder,
        few,
        features=folder / "features",
        model=folder / "model",
        curves=folder / "curves",
    )
    for line in running.stdout or ():
        if line.startswith("epoch "):
            ends.append(time.monotonic())
            peak = status_mb("VmHWM", running.pid) or 0
            trainee.peak_mb = max(trainee.peak_mb, peak)
    if running.wait() or len(ends) != n_epochs + 1:
        raise DenoiseError(f"The training of {trainee.name} failed.")
    trainee.first.append(ends[1] - ends[0])
    trainee.later += [after - before for before, after in pairwise(ends[1:])]


def render(ours: Trainee, reference: Trainee) -> str:
    """Return the comparison as a Markdown table with the ratio below it."""
    lines = [
        "| training | epochs | s per epoch | s in total | peak memory, MB |",
        "|---|--:|--:|--:|--:|",
    ]
    for trainee in (ours, reference):
        an_epoch = f"{statistics.median(trainee.later):.1f}"
        whole = f"{trainee.seconds():.0f}"
        lines.append(
            f"| {trainee.name} | {trainee.epochs} | {an_epoch} | {whole} | {trainee.peak_mb:.0f} |"
        )
    share = ours.seconds() / reference.seconds()
    return "\n".join([*lines, "", f"Ours takes {share:.0%} of the reference's time."])


def main() -> None:
    """Train both in turns for a few epochs and print the time of each whole training."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is trained")
    parser.add_argument("--epochs", type=int, default=2, help="epochs each time; 2 or more")
    options = parser.parse_args()
    tree = yaml.safe_load(options.params.read_text(encoding="utf-8"))
    data = options.data.resolve()
    corpus = {"archive": data / "corpus.zip", "noise": data / "noise.zip"}
    corpus["manifest"] = data / "manifest.csv"
    trainees = (
        Trainee("ours", tree),
        Trainee("reference", with_params(tree, load_preset("reference"))),
    )
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / trainee.name for trainee in trainees]
        for trainee, folder in zip(trainees, folders, strict=True):
            folder.mkdir()
            prepare(trainee, folder, corpus)
        for _ in range(options.rounds):
            for trainee, folder in zip(trainees, folders, strict=True):
                train(trainee, folder, max(2, options.epochs))
    machine = describe_machine()
    print(f"{machine['processor']}, {machine['cores']} cores; {options.rounds} rounds")
    print(render(*trainees))


if __name__ == "__main__":
    main()
