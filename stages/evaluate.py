"""Denoise the test speakers, score the result, and write metrics, plots and example recordings."""

import argparse
import json

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.loader import Rejections, load_clips, loader_for
from denoise.corpus.manifest import read_manifest
from denoise.errors import CorpusError
from denoise.evaluation.artifacts import write_examples, write_report
from denoise.evaluation.reconstruction import clip_denoiser
from denoise.evaluation.run import Corrupter, evaluate, list_conditions
from denoise.evaluation.tables import headline_metrics, read_curves
from denoise.network.determinism import make_deterministic
from denoise.network.saved_model import load_network
from denoise.network.spec import with_frame_shifts, with_mask_power
from denoise.noise.archive import NoiseArchive
from denoise.noise.sources import open_noise_sources
from denoise.params import Params
from denoise.recogniser.model import load_recognisers
from denoise.util.atomic import replacing_folder, write_text
from denoise.util.parallel import open_workers
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write `paths.metrics`, tables and plots in `paths.report`, recordings in `paths.audio`."""
    make_deterministic(params.evaluate.threads)
    network = with_mask_power(load_network(paths.model), params.export.mask_power)
    network = with_frame_shifts(network, params.export.frame_shifts)
    denoise = clip_denoiser(network, params.reconstruction)
    recogniser = load_recognisers(paths.recogniser)
    manifest, rejections = read_manifest(paths.manifest), Rejections()
    test, rate = manifest[manifest["split"] == "test"], params.audio.sample_rate
    with (
        CorpusArchive(paths.archive) as corpus,
        NoiseArchive(paths.noise) as noise,
        replacing_folder(paths.report) as report,
        replacing_folder(paths.audio) as recordings,
        open_workers(params.parallel, len(test) * len(list_conditions(params.evaluate))) as workers,
    ):
        sources = open_noise_sources(corpus, manifest, noise, noise.held_out, rate)
        corrupter = Corrupter(rate, params.evaluate.seed, sources)
        clips = load_clips(corpus, test, params.audio, rejections, loader_for(test))
        networks = (denoise, recogniser.recognise)
        rows = evaluate(clips, *networks, corrupter, params.evaluate, workers)
        if rows.empty:
            raise CorpusError(f"No test recording is usable: {rejections.report()}.")
        settings = (params.audio, params.evaluate)
        write_examples(corpus, manifest, denoise, corrupter, *settings, report, recordings)
        write_report(rows, len(rejections.reasons), read_curves(paths.curves), report)
    metrics = json.dumps(headline_metrics(rows), indent=2) + "\n"
    write_text(paths.metrics, metrics)
    print(f"{rejections.report()}; means over all test conditions:\n{metrics}", end="")


if __name__ == "__main__":
    inputs = ("archive", "noise", "manifest", "model", "recogniser", "curves")
    run(main, *inputs, "metrics", "report", "audio")
