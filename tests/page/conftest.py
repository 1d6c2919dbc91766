"""Fixtures: a server, a browser, and the page of the server in the browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import browser
from tests.corpora import encode
from tests.networks import write_halving_model
from tests.page.acts import LIMITS, tone
from tests.test_waitress_server import serving


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_halving_model(tmp_path_factory.mktemp("model") / "half.onnx")


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    with serving(["denoise", "serve", "--port", "0", "--model", str(model), *LIMITS]) as (
        _,
        netloc,
    ):
        yield f"http://{netloc}/"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    microphone = tmp_path_factory.mktemp("microphone") / "tone.wav"
    microphone.write_bytes(encode(tone(10), "WAV", "PCM_16", 48_000))
    with browser.started(microphone) as started:
        yield started


@pytest.fixture
def open_page(chromium: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Return a function that opens the page and waits until it shows the example.

    After the test, check that no script failed and that every request went to the server.
    """
    faults: list[str] = []

    def open_it(
        url: str = address,
        init: str = "",
        routes: dict[str, Any] | None = None,
        has_example: bool = True,
        is_loaded: bool = True,
        **options: Any,
    ) -> Page:
        page = chromium.new_context(**options).new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda message: "Content Security" in message.text and faults.append(message.text),
        )
        page.on(
            "request",
            lambda request: request.url.startswith((url, "blob:")) or faults.append(request.url),
        )
        if init:
            page.add_init_script(init)
        for pattern, respond in (routes or {}).items():
            page.route(pattern, respond)
        page.goto(url, wait_until="load" if is_loaded else "commit")
        if has_example:
            expect(page.get_by_role("heading", name="An example")).to_be_visible()
        return page

    yield open_it
    for context in chromium.contexts:
        context.close()
    assert faults == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()
