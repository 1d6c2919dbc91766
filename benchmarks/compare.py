"""Compare the trained denoiser with other methods on the test set, and write a report.

Run it as `make bench`; docs/benchmark.md describes what is measured and how.
"""

import argparse
import hashlib
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks import cost, quality, verdicts
from benchmarks.methods import OURS, BatchDenoiser, Method, list_methods
from benchmarks.picture import draw
from benchmarks.report import render
from benchmarks.results import write_results
from denoise.corpus.archive import CorpusArchive
from denoise.corpus.loader import Rejections, load_clips, loader_for
from denoise.corpus.manifest import read_manifest
from denoise.dsp.audio import fit_length
from denoise.errors import CorpusError, DenoiseError, ModelError
from denoise.evaluation.metrics import has_pesq
from denoise.evaluation.run import Corrupter, Recognise
from denoise.noise.mixing import NoiseSources, no_recordings
from denoise.noise.sources import SpeechSource
from denoise.params import Params
from denoise.params_file import load_params

MAX_DELAY_CLIPS = 15
TIMED_CLIPS = 5


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    add = parser.add_argument
    add("--archive", type=Path, default=Path("data/corpus.zip"), help="the corpus")
    add("--manifest", type=Path, default=Path("data/manifest.csv"), help="the corpus' manifest")
    add("--params", type=Path, default=Path("params.yaml"), help="clip length and noise seed")
    add("--recogniser", type=Path, default=Path("models/recogniser"), help="digit recognisers")
    cost.add_model_options(parser)
    add("--limit", type=int, metavar="CLIPS", help="use only the first CLIPS test clips")
    add(
        "--training-seconds",
        action="append",
        default=[],
        type=_method_and_seconds,
        metavar="METHOD=SECONDS",
        help="training time of a method, for the report; may be repeated",
    )
    output = Path("docs/benchmark")
    add("--output", type=Path, default=output, metavar="FOLDER", help="folder of the report")
    add("--rows", type=Path, metavar="CSV", help="also write every single score to CSV")
    return parser.parse_args(arguments)


def _method_and_seconds(text: str) -> tuple[str, float]:
    method, _, seconds = text.partition("=")
    return method, float(seconds)


def make_denoisers(
    methods: Sequence[Method], rate: int, required: Collection[str]
) -> tuple[dict[str, BatchDenoiser], dict[str, str]]:
    """Load the available methods; return them by name, and the reasons for the others by label.

    Raises the error of an unavailable method that is `required`.
    """
    denoisers: dict[str, BatchDenoiser] = {}
    left_out: dict[str, str] = {}
    for method in methods:
        try:
            denoisers[method.name] = method.make(rate)
        except DenoiseError as error:
            if method.name in required:
                raise
            left_out[method.label] = str(error)
            print(f"{method.label} is left out: {error}", flush=True)
    return denoisers, left_out


def read_clips(
    corpus: CorpusArchive, manifest: pd.DataFrame, params: Params, limit: int | None
) -> tuple[list[quality.Clip], Rejections]:
    """Read the first `limit` clips of the test split; raises CorpusError if there is none."""
    rejections = Rejections()
    test = manifest[manifest["split"] == "test"].head(limit or len(manifest))
    rate = params.audio.sample_rate
    clips = [
        quality.Clip(str(row["utterance_id"]), str(row["speaker_id"]), _digit(row), clean, rate)
        for row, clean in load_clips(corpus, test, params.audio, rejections, loader_for(test))
    ]
    if not clips:
        raise CorpusError(f"No test recording is usable: {rejections.report()}.")
    return clips, rejections


def _digit(row: "pd.Series[object]") -> int | None:
    return None if pd.isna(row["digit"]) else int(str(row["digit"]))


def compare(options: argparse.Namespace) -> tuple[dict[str, Any], pd.DataFrame]:
    """Run the whole comparison; return the tree of results and one row per score."""
    params, manifest = load_params(options.params), read_manifest(options.manifest)
    rate = params.audio.sample_rate
    recognise, left_out = load_recogniser(options.recogniser)
    left_out |= _report_missing_pesq(has_pesq())
    score = quality.make_scorer(has_pesq(), recognise)
    with CorpusArchive(options.archive) as corpus:
        clips, rejections = read_clips(corpus, manifest, params, options.limit)
        sources = NoiseSources(SpeechSource(corpus, manifest, rate), no_recordings)
        corrupter = Corrupter(rate, params.evaluate.seed, sources)
        methods = select_methods(options, clips)
        denoisers, unavailable = make_denoisers(methods, rate, {OURS, *dict(options.model)})
        left_out |= unavailable
        progress = tqdm(clips, unit="clip", disable=not sys.stderr.isatty())
        rows = quality.score_all(progress, denoisers, corrupter, score)
        noisy = _timed_clips(clips, corrupter)
    metrics = {name: metric for name, metric in quality.METRICS.items() if name in rows}
    available = [method for method in methods if method.name in denoisers]
    return {
        "test_set": describe_test_set(options, clips, rejections),
        "machine": cost.describe_machine(),
        "conditions": {name: asdict(c) for name, c in quality.CONDITIONS.items()},
        "metrics": {name: asdict(metric) for name, metric in metrics.items()},
        "methods": describe_methods(available, options, noisy, rate),
        "left_out": left_out,
        "undefined": verdicts.count_undefined(rows, metrics),
        "quality": verdicts.summarise(rows, metrics),
        "difference": verdicts.compare(rows, OURS, metrics),
    }, rows


def load_recogniser(saved_model: Path) -> tuple[Recognise | None, dict[str, str]]:
    """Load the digit recognisers; if there are none, return the reason for leaving digits out."""
    from denoise.recogniser.model import NoRecognisers, load_recognisers

    try:
        recognisers = load_recognisers(saved_model)
        if not isinstance(recognisers, NoRecognisers):
            return recognisers.recognise, {}
        reason = recognisers.reason
    except ModelError as error:
        reason = str(error)
    print(f"Digit accuracy is left out: {reason}", flush=True)
    return None, {"digit accuracy": reason}


def select_methods(options: argparse.Namespace, clips: Sequence[quality.Clip]) -> list[Method]:
    """List the methods; raises DenoiseError for a name that is used twice or unknown."""
    more = [name for name, _ in options.model]
    speech = [clip.clean for clip in clips[:MAX_DELAY_CLIPS]]
    methods = list_methods(options.ours, options.reference, dict(options.model), speech)
    names = [method.name for method in methods]
    repeated = [name for name in more if names.count(name) > 1 or more.count(name) > 1]
    if repeated:
        raise DenoiseError(f"--model {repeated[0]}=: this name is in use. Choose another.")
    for name, _ in options.training_seconds:
        if name not in names:
            raise DenoiseError(
                f"--training-seconds {name}=: there is no such method. The methods are "
                f"{', '.join(names)}."
            )
    return methods


def _report_missing_pesq(is_installed: bool) -> dict[str, str]:
    if is_installed:
        return {}
    reason = "the package pesq is not installed. make bench builds it if there is a C compiler."
    print(f"PESQ is left out: {reason}", flush=True)
    return {"PESQ": reason}


def _timed_clips(clips: Sequence[quality.Clip], corrupter: Corrupter) -> np.ndarray:
    condition = quality.CONDITIONS["white 0 dB"]
    first = clips[:TIMED_CLIPS]
    n_samples = min(len(clip.clean) for clip in first)
    equally_long = [(fit_length(clip.clean, n_samples), clip.utterance_id) for clip in first]
    return np.stack([corrupter.corrupt(*clip, condition) for clip in equally_long])


def describe_test_set(
    options: argparse.Namespace, clips: Sequence[quality.Clip], rejections: Rejections
) -> dict[str, Any]:
    """Return the name, hashes and size of the test set."""
    return {
        "archive": options.archive.name,
        "archive_sha256": _sha256(options.archive),
        "manifest_sha256": _sha256(options.manifest),
        "speakers": len({clip.speaker_id for clip in clips}),
        "clips": len(clips),
        "rejected": len(rejections.reasons),
        "sample_rate": clips[0].sample_rate,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_methods(
    methods: Sequence[Method], options: argparse.Namespace, noisy: np.ndarray, rate: int
) -> dict[str, Any]:
    """Return the label, usability and cost of each method."""
    model_options = cost.model_options(options.ours, options.reference, dict(options.model))
    training: Mapping[str, float] = dict(options.training_seconds)
    described = {}
    for method in methods:
        description: dict[str, Any] = {"label": method.label, "is_usable": method.is_usable}
        if method.is_timed:
            description["cost"] = cost.measure_cost(method.name, model_options, noisy, rate)
            description["training_seconds"] = training.get(method.name)
        described[method.name] = description
    return described


def main() -> None:
    """Run the comparison; write `comparison.json`, `comparison.md` and `comparison.png`."""
    write_results(parse_options(), "comparison", compare, render, draw)


if __name__ == "__main__":
    main()
