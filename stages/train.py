"""Train the network on what the stage `features` has cached, and save its best epoch."""

import argparse
import functools
from dataclasses import asdict
from pathlib import Path

from denoise.network.determinism import make_deterministic
from denoise.network.saved_model import ModelConfig, save_model
from denoise.params import Params
from denoise.training.augmentation import Augmentation
from denoise.training.checkpoint import Checkpoint, best_epoch, fingerprint, remove_checkpoints
from denoise.training.curves import log_curves
from denoise.training.data import BatchSource
from denoise.training.losses import loss_for, peak_for
from denoise.training.phases import training_phases
from denoise.training.trainer import fit
from denoise.training.waveform_data import WaveformSource
from denoise.training.workers import join_workers
from denoise.util.malloc import keep_freed_memory
from stages import run, source_files

SPLITS = ("train", "validation")
CHECKPOINTS = Path(".scratch/train")  # not an out: DVC deletes outs before it runs a stage


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the model at `paths.model` and the curves at `paths.curves` from `paths.features`."""
    keep_freed_memory()
    make_deterministic(inter_op_threads=params.train.data_shards)
    workers = join_workers(params.train.workers)
    source = WaveformSource if params.features.cache == "waveforms" else BatchSource
    peak = peak_for(params, source.open(paths.features, "train", params))
    config = ModelConfig(params.audio, params.spectrogram, params.model, peak)
    config.spec()  # a wrong receptive field is an error now, and not after the training
    model = config.build_model(params.train.precision)
    files = [*source_files("train"), *sorted(paths.features.glob("*"))]
    key = workers.checked(fingerprint(settings_of(params, config), files))
    folder = CHECKPOINTS / "-".join(paths.model.parts[-3:])
    with log_curves(paths.curves, workers.is_chief) as log:
        for phase in training_phases(params):
            train, validation = (source.open(paths.features, s, phase.params) for s in SPLITS)
            what = loss_for(phase.params, peak), (train, validation), phase.params.train
            augmentation = Augmentation.from_params(phase.params)
            state = Checkpoint(folder / phase.name, key), functools.partial(log, phase.prefix)
            history = fit(model, *what, augmentation, *state, workers)
            print(f"The best epoch of {phase.name}: {best_epoch(history) + 1} of {len(history)}.")
    if workers.is_chief:
        save_model(paths.model, model, config)
        remove_checkpoints(folder)


def settings_of(params: Params, config: ModelConfig) -> str:
    """Return all that a training depends on besides files, as text; see the params in dvc.yaml."""
    noise = (params.noise.weights, params.noise.snr_db)
    return repr((asdict(config), params.features, noise, params.train))


if __name__ == "__main__":
    run(main, "features", "model", "curves")
