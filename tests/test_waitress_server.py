"""denoise serve in a process of its own: sockets, signals and the exit status."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from waitress.server import BaseWSGIServer

from denoise.cli.main import main
from denoise.server.context import ServerContext
from denoise.server.limits import Limits
from denoise.server.waitress_server import Server
from tests.closures import ROOT
from tests.corpora import encode
from tests.networks import gain_network, write_halving_model

WAV = encode(np.zeros((800, 1)), "WAV")
N_THREADS = 14  # one for the worker, one for the queue, four for other routes, 8 for streams
Response = tuple[int, dict[str, str], bytes]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes cannot receive SIGTERM there")


def environment() -> dict[str, str]:
    """Return the variables of a server's process."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "DENOISE_TOKEN": ""}


@contextmanager
def serving(
    arguments: Sequence[str], stderr: IO[str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server; yield its process and the address and port on which it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("denoise serves on http://127.0.0.1:")
        yield process, urlsplit(line.split()[-1]).netloc
    finally:
        process.kill()
        process.communicate()


def send(
    netloc: str, method: str, path: str, body: bytes | None = None, host: str | None = None
) -> Response:
    connection = http.client.HTTPConnection(netloc, timeout=30)
    try:
        connection.request(method, path, body, {"Host": host or netloc})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def send_in_thread(netloc: str, responses: list[Response]) -> threading.Thread:
    thread = threading.Thread(
        target=lambda: responses.append(send(netloc, "POST", "/v1/denoise", WAV)), daemon=True
    )
    thread.start()
    return thread


def wait_for_queue_size(netloc: str, number: int) -> None:
    line = f"denoise_work_queue_size {number}.0\n".encode()
    for _ in range(200):
        if line in send(netloc, "GET", "/metrics")[2]:
            return
        time.sleep(0.02)
    raise AssertionError(f"the queue never had {number} requests")


def test_a_full_queue_refuses_requests_and_a_signal_lets_running_ones_finish() -> None:
    with serving(["tests.slow_server", "1"]) as (process, netloc):
        responses: list[Response] = []
        threads = [send_in_thread(netloc, responses) for _ in range(2)]
        wait_for_queue_size(netloc, 2)
        status, headers, body = send(netloc, "POST", "/v1/denoise", WAV)
        assert (status, json.loads(body)["type"]) == (503, "urn:denoise:busy")
        assert int(headers["Retry-After"]) > 0
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        for method, path in (("GET", "/readyz"), ("POST", "/v1/denoise")):
            status, _, body = send(netloc, method, path, WAV if method == "POST" else None)
            assert (status, json.loads(body)["type"]) == (503, "urn:denoise:stopping")
        assert responses == []  # the two requests are still running
        for thread in threads:
            thread.join(10)
        assert [status for status, _, _ in responses] == [200, 200]
        assert [len(body) for _, _, body in responses] == [len(WAV)] * 2
        assert process.wait(10) == 0


def test_stalled_uploads_block_no_other_request() -> None:
    with serving(["tests.slow_server", "0"]) as (process, netloc):
        host, port = netloc.split(":")
        stalled = [socket.create_connection((host, int(port))) for _ in range(N_THREADS)]
        head = f"POST /v1/denoise HTTP/1.1\r\nHost: {netloc}\r\nContent-Length: {len(WAV)}\r\n\r\n"
        for each in stalled:
            each.sendall(head.encode() + WAV[: len(WAV) // 2])
        assert send(netloc, "GET", "/livez")[0] == 200
        assert send(netloc, "POST", "/v1/denoise", WAV)[0] == 200
        stalled[0].sendall(WAV[len(WAV) // 2 :])  # it is late but still answered
        assert stalled[0].recv(100).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        for each in stalled:
            each.close()


def test_the_work_for_a_client_that_is_gone_ends() -> None:
    minute = encode(np.zeros((60 * 8000, 1)), "WAV")  # takes six seconds or more
    with serving(["tests.slow_server", "1"]) as (_, netloc):
        host, port = netloc.split(":")
        head = f"POST /v1/denoise HTTP/1.1\r\nHost: {netloc}\r\n"
        head += f"Content-Length: {len(minute)}\r\n\r\n"
        clients = [socket.create_connection((host, int(port))) for _ in range(2)]
        for client in clients:  # one gets the worker, the other waits for it
            client.sendall(head.encode() + minute)
        wait_for_queue_size(netloc, 2)
        for client in clients:
            client.close()
        wait_for_queue_size(netloc, 0)
        assert b'status="499"' in send(netloc, "GET", "/metrics")[2]


def test_requests_that_waitress_refuses_get_the_same_error_format() -> None:
    with serving(["tests.slow_server", "0"]) as (_, netloc):
        for head, status in (
            (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
            (b"GET / HTTP/1.1\r\nX: ".ljust(32 * 1024, b"x"), 431),
            (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"GET http://[ HTTP/1.1\r\n\r\n", 400),
        ):
            with socket.create_connection(tuple(netloc.split(":"))) as connection:  # type: ignore
                connection.sendall(head)
                response = b"".join(iter(lambda: connection.recv(4096), b""))
            headers, _, body = response.partition(b"\r\n\r\n")
            assert headers.split()[1] == str(status).encode()
            assert b"application/problem+json" in headers and b"nosniff" in headers
            problem = json.loads(body)
            assert problem["status"] == status
            assert f"Request-Id: {problem['request_id']}".encode() in headers
            if status == 413:
                assert (problem["limit"], problem["actual"]) == (2**30, 99_999_999_999)


def test_the_client_command_works_with_the_server_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_halving_model(tmp_path / "half.onnx")
    (tmp_path / "talk.wav").write_bytes(WAV)
    options = ["--port", "0", "--token", "s3cret", "--model", str(model)]
    options += ["--allow-host", "denoise.example"]
    with serving(["denoise", "serve", *options]) as (process, netloc):
        arguments = ["client", f"http://{netloc}", str(tmp_path / "talk.wav"), "--token"]
        target = tmp_path / "clean.wav"
        assert main([*arguments, "wrong", "-o", str(target)]) == 1
        assert "A valid token is required" in capsys.readouterr().err
        assert not target.exists()
        assert main([*arguments, "s3cret", "-o", str(target)]) == 0
        assert target.read_bytes() == WAV
        for host, status in (("denoise.example:8765", 200), ("evil.example", 403)):
            assert send(netloc, "GET", "/", host=host)[0] == status
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@contextmanager
def serving_with_log(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    """Run a server; yield its process, its address and the file to which it logs JSON."""
    model = write_halving_model(folder / "half.onnx")
    options = ["--port", "0", "--log-format", "json", "--model", str(model)]
    log = folder / "log"
    with (
        log.open("w", encoding="utf-8") as stderr,
        serving(["denoise", "serve", *options], stderr) as (process, netloc),
    ):
        yield process, netloc, log


def test_the_log_has_a_line_for_each_request_also_for_those_that_waitress_refuses(
    tmp_path: Path,
) -> None:
    with serving_with_log(tmp_path) as (process, netloc, log):
        sent = [send(netloc, "POST", "/v1/denoise?strength=1", WAV), send(netloc, "GET", "/geheim")]
        with socket.create_connection(tuple(netloc.split(":"))) as connection:  # type: ignore
            connection.sendall(b"PUT /geheim HTTP/1.1\r\nContent-Length: -1\r\n\r\n")
            refused = b"".join(iter(lambda: connection.recv(4096), b""))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    text = log.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(each["path"], each["status"]) for each in lines] == [
        ("/v1/denoise", 200),
        ("-", 404),
        ("-", 400),
    ]
    ids = [headers["Request-Id"] for _, headers, _ in sent]
    ids.append(json.loads(refused.partition(b"\r\n\r\n")[2])["request_id"])
    assert [each["request_id"] for each in lines] == ids
    assert [each["client"] for each in lines] == ["127.0.0.1"] * 3
    assert "geheim" not in text and "strength" not in text


def channel(**changes: Any) -> SimpleNamespace:
    usual = {"requests": [], "total_outbufs_len": 0, "last_activity": 1000.0, "will_close": False}
    return SimpleNamespace(**usual | changes)


def test_a_client_that_pauses_while_it_reads_is_given_more_time() -> None:
    context = ServerContext(gain_network(0.5), Limits(workers=1))
    server = Server(context, "127.0.0.1", 0)
    (waitress,) = [each for each in server._map.values() if isinstance(each, BaseWSGIServer)]
    channels = [channel(), channel(total_outbufs_len=1), channel(requests=[1])]
    waitress.active_channels.update(enumerate(channels))
    closed = []
    for seconds in (29, 31, 299, 301):
        waitress.maintenance(1000 + seconds)
        closed.append([each.will_close for each in channels])
    assert closed == [[False] * 3, [True, False, False], [True, False, False], [True, True, False]]
    channels[1].will_close = False
    context.is_stopping.set()
    waitress.maintenance(1031)
    assert channels[1].will_close
    waitress.active_channels.clear()
    waitress.task_dispatcher.shutdown()
    waitress.close()


def damaged_mp3() -> bytes:
    """Return an MP3 file for whose damaged frames libmpg123 prints errors."""
    noise = 0.1 * np.random.default_rng(1).standard_normal((8000 * 20, 1))
    content = bytearray(encode(noise, "MP3", "MPEG_LAYER_III", 8000))
    for at in range(400, len(content) - 400, 60):
        content[at] ^= 0xFF
    return bytes(content)


PRINT_ERRORS = "import io, sys, soundfile; soundfile.read(io.BytesIO(sys.stdin.buffer.read()))"


def test_a_library_that_prints_errors_writes_nothing_to_the_log(tmp_path: Path) -> None:
    content = damaged_mp3()
    alone = subprocess.run([sys.executable, "-c", PRINT_ERRORS], input=content, capture_output=True)
    assert b"mpg123" in alone.stderr
    with serving_with_log(tmp_path) as (process, netloc, log):
        statuses = [send(netloc, "POST", "/v1/denoise", content)[0] for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [each["status"] for each in lines] == statuses


KEEP_STDERR = """
import ctypes, os, sys, threading
from denoise.server.own_stderr import own_stderr
with own_stderr() as stream:
    os.write(2, b"a library\\n")
    print("the log", file=stream)
    print("Python", file=sys.stderr)
    thread = threading.Thread(target=lambda: 1 / 0, name="broken")
    thread.start()
    thread.join()
    if CRASHES:
        ctypes.string_at(0)
os.write(2, b"afterwards\\n")
"""


@pytest.mark.parametrize("crashes", [False, True])
def test_what_python_itself_says_stays_on_standard_error(crashes: bool) -> None:
    program = KEEP_STDERR.replace("CRASHES", str(crashes))
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment()
    )
    lines = ended.stderr.splitlines()
    assert lines[:2] == ["the log", "Python"]
    assert "ZeroDivisionError: division by zero" in lines
    assert "a library" not in lines
    assert (lines[-1] == "afterwards") != crashes
    assert ("Segmentation fault" in ended.stderr) == crashes


def peak_megabytes(process: subprocess.Popen[str]) -> float:
    text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the memory there")
def test_the_memory_does_not_grow_with_the_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    long = encode(np.zeros((8000 * 3600, 1)))  # 58 MB
    with serving(["tests.slow_server", "0"]) as (process, netloc):
        send(netloc, "POST", "/v1/denoise", encode(np.zeros((8000 * 60, 1))))
        before = peak_megabytes(process)
        for _ in range(2):
            status, _, body = send(netloc, "POST", "/v1/denoise", long)
            assert (status, len(body)) == (200, len(long))
        assert peak_megabytes(process) - before < 40
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert list(tmp_path.iterdir()) == []  # the files of all requests are deleted


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--model", "missing.onnx"], 3, "No model at missing.onnx"),
        (["--port", "PORT"], 2, "Cannot listen on 127.0.0.1, port"),
        (["--host", "no such host"], 2, "Cannot listen on no such host"),
    ],
)
def test_serve_reports_why_it_cannot_start(
    options: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = str(occupied.getsockname()[1])
        model = ["--model", str(write_halving_model(tmp_path / "half.onnx"))]
        options = [port if option == "PORT" else option for option in options]
        assert main(["serve", *([] if "--model" in options else model), *options]) == status
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("package", ["flask", "waitress", "prometheus_client"])
def test_without_the_extra_it_names_what_to_install(package: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None; "
        "from denoise.cli.main import main; sys.exit(main(['serve']))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert finished.returncode == 2
    assert f"denoise serve needs {package}, which is not installed" in finished.stderr
    assert 'pip install ".[server]"' in finished.stderr
