"""The files of the page as the server sends them; no browser is needed."""

import re
from importlib.resources import files

import pytest
import soundfile
from flask.testing import FlaskClient

from denoise.server.app import create_app
from denoise.server.context import ServerContext
from denoise.server.limits import Limits
from denoise.server.page import MEDIA_TYPES, load_parts
from tests.networks import gain_network

WEB = files("denoise.server") / "web"
NAMES = sorted(load_parts())


@pytest.fixture
def client() -> FlaskClient:
    return create_app(ServerContext(gain_network(0.5), Limits())).test_client()


def test_every_file_is_served() -> None:
    assert sorted(file.name for file in WEB.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_files_have_a_strict_content_security_policy(client: FlaskClient, name: str) -> None:
    response = client.get(f"/page/{name}")
    assert response.data == (WEB / name).read_bytes()
    assert response.content_type == MEDIA_TYPES["." + name.split(".")[-1]]
    policy = response.headers["Content-Security-Policy"].split("; ")
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert not any("unsafe" in rule for rule in policy)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    again = client.get(f"/page/{name}", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_page_is_at_the_root(client: FlaskClient) -> None:
    assert client.get("/").data == client.get("/page/index.html").data
    assert client.get("/").mimetype == "text/html"


@pytest.mark.parametrize("name", ["none.js", "..", "..%2fapp.py", "%2e%2e/app.py", "web/main.js"])
def test_no_other_file_is_served(client: FlaskClient, name: str) -> None:
    response = client.get(f"/page/{name}")
    assert response.status_code == 404
    assert response.mimetype == "application/problem+json"


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith(".flac")])
def test_files_refer_to_no_missing_file_and_no_other_host(name: str) -> None:
    text = (WEB / name).read_text(encoding="utf-8")
    hosts = set(re.findall(r"//([\w.-]+\.\w+)", text))
    assert hosts - {"www.w3.org"} == set()  # SVG's namespace, which is not loaded
    named = re.findall(r"""["'](?:\./|page/)?([\w-]+\.(?:js|css|svg|flac|html))["']""", text)
    assert set(named) <= set(NAMES)


def modules_from(name: str) -> set[str]:
    """Return a module and all that it imports, directly or not, before it runs."""
    named = re.findall(
        r'^(?:import|\}) .*"\./([\w-]+\.js)";', (WEB / name).read_text("utf-8"), re.M
    )
    return {name}.union(*map(modules_from, named))


def test_all_modules_are_loaded_at_once() -> None:
    page = (WEB / "index.html").read_text(encoding="utf-8")
    preloaded = re.findall(r'<link rel="modulepreload" href="page/([\w-]+\.js)">', page)
    assert preloaded == sorted(modules_from("main.js") - {"main.js"})


def test_every_element_that_scripts_look_up_exists() -> None:
    page = (WEB / "index.html").read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([\w-]+)"', page)
    assert len(ids) == len(set(ids))
    for name in NAMES:
        if name.endswith(".js"):
            used = re.findall(r'byId\("([\w-]+)"\)', (WEB / name).read_text(encoding="utf-8"))
            assert set(used) <= set(ids), name


def test_the_example_is_a_short_recording() -> None:
    with (WEB / "example.flac").open("rb") as file, soundfile.SoundFile(file) as sound:
        assert 2 < sound.frames / sound.samplerate < 10
        assert sound.channels == 1
