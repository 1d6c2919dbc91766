"""denoise serve as a process of its own: sockets, signals, the exit status."""

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
from urllib.parse import urlsplit

import numpy as np
import pytest

from denoise.cli.main import main
from tests.closures import ROOT
from tests.corpora import encode
from tests.networks import write_halving_model

WAV = encode(np.zeros((800, 1)), "WAV")
N_THREADS = 6  # a slot, a place in the queue, four for the rest
Answer = tuple[int, dict[str, str], bytes]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="its processes know no SIGTERM")


@contextmanager
def serving(arguments: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server; yield its process and where it listens."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DENOISE_TOKEN": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("denoise serves on http://127.0.0.1:")
        yield process, urlsplit(line.split()[-1]).netloc
    finally:
        process.kill()
        process.communicate()


def ask(
    netloc: str, method: str, path: str, body: bytes | None = None, host: str | None = None
) -> Answer:
    connection = http.client.HTTPConnection(netloc, timeout=30)
    try:
        connection.request(method, path, body, {"Host": host or netloc})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def ask_later(netloc: str, answers: list[Answer]) -> threading.Thread:
    thread = threading.Thread(
        target=lambda: answers.append(ask(netloc, "POST", "/v1/denoise", WAV)), daemon=True
    )
    thread.start()
    return thread


def wait_until_taken(netloc: str, number: int) -> None:
    line = f"denoise_places_taken {number}\n".encode()
    for _ in range(200):
        if line in ask(netloc, "GET", "/metrics")[2]:
            return
        time.sleep(0.02)
    raise AssertionError(f"never {number} places taken")


def test_a_full_queue_is_told_and_a_signal_lets_what_runs_finish() -> None:
    with serving(["tests.slow_server", "1"]) as (process, netloc):
        answers: list[Answer] = []
        threads = [ask_later(netloc, answers) for _ in range(2)]
        wait_until_taken(netloc, 2)
        status, headers, body = ask(netloc, "POST", "/v1/denoise", WAV)
        assert (status, json.loads(body)["type"]) == (503, "urn:denoise:busy")
        assert int(headers["Retry-After"]) > 0
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        for method, path in (("GET", "/readyz"), ("POST", "/v1/denoise")):
            status, _, body = ask(netloc, method, path, WAV if method == "POST" else None)
            assert (status, json.loads(body)["type"]) == (503, "urn:denoise:stopping")
        assert answers == []  # all this while the two were at work
        for thread in threads:
            thread.join(10)
        assert [status for status, _, _ in answers] == [200, 200]
        assert [len(body) for _, _, body in answers] == [len(WAV)] * 2
        assert process.wait(10) == 0


def test_stalled_uploads_block_nobody() -> None:
    with serving(["tests.slow_server", "0"]) as (process, netloc):
        host, port = netloc.split(":")
        stalled = [socket.create_connection((host, int(port))) for _ in range(N_THREADS)]
        head = f"POST /v1/denoise HTTP/1.1\r\nHost: {netloc}\r\nContent-Length: {len(WAV)}\r\n\r\n"
        for each in stalled:
            each.sendall(head.encode() + WAV[: len(WAV) // 2])
        assert ask(netloc, "GET", "/livez")[0] == 200
        assert ask(netloc, "POST", "/v1/denoise", WAV)[0] == 200
        stalled[0].sendall(WAV[len(WAV) // 2 :])  # late, and still served
        assert stalled[0].recv(100).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        for each in stalled:
            each.close()


def test_what_never_reaches_the_application_is_told_in_the_same_words() -> None:
    with serving(["tests.slow_server", "0"]) as (_, netloc):
        for head, status in (
            (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
            (b"GET / HTTP/1.1\r\nX: ".ljust(32 * 1024, b"x"), 431),
            (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"GET http://[ HTTP/1.1\r\n\r\n", 400),
        ):
            with socket.create_connection(tuple(netloc.split(":"))) as connection:  # type: ignore
                connection.sendall(head)
                answer = b"".join(iter(lambda: connection.recv(4096), b""))
            headers, _, body = answer.partition(b"\r\n\r\n")
            assert headers.split()[1] == str(status).encode()
            assert b"application/problem+json" in headers and b"nosniff" in headers
            told = json.loads(body)
            assert told["status"] == status
            if status == 413:
                assert (told["limit"], told["actual"]) == (32 * 2**20, 99_999_999_999)


def test_the_command_serves_and_the_client_finds_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_halving_model(tmp_path / "half.onnx")
    (tmp_path / "talk.wav").write_bytes(WAV)
    options = ["--port", "0", "--token", "s3cret", "--model", str(model)]
    options += ["--allow-host", "denoise.example"]
    with serving(["denoise", "serve", *options]) as (process, netloc):
        words = ["client", f"http://{netloc}", str(tmp_path / "talk.wav"), "--token"]
        target = tmp_path / "clean.wav"
        assert main([*words, "wrong", "-o", str(target)]) == 1
        assert "A token is needed" in capsys.readouterr().err
        assert not target.exists()
        assert main([*words, "s3cret", "-o", str(target)]) == 0
        assert target.read_bytes() == WAV
        for host, status in (("denoise.example:8765", 200), ("evil.example", 403)):
            assert ask(netloc, "GET", "/", host=host)[0] == status
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--model", "missing.onnx"], 3, "No model at missing.onnx"),
        (["--port", "PORT"], 2, "cannot listen on 127.0.0.1, port"),
        (["--host", "no such host"], 2, "cannot listen on no such host"),
    ],
)
def test_what_cannot_be_served(
    options: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        model = ["--model", str(write_halving_model(tmp_path / "half.onnx"))]
        words = [port if word == "PORT" else word for word in options]
        assert main(["serve", *([] if "--model" in options else model), *words]) == status
    assert message in capsys.readouterr().err


def test_without_flask_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("denoise.server.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "waitress", None)
    assert main(["serve"]) == 2
    assert "pip install '.[server]'" in capsys.readouterr().err
