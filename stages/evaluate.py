"""Denoise the test speakers and measure what came of it; keep pictures and recordings."""

import argparse
import json

from denoise.atomic import replacing_folder, write_text
from denoise.bundle import load_network
from denoise.clips import Rejected, load_clips
from denoise.corpus.archive import CorpusArchive
from denoise.corpus.noise_archive import NoiseArchive
from denoise.determinism import make_deterministic
from denoise.errors import CorpusError
from denoise.evaluation import Disturber, evaluate
from denoise.gallery import write_examples, write_report
from denoise.listener import Listener
from denoise.manifest import read_manifest
from denoise.params import Params
from denoise.reconstruction import clip_denoiser
from denoise.recorded import recorded_from
from denoise.report import headline, read_curves
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write `paths.metrics`, tables and pictures in `paths.report`, recordings in `paths.audio`."""
    make_deterministic(params.train.threads)
    denoise = clip_denoiser(load_network(paths.model), params.reconstruction)
    listener = Listener.load(paths.listener)
    manifest, rejected = read_manifest(paths.manifest), Rejected()
    with (
        CorpusArchive(paths.archive) as corpus,
        NoiseArchive(paths.noise) as noise,
        replacing_folder(paths.report) as folder,
        replacing_folder(paths.audio) as recordings,
    ):
        test = manifest[manifest["split"] == "test"]
        recorded = recorded_from(corpus, manifest, noise, noise.held_out, params.audio)
        disturber = Disturber(params.audio.sample_rate, params.evaluate.seed, recorded)
        clips = load_clips(corpus, test, params.audio, rejected)
        rows = evaluate(clips, denoise, listener.listen, disturber, params.evaluate)
        if rows.empty:
            raise CorpusError(f"No test recording is usable: {rejected.report()}.")
        with_params = (params.audio, params.evaluate, folder, recordings)
        write_examples(corpus, manifest, denoise, disturber, *with_params)
        write_report(rows, read_curves(paths.curves), folder)
    summary = headline(rows)
    summary["counts"]["rejected"] = len(rejected.reasons)
    write_text(paths.metrics, json.dumps(summary, indent=2) + "\n")
    print(f"{rejected.report()}; improvement over the noisy input and over a Wiener filter:")
    print(json.dumps(summary["improvement"], indent=2))


if __name__ == "__main__":
    run(
        main,
        *("archive", "noise", "manifest", "model", "listener"),
        *("curves", "metrics", "report", "audio"),
    )
