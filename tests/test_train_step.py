"""Optimisation steps: Muon's orthogonalised updates, and batches split into shards."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from denoise.params import TrainParams
from denoise.params_file import load_params
from denoise.training.checkpoint import Checkpoint
from denoise.training.muon import Muon, build_optimizer, inner_kernels, orthogonalise
from denoise.training.train_step import TrainStep, split_shards
from denoise.training.workers import ALONE, Workers
from tests.closures import ROOT

TRAIN = load_params(ROOT / "params.yaml").train


def small_model(normalised: bool = False) -> keras.Model:
    keras.utils.set_random_seed(3)
    stft = keras.Input((5, 6, 2))
    x = layers.Conv2D(4, 3, padding="same")(stft)
    if normalised:
        x = layers.BatchNormalization()(x)
    x = layers.Conv2D(3, 3, padding="same")(x)
    return keras.Model(stft, layers.Conv2D(1, 1)(x)[..., 0])


def batch(count: int) -> tuple[np.ndarray, np.ndarray]:
    stft = np.random.default_rng(0).standard_normal((count, 5, 6, 2)).astype(np.float32)
    return stft, stft[..., 0] - 2 * stft[..., 1]


def train_step(params: TrainParams, n_shards: int = 1, normalised: bool = False) -> TrainStep:
    model = small_model(normalised)
    loss = keras.losses.MeanSquaredError()
    return TrainStep(model, loss, build_optimizer(params, model), n_shards)


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (30, 30), (288, 32)])
def test_orthogonalise_keeps_singular_vectors_and_equalises_singular_values(
    shape: tuple[int, int],
) -> None:
    rng = np.random.default_rng(1)
    left, _ = np.linalg.qr(rng.standard_normal((shape[0], min(shape))))
    right, _ = np.linalg.qr(rng.standard_normal((shape[1], min(shape))))
    singular_values = np.geomspace(0.05, 1, min(shape))
    matrix = (left * singular_values) @ right.T
    other = tf.ones((7, 50))  # computed together with it, padded to one size
    result = np.asarray(orthogonalise([tf.constant(100 * matrix, tf.float32), other])[0])
    in_its_basis = left.T @ result @ right
    equalised = np.diag(in_its_basis)
    assert equalised.min() > 0.6 and equalised.max() < 1.3
    np.testing.assert_allclose(in_its_basis, np.diag(equalised), atol=1e-3)


def test_a_gradient_of_0_gives_an_update_of_0() -> None:
    assert not np.asarray(orthogonalise([tf.zeros((4, 3))])[0]).any()


def test_muons_updates_do_not_depend_on_the_size_of_the_gradient() -> None:
    moved = []
    for scale in (1e-3, 1.0):
        model = small_model()
        optimizer = build_optimizer(TRAIN, model)
        assert isinstance(optimizer, Muon)
        before = [np.asarray(variable).copy() for variable in model.trainable_variables]
        rng = np.random.default_rng(2)
        gradients = [tf.constant(scale * rng.standard_normal(v.shape), tf.float32) for v in before]
        optimizer.learning_rate = 0.01
        optimizer.apply(gradients, model.trainable_variables)
        after = [np.asarray(variable).copy() for variable in model.trainable_variables]
        moved.append([new - old for new, old in zip(after, before, strict=True)])
    assert len(inner_kernels(model)) == 2
    for of_small, of_large, variable in zip(*moved, model.trainable_variables, strict=True):
        np.testing.assert_allclose(of_small, of_large, rtol=2e-2, atol=1e-5)
        is_kernel = any(variable is kernel for kernel in inner_kernels(model))
        size = np.sqrt(np.mean(np.square(of_large)))
        expected = (
            0.2 * 0.01 * TRAIN.muon_learning_rate_multiplier if is_kernel else 0.01
        )  # Adam's first step
        assert size == pytest.approx(expected, rel=0.35)


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_steps_lower_the_loss(optimizer: str) -> None:
    steps = train_step(dataclasses.replace(TRAIN, optimizer=optimizer))
    losses = [steps.step(*batch(8), 0.01) for _ in range(40)]
    assert losses[-1] < losses[0] / 20
    assert steps.loss(*batch(8)) < losses[0] / 20


@pytest.mark.parametrize("count", [1, 2, 7, 8])
@pytest.mark.parametrize("n_shards", [2, 3])
def test_shards_give_what_the_whole_batch_gives(count: int, n_shards: int) -> None:
    whole, sharded = train_step(TRAIN), train_step(TRAIN, n_shards)
    for _ in range(3):
        losses = [each.step(*batch(count), 0.001) for each in (whole, sharded)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for one, other in zip(whole.state, sharded.state, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=2e-2, atol=1e-4)
    assert whole.loss(*batch(count)) == pytest.approx(sharded.loss(*batch(count)), rel=1e-3)


def test_shards_are_nearly_equal() -> None:
    parts = split_shards(tuple(map(tf.constant, batch(8))), 3)
    assert [[len(array) for array in arrays] for arrays, _ in parts] == [[2, 2], [3, 3], [3, 3]]
    assert float(sum(weight for _, weight in parts)) == pytest.approx(1)


def test_two_shards_in_parallel_give_the_same_bytes_every_time() -> None:
    def trained() -> list[np.ndarray]:
        steps = train_step(TRAIN, 2, normalised=True)
        for _ in range(5):
            steps.step(*batch(8), 0.01)
        return [np.asarray(variable).copy() for variable in steps.state]

    for one, other in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_step_with_frozen_batch_norm_trains_and_keeps_the_moving_averages() -> None:
    steps = train_step(TRAIN, normalised=True)
    layer = steps.model.layers[2]
    losses, averages = [], []
    for freeze_batch_norm in [False] * 30 + [True] * 30:
        losses.append(steps.step(*batch(8), 0.003, freeze_batch_norm))
        averages.append(np.asarray(layer.moving_mean).copy())
    assert not np.array_equal(averages[0], averages[29])
    np.testing.assert_array_equal(averages[29], averages[59])
    # A frozen step returns the inference loss before its update; after the last it is lower still.
    assert steps.loss(*batch(8)) < losses[59] < losses[30]


def dropping_step(workers: Workers = ALONE) -> TrainStep:
    keras.utils.set_random_seed(3)
    stft = keras.Input((5, 6, 2))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(stft))
    model = keras.Model(stft, layers.Conv2D(1, 1)(layers.Dropout(0.5)(x))[..., 0])
    loss, optimizer = keras.losses.MeanSquaredError(), build_optimizer(TRAIN, model)
    return TrainStep(model, loss, optimizer, n_shards=1, workers=workers)


def test_a_restored_state_drops_the_same_values_as_a_training_that_went_on(tmp_path: Path) -> None:
    whole, resumed = dropping_step(), dropping_step()
    whole.step(*batch(8), 0.01)
    checkpoint = Checkpoint(tmp_path / "state", "key")
    checkpoint.save(whole.state, [{"validation_loss": 1.0}])
    checkpoint.load(resumed.state)
    assert whole.step(*batch(8), 0.01) == resumed.step(*batch(8), 0.01)
    for one, other in zip(whole.state, resumed.state, strict=True):
        np.testing.assert_array_equal(one, other)


def test_several_workers_train_a_network_that_drops_values() -> None:
    step = dropping_step(Workers(0, 2, lambda tensor: 2 * tensor))  # the other is like this one
    assert np.isfinite(step.step(*batch(8), 0.01))


def test_the_state_of_a_network_without_random_layers_is_its_weights_and_the_optimiser_s() -> None:
    steps = train_step(TRAIN, normalised=True)
    n_weights = len(steps.model.weights)
    pairs = zip(steps.state[:n_weights], steps.model.weights, strict=True)
    assert all(one is other for one, other in pairs)


@pytest.mark.parametrize("n_layers", [1, 3])
def test_muon_trains_networks_without_two_dimensional_convolutions(n_layers: int) -> None:
    keras.utils.set_random_seed(3)
    stft = keras.Input((5, 6, 2))
    x = layers.Reshape((5, 12))(stft)
    for _ in range(n_layers - 1):
        x = layers.Conv1D(12, 3, padding="same")(x)
    model = keras.Model(stft, layers.Dense(6)(x))
    assert len(inner_kernels(model)) == n_layers - 1
    loss = keras.losses.MeanSquaredError()
    steps = TrainStep(model, loss, build_optimizer(TRAIN, model), n_shards=1)
    losses = [steps.step(*batch(8), 0.01) for _ in range(60)]
    assert losses[-1] < losses[0] / 3


def muon_steps(*gradients: list[np.ndarray]) -> list[np.ndarray]:
    """Return by how much each variable moves in the last of several steps, one per gradient."""
    model = small_model()
    optimizer = build_optimizer(TRAIN, model)
    optimizer.learning_rate = 0.01
    for each in gradients:
        before = [np.asarray(variable).copy() for variable in model.trainable_variables]
        optimizer.apply([tf.constant(g, tf.float32) for g in each], model.trainable_variables)
    after = [np.asarray(variable) for variable in model.trainable_variables]
    return [new - old for new, old in zip(after, before, strict=True)]


def gradient_of_norm(norm: float, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn = [rng.standard_normal(v.shape) for v in small_model().trainable_variables]
    return [g * norm / np.sqrt(sum(np.sum(np.square(g)) for g in drawn)) for g in drawn]


def test_gradients_are_clipped_to_a_norm_of_1() -> None:
    first = gradient_of_norm(0.5, seed=0)
    moved = [muon_steps(first, gradient_of_norm(norm, seed=1)) for norm in (0.5, 1, 10, 20)]
    for half, whole, large, larger in zip(*moved, strict=True):
        np.testing.assert_allclose(large, whole, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(larger, whole, rtol=1e-3, atol=1e-6)
        assert np.abs(half - whole).max() > 1e-4


def test_muon_looks_ahead_as_nesterov_s_momentum_does() -> None:
    first, second = (gradient_of_norm(0.5, seed) for seed in (0, 1))
    moved = muon_steps(first, second)
    model = small_model()
    names = [variable.path for variable in inner_kernels(model)]
    indices = [i for i, v in enumerate(model.trainable_variables) if v.path in names]
    assert len(indices) == 2
    for index in indices:
        matrices = [g[index].reshape(-1, g[index].shape[-1]) for g in (first, second)]
        momentum = 0.9 * matrices[0] + matrices[1]
        nesterov = tf.constant(0.9 * momentum + matrices[1], tf.float32)
        size = 0.01 * 0.2 * TRAIN.muon_learning_rate_multiplier * max(nesterov.shape) ** 0.5
        expected = -size * np.asarray(orthogonalise([nesterov])[0])
        np.testing.assert_allclose(moved[index].reshape(expected.shape), expected, atol=size / 200)
