"""Actions of a user on the page, and checks of what the page then shows."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from playwright.sync_api import Page, Route, expect

from tests.corpora import encode

RATE = 8000  # the network's sample rate
TONE_HZ = 440
LIMITS = ("--max-body-mib", "1", "--max-channel-seconds", "20")
TALK = (0.2 * np.random.default_rng(8).standard_normal((2 * RATE, 1))).astype(np.float32)
WAV = encode(TALK, "WAV", "PCM_16", RATE)


def tone(seconds: float, rate: int = 48_000) -> np.ndarray:
    return 0.4 * np.sin(2 * np.pi * TONE_HZ * np.arange(round(seconds * rate)) / rate)[:, None]


LONG_WAV = encode(tone(15, RATE), "WAV", "PCM_16", RATE)  # still plays while a slow machine checks


def respond(status: int, content: dict[str, Any] | str, **headers: str) -> Callable[[Route], None]:
    body = content if isinstance(content, str) else json.dumps(content)
    return lambda route: route.fulfill(status=status, body=body, headers=headers)


def choose(page: Page, content: bytes = WAV, name: str = "talk.wav") -> None:
    page.locator("#file").set_input_files({"name": name, "mimeType": "audio/x", "buffer": content})


def wait_until(page: Page, condition: str) -> None:
    page.evaluate(f"async () => {{ while (!({condition})) await new Promise(setTimeout); }}")


def expect_result(page: Page, name: str = "talk.wav") -> None:
    expect(page.get_by_role("heading", name=name)).to_be_focused()
    expect(page.locator("#status")).to_have_text(f"{name} has been cleaned.")


def open_details(page: Page) -> None:
    page.get_by_text("Details", exact=True).click()


def expect_error(page: Page, message: str) -> None:
    expect(page.get_by_role("alert")).to_contain_text(message)
    expect(page.locator("#choose")).to_be_focused()
    expect(page.get_by_role("progressbar")).to_be_hidden()


def download(page: Page) -> tuple[str, np.ndarray, int]:
    """Press Download; return the file name, the samples and the sample rate."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download", exact=True).click()
    content = Path(waiting.value.path()).read_bytes()
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return waiting.value.suggested_filename, samples, rate
