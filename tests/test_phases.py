"""A training has one phase, and a second one where fine-tuning has epochs."""

import dataclasses

from denoise.params import Params
from denoise.params_file import load_params
from denoise.training.phases import training_phases
from tests.closures import ROOT

COMMITTED = load_params(ROOT / "params.yaml")


def with_fine_tuning(**changes: object) -> Params:
    fine_tuning = dataclasses.replace(COMMITTED.train.fine_tuning, **changes)
    return dataclasses.replace(
        COMMITTED, train=dataclasses.replace(COMMITTED.train, fine_tuning=fine_tuning)
    )


def test_without_epochs_there_is_no_fine_tuning() -> None:
    (only,) = training_phases(with_fine_tuning(epochs=0))
    assert only.params.train.epochs == COMMITTED.train.epochs
    assert only.prefix == ""


def test_fine_tuning_has_its_own_schedule_loss_rooms_and_pairs() -> None:
    params = with_fine_tuning(
        epochs=3,
        learning_rate=0.001,
        room_target_seconds=0.2,
        loss=dataclasses.replace(COMMITTED.train.loss, pesq=7.0),
    )
    main, fine_tuning = training_phases(params)
    assert main.params == params
    train = fine_tuning.params.train
    assert (train.epochs, train.learning_rate, train.room_target_seconds) == (3, 0.001, 0.2)
    assert train.loss.pesq == 7.0
    assert train.frozen_batch_norm_fraction == 1.0
    assert train.seed != main.params.train.seed, "it would draw the same pairs again"
    assert train.batch_size == main.params.train.batch_size
    assert dataclasses.replace(fine_tuning.params, train=main.params.train) == params
    assert main.name != fine_tuning.name and main.prefix != fine_tuning.prefix
