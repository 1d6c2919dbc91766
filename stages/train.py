"""Train the network on the spectrogram caches and save its best epoch."""

import argparse
from dataclasses import asdict
from pathlib import Path

from dvclive import Live

from denoise.network.determinism import make_deterministic
from denoise.network.saved_model import ModelConfig, save_model
from denoise.params import Params
from denoise.training.augmentation import Augmentation
from denoise.training.checkpoint import Checkpoint, best_epoch, fingerprint
from denoise.training.data import BatchSource
from denoise.training.losses import loss_for, peak_for
from denoise.training.trainer import fit
from denoise.training.waveform_data import WaveformSource
from denoise.util.malloc import keep_freed_memory
from stages import run, source_files

CHECKPOINTS = Path(".scratch/train")  # not an out: DVC deletes outs before it runs a stage


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the model at `paths.model` and the curves at `paths.curves` from `paths.features`."""
    keep_freed_memory()
    make_deterministic(inter_op_threads=params.train.data_shards)
    source = WaveformSource if params.features.cache == "waveforms" else BatchSource
    train, validation = (
        source.open(paths.features, split, params) for split in ("train", "validation")
    )
    peak = peak_for(params, train)
    config = ModelConfig(params.audio, params.spectrogram, params.model, peak)
    model, augmentation = config.build_model(), Augmentation.from_params(params)
    settings = repr(asdict(config)) + repr(params.train) + repr(augmentation)
    key = fingerprint(settings, [*source_files("train"), *sorted(paths.features.glob("*"))])
    checkpoint = Checkpoint(CHECKPOINTS / "-".join(paths.model.parts[-3:]), key)
    with Live(str(paths.curves), report=None, dvcyaml=False, save_dvc_exp=False) as live:

        def log(epoch: dict[str, float]) -> None:
            for name in ("loss", "validation_loss", "learning_rate"):
                live.log_metric(name, epoch[name])
            live.next_step()

        loss = loss_for(params, peak)
        sources = train, validation
        history = fit(model, loss, sources, params.train, augmentation, checkpoint, log)
    save_model(paths.model, model, config)
    checkpoint.remove()
    print(f"The best of {len(history)} epochs was number {best_epoch(history) + 1}.")


if __name__ == "__main__":
    run(main, "features", "model", "curves")
