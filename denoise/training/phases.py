"""The phases of a training: the main one, and fine-tuning with another loss."""

from dataclasses import dataclass, replace

from denoise.params import Params


@dataclass(frozen=True)
class Phase:
    """A part of a training: its name, its params, and a prefix for the names of its curves."""

    name: str
    params: Params
    prefix: str


def training_phases(params: Params) -> list[Phase]:
    """Return the main phase, and fine-tuning if it has epochs.

    Fine-tuning starts from the best weights with a new optimiser, draws new pairs, and keeps the
    statistics of batch normalisation.
    """
    train = params.train
    fine = train.fine_tuning
    phases = [Phase("training", params, "")]
    if fine.epochs:
        fine_tuning = replace(
            train,
            epochs=fine.epochs,
            learning_rate=fine.learning_rate,
            room_target_seconds=fine.room_target_seconds,
            loss=fine.loss,
            frozen_batch_norm_fraction=1.0,
            seed=train.seed + 1,
        )
        tuned = replace(params, train=fine_tuning)
        phases.append(Phase("fine_tuning", tuned, "fine_tuning/"))
    return phases
