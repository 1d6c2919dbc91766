"""Measure every stage on samples of one corpus of 30,000 recordings, and print a Markdown table.

`python -m benchmarks.scale` clones HEAD, synthesises 30,000 digits and runs the stages without DVC
for each `--sizes`. Training takes one epoch, the recognisers theirs, and the evaluation one test
condition. Processor time is that of the stage and its workers, and so hardly depends on what else
runs; memory is the peak of its largest process; disk is what it writes.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from benchmarks.runtime import Usage, measure
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


def run_stage(folder: Path, stage: str) -> tuple[Usage, float]:
    """Run a stage's command in the clone `folder`; return what it took, and MB on disk.

    Raises CalledProcessError if it fails.
    """
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))
    entry = pipeline["stages"][stage]
    words = entry["cmd"].split()
    usage = measure([sys.executable, *words[1:]], {}, folder)
    return usage, disk_mb(folder, entry)


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


def print_row(folder: Path, label: str, stage: str) -> None:
    """Run a stage and print its row of the table."""
    usage, on_disk = run_stage(folder, stage)
    figures = " | ".join(f"{each:,.0f}" for each in (usage.cpu_seconds, usage.peak_mb, on_disk))
    print(f"| {label} | {stage} | {figures} |", flush=True)


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
                print_row(folder, "30,000", stage)
        for size in map(int, options.sizes.split(",")):
            set_params(folder, {**SHORT, "sample.size": size, "features.cache": options.cache})
            for stage in STAGES:
                print_row(folder, f"{size:,}", stage)


if __name__ == "__main__":
    main()
