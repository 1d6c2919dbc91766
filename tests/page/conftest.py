"""A server with a page, and a browser for it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

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
    """Open the page; in the end, no script of it has failed, and all came from its server."""
    faults: list[str] = []

    def open_it(
        url: str = address, init: str = "", routes: dict[str, Any] | None = None, **options: Any
    ) -> Page:
        page = chromium.new_context(**options).new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console", lambda told: "Content Security" in told.text and faults.append(told.text)
        )
        page.on(
            "request",
            lambda asked: asked.url.startswith((url, "blob:")) or faults.append(asked.url),
        )
        if init:
            page.add_init_script(init)
        for log_mel, answer in (routes or {}).items():
            page.route(log_mel, answer)
        page.goto(url)
        return page

    yield open_it
    for context in chromium.contexts:
        context.close()
    assert faults == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()
