"""Steps of learning: orthogonal ones, and batches shared out among threads."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from denoise.params import TrainParams
from denoise.params_file import load_params
from denoise.training.muon import Muon, build_optimizer, inner_kernels, orthogonal
from denoise.training.train_step import TrainStep, split_shards
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
def test_orthogonal_keeps_directions_and_evens_their_sizes(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    left, _ = np.linalg.qr(rng.standard_normal((shape[0], min(shape))))
    right, _ = np.linalg.qr(rng.standard_normal((shape[1], min(shape))))
    sizes = np.geomspace(0.05, 1, min(shape))
    matrix = (left * sizes) @ right.T
    other = tf.ones((7, 50))  # found beside it, its rows padded
    found = np.asarray(orthogonal([tf.constant(100 * matrix, tf.float32), other])[0])
    in_its_directions = left.T @ found @ right
    evened = np.diag(in_its_directions)
    assert evened.min() > 0.6 and evened.max() < 1.3
    np.testing.assert_allclose(in_its_directions, np.diag(evened), atol=1e-3)


def test_of_no_gradient_comes_no_step() -> None:
    assert not np.asarray(orthogonal([tf.zeros((4, 3))])[0]).any()


def test_muon_moves_all_but_the_last_kernel_by_a_size_that_no_gradient_changes() -> None:
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
    learning = train_step(dataclasses.replace(TRAIN, optimizer=optimizer))
    losses = [learning.step(*batch(8), 0.01) for _ in range(40)]
    assert losses[-1] < losses[0] / 20
    assert learning.loss(*batch(8)) < losses[0] / 20


@pytest.mark.parametrize("count", [1, 2, 7, 8])
@pytest.mark.parametrize("n_shards", [2, 3])
def test_shares_give_what_the_whole_batch_gives(count: int, n_shards: int) -> None:
    whole, shared = train_step(TRAIN), train_step(TRAIN, n_shards)
    for _ in range(3):
        losses = [each.step(*batch(count), 0.001) for each in (whole, shared)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for one, other in zip(whole.state, shared.state, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=2e-2, atol=1e-4)
    assert whole.loss(*batch(count)) == pytest.approx(shared.loss(*batch(count)), rel=1e-3)


def test_shares_are_as_equal_as_can_be() -> None:
    parts = split_shards(tuple(map(tf.constant, batch(8))), 3)
    assert [[len(array) for array in arrays] for arrays, _ in parts] == [[2, 2], [3, 3], [3, 3]]
    assert float(sum(weight for _, weight in parts)) == pytest.approx(1)


def test_two_shares_side_by_side_give_the_same_bytes_every_time() -> None:
    def learnt() -> list[np.ndarray]:
        learning = train_step(TRAIN, 2, normalised=True)
        for _ in range(5):
            learning.step(*batch(8), 0.01)
        return [np.asarray(variable).copy() for variable in learning.state]

    for one, other in zip(learnt(), learnt(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_settled_step_learns_and_leaves_the_averages_as_they_are() -> None:
    learning = train_step(TRAIN, normalised=True)
    layer = learning.model.layers[2]
    losses, averages = [], []
    for has_frozen_batch_norm in [False] * 30 + [True] * 30:
        losses.append(learning.step(*batch(8), 0.003, has_frozen_batch_norm))
        averages.append(np.asarray(layer.moving_mean).copy())
    assert not np.array_equal(averages[0], averages[29])
    np.testing.assert_array_equal(averages[29], averages[59])
    # a settled step tells the loss in use, before it moves: after the last one it is lower still
    assert learning.loss(*batch(8)) < losses[59] < losses[30]
