"""Compare the trained denoiser with what one could use instead, on one test set.

Run as `make bench`; docs/benchmark.md tells what is measured, and how.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks import cost, quality, verdicts
from benchmarks.methods import OURS, Cleaner, Method, list_methods
from benchmarks.picture import draw
from benchmarks.report import render
from denoise.corpus.archive import CorpusArchive
from denoise.corpus.loader import Rejections, load_clips
from denoise.corpus.manifest import read_manifest
from denoise.errors import CorpusError, DenoiseError, ModelError
from denoise.evaluation.metrics import has_pesq
from denoise.evaluation.run import Corrupter, Recognise
from denoise.noise.mixing import NoiseSources, no_recordings
from denoise.noise.sources import SpeechSource
from denoise.params import Params
from denoise.params_file import load_params
from denoise.util.atomic import write_text

MAX_PROBES = 15
TIMED_CLIPS = 5


def read_options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--archive", type=Path, default=Path("data/corpus.zip"))
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--recogniser", type=Path, default=Path("models/recogniser"))
    cost.add_bundle_options(parser)
    parser.add_argument("--limit", type=int, metavar="CLIPS")
    parser.add_argument(
        "--training-seconds", action="append", default=[], type=_seconds, metavar="METHOD=SECONDS"
    )
    parser.add_argument("--output", type=Path, default=Path("docs/benchmark"), metavar="FOLDER")
    parser.add_argument("--rows", type=Path, metavar="CSV")
    return parser.parse_args(words)


def _seconds(text: str) -> tuple[str, float]:
    method, _, seconds = text.partition("=")
    return method, float(seconds)


def make_cleaners(
    methods: Sequence[Method], rate: int, needed: Collection[str]
) -> tuple[dict[str, Cleaner], dict[str, str]]:
    """Make every method that can be made; return them, and why the others, by label, cannot.

    The error of one that is `needed` is raised.
    """
    cleaners: dict[str, Cleaner] = {}
    left_out: dict[str, str] = {}
    for method in methods:
        try:
            cleaners[method.name] = method.make(rate)
        except DenoiseError as error:
            if method.name in needed:
                raise
            left_out[method.label] = str(error)
            print(f"{method.label} is left out: {error}", flush=True)
    return cleaners, left_out


def read_clips(
    corpus: CorpusArchive, manifest: pd.DataFrame, params: Params, limit: int | None
) -> tuple[list[quality.Clip], Rejections]:
    """Read the clips of the test split, the first `limit` of them; raises CorpusError for none."""
    rejections = Rejections()
    test = manifest[manifest["split"] == "test"].head(limit or len(manifest))
    rate = params.audio.sample_rate
    clips = [
        quality.Clip(str(row["utterance_id"]), str(row["speaker_id"]), _digit(row), clean, rate)
        for row, clean in load_clips(corpus, test, params.audio, rejections)
    ]
    if not clips:
        raise CorpusError(f"No test recording is usable: {rejections.report()}.")
    return clips, rejections


def _digit(row: "pd.Series[object]") -> int:
    return int(str(row["digit"]))


def compare(options: argparse.Namespace) -> tuple[dict[str, Any], pd.DataFrame]:
    """Run the whole comparison; return the tree of results and the row of each clip."""
    params, manifest = load_params(options.params), read_manifest(options.manifest)
    rate = params.audio.sample_rate
    recogniser, left_out = find_recogniser(options.recogniser)
    left_out |= _without_pesq(has_pesq())
    judge = quality.make_judge(has_pesq(), recogniser)
    with CorpusArchive(options.archive) as corpus:
        clips, rejections = read_clips(corpus, manifest, params, options.limit)
        sources = NoiseSources(SpeechSource(corpus, manifest, params.audio), no_recordings)
        corrupter = Corrupter(rate, params.evaluate.seed, sources)
        methods = named_methods(options, clips)
        cleaners, unmade = make_cleaners(methods, rate, {OURS, *dict(options.model)})
        left_out |= unmade
        progress = tqdm(clips, unit="clip", disable=not sys.stderr.isatty())
        rows = quality.measure_all(progress, cleaners, corrupter, judge)
        noisy = _timed_clips(clips, corrupter)
    measures = {name: measure for name, measure in quality.MEASURES.items() if name in rows}
    made = [method for method in methods if method.name in cleaners]
    return {
        "test_set": describe_test_set(options, clips, rejections),
        "machine": cost.describe_machine(),
        "conditions": {name: asdict(c) for name, c in quality.CONDITIONS.items()},
        "measures": {name: asdict(measure) for name, measure in measures.items()},
        "methods": describe_methods(made, options, noisy, rate),
        "left_out": left_out,
        "undefined": verdicts.undefined(rows, measures),
        "quality": verdicts.summarise(rows, measures),
        "difference": verdicts.compare(rows, OURS, measures),
    }, rows


def find_recogniser(saved_model: Path) -> tuple[Recognise | None, dict[str, str]]:
    """Load the machine listener; without one, return why digits are left out."""
    from denoise.recogniser.model import DigitRecognisers

    try:
        return DigitRecognisers.load(saved_model).recognise, {}
    except ModelError as error:
        print(f"Digits understood are left out: {error}", flush=True)
        return None, {"digits understood": str(error)}


def named_methods(options: argparse.Namespace, clips: Sequence[quality.Clip]) -> list[Method]:
    """List the methods; raises DenoiseError for two of one name, or the training time of none."""
    more = [name for name, _ in options.model]
    speech = [clip.clean for clip in clips[:MAX_PROBES]]
    methods = list_methods(options.ours, options.reference, dict(options.model), speech)
    names = [method.name for method in methods]
    taken = [name for name in more if names.count(name) > 1 or more.count(name) > 1]
    if taken:
        raise DenoiseError(f"--model {taken[0]}=: the name is taken. Choose another.")
    for name, _ in options.training_seconds:
        if name not in names:
            raise DenoiseError(f"--training-seconds {name}=: the methods are {', '.join(names)}.")
    return methods


def _without_pesq(has_it: bool) -> dict[str, str]:
    if has_it:
        return {}
    reason = "the package pesq is not installed here: make bench builds it where a C compiler is."
    print(f"PESQ is left out: {reason}", flush=True)
    return {"PESQ": reason}


def _timed_clips(clips: Sequence[quality.Clip], corrupter: Corrupter) -> np.ndarray:
    condition = quality.CONDITIONS["white 0 dB"]
    few = clips[:TIMED_CLIPS]
    return np.stack([corrupter.corrupt(c.clean, c.utterance_id, condition) for c in few])


def describe_test_set(
    options: argparse.Namespace, clips: Sequence[quality.Clip], rejections: Rejections
) -> dict[str, Any]:
    """Return what was measured on, the files by their hashes."""
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
    """Return each method's label and whether one could use it; then what it costs."""
    bundles = cost.bundle_options(options.ours, options.reference, dict(options.model))
    training: Mapping[str, float] = dict(options.training_seconds)
    described = {}
    for method in methods:
        about: dict[str, Any] = {"label": method.label, "is_usable": method.is_usable}
        if method.is_timed:
            about["cost"] = cost.measure_cost(method.name, bundles, noisy, rate)
            about["training_seconds"] = training.get(method.name)
        described[method.name] = about
    return described


def main() -> None:
    """Compare, and write `comparison.json`, `comparison.md` and `comparison.png`."""
    options = read_options()
    try:
        tree, rows = compare(options)
    except DenoiseError as error:
        sys.exit(f"error: {error}")
    write_text(options.output / "comparison.json", json.dumps(tree, indent=1) + "\n")
    write_text(options.output / "comparison.md", render(tree))
    draw(tree, options.output / "comparison.png")
    if options.rows:
        text = rows.round(4).to_csv(index=False, lineterminator="\n")
        write_text(options.rows, text)
    print(render(tree))


if __name__ == "__main__":
    main()
