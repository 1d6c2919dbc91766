"""Trainings give the same bits on processors of different makers."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from denoise.network.tf_function import as_function
from denoise.training.train_step import TrainStep
from tests import few_steps
from tests.closures import ROOT

EMULATOR = "qemu-x86_64"
PROCESSORS = ("Haswell", "EPYC-Milan")  # an Intel and an AMD, without AVX-512, with other caches
TIMEOUT_SECONDS = 900
APPROXIMATE = {"Rsqrt", "RsqrtGrad", "Reciprocal", "ReciprocalGrad", "Inv", "InvGrad"}
"""TensorFlow's operations whose bits depend on the maker of the processor."""


def operations_of(is_frozen: bool) -> set[str]:
    """Return the types of the operations on arrays in the graph of a training step.

    Scalars are left out: TensorFlow computes them by divisions and square roots.
    """
    step, stft, pair = few_steps.tiny_training(few_steps.tiny_params())
    step.step(stft, pair, few_steps.RATE, is_frozen)
    (function,) = step._compiled.values()
    operations = function.get_concrete_function().graph.get_operations()
    return {each.type for each in operations if any(out.shape.rank != 0 for out in each.outputs)}


@pytest.mark.parametrize("is_frozen", [False, True])
def test_a_step_has_no_operation_that_approximates(is_frozen: bool) -> None:
    operations = operations_of(is_frozen)
    assert "Conv2D" in operations
    assert not operations & APPROXIMATE


class SizeOfBatch:
    """Stands in for a network: its output is the number of clips that it gets at once."""

    input_shape = (None, 1)

    def __call__(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return tf.zeros_like(x) + tf.cast(tf.shape(x)[0], tf.float32)


def mean_size_of_shards(count: int) -> float:
    step = TrainStep(SizeOfBatch(), lambda target, y: tf.reduce_mean(y), None, n_shards=2)
    return step.loss(np.zeros((count, 1), np.float32), np.zeros((count, 1), np.float32))


def test_no_clip_is_alone_in_a_shard() -> None:
    assert [mean_size_of_shards(count) for count in (1, 2, 3, 4)] == pytest.approx([2, 2, 3, 2])


def test_no_clip_is_denoised_alone() -> None:
    run = as_function(SizeOfBatch())
    for count, size in ((1, 2), (2, 2), (3, 3)):
        assert run(np.zeros((count, 1), np.float32)).tolist() == [[size]] * count


def start(*emulator: str) -> subprocess.Popen[str]:
    """Start the few steps, with nothing set that the stages set by themselves."""
    own = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    command = [*emulator, sys.executable, "-m", "tests.few_steps"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)


@pytest.mark.slow  # three trainings at once, two of them in an emulator
@pytest.mark.skipif(not shutil.which(EMULATOR), reason=f"needs {EMULATOR}: apt install qemu-user")
def test_a_few_steps_of_training_are_equal_on_other_processors() -> None:
    processes = [start(), *(start(EMULATOR, "-cpu", name) for name in PROCESSORS)]
    try:
        here, *emulated = (json.loads(p.communicate(timeout=TIMEOUT_SECONDS)[0]) for p in processes)
    finally:
        for process in processes:
            process.kill()
    for name, results in zip(PROCESSORS, emulated, strict=True):
        assert results == here, name
