"""Jobs of a real server: killed and started again, stopped, and watched through a socket."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.corpora import encode
from tests.networks import RATE, write_halving_model
from tests.project import wait_until
from tests.test_waitress_server import WAV, environment, send, serving

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes cannot receive SIGTERM there")
NOISE = (0.1 * np.random.default_rng(3).standard_normal((RATE * 240, 1))).astype(np.float32)
LONG = encode(NOISE, "WAV", "PCM_16", RATE)  # many blocks
SLOW = "0.3"  # seconds per block


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> None:
    """Keep the files of killed servers out of the system's folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))


def submit(netloc: str, body: bytes = LONG, query: str = "") -> str:
    status, headers, _ = send(netloc, "POST", f"/v1/jobs{query}", body)
    assert status == 202
    return headers["Location"]


def ask(netloc: str, url: str) -> dict[str, Any]:
    status, _, body = send(netloc, "GET", url)
    assert status == 200, body
    return dict(json.loads(body))


def finish(netloc: str, url: str) -> dict[str, Any]:
    wait_until(lambda: ask(netloc, url)["state"] in ("done", "failed"))
    return ask(netloc, url)


def result_of(netloc: str, url: str) -> bytes:
    job = finish(netloc, url)
    assert job["state"] == "done", job
    status, _, body = send(netloc, "GET", job["result"])
    assert status == 200
    return body


def test_a_killed_server_goes_on_with_its_jobs_when_it_is_started_again(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    with serving(["tests.slow_server", "0"]) as (_, netloc):
        _, _, expected = send(netloc, "POST", "/v1/denoise", LONG)
    assert len(expected) == len(LONG)
    with serving(["tests.slow_server", SLOW, str(folder)]) as (process, netloc):
        done = submit(netloc, WAV)
        finish(netloc, done)
        running, queued, deleted = submit(netloc), submit(netloc, WAV), submit(netloc, WAV)
        assert send(netloc, "DELETE", deleted)[0] == 204
        wait_until(lambda: (ask(netloc, running)["progress"] or 0) > 0)
        assert ask(netloc, running)["progress"] < 1
        assert list(folder.glob("*/.out.*.partial"))  # a result is half written
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with serving(["tests.slow_server", SLOW, str(folder)]) as (process, netloc):
        assert ask(netloc, done)["state"] == "done"
        assert ask(netloc, running)["state"] in ("queued", "running")
        assert send(netloc, "GET", f"{running}/result")[0] == 409
        assert send(netloc, "GET", deleted)[0] == 404
        process.send_signal(signal.SIGKILL)  # once more, before anything is ready
        process.wait(10)
    with serving(["tests.slow_server", "0", str(folder)]) as (process, netloc):
        assert result_of(netloc, running) == expected
        assert len(result_of(netloc, done)) == len(result_of(netloc, queued)) == len(WAV)
        for url in (done, running, queued):
            assert send(netloc, "DELETE", url)[0] == 204
        assert [path.name for path in folder.rglob("*")] == ["lock"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_stopping_server_puts_its_job_back(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    with serving(["tests.slow_server", SLOW, str(folder)]) as (process, netloc):
        url = submit(netloc)
        wait_until(lambda: (ask(netloc, url)["progress"] or 0) > 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    ((state,), leftovers) = list(folder.glob("*/job.json")), list(folder.glob("*/.out*"))
    assert json.loads(state.read_text(encoding="utf-8"))["state"] == "queued"
    assert leftovers == []
    with serving(["tests.slow_server", "0", str(folder)]) as (_, netloc):
        assert len(result_of(netloc, url)) == len(LONG)


def test_a_request_need_not_wait_for_the_end_of_a_job() -> None:
    with serving(["tests.slow_server", SLOW]) as (_, netloc):
        url = submit(netloc)
        wait_until(lambda: ask(netloc, url)["state"] == "running")
        assert send(netloc, "POST", "/v1/denoise", WAV)[0] == 200
        assert ask(netloc, url)["state"] == "running"
        assert send(netloc, "DELETE", url)[0] == 204


def read_event(response: http.client.HTTPResponse) -> dict[str, str]:
    """Read the fields of the next event from a socket."""
    fields: dict[str, str] = {}
    while line := response.readline().decode().strip():
        key, _, fields[key] = line.partition(": ")  # type: ignore[misc]
    return fields


def test_events_arrive_while_the_job_runs_and_disconnected_clients_hold_no_thread() -> None:
    with serving(["tests.slow_server", SLOW]) as (process, netloc):
        url = submit(netloc)
        for _ in range(20):  # more than the streams that may be open
            assert send(netloc, "HEAD", f"{url}/events")[0] == 200
        connection = http.client.HTTPConnection(netloc, timeout=10)
        connection.request("GET", f"{url}/events")
        response = connection.getresponse()
        assert response.getheader("Content-Type") == "text/event-stream"
        assert read_event(response) == {"retry": "1000"}
        shares = []
        while len(shares) < 4:
            event = read_event(response)
            shares.append(json.loads(event["data"])["progress"] or 0)
        assert shares == sorted(shares) and shares[0] < shares[-1] < 1
        assert ask(netloc, url)["state"] == "running"
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_the_command_keeps_jobs_in_its_folder_and_refuses_one_in_use(tmp_path: Path) -> None:
    model = write_halving_model(tmp_path / "half.onnx")
    folder = tmp_path / "new" / "jobs"
    options = ["--port", "0", "--model", str(model), "--jobs-dir", str(folder)]
    limits = ["--max-jobs", "1", "--max-jobs-mib", "7", "--job-hours", "0.5"]
    with serving(["denoise", "serve", *options, *limits]) as (_, netloc):
        url = submit(netloc, WAV)
        assert result_of(netloc, url) == WAV
        assert (folder / url.rpartition("/")[2] / "out").read_bytes() == WAV
        answer = send(netloc, "POST", "/v1/jobs", WAV)
        assert (answer[0], json.loads(answer[2])["type"]) == (503, "urn:denoise:jobs-full")
        known = json.loads(send(netloc, "GET", "/v1/limits")[2])
        assert [known[key] for key in ("jobs", "jobs_bytes", "job_hours")] == [1, 7 * 2**20, 0.5]
        second = [sys.executable, "-m", "denoise", "serve", *options]
        ended = subprocess.run(second, capture_output=True, text=True, env=environment())
        assert ended.returncode == 2
        assert "Another server uses the folder" in ended.stderr and "Trace" not in ended.stderr


def test_without_a_folder_and_a_port_jobs_are_deleted_when_the_server_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving(["tests.slow_server", "0"]) as (process, netloc):
        result_of(netloc, submit(netloc, WAV))
        assert list(tmp_path.glob("denoise-jobs-*/*/out"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert list(tmp_path.iterdir()) == []


def post_in_vain(netloc: str) -> None:
    """Send a recording to a server that is killed before it answers."""
    with suppress(http.client.RemoteDisconnected, ConnectionError):
        send(netloc, "POST", "/v1/denoise", WAV)


def test_the_folders_of_a_killed_server_without_a_port_are_deleted_by_any_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving(["tests.slow_server", "0"]) as (running, running_netloc):
        kept = submit(running_netloc, WAV)
        result_of(running_netloc, kept)
        of_running = set(tmp_path.iterdir())
        with serving(["tests.slow_server", "60"]) as (process, netloc):
            request = threading.Thread(target=post_in_vain, args=[netloc], daemon=True)
            request.start()
            wait_until(lambda: len(list(tmp_path.glob("*/denoise-*/in"))) == 1)
            submit(netloc, WAV)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            request.join(10)
        of_killed = set(tmp_path.iterdir()) - of_running
        assert {path.name.split("-")[1] for path in of_killed} == {"jobs", "requests"}
        with serving(["tests.slow_server", "0"]) as (process, netloc):
            assert not any(path.exists() for path in of_killed)
            assert all(path.exists() for path in of_running)
            assert send(running_netloc, "GET", f"{kept}/result")[0] == 200
            process.terminate()
            process.wait(10)
        running.terminate()
        running.wait(10)
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with (tmp_path / "log").open("w") as log, serving(["tests.slow_server", "60"], log) as served:
        process, netloc = served
        request = threading.Thread(target=post_in_vain, args=[netloc], daemon=True)
        request.start()
        wait_until(lambda: len(list(tmp_path.glob("*/denoise-*/in"))) == 1)
        submit(netloc, WAV)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: send(netloc, "GET", "/readyz")[0] == 503)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) != 0
        request.join(10)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def find_free_port(model: Path) -> str:
    """Return the port of a server that has ended."""
    with serving(["denoise", "serve", "--port", "0", "--model", str(model)]) as (process, netloc):
        process.terminate()
        process.wait(10)
    return netloc.rpartition(":")[2]


def test_a_port_has_a_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    model = write_halving_model(tmp_path / "half.onnx")
    port = find_free_port(model)
    with serving(["denoise", "serve", "--port", port, "--model", str(model)]) as (_, netloc):
        url = submit(netloc, WAV)
        result_of(netloc, url)
        name = f"denoise-jobs-{os.getuid()}-{port}"
        assert (tmp_path / name / url.rpartition("/")[2] / "out").is_file()


def test_a_server_deletes_the_files_of_requests_that_a_killed_one_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    model = write_halving_model(tmp_path / "half.onnx")
    port = find_free_port(model)
    command = ["denoise", "serve", "--port", port, "--model", str(model)]
    folder = tmp_path / f"denoise-requests-{os.getuid()}-{port}"
    with serving(command) as (process, netloc):
        assert send(netloc, "POST", "/v1/denoise", WAV)[0] == 200
        (folder / "denoise-1").mkdir()
        (folder / "denoise-1" / "in").write_bytes(WAV)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with serving(command) as (process, netloc):
        wait_until(lambda: [path.name for path in folder.iterdir()] == ["lock"])
        process.terminate()
        process.wait(10)
    assert not folder.exists()


def test_the_client_survives_a_server_that_is_killed(tmp_path: Path) -> None:
    folder, target = tmp_path / "jobs", tmp_path / "clean.wav"
    (tmp_path / "talk.wav").write_bytes(LONG)
    with serving(["tests.slow_server", SLOW, str(folder)]) as (process, netloc):
        options = [str(tmp_path / "talk.wav"), "-o", str(target), "--job"]
        command = [sys.executable, "-m", "denoise", "client", f"http://{netloc}", *options]
        client = subprocess.Popen(command, env=environment())
        # Once a block is written, the client has long been told that the job exists.
        partial = "*/.out.*.partial"
        wait_until(lambda: any(each.stat().st_size > 1000 for each in folder.glob(partial)))
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    port = netloc.rpartition(":")[2]
    with serving(["tests.slow_server", "0", str(folder), port]) as (_, netloc):
        assert client.wait(30) == 0
        assert len(target.read_bytes()) == len(LONG)
        assert [path.name for path in folder.rglob("*")] == ["lock"]
