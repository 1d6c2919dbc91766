"""Work in several processes: the same bytes with any number, errors in order, nothing left over."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import yaml

from denoise.corpus.archive import CorpusArchive, OovUtterance, Utterance
from denoise.corpus.loader import Rejections, load_clips
from denoise.errors import CorpusError, DenoiseError
from denoise.evaluation.run import Corrupter, evaluate
from denoise.features.build import write_banks, write_features
from denoise.noise.archive import NoiseArchive, create_noise_archive
from denoise.noise.sources import open_noise_sources
from denoise.params import EvaluateParams, ParallelParams, Params
from denoise.util import parallel
from denoise.util.parallel import MIN_ITEMS, SERIAL, Workers, open_workers
from tests import tasks
from tests.closures import ROOT
from tests.corpora import wav, write_recordings
from tests.project import wait_until
from tests.test_features import BAD, bytes_of, manifest_of, recordings

MANY = 10_000
TEST_UTTERANCES = {Utterance("04", digit, n) for digit in (0, 1) for n in range(10)}  # for ESTOI
posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.fixture
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    """Return as many processes as the test's parameter says."""
    with open_workers(ParallelParams(request.param, ""), MANY) as workers:
        yield workers


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A corpus and a noise archive, and what is made of them."""

    folder: Path
    params: Params

    def manifest(self) -> pd.DataFrame:
        return pd.read_pickle(self.folder / "manifest.pickle")

    def features(self, name: str, cache: str, workers: Workers) -> dict[str, bytes]:
        """Write the features; return their files."""
        folder = self.folder / name
        folder.mkdir()
        manifest, params = self.manifest(), self.params
        rate = params.audio.sample_rate
        with (
            CorpusArchive(self.folder / "corpus.zip") as corpus,
            NoiseArchive(self.folder / "noise.zip") as noise,
        ):
            if cache == "waveforms":
                rejections = write_banks(corpus, manifest, noise, params, folder, workers)
            else:
                sources = open_noise_sources(corpus, manifest, noise, noise.training, rate)
                rejections = write_features(corpus, manifest, sources, params, folder, workers)
        (folder / "rejections").write_text("\n".join(rejections.reasons))  # in their order
        return bytes_of(folder)

    def scores(self, workers: Workers) -> pd.DataFrame:
        """Evaluate a network that halves its input on all clips of the test split."""
        manifest, params = self.manifest(), self.params
        rate, rejections = params.audio.sample_rate, Rejections()
        settings = EvaluateParams(("babble", "recordings"), (5.0,), "never", 1, seed=1)
        with (
            CorpusArchive(self.folder / "corpus.zip") as corpus,
            NoiseArchive(self.folder / "noise.zip") as noise,
        ):
            sources = open_noise_sources(corpus, manifest, noise, noise.held_out, rate)
            rows = manifest[manifest["split"] == "test"]
            clips = load_clips(corpus, rows, params.audio, rejections)
            corrupter = Corrupter(rate, 3, sources)
            table = evaluate(clips, halve, recognise, corrupter, settings, workers)
        assert list(rejections.reasons) == ["1_04_3"]
        return table


def halve(clips: np.ndarray) -> np.ndarray:
    return clips / np.float32(2)


def recognise(clips: np.ndarray) -> dict[str, list[int]]:
    return {"digits_a": [int(np.abs(clip).argmax()) % 2 for clip in clips]}


@pytest.fixture
def inputs(tmp_path: Path, tiny_params: Params) -> Inputs:
    """Return a small corpus with recordings that cannot be used, of each role."""
    content = recordings(10) | {OovUtterance(number): wav(number, 0.6) for number in range(9)}
    content |= {u: wav(n, 0.7) for n, u in enumerate(content) if u in TEST_UTTERANCES}
    content |= {OovUtterance(3): BAD["silent"], Utterance("02", 1, 5): BAD["no audio"]}
    content |= {Utterance("01", 0, 7): BAD["cut short"], Utterance("03", 1, 1): BAD["silent"]}
    content[Utterance("04", 1, 3)] = BAD["empty"]
    write_recordings(tmp_path / "corpus.zip", content, {})
    with create_noise_archive(tmp_path / "noise.zip") as writer:
        for number in range(5):
            writer.add(number, 0, wav(1000 + number, 2.0))
    manifest_of(content).to_pickle(tmp_path / "manifest.pickle")
    weights = dataclasses.replace(tiny_params.noise.weights, recordings=1.0)
    noise = dataclasses.replace(tiny_params.noise, weights=weights)
    audio = dataclasses.replace(tiny_params.audio, duration_seconds=0.7)
    return Inputs(tmp_path, dataclasses.replace(tiny_params, noise=noise, audio=audio))


@pytest.mark.parametrize("cache", ["spectrograms", "waveforms"])
def test_features_have_the_same_bytes_with_any_number_of_workers(
    inputs: Inputs, cache: str
) -> None:
    alone = inputs.features("alone", cache, SERIAL)
    assert len(alone["rejections"].splitlines()) >= 4
    for jobs in (1, 2, 3):
        with open_workers(ParallelParams(jobs, ""), MANY) as workers:
            assert inputs.features(f"with {jobs}", cache, workers) == alone


def test_scores_are_equal_with_any_number_of_workers(inputs: Inputs) -> None:
    alone = inputs.scores(SERIAL)
    assert len(alone) == 19 * 2 and alone["estoi_wiener"].notna().all()
    for jobs in (2, 3):
        with open_workers(ParallelParams(jobs, ""), MANY) as workers:
            pd.testing.assert_frame_equal(inputs.scores(workers), alone, check_exact=True)


@pytest.mark.parametrize("workers", [1, 2, 3], indirect=True)
def test_results_come_in_the_order_of_the_items(workers: Workers) -> None:
    assert list(workers.map(tasks.add, 1000, range(100))) == list(range(1000, 1100))
    assert list(workers.map(tasks.add, 1, [])) == []
    doubled = workers.map(tasks.add, 1, workers.map(tasks.add, 10, iter(range(70))))
    assert list(doubled) == list(range(11, 81))


@pytest.mark.parametrize("workers", [2], indirect=True)
def test_at_most_two_blocks_are_ahead(workers: Workers) -> None:
    taken: list[int] = []
    results = workers.map(tasks.add, 0, (taken.append(n) or n for n in range(500)))  # type: ignore[func-returns-value]
    for number, _ in zip(range(200), results, strict=False):
        time.sleep(0.001)
        assert len(taken) <= number + 1 + 2 * 2 * parallel.BLOCK_PER_WORKER


@pytest.mark.parametrize("workers", [2], indirect=True)
def test_workers_are_processes_without_tensorflow_and_with_their_share_of_the_cores(
    workers: Workers,
) -> None:
    found = set(workers.map(tasks.describe_process, None, range(40)))
    assert len(found) == 2 and os.getpid() not in {process for process, *_ in found}
    share = str(max(1, joblib.cpu_count() // 2))
    assert {rest for _, *rest in map(list, found) for rest in [tuple(rest)]} == {(share, False)}


@pytest.mark.parametrize("workers", [2], indirect=True)
def test_a_worker_opens_an_archive_once(workers: Workers, inputs: Inputs) -> None:
    with CorpusArchive(inputs.folder / "corpus.zip") as corpus:
        opened = set(workers.map(tasks.count_openings, corpus, range(60)))
    assert len(opened) == len({process for process, _ in opened}) == 2


def test_few_items_are_worked_on_in_this_process() -> None:
    for params in (ParallelParams(8, ""), ParallelParams(0, "tcp://127.0.0.1:1")):
        with open_workers(params, MIN_ITEMS - 1) as workers:
            (only,) = {process for process, *_ in workers.map(tasks.describe_process, None, [1, 2])}
    assert only == os.getpid()


@pytest.mark.parametrize("workers", [1, 3], indirect=True)
def test_the_error_of_the_first_item_is_raised(workers: Workers) -> None:
    seen: list[int] = []
    with pytest.raises(CorpusError, match=r"^8 is too much\.$"):
        for item in workers.map(tasks.refuse_above, 7, range(100)):
            seen.append(item)
    assert seen == list(range(8))
    assert list(workers.map(tasks.add, 1, [1])) == [2]


@pytest.mark.parametrize("workers", [2], indirect=True)
def test_a_bug_keeps_its_traceback(workers: Workers) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug in") as raised:
        list(workers.map(tasks.fail, None, range(4)))
    assert "tests/tasks.py" in str(raised.value.__cause__).replace("\\", "/")


@posix_only
@pytest.mark.parametrize("workers", [2], indirect=True)
def test_a_killed_process_is_an_error_that_says_what_to_do(workers: Workers) -> None:
    with pytest.raises(DenoiseError, match=r"A worker process was killed.*parallel\.jobs"):
        list(workers.map(tasks.kill_this_process, None, range(4)))


def children_of(process: int) -> list[int]:
    """Return the processes that a process has started, and those that these have."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = [child for child, parent in pairs if parent == process]
    return found + [grandchild for child in found for grandchild in children_of(child)]


def is_running(process: int) -> bool:
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True
    )
    return listed.stdout.strip()[:1] not in ("", "Z")


@posix_only
@pytest.mark.parametrize("to_all", [True, False])
def test_ctrl_c_leaves_no_worker_and_no_partial_output(
    inputs: Inputs, tree: dict, to_all: bool
) -> None:
    changes = {name: dataclasses.asdict(getattr(inputs.params, name)) for name in ("audio",)}
    tree |= {**changes, "parallel": {"jobs": 2, "scheduler": ""}}
    tree["spectrogram"] = {"n_fft": 128, "hop_length": 64, "win_length": 128}
    tree["noise"]["noisy_versions"] = 100
    params = inputs.folder / "params.yaml"
    params.write_text(yaml.safe_dump(tree), encoding="utf-8")
    content = recordings(200)
    write_recordings(inputs.folder / "corpus.zip", content, {})
    manifest_of(content).to_csv(inputs.folder / "manifest.csv", index=False)
    paths = {"archive": "corpus.zip", "noise": "noise.zip", "manifest": "manifest.csv"}
    options = [f"--{name}={inputs.folder / file}" for name, file in paths.items()]
    options += [f"--params={params}", f"--features={inputs.folder / 'features'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.features", *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: any(inputs.folder.glob(".features.*.partial/train.noisy.npy")))
    wait_until(lambda: len(children_of(process.pid)) >= 2)
    time.sleep(1)
    started = children_of(process.pid)
    if to_all:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors, errors
    wait_until(lambda: not any(map(is_running, started)))
    assert not list(inputs.folder.glob("*features*"))
