"""The check of the Host header, which protects denoise serve against DNS rebinding."""

import argparse
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.server.cli import make_parser
from denoise.server.host_check import Hosts, is_loopback
from denoise.server.problems import ProblemError
from denoise.server.routes import ROUTES
from tests.test_server import client_of, make_context

OWN = [
    "",
    "localhost",
    "LocalHost:8765",
    "localhost.",
    "talk.localhost:1",
    "127.0.0.1",
    "127.3.2.1:80",
    "[::1]",
    "[::1]:8765",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "denoise.example:99",
    "DENOISE.example.",
]
ADDRESSES = ["192.168.1.7", "203.0.113.9:8765", "[2001:db8::1]:8765", "0.0.0.0"]
NAMES = ["evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example"]
NAMES += ["notlocalhost", "my.denoise.example", "evil.example.", "2130706433", "1.2.3.4.5"]
MALFORMED = ["localhost, evil.example", "localhost@evil.example", "[::1", "localhost/a", "a b", ":"]
MALFORMED += ["localhost:evil", "evil.example:80:localhost", "[localhost]", "\xff\xfe@", "[evil]:1"]
LOOPBACK, NETWORK = ["127.0.0.1", "::1", "localhost", "127.0.0.9"], ["0.0.0.0", "::", "10.0.0.1"]


def is_accepted(bound: str, header: str | None, has_token: bool) -> bool:
    try:
        Hosts(bound, frozenset({"denoise.example"})).check(header, has_token)
    except ProblemError as error:
        assert (error.status, error.kind) == (403, "unknown-host")
        return False
    return True


@pytest.mark.parametrize("has_token", [False, True])
@pytest.mark.parametrize("bound", [*LOOPBACK, *NETWORK])
def test_hosts_are_accepted_by_bound_address_and_token(bound: str, has_token: bool) -> None:
    on_network = bound in NETWORK
    rows = [(OWN, True), (ADDRESSES, on_network), (NAMES, on_network and has_token)]
    for headers, expected in rows:
        for header in headers:
            assert is_accepted(bound, header, has_token) == expected, header
    assert is_accepted(bound, None, has_token)


@pytest.mark.parametrize("bound", [*LOOPBACK, *NETWORK])
@pytest.mark.parametrize("header", MALFORMED)
def test_malformed_headers_are_refused(bound: str, header: str) -> None:
    assert not is_accepted(bound, header, has_token=False)


def test_the_bound_name_is_accepted() -> None:
    assert is_accepted("Studio.lan", "studio.LAN:8765", has_token=False)
    assert not is_accepted("studio.lan", "studio", has_token=False)


@given(st.text(min_size=1, max_size=30))
def test_no_other_text_is_accepted_on_loopback(text: str) -> None:
    name = text.strip().lower().partition(":")[0].rstrip(".")
    if not is_loopback(name) and name:
        assert not is_accepted("127.0.0.1", text, has_token=True)


def send(route: str, host: str, token: str = "") -> tuple[int, str]:
    method, _, path = route.partition(" ")
    client = client_of(make_context(token=token))
    response = client.open(path, method=method, environ_overrides={"HTTP_HOST": host})
    kind = response.mimetype.endswith("problem+json") and json.loads(response.data)["type"]
    return response.status_code, str(kind).removeprefix("urn:denoise:")


@pytest.mark.parametrize("route", [*(f"{r.method} {r.path}" for r in ROUTES), "GET /nothing"])
def test_every_route_but_two_checks_the_host(route: str) -> None:
    is_exempt = route in ("GET /livez", "GET /readyz")
    assert (send(route, "evil.example") == (403, "unknown-host")) != is_exempt
    assert send(route, "localhost:8765")[1] != "unknown-host"
    assert (send(route, "evil.example", "s3cret") == (403, "unknown-host")) != is_exempt


@pytest.mark.parametrize("name", ["http://a", "a:80", "a/b", "", "a b", "[::1]:80"])
def test_an_allowed_host_has_no_scheme_port_or_path(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--allow-host", name])
    assert "is not a host name" in capsys.readouterr().err


def test_allow_host_is_repeatable() -> None:
    arguments = ["--allow-host", "A.example.", "--allow-host", "[FD00::1]"]
    parsed: argparse.Namespace = make_parser().parse_args(arguments)
    assert parsed.allow_host == ["a.example", "fd00::1"]
    assert make_parser().parse_args([]).allow_host == []
