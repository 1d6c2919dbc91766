"""The log of denoise serve: a line for each request, and nothing that is private."""

import dataclasses
import json
import logging
import re
from typing import Any

import numpy as np
import pytest

from denoise.server.access_log import Access, LogFormatter
from tests.networks import gain_network
from tests.test_server import WAV, client_of, form, make_context, problem_of

LINE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ \S+ \S+ \d{3} \d+ [\d.]+ [0-9a-f]{16} [a-z-]+"
SECRETS = ("s3cret", "private", "geheim")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="denoise.access")
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[Access]:
    return [record.access for record in log.records if hasattr(record, "access")]


def test_a_request_has_a_line(log: pytest.LogCaptureFixture) -> None:
    response = client_of(make_context()).post("/v1/denoise?strength=0.5", data=WAV)
    (line,) = lines(log)
    assert (line.client, line.method, line.path) == ("127.0.0.1", "POST", "/v1/denoise")
    assert (line.status, line.bytes, line.problem) == (200, len(response.data), "-")
    assert 0 < line.seconds < 30
    assert line.request_id == response.headers["Request-Id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "logged"),
    [
        ("GET", "/livez", 200, "/livez"),
        ("HEAD", "/page/main.js", 200, "/page/main.js"),
        ("GET", "/page/geheim.wav", 404, "-"),
        ("PUT", "/geheim.wav", 404, "-"),
        ("PUT", "/v1/denoise", 405, "/v1/denoise"),
        ("GEHEIM", "/v1/denoise", 405, "/v1/denoise"),
    ],
)
def test_only_paths_of_the_server_are_logged(
    log: pytest.LogCaptureFixture, method: str, path: str, status: int, logged: str
) -> None:
    assert client_of(make_context()).open(path, method=method).status_code == status
    (line,) = lines(log)
    assert (line.path, line.status) == (logged, status)
    assert line.method == ("-" if method == "GEHEIM" else method)
    assert (line.bytes == 0) == (method == "HEAD")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_log_holds_no_token_no_name_and_no_query(
    log: pytest.LogCaptureFixture, log_format: str
) -> None:
    client = client_of(make_context(token="s3cret"))
    headers = {"Authorization": "Bearer s3cret", "Referer": "http://localhost/private"}
    for query in ("", "?strength=private", "?token=s3cret"):
        client.post(f"/v1/denoise{query}", **form(WAV, "geheim.wav"), headers=headers)
    client.post("/v1/denoise", **form(b"private", "geheim.wav"), headers=headers)
    client.get("/v1/limits", headers={"Authorization": "Bearer s3cret-private"})
    assert [line.status for line in lines(log)] == [200, 400, 400, 415, 401]
    text = "\n".join(map(LogFormatter(log_format).format, log.records))
    assert len(text.splitlines()) == 5
    assert not [each for each in SECRETS if each in text]


def test_an_error_of_the_server_has_the_id_of_its_log(log: pytest.LogCaptureFixture) -> None:
    def mask(_: np.ndarray) -> np.ndarray:
        raise RuntimeError("a fault")

    context = make_context(dataclasses.replace(gain_network(1), mask=mask))
    response = client_of(context).post("/v1/denoise", **form(WAV, "geheim.wav"))
    problem = problem_of(response, 500)
    assert problem["request_id"] == response.headers["Request-Id"]
    fault, access = log.records
    for formatter in map(LogFormatter, ("text", "json")):
        for record in (fault, access):
            assert problem["request_id"] in formatter.format(record)
        assert "RuntimeError: a fault" in formatter.format(fault)
        assert "geheim" not in formatter.format(fault)
    (line,) = lines(log)
    assert (line.status, line.problem) == (500, "failed")


def test_every_problem_has_an_id_of_its_own(log: pytest.LogCaptureFixture) -> None:
    client = client_of(make_context())
    problems = [problem_of(client.post("/v1/denoise", data=b"x"), 415) for _ in range(2)]
    ids = [problem["request_id"] for problem in problems]
    assert ids == [line.request_id for line in lines(log)] and len(set(ids)) == 2


def make_record(**fields: Any) -> logging.LogRecord:
    access = Access("::1", "GET", "/livez", 200, 20, 0.0012345, "0123456789abcdef")
    record = logging.LogRecord("denoise.access", logging.INFO, "", 0, "", (), None)
    record.access = dataclasses.replace(access, **fields)
    return record


def test_lines_as_text_and_as_json() -> None:
    record = make_record()
    line = LogFormatter("text").format(record)
    assert re.fullmatch(LINE, line)
    assert line.endswith(" ::1 GET /livez 200 20 0.001 0123456789abcdef -")
    document = json.loads(LogFormatter("json").format(record))
    assert document.pop("time") == line.split()[0]
    assert document == {
        "client": "::1",
        "method": "GET",
        "path": "/livez",
        "status": 200,
        "bytes": 20,
        "seconds": 0.001,
        "request_id": "0123456789abcdef",
        "problem": "-",
    }


def test_other_messages_have_their_level() -> None:
    record = logging.LogRecord("waitress", logging.WARNING, "", 0, "Depth %d", (3,), None)
    assert LogFormatter("text").format(record).endswith("Z warning Depth 3")
    document = json.loads(LogFormatter("json").format(record))
    assert (document["level"], document["message"]) == ("warning", "Depth 3")
