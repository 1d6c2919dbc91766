"""denoise client against a server that answers what each test wants."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from denoise.cli import client
from denoise.cli.main import main
from tests.closures import ROOT
from tests.project import wait_until

AUDIO = b"RIFF, as far as a client knows" * 1000
Script = list[tuple[int, dict[str, str], bytes]]


class Scripted(ThreadingHTTPServer):
    """Answers by a script, the last line again and again; keeps what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: Script = [(200, {}, AUDIO)]
        self.asked: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, dict(self.headers), sent))
        status, headers, body = self.server.script[0]
        del self.server.script[: len(self.server.script) > 1]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as scripted:
        thread = threading.Thread(target=scripted.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield scripted
        scripted.shutdown()


@pytest.fixture(autouse=True)
def slept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DENOISE_TOKEN", raising=False)
    Path("talk.wav").write_bytes(b"noisy")
    seconds: list[float] = []
    monkeypatch.setattr(client.time, "sleep", seconds.append)
    return seconds


def run(server: Scripted, *options: str, output: str = "clean.wav") -> int:
    return main(["client", server.url, "talk.wav", "-o", output, *options])


def problem(status: int, **headers: str) -> tuple[int, dict[str, str], bytes]:
    told = {"title": "Too much", "detail": "Send less.", "limit": 600, "actual": 601.5}
    return (
        status,
        {name.replace("_", "-"): text for name, text in headers.items()},
        json.dumps(told).encode(),
    )


def test_it_sends_the_recording_and_writes_the_answer(server: Scripted) -> None:
    assert run(server) == 0
    assert Path("clean.wav").read_bytes() == AUDIO
    ((path, headers, sent),) = server.asked
    assert (path.rstrip("?"), sent) == ("/v1/denoise", b"noisy")
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("options", "output", "query"),
    [
        (["--strength", "0.5", "--residual"], "x.wav", "strength=0.5&residual=true"),
        (["--format", "mp3"], "x", "format=mp3"),
        ([], "x.flac", "format=flac"),
        ([], "x.aif", "format=aiff"),
        ([], "x", ""),
    ],
)
def test_options_become_the_query(
    server: Scripted, options: list[str], output: str, query: str
) -> None:
    assert run(server, *options, output=output) == 0
    assert server.asked[0][0] == f"/v1/denoise?{query}"


def test_the_token_comes_from_the_option_or_the_environment(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENOISE_TOKEN", "one")
    assert run(server) == 0
    assert run(server, "--token", "two", "--overwrite") == 0
    assert [headers["Authorization"] for _, headers, _ in server.asked] == [
        "Bearer one",
        "Bearer two",
    ]


def test_a_busy_server_is_asked_again_when_it_says(server: Scripted, slept: list[float]) -> None:
    past = formatdate(0, usegmt=True)
    waits = ("3", past, "9999", "soon", None)
    server.script = [problem(503, **({"Retry_After": wait} if wait else {})) for wait in waits]
    server.script.append((200, {}, AUDIO))
    assert run(server) == 0
    assert slept == [3, 0, 60, 1, 1]
    assert [sent for _, _, sent in server.asked] == [b"noisy"] * 6


def test_it_gives_up_in_the_end(
    server: Scripted, slept: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    server.script = [problem(503)]
    assert run(server, "--retries", "2") == 1
    assert len(server.asked) == 3 and len(slept) == 2
    assert "Too much: Send less. (limit 600, actual 601.5)" in capsys.readouterr().err


@pytest.mark.parametrize("status", [400, 401, 403, 413, 415, 422, 500, 504])
def test_a_refusal_is_told_and_not_repeated(
    server: Scripted, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script = [problem(status)]
    assert run(server) == 1
    assert capsys.readouterr().err.endswith("Send less. (limit 600, actual 601.5)\n")
    assert len(server.asked) == 1 and not Path("clean.wav").exists()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"title": 1}', b"\xff", b""])
def test_what_is_no_problem_document_is_told_by_its_status(
    server: Scripted, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script = [(502, {}, body)]
    assert run(server) == 1
    assert "The server answered 502 Bad Gateway." in capsys.readouterr().err


def test_a_redirect_is_not_followed(server: Scripted) -> None:
    server.script = [(302, {"Location": f"{server.url}/elsewhere"}, b""), (200, {}, AUDIO)]
    assert run(server, "--token", "s3cret") == 1
    assert len(server.asked) == 1


def test_an_answer_that_breaks_off_leaves_nothing(
    server: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("clean.wav").write_bytes(b"before")
    server.script = [(200, {"Content-Length": "99999"}, AUDIO[:500])]
    assert run(server, "--overwrite", "--timeout", "0.2") == 1
    assert re_read() == {"talk.wav": b"noisy", "clean.wav": b"before"}
    assert "denoise: " in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="its processes know no SIGTERM")
def test_a_signal_leaves_nothing_half_written() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        words = ["client", url, "talk.wav", "-o", "clean.wav"]
        process = subprocess.Popen(
            [sys.executable, "-m", "denoise", *words],
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            stderr=subprocess.PIPE,
        )
        connection, _ = listening.accept()
        with process, connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nRIFF")
            wait_until(lambda: any(name.endswith(".partial") for name in re_read()))
            process.send_signal(signal.SIGTERM)
            told = b"denoise: terminated; nothing half-written was kept\n"
            assert process.stderr is not None and process.stderr.read() == told
    assert process.returncode == 143
    assert re_read() == {"talk.wav": b"noisy"}


def re_read() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir()}


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["ftp://x", "talk.wav", "-o", "x.wav"], 2, "is no address like http"),
        (["127.0.0.1:8765", "talk.wav", "-o", "x.wav"], 2, "is no address like http"),
        (["http://127.0.0.1:1", "missing.wav", "-o", "x.wav"], 2, "No file at missing.wav"),
        (["http://127.0.0.1:1", "talk.wav", "-o", "talk.wav"], 2, "say --overwrite"),
        (["http://127.0.0.1:1", "talk.wav", "-o", "x.caf"], 2, "say --format wav"),
        (["http://127.0.0.1:1", "talk.wav", "-o", "x.txt"], 1, "No format is known"),
        (["http://127.0.0.1:1", "talk.wav", "-o", "x.wav"], 1, "does not answer"),
        (["http://127.0.0.1:99999", "talk.wav", "-o", "x.wav"], 2, "is no address like http"),
    ],
)
def test_what_cannot_be_done_is_told(
    words: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["client", *words]) == status
    assert message in capsys.readouterr().err
    assert re_read() == {"talk.wav": b"noisy"}


def through_pipes(
    server: Scripted, *words: str, sent: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "denoise", "client", server.url, *words],
        input=sent,
        capture_output=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )


@pytest.mark.parametrize(
    ("words", "query", "kept"),
    [
        (["-", "-o", "-"], "format=wav", None),
        (["-", "-o", "-", "--format", "mp3"], "format=mp3", None),
        (["talk.wav", "-o", "-"], "format=wav", None),
        (["-", "-o", "clean.flac"], "format=flac", "clean.flac"),
        (["-", "-o", "clean"], "", "clean"),
    ],
    ids=str,
)
def test_real_pipes(server: Scripted, words: list[str], query: str, kept: str | None) -> None:
    big = b"noisy" if words[0] == "talk.wav" else b"noisy" * 100_000  # more than a pipe holds
    server.script = [problem(503, Retry_After="0"), (200, {}, AUDIO * 10)]
    done = through_pipes(server, *words, sent=big)
    assert (done.returncode, done.stdout) == (0, b"" if kept else AUDIO * 10)
    assert done.stderr == b"denoise: the server is busy, again in 0 s\n"
    assert [(path, sent) for path, _, sent in server.asked] == [(f"/v1/denoise?{query}", big)] * 2
    assert re_read() == {"talk.wav": b"noisy"} | ({kept: AUDIO * 10} if kept else {})


@pytest.mark.parametrize(
    ("sent", "answer", "message"),
    [
        (b"", (200, {}, AUDIO), b"Nothing came through standard input"),
        (b"noisy", problem(422), b"Too much: Send less."),
        (b"noisy", (200, {"Content-Length": "99999"}, AUDIO[:500]), b"denoise: "),
    ],
)
def test_a_pipe_gets_all_or_nothing(
    server: Scripted, sent: bytes, answer: tuple[int, dict[str, str], bytes], message: bytes
) -> None:
    server.script = [answer]
    done = through_pipes(server, "-", "-o", "-", "--timeout", "0.2", sent=sent)
    assert (done.returncode, done.stdout) == (1, b"")
    assert message in done.stderr and b"denoise-" not in done.stderr
    assert len(server.asked) == (1 if sent else 0)


@pytest.mark.parametrize(
    ("words", "stream", "message"),
    [
        (["-", "-o", "x.wav"], "stdin", "Standard input is a terminal"),
        (["talk.wav", "-o", "-"], "stdout", "Standard output is a terminal"),
    ],
)
def test_terminals_are_no_place_for_audio(
    server: Scripted,
    words: list[str],
    stream: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    assert main(["client", server.url, *words]) == 2
    assert message in capsys.readouterr().err
    assert server.asked == [] and re_read() == {"talk.wav": b"noisy"}


def test_an_error_names_standard_output_and_not_the_file_behind_it(
    server: Scripted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", refuse)
    assert run(server, output="-") == 1
    assert capsys.readouterr().err == "denoise: standard output: No space left on device.\n"


def test_it_imports_nothing_heavy(server: Scripted) -> None:
    program = (
        "import sys; from denoise.cli.main import main; status = main(sys.argv[1:]); "
        "print(sorted({'numpy', 'onnxruntime', 'soundfile', 'flask', 'denoise.inference.denoiser'} "
        "& set(sys.modules)), status)"
    )
    words = ["client", server.url, "talk.wav", "-o", "clean.wav"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        check=True,
    )
    assert done.stdout == "[] 0\n"
