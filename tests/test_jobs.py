"""The routes under /v1/jobs: states, results, limits, files on the disk, restarts and events."""

import dataclasses
import json
import logging
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from denoise.errors import UsageError
from denoise.server import private_folder
from denoise.server.concurrency import WorkQueue
from denoise.server.context import ServerContext
from denoise.server.jobs import events, store
from denoise.server.jobs.job import Job
from denoise.server.jobs.pace import Pace
from denoise.server.jobs.store import JobStore
from denoise.server.limits import Deadline, Limits
from denoise.server.problems import KINDS, ProblemError
from tests.corpora import encode
from tests.networks import RATE, gain_network
from tests.project import wait_until
from tests.test_audio import encode_flac_with_length
from tests.test_server import (
    LONG,
    NOISY,
    WAV,
    client_of,
    decode,
    form,
    make_context,
    problem_of,
    stop_clock,
)

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows differs in modes and open files")
SOUND = encode(NOISY, "WAV", "PCM_16", RATE)  # as float, WAV would have the time in it
STEREO = encode(np.zeros((RATE * 12, 2)), "FLAC", "PCM_16", RATE)  # longer than the limit
THREE_BLOCKS = 0.1 * np.random.default_rng(1).standard_normal((RATE * 24, 1))


class Gate:
    """A network that waits in each block until it is let through."""

    def __init__(self) -> None:
        self.let_through = threading.Semaphore(0)
        self.n_begun = 0
        self.network = dataclasses.replace(gain_network(0.5), mask=self._mask)

    def _mask(self, spectrograms: np.ndarray) -> np.ndarray:
        self.n_begun += 1
        assert self.let_through.acquire(timeout=30)
        return np.full(spectrograms.shape[:-1], 0.5, np.float32)

    def open(self) -> None:
        self.let_through.release(1000)


@pytest.fixture
def jobs_folder(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


def open_context(jobs_folder: Path, network: Any = None, **changes: Any) -> ServerContext:
    """Return a context that keeps its jobs in a folder, with the jobs of an earlier one."""
    context = make_context(network, **changes)
    context = ServerContext(context.network, context.limits, jobs_folder=jobs_folder)
    context.jobs.start()
    return context


def close(context: ServerContext) -> None:
    """Stop as a server does on SIGTERM."""
    context.is_stopping.set()
    wait_until(lambda: context.jobs.is_idle)
    context.jobs.store.close()


def submit(client: FlaskClient, query: str = "", **body: Any) -> str:
    """Make a job; return its URL."""
    response = client.post(f"/v1/jobs{query}", **(body or {"data": WAV}))
    assert response.status_code == 202, response.text
    assert response.headers["Location"] == response.get_json()["url"]
    return str(response.headers["Location"])


def state_of(client: FlaskClient, url: str) -> str:
    return str(client.get(url).get_json()["state"])


def finish(client: FlaskClient, url: str) -> dict[str, Any]:
    """Wait until a job has ended; return what the server says of it."""
    wait_until(lambda: state_of(client, url) in ("done", "failed"))
    return dict(client.get(url).get_json())


def files_of(jobs_folder: Path) -> set[str]:
    """Return the files of all jobs, relative to the folder, without the lock."""
    paths = {path.relative_to(jobs_folder).as_posix() for path in jobs_folder.rglob("*")}
    return paths - {private_folder.LOCK}


@pytest.mark.parametrize("query", ["", "?strength=0.5&format=flac", "?residual=true"])
@pytest.mark.parametrize("make", [lambda: {"data": SOUND}, lambda: form(SOUND, "Ω talk.wav")])
def test_a_job_has_the_result_that_a_request_has(
    query: str, make: Callable[[], dict[str, Any]]
) -> None:
    client = client_of(make_context())
    url = submit(client, query, **make())
    job = finish(client, url)
    assert (job["state"], job["progress"], job["problem"]) == ("done", 1, None)
    assert job["seconds_done"] == len(NOISY) / RATE
    assert job["result"] == f"{url}/result"
    expected = client.post(f"/v1/denoise{query}", **make())
    for _ in range(2):  # it can be fetched again
        result = client.get(job["result"])
        assert result.status_code == 200
        assert result.data == expected.data
        ignored = ("Request-Id",)
        headers = [
            {k: v for k, v in each.headers if k not in ignored} for each in (result, expected)
        ]
        assert headers[0] == headers[1]
    assert client.head(job["result"]).content_length == len(expected.data)


def test_what_is_said_of_a_new_job() -> None:
    context = make_context()
    with context.work_queue.worker(Deadline(60)):
        response = client_of(context).post("/v1/jobs", data=WAV)
        job = response.get_json()
    assert response.status_code == 202
    assert len(job["id"]) == 32 and job["url"] == f"/v1/jobs/{job['id']}"
    assert job["events"] == f"{job['url']}/events"
    assert (job["state"], job["progress"], job["seconds_done"]) == ("queued", None, 0)
    assert job["result"] is job["problem"] is job["ended"] is job["expires"] is None


def test_ids_differ() -> None:
    client = client_of(make_context())
    assert len({submit(client) for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("query", "body", "headers", "status"),
    [
        ("?strength=2", {"data": WAV}, {}, 400),
        ("?shell=1", {"data": WAV}, {}, 400),
        ("", {"data": b""}, {}, 400),
        ("", {"data": WAV}, {"Authorization": "Bearer wrong"}, 401),
        ("", {"data": WAV}, {"Origin": "https://elsewhere.example"}, 403),
        ("", {"data": WAV}, {"Host": "evil.example"}, 403),
        ("", {"data": b"x" * 200_001}, {}, 413),
        ("", {"data": WAV, "content_type": "text/plain"}, {}, 415),
    ],
)
def test_a_request_that_denoise_refuses_makes_no_job(
    query: str, body: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    context = make_context(token="s3cret")
    client = client_of(context)
    headers = {"Authorization": "Bearer s3cret", **headers}
    if "Host" in headers:  # with a token, a server on the loopback interface still checks
        assert context.hosts.bound == "127.0.0.1"
    problem_of(client.post(f"/v1/jobs{query}", **body, headers=headers), status)
    problem_of(client.post(f"/v1/denoise{query}", **body, headers=headers), status)
    assert context.jobs.store.list_all() == []
    assert context.jobs.store.n_bytes == 0


def test_all_routes_of_jobs_need_the_token() -> None:
    context = make_context(token="s3cret")
    client = client_of(context)
    right = {"Authorization": "Bearer s3cret"}
    url = client.post("/v1/jobs", data=WAV, headers=right).headers["Location"]
    wait_until(lambda: context.jobs.store.count("done") == 1)
    for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/events"), ("DELETE", "")):
        problem_of(client.open(url + path, method=method), 401)
        problem_of(client.open(url + path, method=method, headers={"Host": "evil"}), 403)
    problem_of(client.delete(url, headers={**right, "Origin": "https://elsewhere.example"}), 403)
    assert client.get(f"{url}/result", headers=right).status_code == 200
    assert client.delete(url, headers=right).status_code == 204


@pytest.mark.parametrize(
    ("content", "kind", "numbers"),
    [(b"x", "no-audio", {}), (STEREO, "too-long", {"limit": 20, "limit_minutes": 0.167})],
)
def test_a_job_that_fails_says_why(content: bytes, kind: str, numbers: dict[str, float]) -> None:
    context = make_context()
    client = client_of(context)
    response = client.post("/v1/jobs", data=content)
    url = response.headers["Location"]
    job = finish(client, url)
    problem = job["problem"]
    assert (job["state"], job["result"]) == ("failed", None)
    assert problem["type"] == f"urn:denoise:{kind}"
    assert (problem["status"], problem["title"]) == KINDS[kind]
    assert problem["request_id"] == response.headers["Request-Id"]
    assert {key: problem[key] for key in numbers} == numbers
    assert "failed" in problem_of(client.get(f"{url}/result"), 409)["detail"]
    assert context.jobs.store.n_bytes == 0  # the upload is deleted
    assert 'denoise_ended_jobs_total{outcome="failed"} 1.0\n' in client.get("/metrics").text


def test_an_error_of_the_server_is_logged_and_reveals_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def mask(_: np.ndarray) -> np.ndarray:
        raise RuntimeError("secret in /tmp")

    client = client_of(make_context(dataclasses.replace(gain_network(1), mask=mask)))
    problem = finish(client, submit(client))["problem"]
    assert problem["status"] == 500 and "secret" not in str(problem)
    assert "RuntimeError: secret" in caplog.text and problem["request_id"] in caplog.text
    assert finish(client, submit(client))["state"] == "failed"  # the thread still works


def test_progress_is_a_share_of_the_recording(jobs_folder: Path) -> None:
    gate = Gate()
    context = open_context(jobs_folder, gate.network, channel_seconds=30.0)
    client = client_of(context)
    content = encode(THREE_BLOCKS, "WAV", "PCM_U8", RATE)
    url = submit(client, data=content)
    seen = []
    for n_blocks in range(1, 50):
        wait_until(lambda n=n_blocks: gate.n_begun == n or state_of(client, url) == "done")
        seen.append(client.get(url).get_json())
        if seen[-1]["state"] == "done":
            break
        problem_of(client.get(f"{url}/result"), 409)
        gate.let_through.release()
    assert [each["state"] for each in seen] == ["running"] * (len(seen) - 1) + ["done"]
    shares = [each["progress"] or 0 for each in seen]
    assert len(set(shares)) > 2 and shares == sorted(shares) and shares[-1] == 1
    for each in seen:
        assert each["seconds_done"] == pytest.approx((each["progress"] or 0) * 24, abs=0.01)
    close(context)


@pytest.mark.parametrize(("length", "progress"), [(0, {None}), (2**36 - 1, {None, 0})])
def test_progress_where_the_length_is_not_known_or_wrong(
    jobs_folder: Path, length: int, progress: set[float | None]
) -> None:
    gate = Gate()
    context = open_context(jobs_folder, gate.network)
    client = client_of(context)
    url = submit(client, data=encode_flac_with_length(length, np.tile(NOISY, (30, 1))))
    for n_blocks in range(1, 50):
        wait_until(lambda n=n_blocks: gate.n_begun == n or state_of(client, url) == "done")
        job = client.get(url).get_json()
        if job["state"] == "done":
            break
        assert job["progress"] in progress
        gate.let_through.release()
    assert (job["progress"], job["seconds_done"]) == (1, 30 * len(NOISY) / RATE)
    assert n_blocks > 2
    close(context)


def test_a_queued_job_can_be_deleted_and_never_runs(jobs_folder: Path) -> None:
    gate = Gate()
    context = open_context(jobs_folder, gate.network)
    client = client_of(context)
    with context.work_queue.worker(Deadline(60)):
        urls = [submit(client) for _ in range(2)]
        assert [state_of(client, url) for url in urls] == ["queued"] * 2
        assert "queued" in problem_of(client.get(f"{urls[0]}/result"), 409)["detail"]
        for url in urls:
            response = client.delete(url)
            assert (response.status_code, response.data) == (204, b"")
            problem_of(client.get(url), 404)
            problem_of(client.delete(url), 404)
        assert files_of(jobs_folder) == set()
    wait_until(lambda: context.jobs.is_idle)
    assert gate.n_begun == 0
    assert context.jobs.store.n_bytes == 0 and context.work_queue.size == 0
    assert 'denoise_ended_jobs_total{outcome="deleted"} 2.0\n' in client.get("/metrics").text
    close(context)


def test_a_running_job_can_be_deleted(jobs_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    context = open_context(jobs_folder, gate.network)
    client = client_of(context)
    url = submit(client, data=LONG)
    wait_until(lambda: gate.n_begun == 1)
    assert state_of(client, url) == "running"
    assert client.delete(url).status_code == 204
    problem_of(client.get(url), 404)
    gate.open()
    wait_until(lambda: context.jobs.is_idle)
    assert gate.n_begun == 1  # it ended after its block
    assert files_of(jobs_folder) == set()
    assert context.work_queue.size == 0
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    assert finish(client, submit(client))["state"] == "done"
    close(context)


IDS = [
    "x",
    "..",
    "%2e%2e",
    "..%2fother",
    "../other",
    "..%5cother",
    "a" * 32,
    "a" * 5000,
    "%00",
    "*",
]


@pytest.mark.parametrize("job_id", IDS, ids=lambda text: text[:12])
def test_404_for_ids_of_no_job(jobs_folder: Path, job_id: str) -> None:
    other = jobs_folder.parent / "other"
    other.mkdir()
    (other / "out").write_bytes(b"private")
    context = open_context(jobs_folder)
    client = client_of(context)
    submit(client)
    for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/events"), ("DELETE", "")):
        response = client.open(f"/v1/jobs/{job_id}{path}", method=method)
        problem_of(response, 404)
    wait_until(lambda: context.jobs.is_idle)
    assert (other / "out").read_bytes() == b"private"
    assert context.jobs.store.count("done") == 1
    close(context)


def test_503_while_there_are_too_many_jobs() -> None:
    client = client_of(make_context(jobs=2))
    urls = [submit(client) for _ in range(2)]
    response = client.post("/v1/jobs", data=WAV)
    problem = problem_of(response, 503)
    assert problem["type"] == "urn:denoise:jobs-full"
    assert (problem["limit"], problem["actual"]) == (2, 3)
    assert int(response.headers["Retry-After"]) > 0
    assert client.delete(urls[0]).status_code == 204
    submit(client)


def test_503_while_jobs_take_too_much_room() -> None:
    context = make_context(jobs_bytes=4 * len(WAV) - 1)
    client = client_of(context)
    with context.work_queue.worker(Deadline(60)):
        url = submit(client)
        assert context.jobs.store.n_bytes == 2 * len(WAV)
        problem = problem_of(client.post("/v1/jobs", data=WAV), 503)
        assert problem["type"] == "urn:denoise:jobs-full"
        assert (problem["limit"], problem["actual"]) == (4 * len(WAV) - 1, 4 * len(WAV))
    assert finish(client, url)["state"] == "done"
    wait_until(lambda: context.jobs.store.n_bytes == len(WAV))  # the result alone
    wait_until(lambda: context.jobs.is_idle)
    text = client.get("/metrics").text
    assert f"denoise_jobs_bytes {float(len(WAV))}\n" in text
    assert 'denoise_jobs{state="done"} 1.0\n' in text and 'denoise_jobs{state="queued"} 0.0' in text
    assert "denoise_audio_seconds_total 0.375\n" in text
    submit(client)


@pytest.mark.parametrize("changes", [{"jobs": 1}, {"jobs_bytes": 3 * len(WAV)}])
def test_an_upload_that_is_being_saved_has_its_room(changes: dict[str, Any]) -> None:
    context = make_context(**changes)
    client = client_of(context)
    with pytest.raises(KeyError), context.jobs.store.adding(len(WAV)):
        problem = problem_of(client.post("/v1/jobs", data=WAV), 503)
        assert problem["type"] == "urn:denoise:jobs-full"
        raise KeyError  # as if the upload were cut off
    submit(client)


def test_ended_jobs_are_deleted_after_their_time(
    jobs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_context(jobs_folder, job_hours=2)
    client = client_of(context)
    url = submit(client)
    job = finish(client, url)
    spans = [time.strptime(job[key], "%Y-%m-%dT%H:%M:%SZ") for key in ("ended", "expires")]
    assert time.mktime(spans[1]) - time.mktime(spans[0]) == 7200
    now = time.time()
    monkeypatch.setattr(store.time, "time", lambda: now + 7190)
    context.jobs.store.remove_old()
    assert client.get(url).status_code == 200
    monkeypatch.setattr(store.time, "time", lambda: now + 7210)
    for path in ("", "/result", "/events"):
        problem_of(client.get(url + path), 404)
    assert files_of(jobs_folder) != set()
    context.jobs.store.remove_old()
    assert files_of(jobs_folder) == set()
    close(context)


def test_the_server_deletes_old_jobs_by_itself(
    jobs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denoise.server.jobs.runner.SWEEP_SECONDS", 0.01)
    context = open_context(jobs_folder, job_hours=1e-9)
    submit(client_of(context))
    wait_until(lambda: context.jobs.is_idle and files_of(jobs_folder) == set())
    close(context)


@posix_only
def test_only_the_user_may_read_the_files(jobs_folder: Path) -> None:
    former = os.umask(0o022)
    try:
        gate = Gate()
        context = open_context(jobs_folder, gate.network)
        client = client_of(context)
        done = submit(client)
        wait_until(lambda: gate.n_begun == 1)
        gate.open()
        finish(client, done)
        with context.work_queue.worker(Deadline(60)):
            submit(client)
            paths = list(jobs_folder.rglob("*"))
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in paths if p.is_file()}
            assert modes == dict.fromkeys(("lock", "job.json", "in", "out"), 0o600)
            folders = [jobs_folder, *(path for path in paths if path.is_dir())]
            assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
            assert len(folders) == 3
        close(context)
    finally:
        os.umask(former)


def test_a_restart_resumes_what_was_running_and_what_was_queued(jobs_folder: Path) -> None:
    gate = Gate()
    context = open_context(jobs_folder, gate.network)
    client = client_of(context)
    urls = [submit(client, query, data=LONG) for query in ("", "?strength=0.5", "?format=flac")]
    wait_until(lambda: gate.n_begun == 1)
    assert [state_of(client, url) for url in urls] == ["running", "queued", "queued"]
    context.is_stopping.set()
    gate.open()
    close(context)
    saved = {
        path.parent.name: json.loads(path.read_text()) for path in jobs_folder.glob("*/*.json")
    }
    assert [saved[url.rpartition("/")[2]]["state"] for url in urls] == ["queued"] * 3

    context = open_context(jobs_folder, gain_network(0.5))
    client = client_of(context)
    jobs = [finish(client, url) for url in urls]
    assert [job["state"] for job in jobs] == ["done"] * 3
    assert jobs[0]["ended"] <= jobs[1]["ended"] <= jobs[2]["ended"]
    for query, job in zip(("", "?strength=0.5", "?format=flac"), jobs, strict=True):
        expected = client.post(f"/v1/denoise{query}", data=LONG)
        assert decode(client.get(job["result"]))[0].tolist() == decode(expected)[0].tolist()
    close(context)


def test_a_restart_keeps_results_and_failures(jobs_folder: Path) -> None:
    context = open_context(jobs_folder)
    client = client_of(context)
    urls = [submit(client, **form(WAV, "Ω.wav")), submit(client, data=b"x")]
    before = [finish(client, url) for url in urls]
    result = client.get(f"{urls[0]}/result")
    n_bytes = context.jobs.store.n_bytes
    close(context)
    context = open_context(jobs_folder)
    client = client_of(context)
    assert [client.get(url).get_json() for url in urls] == before
    again = client.get(f"{urls[0]}/result")
    assert again.data == result.data
    assert again.headers["Content-Disposition"] == result.headers["Content-Disposition"]
    assert context.jobs.store.n_bytes == n_bytes == len(WAV)
    close(context)


def killed(jobs_folder: Path) -> tuple[str, Path]:
    """Leave the folder of a job that a killed server was running; return its URL and folder."""
    gate = Gate()
    context = open_context(jobs_folder, gate.network)
    url = submit(client_of(context))
    wait_until(lambda: gate.n_begun == 1)
    path = jobs_folder / url.rpartition("/")[2]
    content = {file.name: file.read_bytes() for file in path.iterdir()}
    gate.open()
    wait_until(lambda: context.jobs.is_idle)
    close(context)
    for file in path.iterdir():
        file.unlink()
    for name, of in content.items():
        (path / name).write_bytes(of)
    assert json.loads(content["job.json"])["state"] == "running"
    return url, path


def test_a_half_written_result_is_never_served(jobs_folder: Path) -> None:
    url, path = killed(jobs_folder)
    (path / "out").write_bytes(WAV[:900])
    (path / ".out.1.partial").write_bytes(WAV[:900])
    gate = Gate()
    context = open_context(jobs_folder, gate.network)
    client = client_of(context)
    wait_until(lambda: gate.n_begun == 1)
    problem_of(client.get(f"{url}/result"), 409)
    assert not (path / "out").exists() and not (path / ".out.1.partial").exists()
    gate.open()
    assert len(client.get(finish(client, url)["result"]).data) == len(WAV)
    close(context)


def test_a_job_that_makes_the_server_crash_fails_in_the_end(
    jobs_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url, path = killed(jobs_folder)
    for n_crashes in range(1, store.MAX_CRASHES + 1):
        jobs = JobStore(jobs_folder, Limits())
        jobs.open()
        (job,) = jobs.list_all()
        assert job.crashes == n_crashes
        assert job.state == ("queued" if n_crashes < store.MAX_CRASHES else "failed")
        jobs.close()
        if not job.has_ended:
            change(path, state="running")  # as a killed server leaves it
    assert "the server ended while it ran" in caplog.text
    context = open_context(jobs_folder)
    problem = client_of(context).get(url).get_json()["problem"]
    assert problem["status"] == 500 and "ended 3 times" in problem["detail"]
    assert files_of(jobs_folder) == {path.name, f"{path.name}/job.json"}
    close(context)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a time beyond any calendar": lambda path: change(path, created=1e300),
    "a number as text": lambda path: change(path, crashes="0"),
    "half a state": lambda path: (path / "job.json").write_text('{"id": "'),
    "another state": lambda path: (path / "job.json").write_text("[]"),
    "an unknown key": lambda path: change(path, shell="rm"),
    "an unknown state": lambda path: change(path, state="lost"),
    "done without a result": lambda path: change(path, state="done", ended=1.0),
    "another id": lambda path: change(path, id="../other"),
    "an empty result": lambda path: change(path, result={}),
    "no upload": lambda path: (path / "in").unlink(),
    "a file of the user": lambda path: (path / "job.json").rename(path / "mine.json"),
}


def change(path: Path, **changes: Any) -> None:
    saved = json.loads((path / "job.json").read_text())
    (path / "job.json").write_text(json.dumps(saved | changes))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_job_that_cannot_be_read_is_left_and_reported(
    jobs_folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    url, path = killed(jobs_folder)
    DAMAGE[damage](path)
    (jobs_folder / "notes.txt").write_text("mine")
    (jobs_folder / "music").mkdir()
    before = {file: file.read_bytes() for file in jobs_folder.rglob("*") if file.is_file()}
    context = open_context(jobs_folder)
    assert f"The job in the folder {path.name[:6]}... cannot be read (" in caplog.text
    assert path.name not in caplog.text
    assert {file: file.read_bytes() for file in jobs_folder.rglob("*") if file.is_file()} == before
    assert (jobs_folder / "music").is_dir()
    problem_of(client_of(context).get(url), 404)
    assert context.jobs.store.n_bytes == sum(f.stat().st_size for f in path.iterdir())
    close(context)


@pytest.mark.parametrize("limit", ["jobs", "jobs_bytes"])
def test_a_job_that_cannot_be_read_counts_towards_the_limits_while_it_is_there(
    jobs_folder: Path, limit: str
) -> None:
    path = jobs_folder / ("0f" * 16)
    (path / "kept").mkdir(parents=True)
    jobs_folder.chmod(0o700)
    (path / "job.json").touch()
    (path / "in").write_bytes(bytes(50_000))
    (path / "kept" / "talk.wav").write_bytes(bytes(10_000))
    actual = {"jobs": 2, "jobs_bytes": 60_000 + 2 * len(WAV)}[limit]
    context = open_context(jobs_folder, **{limit: actual - 1})
    client = client_of(context)
    problem = problem_of(client.post("/v1/jobs", data=WAV), 503)
    assert (problem["limit"], problem["actual"]) == (actual - 1, actual)
    assert "1 that could not be read or deleted" in problem["detail"]
    assert "denoise_jobs_bytes 60000.0\n" in client.get("/metrics").text
    shutil.rmtree(path)
    submit(client)
    wait_until(lambda: context.jobs.is_idle)
    close(context)


def test_a_job_whose_files_cannot_be_deleted_counts_towards_the_limits(
    jobs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_context(jobs_folder, jobs=1)
    client = client_of(context)
    url = submit(client)
    finish(client, url)
    wait_until(lambda: context.jobs.is_idle)
    monkeypatch.setattr(store.shutil, "rmtree", lambda *_, **__: None)
    assert client.delete(url).status_code == 204
    assert context.jobs.store.n_bytes == len(WAV)
    assert problem_of(client.post("/v1/jobs", data=WAV), 503)["actual"] == 2
    close(context)
    monkeypatch.undo()
    context = open_context(jobs_folder, jobs=1)
    submit(client_of(context))
    wait_until(lambda: context.jobs.is_idle)
    close(context)


def test_a_job_that_cannot_be_read_now_is_there_after_the_next_start(
    jobs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = killed(jobs_folder)
    with monkeypatch.context() as patch:
        patch.setattr(store.Job, "from_saved", lambda _: refuse_to_read())
        close(open_context(jobs_folder))
    context = open_context(jobs_folder)
    assert finish(client_of(context), url)["state"] == "done"
    close(context)


def refuse_to_read() -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize("name", ["in", "out", ".in", ".job.json"])
def test_what_a_killed_server_leaves_of_a_job_is_removed(
    jobs_folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    url, path = killed(jobs_folder)
    (path / "job.json").unlink()
    (path / (f"{name}.4f0.partial" if name.startswith(".") else name)).write_bytes(b"half")
    context = open_context(jobs_folder)
    assert files_of(jobs_folder) == set()
    assert caplog.text == ""
    problem_of(client_of(context).get(url), 404)
    close(context)


def test_a_folder_of_the_user_is_left_whatever_its_name(jobs_folder: Path) -> None:
    mine = jobs_folder / ("0f" * 16)
    (mine / "in").mkdir(parents=True)
    (mine / "talk.wav").write_bytes(WAV)
    jobs_folder.chmod(0o700)
    close(open_context(jobs_folder))
    assert (mine / "talk.wav").read_bytes() == WAV and (mine / "in").is_dir()


@pytest.mark.parametrize("n_crashes", [0, store.MAX_CRASHES - 1])
def test_a_full_disk_at_the_start_deletes_no_upload(
    jobs_folder: Path, n_crashes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, path = killed(jobs_folder)
    change(path, crashes=n_crashes)

    def fill_the_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    jobs = JobStore(jobs_folder, Limits())
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_private", fill_the_disk)
        jobs.open()
    (job,) = jobs.list_all()
    assert job.state == ("failed" if n_crashes else "queued") and job.crashes == n_crashes + 1
    jobs.close()
    assert (path / "in").read_bytes() == WAV
    context = open_context(jobs_folder)
    assert finish(client_of(context), url)["state"] == ("failed" if n_crashes else "done")
    close(context)


def lose(jobs_folder: Path, lost: str) -> None:
    """Delete what a cleaner of temporary files may delete."""
    if lost == "lock":
        (jobs_folder / "lock").unlink()
    else:
        shutil.rmtree(jobs_folder)


@posix_only
@pytest.mark.parametrize("lost", ["lock", "folder"])
def test_a_folder_that_is_removed_while_the_server_runs_is_made_again(
    jobs_folder: Path, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = open_context(jobs_folder, jobs=2)
    client = client_of(context)
    former = [submit(client) for _ in range(2)]
    for url in former:
        finish(client, url)
    wait_until(lambda: context.jobs.is_idle)
    lose(jobs_folder, lost)
    if lost == "lock":
        client.delete(former[1])
    url = submit(client)
    assert finish(client, url)["state"] == "done"
    assert client.get(f"{url}/result").status_code == 200
    kept = 200 if lost == "lock" else 404
    assert client.get(former[0]).status_code == kept
    assert (jobs_folder / "lock").is_file() and stat.S_IMODE(jobs_folder.stat().st_mode) == 0o700
    n_lost = 2 if lost == "folder" else 0
    assert f"was removed while the server ran: {n_lost} jobs lost" in caplog.text
    with pytest.raises(UsageError, match="Another server uses the folder"):
        open_context(jobs_folder)
    close(context)
    close(open_context(jobs_folder))


@posix_only
def test_a_job_whose_files_are_gone_fails_and_makes_no_open_folder(jobs_folder: Path) -> None:
    context = open_context(jobs_folder)
    client = client_of(context)
    with context.work_queue.worker(Deadline(60)):
        url = submit(client)
        shutil.rmtree(jobs_folder)
    assert finish(client, url)["problem"]["status"] == 500
    wait_until(lambda: context.jobs.is_idle)
    assert not jobs_folder.exists()
    assert finish(client, submit(client))["state"] == "done"
    problem_of(client.get(url), 404)
    close(context)


def test_the_folder_looks_used_to_cleaners_of_temporary_files(
    jobs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denoise.server.jobs.runner.SWEEP_SECONDS", 0.01)
    context = open_context(jobs_folder)
    paths = [jobs_folder, jobs_folder / "lock"]
    for path in paths:
        os.utime(path, (1e9, 1e9))
    wait_until(lambda: all(path.stat().st_mtime > 1e9 + 1 for path in paths))
    close(context)


def test_a_folder_belongs_to_one_server(jobs_folder: Path) -> None:
    context = open_context(jobs_folder)
    with pytest.raises(UsageError, match=r"Another server uses the folder .* --jobs-dir"):
        open_context(jobs_folder)
    close(context)
    close(open_context(jobs_folder))


@posix_only
def test_a_folder_that_others_may_enter_is_refused(
    jobs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs_folder.mkdir()
    jobs_folder.chmod(0o755)
    with pytest.raises(UsageError, match=r"Other users may enter .* chmod 700"):
        JobStore(jobs_folder, Limits()).open()
    jobs_folder.chmod(0o700)
    monkeypatch.setattr(private_folder.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="belongs to another user"):
        JobStore(jobs_folder, Limits()).open()


def test_a_file_in_place_of_the_folder_is_refused(jobs_folder: Path) -> None:
    jobs_folder.write_text("")
    with pytest.raises(UsageError, match=r"folder .* cannot be used: File exists\. .* --jobs-dir"):
        open_context(jobs_folder)


def test_each_user_and_port_has_a_folder_by_default() -> None:
    assert private_folder.default_folder(1, "jobs") != private_folder.default_folder(2, "jobs")
    if os.name != "nt":
        name = private_folder.default_folder(8765, "jobs").name
        assert name == f"denoise-jobs-{os.getuid()}-8765"


def test_a_result_that_cannot_be_saved_fails_the_job(
    jobs_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    context = open_context(jobs_folder)
    write = store.write_private

    def fill_the_disk(path: Path, text: str) -> None:
        if '"state": "done"' in text:
            raise OSError(28, "No space left on device")
        write(path, text)

    monkeypatch.setattr(store, "write_private", fill_the_disk)
    client = client_of(context)
    url = submit(client)
    assert finish(client, url)["problem"]["status"] == 500
    wait_until(lambda: context.jobs.is_idle)
    problem_of(client.get(f"{url}/result"), 409)
    assert "No space left" in caplog.text
    close(context)


def test_an_upload_that_is_cut_off_leaves_nothing(jobs_folder: Path) -> None:
    context = open_context(jobs_folder)
    broken = {"data": b"--x\r\nbroken", "content_type": "multipart/form-data; boundary=x"}
    problem_of(client_of(context).post("/v1/jobs", **broken), 400)
    assert files_of(jobs_folder) == set()
    assert context.jobs.store.n_bytes == 0
    close(context)


def test_the_log_has_no_ids(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="denoise.access")
    client = client_of(make_context())
    url = submit(client)
    finish(client, url)
    client.get(f"{url}/result")
    client.delete(url)
    paths = [record.access.path for record in caplog.records]
    assert {paths[0], *paths[-2:]} == {"/v1/jobs", "/v1/jobs/<job_id>/result", "/v1/jobs/<job_id>"}
    assert url.rpartition("/")[2] not in str([record.access for record in caplog.records])


def read_events(chunks: Iterable[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the id and the data of each event."""
    for block in b"".join(chunks).decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            yield fields["id"], json.loads(fields["data"])


def test_events_tell_each_change_until_the_end(
    jobs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "POLL_SECONDS", 0.001)
    gate = Gate()
    context = open_context(jobs_folder, gate.network, channel_seconds=30.0)
    client = client_of(context)
    with context.work_queue.worker(Deadline(60)):
        url = submit(client, data=encode(THREE_BLOCKS, "WAV", "PCM_U8", RATE))
        response = client.get(f"{url}/events", buffered=False)
        chunks: list[Any] = []

        def read() -> None:
            for chunk in response.response:
                chunks.append(chunk)

        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: b"queued" in b"".join(chunks))

    def has_read_all() -> bool:
        _, last = list(read_events(chunks))[-1]
        return not reader.is_alive() or last == client.get(url).get_json()

    for n_blocks in range(1, 50):
        wait_until(lambda n=n_blocks: gate.n_begun == n or not reader.is_alive())
        wait_until(has_read_all)
        gate.let_through.release()
    reader.join(10)
    assert not reader.is_alive()
    response.close()
    assert response.mimetype == "text/event-stream"
    found = list(read_events(chunks))
    ids = [name for name, _ in found]
    assert ids == [data["state"] for _, data in found]
    assert list(dict.fromkeys(ids)) == ["queued", "running", "done"]
    assert ids.count("queued") == ids.count("done") == 1 and ids.count("running") > 2
    shares = [data["progress"] or 0 for _, data in found]
    assert shares == sorted(shares) and len(set(shares)) > 2
    assert found[-1][1] == client.get(url).get_json()
    close(context)


def test_a_client_that_has_seen_the_last_event_is_told_to_stop() -> None:
    client = client_of(make_context())
    url = submit(client)
    finish(client, url)
    started = time.monotonic()
    ((last, _),) = read_events(client.get(f"{url}/events").response)
    assert time.monotonic() - started < events.STREAM_SECONDS / 2  # it ends with the job
    for seen, status in (("running", 200), (last, 204)):
        response = client.get(f"{url}/events", headers={"Last-Event-ID": seen})
        assert response.status_code == status


def test_the_number_of_streams_is_limited() -> None:
    context = make_context()
    client = client_of(context)
    with context.work_queue.worker(Deadline(60)):
        url = submit(client)
        streams = [client.get(f"{url}/events") for _ in range(events.MAX_STREAMS)]
        response = client.get(f"{url}/events")
        assert problem_of(response, 503)["limit"] == events.MAX_STREAMS
        assert "Retry-After" in response.headers
        for stream in streams:
            stream.close()
        for _ in range(events.MAX_STREAMS + 1):  # closed streams give their places back
            response = client.head(f"{url}/events")
            assert response.status_code == 200
            response.close()
        client.get(f"{url}/events").close()
        client.delete(url)


@pytest.mark.parametrize("reason", ["time", "deleted", "stopping"])
def test_a_stream_ends(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "STREAM_SECONDS", 2 if reason == "time" else 60)
    monkeypatch.setattr(events, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(events, "SILENT_SECONDS", 0.05)
    context = make_context()
    client = client_of(context)
    with context.work_queue.worker(Deadline(60)):
        url = submit(client)
        stream = iter(client.get(f"{url}/events").response)
        assert next(stream).startswith(b"retry: ")  # type: ignore[arg-type]
        assert b"queued" in next(stream)  # type: ignore[operator]
        if reason == "deleted":
            client.delete(url)
        if reason == "stopping":
            context.is_stopping.set()
        rest = list(stream)
        assert rest == ([b":\n\n"] * len(rest) if reason == "time" else [])
        assert reason != "time" or rest  # comments show that the stream is alive
        client.delete(url)


def test_a_saved_job_is_read_again() -> None:
    client = client_of(context := make_context())
    finish(client, submit(client))
    (job,) = context.jobs.store.list_all()
    assert Job.from_saved(json.loads(json.dumps(job.to_saved()))) == job


def test_a_running_job_has_time_in_proportion_to_its_audio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The test network takes 0.3 s per block, which together is longer than the deadline."""
    now = stop_clock(monkeypatch)

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        now[0] += 0.3
        return np.full(spectrograms.shape[:-1], 0.5, np.float32)

    slow = dataclasses.replace(gain_network(0.5), mask=mask)
    client = client_of(make_context(slow, deadline_seconds=0.5, channel_seconds=30.0))
    content = encode(THREE_BLOCKS, "WAV", "PCM_U8", RATE)
    assert problem_of(client.post("/v1/denoise", data=content), 504)["limit"] == 0.5
    assert finish(client, submit(client, data=content))["state"] == "done"


def test_a_job_that_is_too_slow_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    now = stop_clock(monkeypatch)

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        now[0] += 0.3
        return np.full(spectrograms.shape[:-1], 0.5, np.float32)

    slow = dataclasses.replace(gain_network(0.5), mask=mask)
    client = client_of(make_context(slow, deadline_seconds=0.1))
    gains = np.float32([1, 0.9, 0.8, 0.7])  # the masks of equal channels are computed once
    wide = encode(NOISY[:400] * gains)  # a block per channel, and little audio
    problem = finish(client, submit(client, data=wide))["problem"]
    assert (problem["type"], problem["status"]) == ("urn:denoise:too-slow", 504)
    assert 0.1 < problem["limit"] < problem["actual"]


def test_time_in_which_a_job_makes_way_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = stop_clock(monkeypatch)

    def make_way() -> float:
        now[0] += 0.6
        return 0.6

    work_queue = WorkQueue(n_workers=1, max_waiting=1)
    with work_queue.job_worker(lambda: None) as worker:
        pace = Pace(0.5, worker, lambda: None)
        monkeypatch.setattr(worker, "make_way", make_way)
        for _ in range(2):
            pace.check()
        monkeypatch.setattr(worker, "make_way", lambda: 0.0)
        now[0] += 0.5
        with pytest.raises(ProblemError, match=r"A job may take 0\.5 s, plus the seconds"):
            pace.check()
        pace.count(60)
        pace.check()
