"""Measure every stage on samples of one corpus of 30,000 recordings, and print a Markdown table.

`python -m benchmarks.scale` clones HEAD, synthesises 30,000 digits and runs the stages without DVC
for each `--sizes`. Training takes one epoch, the recognisers theirs, and the evaluation one test
condition. Processor time is that of the stage and its workers, and so hardly depends on what else
runs; memory is the peak of its largest process; disk is what it writes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from presets.keys import set_value

ROOT = Path(__file__).parent.parent
CORPUS = {"download.synthetic.repetitions": 50}
SHORT = {
    "train.epochs": 1,
    "train.fine_tuning.epochs": 0,
    "evaluate.noise_types": ["white"],
    "evaluate.snr_db": [0.0],
    "evaluate.pesq": "never",
}
STAGES = ("sample", "features", "train", "export", "train_recogniser", "evaluate")


class Cost(NamedTuple):
    """What a stage took: seconds of the processor, and MB of memory and disk."""

    processor_seconds: float
    memory_mb: float
    disk_mb: float


def run_stage(folder: Path, stage: str) -> Cost:
    """Run a stage's command in the clone `folder`; raises SystemExit if it fails."""
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))
    entry = pipeline["stages"][stage]
    words = entry["cmd"].split()
    process = subprocess.Popen([sys.executable, *words[1:]], cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{stage} failed.")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
    return Cost(
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * unit / 1e6,
        disk_mb(folder, entry),
    )


def disk_mb(folder: Path, entry: dict) -> float:
    """Return the size of a stage's outs."""
    outs = [next(iter(o)) if isinstance(o, dict) else o for o in entry.get("outs", [])]
    paths = [folder / out for out in outs]
    files = [f for path in paths for f in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def set_params(folder: Path, changes: Mapping[str, object]) -> None:
    """Change keys of params.yaml by their dotted names."""
    path = folder / "params.yaml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        set_value(tree, key, value)
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")


def row(label: str, stage: str, cost: Cost) -> str:
    """Return a row of the table."""
    return (
        f"| {label} | {stage} | {cost.processor_seconds:,.0f} | {cost.memory_mb:,.0f} | "
        f"{cost.disk_mb:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--sizes", default="1000,3000,10000,30000", help="of the samples")
    parser.add_argument("--cache", default="spectrograms", choices=["spectrograms", "waveforms"])
    parser.add_argument("--folder", type=Path, help="for the clone; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "clone"
        if not folder.exists():
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        print("| clips | stage | processor (s) | memory (MB) | disk (MB) |\n|--:|---|--:|--:|--:|")
        if not (folder / "data" / "corpus.zip").exists():
            set_params(folder, CORPUS)
            for stage in ("import_noise", "download"):
                print(row("30,000", stage, run_stage(folder, stage)), flush=True)
        for size in map(int, options.sizes.split(",")):
            set_params(folder, {**SHORT, "sample.size": size, "features.cache": options.cache})
            for stage in STAGES:
                print(row(f"{size:,}", stage, run_stage(folder, stage)), flush=True)


if __name__ == "__main__":
    main()
