"""Test `denoise client` against a server whose responses each test sets."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import OpenerDirector, Request

import pytest

from denoise.cli import client
from denoise.cli.main import main
from denoise.errors import UsageError
from denoise.server.cli import serve
from tests.closures import ROOT
from tests.project import wait_until

AUDIO = b"RIFF, which the client does not decode" * 1000
Response = tuple[int, dict[str, str], bytes]
Responses = list[Response]
RESET: Response = (0, {}, b"")  # the connection is closed without an answer


class FakeServer(ThreadingHTTPServer):
    """Send the given responses in order and repeat the last one; keep all requests."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.responses: Responses = [(200, {}, AUDIO)]
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.path, dict(self.headers), body))
        status, headers, response = self.server.responses[0]
        del self.server.responses[: len(self.server.responses) > 1]
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(response)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response)

    def do_GET(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(port: int = 0) -> Iterator[FakeServer]:
    with FakeServer(port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DENOISE_TOKEN", raising=False)
    Path("talk.wav").write_bytes(b"noisy")
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds


def run_client(server: FakeServer, *options: str, output: str = "clean.wav") -> int:
    return main(["client", server.url, "talk.wav", "-o", output, *options])


def problem(status: int, **headers: str) -> tuple[int, dict[str, str], bytes]:
    document = {"title": "Too much", "detail": "Send less.", "limit": 600, "actual": 601.5}
    return (
        status,
        {name.replace("_", "-"): text for name, text in headers.items()},
        json.dumps(document).encode(),
    )


def test_the_recording_is_sent_and_the_response_written(server: FakeServer) -> None:
    assert run_client(server) == 0
    assert Path("clean.wav").read_bytes() == AUDIO
    ((path, headers, body),) = server.requests
    assert (path.rstrip("?"), body) == ("/v1/denoise", b"noisy")
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
    server: FakeServer, options: list[str], output: str, query: str
) -> None:
    assert run_client(server, *options, output=output) == 0
    assert server.requests[0][0] == f"/v1/denoise?{query}"


def write_folder() -> None:
    for name in ("a.wav", "deep/Интервью.flac", "deep/film.mkv", "notes.txt"):
        path = Path("in", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_files_and_folders_are_sent_one_after_the_other(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder()
    assert main(["client", server.url, "talk.wav", "in", "-o", "out"]) == 0
    written = {str(path.relative_to("out")) for path in Path("out").rglob("*.*")}
    assert written == {"talk.wav", "a.wav", "deep/Интервью.flac", "deep/film.wav"}
    assert [(path.partition("?")[2], body.decode()) for path, _, body in server.requests] == [
        ("", "noisy"),
        ("", "a.wav"),
        ("format=wav", "deep/film.mkv"),
        ("", "deep/Интервью.flac"),
    ]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5 and lines[0].startswith("talk.wav -> out")
    assert lines[-1] == "denoise: 4 done, 0 failed, 0 skipped"


def test_a_result_that_is_not_what_its_name_says_is_kept_and_told(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("op.caf", "talk.opus"):
        Path(name).write_bytes(b"noisy")
    wav = b"RIFF\0\0\0\0WAVE" + bytes(100)
    server.responses = [(200, {}, wav)]
    assert main(["client", server.url, "op.caf"]) == 0
    assert Path("op-denoised.caf").read_bytes() == wav
    expected = "op-denoised.caf is WAV, whatever its name says. Rename it, or pass --format."
    assert capsys.readouterr().err == f"denoise: {expected}\n"
    server.responses = [(200, {}, wav), (200, {}, b"OggS" + bytes(100))]
    assert main(["client", server.url, "talk.wav"]) == 0
    assert main(["client", server.url, "talk.opus", "-o", "clean.opus"]) == 0
    assert capsys.readouterr().err == ""


def test_without_an_output_the_results_lie_beside_the_recordings(server: FakeServer) -> None:
    write_folder()
    assert main(["client", server.url, "in", "--residual", "--suffix=-rest"]) == 0
    assert {path.name for path in Path("in").rglob("*-rest.*")} == {
        "a-rest.wav",
        "Интервью-rest.flac",
        "film-rest.wav",
    }
    assert main(["client", server.url, "talk.wav"]) == 0
    assert Path("talk-denoised.wav").read_bytes() == AUDIO
    n_requests = len(server.requests)
    assert main(["client", server.url, "talk.wav", "--skip-existing"]) == 0
    assert main(["client", server.url, "talk.wav"]) == 2
    assert len(server.requests) == n_requests


def test_a_recording_that_fails_does_not_stop_the_others(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder()
    server.responses = [problem(422), (200, {}, AUDIO)]
    assert main(["client", server.url, "missing.wav", "talk.wav", "in/a.wav", "-o", "out"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "denoise: No file or folder at missing.wav."
    assert lines[1].startswith("denoise: talk.wav: Too much: Send less.")
    assert lines[2].startswith("in") and lines[2].endswith("a.wav")
    assert lines[3:] == ["denoise: 1 done, 2 failed, 0 skipped"]


def test_a_server_that_cannot_be_used_is_not_asked_again(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder()
    server.responses = [problem(401)]
    for url in (server.url, "http://127.0.0.1:1"):
        assert main(["client", url, "in", "-o", "out"]) == 1
        first, last = capsys.readouterr().err.splitlines()
        assert "a.wav: " in first and last == "denoise: 0 done, 3 failed, 0 skipped"
    assert len(server.requests) == 1


def test_a_recording_that_is_too_large_is_not_sent(
    server: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denoise.cli.server_connection.ASK_ABOVE_BYTES", 4)
    for limits, status, n_requests in ((b'{"body_bytes": 4}', 1, 1), (b'{"body_bytes": 5}', 0, 2)):
        server.requests.clear()
        server.responses = [(200, {}, limits), (200, {}, AUDIO)]
        assert run_client(server, "--token", "s3cret") == status
        assert server.requests[0][0] == "/v1/limits"
        assert len(server.requests) == n_requests
        assert {headers["Authorization"] for _, headers, _ in server.requests} == {"Bearer s3cret"}
    assert "the server accepts at most" in capsys.readouterr().err


@pytest.mark.parametrize("limits", [(404, {}, b""), (200, {}, b"[]"), (200, {}, b'{"a": 1}')])
def test_a_server_that_does_not_tell_its_limits_decides_itself(
    server: FakeServer, limits: tuple[int, dict[str, str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denoise.cli.server_connection.ASK_ABOVE_BYTES", 4)
    server.responses = [limits, (200, {}, AUDIO)]
    assert run_client(server) == 0
    assert Path("clean.wav").read_bytes() == AUDIO


def test_minutes_are_told_in_words_and_an_error_of_the_server_by_its_id(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {"title": "Too long", "detail": "60 minutes.", "limit": 7200, "limit_minutes": 60}
    server.responses = [(413, {}, json.dumps({**document, "request_id": "1f"}).encode())]
    assert run_client(server) == 1
    assert capsys.readouterr().err == "denoise: Too long: 60 minutes.\n"
    document = {"title": "Failed", "detail": "See the log.", "request_id": "1f0e"}
    server.responses = [(500, {}, json.dumps(document).encode())]
    assert run_client(server) == 1
    assert capsys.readouterr().err == "denoise: Failed: See the log. (request 1f0e)\n"


def test_the_token_comes_from_the_option_or_the_environment(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENOISE_TOKEN", "one")
    assert run_client(server) == 0
    assert run_client(server, "--token", "two", "--overwrite") == 0
    assert [headers["Authorization"] for _, headers, _ in server.requests] == [
        "Bearer one",
        "Bearer two",
    ]


@pytest.mark.parametrize("token", ["schlüssel", "two\n", " padded", "padded "])
def test_a_token_that_no_header_can_hold_is_refused_by_both_sides(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENOISE_TOKEN", token)
    with pytest.raises(UsageError, match="printable ASCII"):
        client.run(["http://127.0.0.1:1", "a.wav", "-o", "b.wav"])
    with pytest.raises(UsageError, match="printable ASCII"):
        serve([])


def test_a_busy_server_is_tried_again_after_the_time_it_gives(
    server: FakeServer, waits: list[float]
) -> None:
    past = formatdate(0, usegmt=True)
    values = ("3", past, "9999", "soon", None)
    server.responses = [
        problem(503, **({"Retry_After": value} if value else {})) for value in values
    ]
    server.responses.append((200, {}, AUDIO))
    assert run_client(server) == 0
    assert waits == [3, 0, 60, 1, 1]
    assert [body for _, _, body in server.requests] == [b"noisy"] * 6


def test_retries_are_limited(
    server: FakeServer, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    server.responses = [problem(503)]
    assert run_client(server, "--retries", "2") == 1
    assert len(server.requests) == 3 and len(waits) == 2
    assert "Too much: Send less. (limit 600, actual 601.5)" in capsys.readouterr().err


@pytest.mark.parametrize("status", [400, 401, 403, 413, 415, 422, 500, 504])
def test_a_refused_request_is_reported_and_not_repeated(
    server: FakeServer, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    server.responses = [problem(status)]
    assert run_client(server) == 1
    assert capsys.readouterr().err.endswith("Send less. (limit 600, actual 601.5)\n")
    assert len(server.requests) == 1 and not Path("clean.wav").exists()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"title": 1}', b"\xff", b""])
def test_a_response_without_a_problem_document_is_reported_by_its_status(
    server: FakeServer, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    server.responses = [(502, {}, body)]
    assert run_client(server) == 1
    assert "The server answered 502 Bad Gateway." in capsys.readouterr().err


def test_a_redirect_is_not_followed(server: FakeServer) -> None:
    server.responses = [(302, {"Location": f"{server.url}/elsewhere"}, b""), (200, {}, AUDIO)]
    assert run_client(server, "--token", "s3cret") == 1
    assert len(server.requests) == 1


def test_an_incomplete_response_leaves_no_file(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("clean.wav").write_bytes(b"before")
    server.responses = [(200, {"Content-Length": "99999"}, AUDIO[:500])]
    assert run_client(server, "--overwrite", "--timeout", "0.2") == 1
    assert read_all() == {"talk.wav": b"noisy", "clean.wav": b"before"}
    assert "denoise: " in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGTERM on Windows")
def test_a_signal_leaves_no_partial_output() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        arguments = ["client", url, "talk.wav", "-o", "clean.wav"]
        process = subprocess.Popen(
            [sys.executable, "-m", "denoise", *arguments],
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            stderr=subprocess.PIPE,
        )
        connection, _ = listening.accept()
        with process, connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nRIFF")
            wait_until(lambda: any(name.endswith(".partial") for name in read_all()))
            process.send_signal(signal.SIGTERM)
            message = b"denoise: terminated; no partial output was kept\n"
            assert process.stderr is not None and process.stderr.read() == message
    assert process.returncode == 143
    assert read_all() == {"talk.wav": b"noisy"}


def read_all() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir()}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["ftp://x", "talk.wav", "-o", "x.wav"], 2, "is not an address like http"),
        (["127.0.0.1:8765", "talk.wav", "-o", "x.wav"], 2, "is not an address like http"),
        (
            ["http://127.0.0.1:1", "missing.wav", "-o", "x.wav"],
            2,
            "No file or folder at missing.wav",
        ),
        (["http://127.0.0.1:1", "talk.wav", "-o", "talk.wav"], 2, "talk.wav is also an input"),
        (["http://127.0.0.1:1", "talk.wav", "-o", "x.caf"], 2, "Pass --format wav"),
        (["http://127.0.0.1:1", "talk.wav", "-o", "x.opus"], 2, ".opus recordings only"),
        (
            ["http://127.0.0.1:1", "talk.wav", "-o", "x.opus", "--format", "ogg"],
            2,
            ".opus recordings only",
        ),
        (["http://127.0.0.1:1", "talk.wav", "-o", "x.txt"], 2, "not that of a known format"),
        (["http://127.0.0.1:1", "talk.wav", "-o", "x.wav"], 1, "does not answer"),
        (["http://127.0.0.1:99999", "talk.wav", "-o", "x.wav"], 2, "is not an address like http"),
        (["", "talk.wav", "-o", "x.wav"], 2, "is not an address like http"),
        (["http://", "talk.wav", "-o", "x.wav"], 2, "is not an address like http"),
        (["http://127.0.0.1:1/ x", "talk.wav", "-o", "x.wav"], 2, "is not an address like http"),
        (["http://127.0.0.1\n:1", "talk.wav", "-o", "x.wav"], 2, "is not an address like http"),
        (["http://127.0.0.1:1/\udce9", "talk.wav", "-o", "x.wav"], 2, "is not an address like"),
        (["http://" + "x" * 70, "talk.wav", "-o", "x.wav"], 2, "is not an address like http"),
        (["http://a..b", "talk.wav", "-o", "x.wav"], 2, "is not an address like http"),
        (["http://me:pw@127.0.0.1:1", "talk.wav", "-o", "x.wav"], 2, "Pass the token with --token"),
        (["http://127.0.0.1:1/?a=1", "talk.wav", "-o", "x.wav"], 2, "what follows ? or #"),
        (["http://127.0.0.1:1/#a", "talk.wav", "-o", "x.wav"], 2, "what follows ? or #"),
        (["http://127.0.0.1:1/\u00e9", "talk.wav", "-o", "x.wav"], 1, "does not answer"),
        (["http://\u0142\u00f3d\u017a.invalid:1", "talk.wav", "-o", "x.wav"], 1, "does not answer"),
        (["http://127.0.0.1:1", "", "-o", "x.wav"], 2, "An input has an empty name"),
        (["http://127.0.0.1:1", "talk.wav", "-o", ""], 2, "The output has an empty name"),
        (["http://127.0.0.1:1", "a\0", "-o", "x.wav"], 2, "contains a null character"),
        (["http://127.0.0.1:1", "talk.wav", "-o", "a\0"], 2, "contains a null character"),
        (["http://127.0.0.1:1", "n" * 300, "-o", "x.wav"], 2, "cannot be read: File name too long"),
        (["http://127.0.0.1:1", ".", "-o", "x.wav"], 2, "x.wav is the name of one file"),
        (["http://127.0.0.1:1", "talk.wav", "-", "-o", "x"], 2, "- stands for one recording"),
        (["http://127.0.0.1:1", "talk.wav", "--suffix", ""], 2, "talk.wav is also an input"),
        (
            ["http://127.0.0.1:1", "talk.wav", "-o", "talk.wav", "--overwrite"],
            2,
            "talk.wav is also an input",
        ),
        (
            ["http://127.0.0.1:1", "talk.wav", "-o", "x.wav", "--token", "a\nb"],
            2,
            "A token consists of printable ASCII characters",
        ),
        (
            ["http://127.0.0.1:1", "talk.wav", "-o", "x.wav", "--token", "\u20ac"],
            2,
            "A token consists of printable ASCII characters",
        ),
    ],
    ids=ascii,
)
def test_an_impossible_command_is_reported(
    arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["client", *arguments]) == status
    assert message in capsys.readouterr().err
    assert read_all() == {"talk.wav": b"noisy"}


@pytest.mark.parametrize("value", ["-1", "0", "nan", "inf", "-inf", "1e300", "soon", ""])
def test_a_timeout_that_no_system_can_wait_for_is_a_usage_error(
    value: str, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_client(server, f"--timeout={value}")
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "error: argument --timeout: " in error
    assert ("is not above 0 and at most 1e+06" in error) == (value not in ("soon", ""))
    assert server.requests == []
    assert run_client(server, "--timeout", "1000000") == 0


@pytest.mark.parametrize("value", ["-1", "1.5", "nan", "many"])
def test_a_negative_number_of_retries_is_a_usage_error(
    value: str, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_client(server, f"--retries={value}")
    assert ended.value.code == 2
    assert "error: argument --retries: " in capsys.readouterr().err


def test_the_path_of_the_address_is_encoded(server: FakeServer) -> None:
    address = f"{server.url}/sp\u00e4t/a%20b/"
    assert main(["client", address, "talk.wav", "-o", "clean.wav"]) == 0
    assert server.requests[0][0].rstrip("?") == "/sp%C3%A4t/a%20b/v1/denoise"


def test_an_error_with_a_name_too_long_for_the_system_is_reported(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_client(server, output="x" * 300) == 1
    assert "File name too long" in capsys.readouterr().err


def test_a_problem_whose_numbers_are_none_is_reported(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {"title": "Too\x1b[31m much", "detail": "Send less.", "limit": "many"}
    server.responses = [(413, {}, json.dumps(document).encode())]
    assert run_client(server) == 1
    assert capsys.readouterr().err == "denoise: Too\\x1b[31m much: Send less.\n"


def through_pipes(
    server: FakeServer, *arguments: str, sent: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "denoise", "client", server.url, *arguments],
        input=sent,
        capture_output=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )


@pytest.mark.parametrize(
    ("arguments", "query", "file_name"),
    [
        (["-", "-o", "-"], "format=wav", None),
        (["-", "-o", "-", "--format", "mp3"], "format=mp3", None),
        (["talk.wav", "-o", "-"], "format=wav", None),
        (["-", "-o", "clean.flac"], "format=flac", "clean.flac"),
        (["-", "-o", "clean"], "", "clean"),
    ],
    ids=str,
)
def test_it_works_with_real_pipes(
    server: FakeServer, arguments: list[str], query: str, file_name: str | None
) -> None:
    sent = b"noisy" if arguments[0] == "talk.wav" else b"noisy" * 100_000  # more than a pipe holds
    server.responses = [problem(503, Retry_After="0"), (200, {}, AUDIO * 10)]
    finished = through_pipes(server, *arguments, sent=sent)
    assert (finished.returncode, finished.stdout) == (0, b"" if file_name else AUDIO * 10)
    assert finished.stderr == b"denoise: the server is busy, trying again in 0 s\n"
    assert [(path, body) for path, _, body in server.requests] == [
        (f"/v1/denoise?{query}", sent)
    ] * 2
    assert read_all() == {"talk.wav": b"noisy"} | ({file_name: AUDIO * 10} if file_name else {})


@pytest.mark.parametrize(
    ("sent", "response", "message"),
    [
        (b"", (200, {}, AUDIO), b"Standard input is empty"),
        (b"noisy", problem(422), b"Too much: Send less."),
        (b"noisy", (200, {"Content-Length": "99999"}, AUDIO[:500]), b"denoise: "),
    ],
)
def test_a_pipe_receives_a_complete_output_or_none(
    server: FakeServer, sent: bytes, response: tuple[int, dict[str, str], bytes], message: bytes
) -> None:
    server.responses = [response]
    finished = through_pipes(server, "-", "-o", "-", "--timeout", "0.2", sent=sent)
    assert (finished.returncode, finished.stdout) == (1, b"")
    assert message in finished.stderr and b"denoise-" not in finished.stderr
    assert len(server.requests) == (1 if sent else 0)


@pytest.mark.parametrize(
    ("arguments", "stream", "message"),
    [
        (["-", "-o", "x.wav"], "stdin", "Standard input is a terminal"),
        (["talk.wav", "-o", "-"], "stdout", "Standard output is a terminal"),
    ],
)
def test_audio_is_not_read_from_or_written_to_a_terminal(
    server: FakeServer,
    arguments: list[str],
    stream: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    assert main(["client", server.url, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert server.requests == [] and read_all() == {"talk.wav": b"noisy"}


def test_an_error_names_standard_output_and_not_the_temporary_file(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", refuse)
    assert run_client(server, output="-") == 1
    assert capsys.readouterr().err == "denoise: standard output: No space left on device.\n"


def test_numpy_onnxruntime_and_flask_are_not_imported(server: FakeServer) -> None:
    program = (
        "import sys; from denoise.cli.main import main; status = main(sys.argv[1:]); "
        "print(sorted({'numpy', 'onnxruntime', 'soundfile', 'flask', 'denoise.inference.denoiser'} "
        "& set(sys.modules)), status)"
    )
    arguments = ["client", server.url, "talk.wav", "-o", "clean.wav"]
    finished = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        check=True,
    )
    assert finished.stdout == "[] 0\n"


def job(state: str, **fields: Any) -> tuple[int, dict[str, str], bytes]:
    status = 202 if state == "queued" else 200
    return status, {}, json.dumps({"id": "a-b_1", "state": state, **fields}).encode()


def requests_of(server: FakeServer) -> list[str]:
    return [path.partition("?")[0].removeprefix("/v1/jobs") for path, _, _ in server.requests]


def test_a_job_is_made_watched_fetched_and_deleted(server: FakeServer, waits: list[float]) -> None:
    lost = (502, {}, b"Bad gateway")
    server.responses = [job("queued"), job("running"), lost, job("running"), job("done")]
    server.responses += [lost, (200, {}, AUDIO), (204, {}, b"")]
    assert run_client(server, "--job", "--strength", "0.5", "--token", "s3cret") == 0
    assert Path("clean.wav").read_bytes() == AUDIO
    assert server.requests[0][0] == "/v1/jobs?strength=0.5" and server.requests[0][2] == b"noisy"
    own = "/a-b_1"
    assert requests_of(server) == ["", *[own] * 4, *[f"{own}/result"] * 2, own]
    assert [headers["Authorization"] for _, headers, _ in server.requests] == ["Bearer s3cret"] * 8
    assert len(waits) == 4 and max(waits) <= 5


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        (
            job("failed", problem={"title": "Too much", "detail": "Send less.", "status": 413}),
            "Too",
        ),
        (job("failed", problem={}), "does not say why"),
        (job("failed", problem=[1]), "does not say why"),
        (problem(404), "Too much: Send less."),
        ((200, {}, b"<html>"), "not a job"),
    ],
)
def test_a_job_that_fails_is_reported_and_deleted(
    server: FakeServer, ended: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.responses = [job("queued"), ended, (204, {}, b"")]
    assert run_client(server, "--job") == 1
    assert message in capsys.readouterr().err
    assert requests_of(server)[-2:] == ["/a-b_1"] * 2
    assert not Path("clean.wav").exists()


@pytest.mark.parametrize("answer", [b"[]", b"{}", b'{"id": "../x", "state": "queued"}', b"\xff"])
def test_what_is_no_job_is_refused(
    server: FakeServer, answer: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    server.responses = [(202, {}, answer)]
    assert run_client(server, "--job") == 1
    assert "Is it denoise serve?" in capsys.readouterr().err
    assert requests_of(server) == [""]


def test_a_server_that_is_lost_is_given_up_after_the_timeout(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.responses = [job("queued"), problem(502)]
    assert run_client(server, "--job", "--timeout", "0.3") == 1
    assert "Too much: Send less." in capsys.readouterr().err
    assert len(server.requests) > 3


def denoise_as_jobs(server: FakeServer, *options: str) -> int:
    """Denoise two recordings as jobs."""
    Path("second.wav").write_bytes(b"noisy, too")
    return main(["client", server.url, "talk.wav", "second.wav", "-o", "out", "--job", *options])


ONE_JOB: Responses = [job("queued"), job("done"), (200, {}, AUDIO), (204, {}, b"")]


def of_kind(kind: str) -> Response:
    document = {"title": "Not now", "detail": "Later.", "type": f"urn:denoise:{kind}"}
    return (503, {"Retry-After": "7"}, json.dumps(document).encode())


@pytest.mark.parametrize(
    "answers",
    [[RESET], [(502, {}, b"<html>")], [problem(503)], [problem(504)], [of_kind("stopping")]],
    ids=["reset", "502", "503", "504", "stopping"],
)
def test_the_next_job_waits_for_a_server_that_restarts(
    server: FakeServer, answers: Responses, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    server.responses = [*ONE_JOB, *answers * 3, *ONE_JOB]
    assert denoise_as_jobs(server, "--retries", "0") == 0
    assert {path.name for path in Path("out").iterdir()} == {"talk.wav", "second.wav"}
    assert [body for path, _, body in server.requests if path == "/v1/jobs?"] == (
        [b"noisy"] + [b"noisy, too"] * 4
    )
    assert len(waits) == 3
    assert capsys.readouterr().err.count("Trying again for up to 960 s.") == 1


def test_the_next_job_waits_for_a_server_that_does_not_listen(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = server.server_address[1]
    server.responses = list(ONE_JOB)

    def answer_the_last_time(handler: Handler) -> None:
        server.shutdown()
        server.server_close()
        handler.do_POST()

    monkeypatch.setattr(Handler, "do_DELETE", answer_the_last_time)
    with ExitStack() as restarted:

        def restart(_: float) -> None:
            monkeypatch.setattr(Handler, "do_DELETE", Handler.do_POST)
            restarted.enter_context(serving(port)).responses = list(ONE_JOB)

        monkeypatch.setattr("time.sleep", restart)
        assert denoise_as_jobs(server) == 0
    assert "does not answer" in capsys.readouterr().err
    assert {path.name for path in Path("out").iterdir()} == {"talk.wav", "second.wav"}


def test_the_next_job_gives_up_after_the_timeout_and_ends_the_batch(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[float] = []
    clock = SimpleNamespace(sleep=waits.append, monotonic=lambda: sum(waits))
    monkeypatch.setattr("denoise.cli.server_job.time", clock)
    server.responses = [*ONE_JOB, RESET]
    assert denoise_as_jobs(server, "--timeout", "20") == 1
    assert "denoise: second.wav: 127.0.0.1:" in capsys.readouterr().err
    assert waits == [5] * 5 and len(server.requests) == len(ONE_JOB) + 6


@pytest.mark.parametrize("answer", [RESET, (502, {}, b"<html>"), (504, {}, b"<html>"), None])
def test_a_server_that_was_never_there_is_given_up_at_once(
    server: FakeServer,
    answer: Response | None,
    waits: list[float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.responses = [answer or RESET]
    url = server.url if answer else "http://127.0.0.1:1"
    assert main(["client", url, "talk.wav", "-o", "clean.wav", "--job"]) == 1
    message = "does not answer" if answer in (None, RESET) else "The server answered 50"
    error = capsys.readouterr().err
    assert message in error and "Trying again" not in error
    assert waits == [] and len(server.requests) == (answer is not None)


def test_a_server_with_too_many_jobs_is_asked_as_often_as_retries_say(
    server: FakeServer, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    server.responses = [*ONE_JOB, of_kind("jobs-full")]
    assert denoise_as_jobs(server, "--retries", "2") == 1
    assert waits == [7, 7]
    assert "Not now: Later." in capsys.readouterr().err


def test_a_wrong_token_ends_a_batch_of_jobs(server: FakeServer, waits: list[float]) -> None:
    server.responses = [problem(401)]
    assert denoise_as_jobs(server) == 1
    assert len(server.requests) == 1 and waits == []


def test_ctrl_c_deletes_the_job(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    server.responses = [job("queued"), job("running"), (204, {}, b"")]
    assert run_client(server, "--job") == 130
    assert requests_of(server) == ["", "/a-b_1", "/a-b_1"]


@pytest.mark.parametrize(("given", "seconds"), [("960", 10), ("3", 3)])
def test_the_deletion_of_a_job_is_not_waited_for_as_long_as_its_result(
    server: FakeServer, given: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: dict[str, float] = {}
    send = OpenerDirector.open

    def note(self: OpenerDirector, request: Request, *, timeout: float) -> Any:
        timeouts[request.get_method()] = timeout
        return send(self, request, timeout=timeout)

    monkeypatch.setattr(OpenerDirector, "open", note)
    server.responses = [job("queued"), job("done"), (200, {}, AUDIO), (204, {}, b"")]
    assert run_client(server, "--job", "--timeout", given) == 0
    assert timeouts == {"POST": float(given), "GET": float(given), "DELETE": seconds}
