"""Denoise the test speakers and measure what came of it; keep pictures and recordings."""

import argparse
import json

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.loader import Rejections, load_clips
from denoise.corpus.manifest import read_manifest
from denoise.errors import CorpusError
from denoise.evaluation.artifacts import write_examples, write_report
from denoise.evaluation.reconstruction import clip_denoiser
from denoise.evaluation.run import Corrupter, evaluate
from denoise.evaluation.tables import headline, read_curves
from denoise.network.determinism import make_deterministic
from denoise.network.saved_model import load_network
from denoise.noise.archive import NoiseArchive
from denoise.noise.sources import open_noise_sources
from denoise.params import Params
from denoise.recogniser.model import DigitRecognisers
from denoise.util.atomic import replacing_folder, write_text
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write `paths.metrics`, tables and pictures in `paths.report`, recordings in `paths.audio`."""
    make_deterministic(params.evaluate.threads)
    denoise = clip_denoiser(load_network(paths.model), params.reconstruction)
    recogniser = DigitRecognisers.load(paths.recogniser)
    manifest, rejections = read_manifest(paths.manifest), Rejections()
    with (
        CorpusArchive(paths.archive) as corpus,
        NoiseArchive(paths.noise) as noise,
        replacing_folder(paths.report) as folder,
        replacing_folder(paths.audio) as recordings,
    ):
        test = manifest[manifest["split"] == "test"]
        sources = open_noise_sources(corpus, manifest, noise, noise.held_out, params.audio)
        corrupter = Corrupter(params.audio.sample_rate, params.evaluate.seed, sources)
        clips = load_clips(corpus, test, params.audio, rejections)
        rows = evaluate(clips, denoise, recogniser.recognise, corrupter, params.evaluate)
        if rows.empty:
            raise CorpusError(f"No test recording is usable: {rejections.report()}.")
        with_params = (params.audio, params.evaluate, folder, recordings)
        write_examples(corpus, manifest, denoise, corrupter, *with_params)
        write_report(rows, read_curves(paths.curves), folder)
    summary = headline(rows)
    summary["counts"]["rejected"] = len(rejections.reasons)
    write_text(paths.metrics, json.dumps(summary, indent=2) + "\n")
    print(f"{rejections.report()}; improvement over the noisy input and over a Wiener filter:")
    print(json.dumps(summary["improvement"], indent=2))


if __name__ == "__main__":
    run(
        main,
        *("archive", "noise", "manifest", "model", "recogniser"),
        *("curves", "metrics", "report", "audio"),
    )
