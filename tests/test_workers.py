"""Two workers that train together on this machine: equal weights, the same again, and a death."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from denoise.errors import TrainingError
from denoise.training.workers import ALONE, Workers, join_workers
from tests.closures import ROOT
from tests.project import Project, two_runs, wait_until

TIMEOUT_SECONDS = 240
STEPS = """
import hashlib, sys
import stages
from denoise.network.determinism import make_deterministic
from denoise.training.workers import join_workers
make_deterministic()
workers = join_workers(int(sys.argv[1]))
import keras, numpy as np
from denoise.params_file import load_params
from denoise.training.muon import build_optimizer
from denoise.training.train_step import TrainStep
keras.utils.set_random_seed(workers.index)  # unlike weights, until they are synchronised
stft = keras.Input((5, 6, 2))
x = keras.layers.Conv2D(4, 3, padding="same")(stft)
if "normalised" in sys.argv:
    x = keras.layers.BatchNormalization()(x)
model = keras.Model(stft, keras.layers.Conv2D(1, 1)(x)[..., 0])
params = load_params("params.yaml").train
shards = 1 if workers.count == 2 else 2
optimizer = build_optimizer(params, model)
step = TrainStep(model, keras.losses.MeanSquaredError(), optimizer, shards, workers)
history = workers.synchronise(step.state, [{"of": workers.index}])
rng = np.random.default_rng(0)
losses = []
for size in (8, 7, 1, 8):  # the batch of one clip leaves nothing to the second worker
    batch = rng.standard_normal((size, 5, 6, 2)).astype(np.float32)
    losses.append(step.step(batch, batch[..., 0], 0.01))
losses.append(step.loss(batch, batch[..., 0]))
state = b"".join(np.asarray(variable).tobytes() for variable in step.state)
print("result", hashlib.sha256(state).hexdigest(), losses, history)
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def environment(index: int, ports: list[int], folder: Path = ROOT) -> dict[str, str]:
    addresses = [f"127.0.0.1:{port}" for port in ports]
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    return {**os.environ, "TF_CONFIG": json.dumps(config), "PYTHONPATH": str(folder)}


def run_steps(*options: str) -> list[str]:
    """Run STEPS in as many processes as the first option says; return the result of each."""
    count = int(options[0])
    ports = free_ports(count)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STEPS, *options],
            cwd=ROOT,
            env=environment(index, ports) if count > 1 else dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    outputs = [process.communicate(timeout=TIMEOUT_SECONDS) for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors
    return [output.partition("result ")[2] for output, _ in outputs]


@pytest.mark.slow
def test_workers_have_equal_weights_after_every_kind_of_batch() -> None:
    one, other = run_steps("2", "normalised")
    assert one == other
    assert "[{'of': 0}]" in one  # the chief's history


@pytest.mark.slow
def test_two_workers_take_the_steps_that_two_shards_take() -> None:
    assert run_steps("2")[0] == run_steps("1")[0]


def start(project: Project, index: int, ports: list[int], *options: str) -> subprocess.Popen[bytes]:
    """Start a worker of the stage `train`, its output in a file."""
    words = project.definition["train"]["cmd"].split()
    with (project.folder / f"worker-{index}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *words[1:], *options],
            cwd=project.folder,
            env={**project.environment, **environment(index, ports, project.folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def output(project: Project, index: int) -> str:
    return (project.folder / f"worker-{index}.log").read_text("utf-8", errors="replace")


def weights(project: Project) -> bytes:
    return (project.folder / "models" / "denoiser" / "weights.npz").read_bytes()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose training asks for two workers."""
    run, _ = two_runs(tmp_path_factory)
    project = run.copy(tmp_path_factory.mktemp("workers") / "project")
    project.edit({"train.workers": 2, "train.epochs": 6})
    return project


@pytest.mark.slow
def test_a_death_ends_in_an_error_and_a_restart_in_the_same_weights(project: Project) -> None:
    alone = weights(project)
    (project.folder / "models" / "denoiser" / "weights.npz").unlink()
    ports = free_ports(2)
    chief, other = (start(project, index, ports) for index in range(2))
    wait_until(lambda: "epoch 2" in output(project, 0) or chief.poll() is not None)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert chief.wait(TIMEOUT_SECONDS) == 1, output(project, 0)
    (line,) = [line for line in output(project, 0).splitlines() if line.startswith("error:")]
    assert "Another worker is gone" in line and "Start all workers again" in line
    assert not (project.folder / "models" / "denoiser" / "weights.npz").exists()

    found = []
    for _ in range(2):  # resumed, and from the beginning
        ports = free_ports(2)
        processes = [start(project, index, ports) for index in range(2)]
        for index, process in enumerate(processes):
            assert process.wait(TIMEOUT_SECONDS) == 0, output(project, index)
        found.append(weights(project))
        resumed = "Resuming after epoch" in output(project, 0)
        assert resumed == (len(found) == 1)
        assert "of the time spent waiting for batches" in output(project, 0)
    assert found[0] == found[1] != alone


@pytest.mark.parametrize(
    ("config", "count", "message"),
    [
        ("{}", 2, "train.workers is 2, and TF_CONFIG has 1 workers"),
        ('{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"index": 1}}', 1, "TF_CONFIG has 2"),
        ('{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"index": 2}}', 2, "the index 2"),
        ("no JSON", 1, "TF_CONFIG cannot be read"),
        ('{"cluster": 3}', 1, "TF_CONFIG cannot be read"),
    ],
)
def test_a_wrong_tf_config_is_an_error(
    monkeypatch: pytest.MonkeyPatch, config: str, count: int, message: str
) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(TrainingError, match=message):
        join_workers(count)


def test_one_worker_needs_no_tf_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert join_workers(1) is ALONE


def hearing(*contents: bytes) -> Workers:
    """Return a worker that is not the chief, and what it receives from the chief."""
    sent = iter([numbers for c in contents for numbers in ([len(c)], list(c))])
    return Workers(1, 2, lambda tensor: tensor + tf.constant(next(sent), tf.int32))


def test_a_worker_with_another_fingerprint_than_the_chief_s_is_an_error() -> None:
    assert hearing(b"abc").checked("abc") == "abc"
    for other in (b"abd", b"ab", b"abcd"):
        with pytest.raises(TrainingError, match="other params, code or features than the chief"):
            hearing(other).checked("abc")
    assert ALONE.checked("abc") == "abc"


@pytest.mark.parametrize("error", [tf.errors.UnavailableError, tf.errors.DeadlineExceededError])
def test_a_worker_lost_before_the_first_step_or_after_the_last_is_an_error(
    error: type[tf.errors.OpError],
) -> None:
    def total(tensor: object) -> object:
        raise error(None, None, "Connection reset by peer\nand more")

    lonely = Workers(0, 2, total)
    message = "Another worker is gone, or cannot be reached: Connection reset by peer Start all"
    with pytest.raises(TrainingError, match=message):
        lonely.synchronise([], [])
    with pytest.raises(TrainingError, match=message):
        lonely.checked("abc")


@pytest.mark.slow
def test_a_worker_with_other_params_does_not_train(project: Project) -> None:
    text = (project.folder / "params.yaml").read_text("utf-8")
    changed = re.sub(r"(?m)^(  batch_size:) .*", r"\1 3", text)
    assert changed != text
    ports = free_ports(2)
    chief = start(project, 0, ports)
    (project.folder / "other.yaml").write_text(changed, "utf-8")
    other = start(project, 1, ports, "--params", "other.yaml")
    assert [each.wait(TIMEOUT_SECONDS) for each in (chief, other)] == [1, 1]
    assert "error: This worker has other params" in output(project, 1)
    assert "error: Another worker is gone" in output(project, 0)
