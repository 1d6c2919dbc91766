"""Which pages may use denoise serve: those of its own origin, and those of --allow-origin."""

import pytest

from denoise.server.cli import make_parser
from denoise.server.context import ServerContext
from denoise.server.cross_origin import Origins
from denoise.server.host_check import Hosts
from denoise.server.origin import Origin, is_own
from tests.test_server import WAV, client_of, make_context, problem_of

APP = "https://app.example"


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8765", "localhost:8765"),
        ("HTTP://LocalHost:8765", "localhost:8765"),
        ("http://localhost:8765", "LOCALHOST:8765"),
        ("http://localhost", "localhost:80"),
        ("http://localhost:80", "localhost"),
        ("http://localhost.", "localhost"),
        ("http://[::1]:80", "[::1]"),
        ("https://denoise.example", "denoise.example"),
        ("https://denoise.example", "denoise.example:443"),
        ("https://denoise.example:8443", "Denoise.example:8443"),
    ],
)
def test_the_server_s_own_origin(origin: str, host: str) -> None:
    assert is_own(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:1", "localhost:8765"),
        ("http://localhost", "localhost:8765"),
        ("http://localhost:443", "localhost"),
        ("https://localhost:8765", "localhost:8765"),
        ("https://127.0.0.1", "127.0.0.1"),
        ("https://denoise.example", "denoise.example:80"),
        ("http://localhost.evil.example", "localhost"),
        ("http://localhost@evil.example", "localhost"),
        ("http://localhost/", "localhost"),
        ("ftp://localhost", "localhost"),
        ("http://localhost:0", "localhost:0"),
        ("http://localhost:99999", "localhost:99999"),
        ("http://[::1", "[::1"),
        ("null", "null"),
        ("", ""),
        ("http://", ""),
    ],
)
def test_other_origins(origin: str, host: str) -> None:
    assert not is_own(origin, host)


def context_for(*origins: str, token: str = "") -> ServerContext:
    context = make_context(token=token)
    context.origins = Origins(frozenset(map(Origin.parse, origins)))
    return context


@pytest.mark.parametrize("sent", [APP, "HTTPS://App.example:443"])
def test_a_page_of_an_allowed_origin_may_send_and_read(sent: str) -> None:
    client = client_of(context_for(APP))
    headers = {"Origin": sent, "Sec-Fetch-Site": "cross-site"}
    for body, status in ((WAV, 200), (b"x", 415)):
        response = client.post("/v1/denoise", data=body, headers=headers)
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == sent
        assert "Content-Disposition" in response.headers["Access-Control-Expose-Headers"]
        assert response.headers["Vary"] == "Origin"
    assert client.get("/v1/limits", headers=headers).headers["Access-Control-Allow-Origin"] == sent


@pytest.mark.parametrize("sent", ["http://app.example", "https://app.example:444", "null"])
def test_other_pages_may_not(sent: str) -> None:
    client = client_of(context_for(APP))
    response = client.post("/v1/denoise", data=WAV, headers={"Origin": sent})
    assert "--allow-origin" in problem_of(response, 403)["detail"]
    assert "Access-Control-Allow-Origin" not in response.headers
    headers = {"Origin": sent, "Access-Control-Request-Method": "POST"}
    response = client.options("/v1/denoise", headers=headers)
    assert response.status_code == 405 and "Access-Control-Allow-Origin" not in response.headers


def test_without_the_option_no_response_has_its_headers() -> None:
    response = client_of(make_context()).get("/v1/limits", headers={"Origin": APP})
    assert not [name for name, _ in response.headers if name.startswith("Access-Control")]
    assert "Vary" not in response.headers


def test_a_preflight_needs_no_token() -> None:
    client = client_of(context_for(APP, "http://localhost:3000", token="s3cret"))
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"}
    for origin in (APP, "http://localhost:3000"):
        response = client.options("/v1/denoise", headers={"Origin": origin, **asked})
        assert (response.status_code, response.data) == (204, b"")
        headers = response.headers
        assert headers["Access-Control-Allow-Origin"] == origin
        assert headers["Access-Control-Allow-Methods"] == "POST"
        assert (
            headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type, Last-Event-ID"
        )
        assert "Access-Control-Allow-Private-Network" not in headers
    private = {"Origin": APP, **asked, "Access-Control-Request-Private-Network": "true"}
    headers = client.options("/v1/limits", headers=private).headers
    assert headers["Access-Control-Allow-Private-Network"] == "true"
    assert client.options("/nothing", headers={"Origin": APP, **asked}).status_code == 404
    assert client.post("/v1/denoise", data=WAV, headers={"Origin": APP}).status_code == 401


def test_a_page_of_an_allowed_origin_may_use_jobs() -> None:
    client = client_of(context_for(APP))
    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
    response = client.post("/v1/jobs", data=WAV, headers=headers)
    assert "Location" in response.headers["Access-Control-Expose-Headers"]
    url = response.headers["Location"]
    preflight = {**headers, "Access-Control-Request-Method": "DELETE"}
    response = client.options(url, headers=preflight)
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD"
    problem_of(client.delete(url, headers={"Origin": "https://other.example"}), 403)
    assert client.delete(url, headers=headers).status_code == 204


def test_a_preflight_does_not_pass_the_check_of_the_host() -> None:
    context = context_for(APP)
    context.hosts = Hosts()
    headers = {"Origin": APP, "Access-Control-Request-Method": "POST", "Host": "evil.example"}
    problem_of(client_of(context).options("/v1/denoise", headers=headers), 403)


def test_the_option() -> None:
    options = make_parser().parse_args(
        ["--allow-origin", "https://App.example/", "--allow-origin", "http://[::1]:3000"]
    )
    assert options.allow_origin == [
        Origin("https", "app.example", 443),
        Origin("http", "::1", 3000),
    ]


@pytest.mark.parametrize("text", ["app.example", "*", "null", "https://app.example/talks", ""])
def test_what_is_no_origin_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--allow-origin", text])
    assert "is not an origin" in capsys.readouterr().err
