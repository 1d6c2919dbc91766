"""Malicious requests: each is refused or does no harm."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from denoise.server.problems import KINDS
from tests.test_server import WAV, client_of, make_context

DISPOSITION = r"""attachment; filename="[\w-][\w.-]{1,199}"(; filename\*=UTF-8''[\w.~%-]{1,600})?"""
CLIENT = client_of(make_context())
PARTS = [
    b'name="file"; filename="%s"',
    b"name=file; filename=%s",
    b'name="file"; filename*=%s',
    b"name=\"file\"; filename*=UTF-8''%s",
    b'name="file"; filename*0="%s"',
    b'name="%s"; filename="talk.wav"',
    b'name="file"; filename="talk.wav"\r\nContent-Type: %s',
    b'name="file"\r\nContent-Type: text/plain; charset=%s',
    b'name="file"; filename="talk.wav"\r\n%s',
]
ATTACKS = [
    b"../../etc/passwd",
    b"..\\..\\boot.ini",
    b"a\0.wav",
    b"%00",
    b'"\r\nSet-Cookie: a=b',
    b"=?utf-8?q?=ff?=",
    b"\xe2\x80\xaegpj.wav",  # shown from right to left
    b"\xed\xa0\x80",  # half a surrogate pair
    b"." * 300,
]
JUNK = st.binary(max_size=40) | st.sampled_from(ATTACKS) | st.text(max_size=20).map(str.encode)


def is_harmless(response: TestResponse) -> bool:
    """Tell whether a response is a recording with a safe name or a problem of status 4xx."""
    if response.status_code == 200:
        name = response.headers["Content-Disposition"]
        assert re.fullmatch(DISPOSITION, name, re.ASCII)
        assert "Set-Cookie" not in response.headers
        return True
    problem = json.loads(response.data)
    kind = problem["type"].removeprefix("urn:denoise:")
    assert KINDS[kind] == (response.status_code, problem["title"])
    assert response.mimetype == "application/problem+json"
    return 400 <= response.status_code < 500


@pytest.mark.parametrize("part", PARTS, ids=bytes.decode)
@given(junk=JUNK)
def test_file_names_may_contain_any_bytes(part: bytes, junk: bytes) -> None:
    head = b"--x\r\nContent-Disposition: form-data; " + part.replace(b"%s", junk)
    body = head + b"\r\n\r\n" + WAV + b"\r\n--x--\r\n"
    media_type = "multipart/form-data; boundary=x"
    assert is_harmless(CLIENT.post("/v1/denoise", data=body, content_type=media_type))


@settings(max_examples=100)
@given(junk=JUNK, prefix=st.sampled_from(["", "strength=", "residual=", "format=", "strength=1&"]))
def test_queries_of_any_bytes(junk: bytes, prefix: str) -> None:
    query = {"QUERY_STRING": prefix + junk.decode("latin-1")}
    for path in ("/v1/denoise", "/v1/spectrogram"):
        response = CLIENT.post(path, data=WAV, environ_overrides=query)
        assert response.status_code == 200 or is_harmless(response)
    assert CLIENT.get("/livez", environ_overrides=query).status_code in (200, 400)


@pytest.mark.parametrize(
    "value", ["strength=1_0", "strength=\uff11", "strength=1%00", "strength=%ff"]
)
def test_strength_accepts_plain_decimal_numbers_only(value: str) -> None:
    assert CLIENT.post(f"/v1/denoise?{value}", data=WAV).status_code == 400


@pytest.mark.parametrize("name", ["Origin", "Host", "Authorization", "Content-Type", "Accept"])
@pytest.mark.parametrize("prefix", ["", "http://[", "multipart/form-data; boundary=", "Bearer "])
@given(junk=JUNK)
def test_headers_of_any_value(name: str, prefix: str, junk: bytes) -> None:
    key = name.upper().replace("-", "_")
    header = {key if name == "Content-Type" else f"HTTP_{key}": prefix + junk.decode("latin-1")}
    client = client_of(make_context(token="s3cret"))
    for each in (CLIENT, client):
        assert is_harmless(each.post("/v1/denoise", data=WAV, environ_overrides=header))
