"""The same work on a Dask cluster: a scheduler and workers on loopback, of which one is killed."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from denoise.errors import CorpusError, DenoiseError
from denoise.params import ParallelParams
from denoise.util.parallel import SERIAL, open_workers
from tests import tasks
from tests.closures import ROOT
from tests.project import wait_until
from tests.test_parallel import MANY, Inputs, inputs  # noqa: F401

pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@dataclasses.dataclass
class Cluster:
    """A scheduler and its workers, each a process of its own."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]

    @property
    def params(self) -> ParallelParams:
        return ParallelParams(0, self.address)


def start(
    *words: str, folder: Path, cwd: Path = ROOT, **environment: str
) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--no-dashboard"],
            cwd=cwd,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
        )


@contextlib.contextmanager
def running_cluster(
    folder: Path, n_workers: int = 2, cwd: Path = ROOT, **environment: str
) -> Iterator[Cluster]:
    """Run a scheduler and workers, until the block ends."""
    file, processes = folder / "scheduler.json", []
    try:
        to = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        processes.append(start("scheduler", *to, folder=folder, **environment))
        wait_until(lambda: file.exists() and file.read_text().endswith("}"))
        address = json.loads(file.read_text())["address"]
        options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
        for _ in range(n_workers):
            processes.append(start("worker", address, *options, folder=folder, cwd=cwd))
        yield Cluster(address, processes[0], processes[1:])
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    with running_cluster(folder) as cluster:
        yield cluster


def wait_for_workers(cluster: Cluster) -> None:
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(len(cluster.workers), timeout=60)


def test_a_killed_worker_changes_no_byte(inputs: Inputs, cluster: Cluster) -> None:  # noqa: F811
    wait_for_workers(cluster)
    marks = inputs.folder / "marks"
    marks.mkdir()
    with open_workers(cluster.params, MANY) as workers:
        results = workers.map(tasks.mark, marks, range(120))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        victim = cluster.workers[0]
        wait_until(lambda: any(marks.glob(f"*.{victim.pid}")))
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert list(results) == list(range(3, 120))
        by_others = {int(path.suffix[1:]) for path in marks.iterdir()}
        assert by_others == {worker.pid for worker in cluster.workers}
        for cache in ("spectrograms", "waveforms"):
            alone = inputs.features(f"{cache} alone", cache, SERIAL)
            assert inputs.features(f"{cache} on a cluster", cache, workers) == alone


@pytest.mark.slow
def test_features_are_complete_if_a_worker_is_killed_meanwhile(
    inputs: Inputs,  # noqa: F811
    cluster: Cluster,
) -> None:
    wait_for_workers(cluster)
    noise = dataclasses.replace(inputs.params.noise, noisy_versions=40)
    inputs = dataclasses.replace(inputs, params=dataclasses.replace(inputs.params, noise=noise))
    alone = inputs.features("alone", "spectrograms", SERIAL)
    with open_workers(cluster.params, MANY) as workers:
        original = workers.map

        def map_and_kill(*arguments):  # type: ignore[no-untyped-def]
            for number, result in enumerate(original(*arguments)):
                if number == 5:
                    cluster.workers[1].kill()
                yield result

        workers.map = map_and_kill  # type: ignore[method-assign]
        assert inputs.features("on a cluster", "spectrograms", workers) == alone
    assert cluster.workers[1].wait() == -signal.SIGKILL


def test_scores_are_equal_on_a_cluster(inputs: Inputs, cluster: Cluster) -> None:  # noqa: F811
    with open_workers(cluster.params, MANY) as workers:
        assert inputs.scores(workers).equals(inputs.scores(SERIAL))


def test_errors_come_as_from_this_process(cluster: Cluster) -> None:
    with open_workers(cluster.params, MANY) as workers:
        with pytest.raises(CorpusError, match=r"^8 is too much\.$"):
            list(workers.map(tasks.refuse_above, 7, range(100)))
        with pytest.raises(ZeroDivisionError, match="a bug in"):
            list(workers.map(tasks.fail, None, range(4)))
        assert list(workers.map(tasks.add, 1, range(3))) == [1, 2, 3]


def test_a_task_that_ends_its_workers_is_an_error(tmp_path: Path) -> None:
    with running_cluster(tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as cluster:
        wait_for_workers(cluster)
        with (
            pytest.raises(DenoiseError, match="all of its workers, were lost"),
            open_workers(cluster.params, MANY) as workers,
        ):
            list(workers.map(tasks.kill_this_process, None, range(40)))


def test_work_is_given_up_if_all_workers_are_lost(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from denoise.util import cluster as module

    monkeypatch.setattr(module, "PATIENCE_SECONDS", 2.0)
    wait_for_workers(cluster)
    with open_workers(cluster.params, MANY) as workers:
        results = workers.map(tasks.wait_and_add, 1, range(1000))
        assert next(results) == 1
        for worker in cluster.workers:
            worker.kill()
        with pytest.raises(DenoiseError, match="all of its workers, were lost"):
            list(results)


def test_a_lost_scheduler_is_an_error(cluster: Cluster) -> None:
    wait_for_workers(cluster)
    with open_workers(cluster.params, MANY) as workers:
        results = workers.map(tasks.wait_and_add, 1, range(1000))
        assert next(results) == 1
        cluster.scheduler.kill()
        with pytest.raises(DenoiseError, match="were lost"):
            list(results)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere", "ftp://127.0.0.1:8786", "::"])
def test_a_scheduler_that_does_not_answer_is_an_error(address: str) -> None:
    started = time.monotonic()
    with (
        pytest.raises(DenoiseError, match=r"^parallel\.scheduler: no Dask scheduler answers at "),
        open_workers(ParallelParams(0, address), MANY),
    ):
        pass
    assert time.monotonic() - started < 30


@pytest.mark.slow
def test_a_scheduler_without_workers_is_an_error(tmp_path: Path) -> None:
    with (
        running_cluster(tmp_path, n_workers=0) as cluster,
        pytest.raises(DenoiseError, match="has no worker"),
        open_workers(cluster.params, MANY),
    ):
        pass


def test_workers_with_other_code_are_refused(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for path in (ROOT / "denoise").rglob("*.py"):
        place = copy / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    (copy / "denoise" / "version.py").write_text("__version__ = '0'\n", encoding="utf-8")
    for cwd in (copy, tmp_path):  # other code, and none
        with (
            running_cluster(tmp_path, n_workers=1, cwd=cwd) as cluster,
            pytest.raises(DenoiseError, match="1 of 1 Dask workers have other versions"),
            open_workers(cluster.params, MANY),
        ):
            pass
        (tmp_path / "scheduler.json").unlink(missing_ok=True)
