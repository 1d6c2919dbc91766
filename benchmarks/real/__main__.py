"""Compare denoisers on real recordings: any folders of clean speech and of noise.

Run it as `python -m benchmarks.real`; docs/benchmark.md describes what is measured and how.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks import cost
from benchmarks.compare import make_denoisers
from benchmarks.methods import OURS, BatchDenoiser, Method
from benchmarks.real import methods, scores, summary
from benchmarks.real.held_out import extract_held_out
from benchmarks.real.mixtures import SNRS_DB, Plan, make_test_set
from benchmarks.real.picture import draw
from benchmarks.real.recordings import (
    Recording,
    find_recordings,
    in_turns,
    noise_type_of,
    read_usable,
    speaker_of,
)
from benchmarks.real.report import render
from benchmarks.results import write_results
from denoise.dsp.audio import RATES, Waveform
from denoise.errors import CorpusError, DenoiseError
from denoise.evaluation.metrics import has_pesq

LIMIT = 160
MAX_DELAY_CLIPS = 5
TIMED_CLIPS = 3
TIMED_SECONDS = 4


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real", description=__doc__)
    add = parser.add_argument
    folders: dict[str, Any] = {"type": Path, "nargs": "+", "metavar": "FOLDER"}
    add(
        "--speech",
        help="folders of clean speech; default: the general model's test speakers",
        **folders,
    )
    add("--noise", help="folders of noise; default: the general model's held-out noise", **folders)
    add("--music", default=[], help="folders of music", **folders)
    add("--rooms", action="store_true", help="also put clean speech in simulated rooms")
    add(
        "--speaker-depth",
        type=partial(_whole_number, low=1),
        default=1,
        metavar="N",
        help="how many folders of a recording's path name its speaker",
    )
    add(
        "--limit",
        type=partial(_whole_number, low=1),
        default=LIMIT,
        metavar="N",
        help="use at most N utterances",
    )
    add(
        "--rounds",
        type=int,
        default=1,
        metavar="N",
        help="mix each utterance N times, with different noise types or SNRs",
    )
    add(
        "--rate",
        type=partial(_whole_number, low=RATES[0], high=RATES[1]),
        default=16_000,
        metavar="HZ",
        help="sample rate of the mixtures",
    )
    methods.add_method_options(parser)
    output = Path("docs/benchmark/real")
    add("--output", type=Path, default=output, metavar="FOLDER", help="folder of the report")
    add("--rows", type=Path, metavar="CSV", help="also write every single score to CSV")
    options = parser.parse_args(arguments)
    if bool(options.speech) != bool(options.noise):
        parser.error("--speech and --noise belong together: name both, or none.")
    return options


def _whole_number(text: str, low: int, high: float = math.inf) -> int:
    """Read an option's value; argparse reports what it raises."""
    try:
        number = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number") from error
    if number < low:
        raise argparse.ArgumentTypeError(f"{text} is less than {low}")
    if number > high:
        raise argparse.ArgumentTypeError(f"{text} is more than {high:g}")
    return number


def make_plan(options: argparse.Namespace) -> Plan:
    """Find the recordings; raises CorpusError where a folder holds none, or for too many rounds."""
    speaker = partial(speaker_of, depth=options.speaker_depth)
    music: list[Recording] = []
    if options.music:
        music = find_recordings(options.music, str, "music")
    noise = find_recordings(options.noise, noise_type_of, "noise")
    most_rounds = len({recording.group for recording in noise}) * len(SNRS_DB)
    if not 1 <= options.rounds <= most_rounds:
        raise CorpusError(
            f"--rounds {options.rounds} is not in 1 to {most_rounds}: there are so many different "
            "noise types and SNRs."
        )
    return Plan(
        speech=find_recordings(options.speech, speaker, "speech"),
        noise=noise,
        music=music,
        sample_rate=options.rate,
        limit=options.limit,
        has_rooms=options.rooms,
        rounds=options.rounds,
    )


def compare(options: argparse.Namespace) -> tuple[dict[str, Any], pd.DataFrame]:
    """Run the whole comparison; return the tree of results and one row per score."""
    if options.speech:
        return compare_on(options)
    with tempfile.TemporaryDirectory() as folder:
        speech, noise = extract_held_out(Path(folder))
        return compare_on(
            argparse.Namespace(**{**vars(options), "speech": [speech], "noise": [noise]})
        )


def compare_on(options: argparse.Namespace) -> tuple[dict[str, Any], pd.DataFrame]:
    """Run the comparison on the folders of `options`."""
    plan = make_plan(options)
    clean = [
        waveform
        for _, waveform in islice(
            read_usable(in_turns(plan.speech), plan.sample_rate, {}), MAX_DELAY_CLIPS
        )
    ]
    available = methods.list_methods(options, clean)
    required = {OURS, *(name for name, _ in options.model)}
    denoisers, left_out = make_denoisers(available, plan.sample_rate, required)
    dnsmos, reasons = _load_dnsmos()
    left_out |= reasons
    if not has_pesq():
        left_out["PESQ"] = "the package pesq is not installed. make bench builds it."
    score = partial(
        scores.score_one, sample_rate=plan.sample_rate, with_pesq=has_pesq(), dnsmos=dnsmos
    )
    progress = tqdm(make_test_set(plan), unit="clip", disable=not sys.stderr.isatty())
    rows = scores.score_all(progress, denoisers, score)
    unit = summary.choose_unit(rows)
    used = [method for method in available if method.name in denoisers]
    return {
        "test_set": describe_test_set(options, plan, rows) | {"unit": unit},
        "machine": cost.describe_machine(),
        "metrics": {name: asdict(metric) for name, metric in scores.METRICS.items()},
        "methods": describe_methods(used, denoisers, options, clean),
        "left_out": left_out,
        "tables": summary.summarise(rows, unit),
    }, rows


def _load_dnsmos() -> tuple[scores.Dnsmos | None, dict[str, str]]:
    try:
        return scores.load_dnsmos(), {}
    except DenoiseError as error:
        print(f"DNSMOS is left out: {error}", flush=True)
        return None, {"DNSMOS": str(error)}


def describe_test_set(
    options: argparse.Namespace, plan: Plan, rows: pd.DataFrame
) -> dict[str, Any]:
    """Return the folders' names, and what was made of them; paths are left out."""
    mixtures = rows[rows["part"] == "mixtures"]
    clips = rows[rows["method"] == rows["method"].iloc[0]]
    return {
        "speech": [folder.resolve().name for folder in options.speech],
        "noise": [folder.resolve().name for folder in options.noise],
        "music": [folder.resolve().name for folder in options.music],
        "speakers": int(mixtures["speaker_id"].nunique()),
        "noise_types": sorted(mixtures["noise"].unique()),
        "snrs_db": list(SNRS_DB),
        "sample_rate": plan.sample_rate,
        "utterances": int(mixtures["utterance_id"].nunique()),
        "parts": {str(k): int(n) for k, n in clips.groupby("part", sort=False).size().items()},
        "rejected": plan.rejected,
    }


def describe_methods(
    used: Sequence[Method],
    denoisers: Mapping[str, BatchDenoiser],
    options: argparse.Namespace,
    clean: Sequence[Waveform],
) -> dict[str, Any]:
    """Return the label, delay and cost of each method."""
    size = TIMED_SECONDS * options.rate
    clips = np.stack([np.resize(clip, size) for clip in clean[:TIMED_CLIPS]])
    described = {}
    for method in used:
        description: dict[str, Any] = {"label": method.label}
        denoiser = denoisers[method.name]
        if isinstance(denoiser, methods.AlignedDenoiser):
            description["delay_ms"] = round(denoiser.delay_ms, 2)
        if method.is_timed:
            description["cost"] = cost.measure_cost(
                method.name,
                methods.method_options(options),
                clips,
                options.rate,
                "benchmarks.real.cost",
            )
        described[method.name] = description
    return described


def main() -> None:
    """Run the comparison; write `real.json`, `real.md` and `real.png`."""
    write_results(parse_options(), "real", compare, render, draw)


if __name__ == "__main__":
    main()
