"""Chromium for tests of the page, with a microphone; they are skipped where there is none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from benchmarks import chromium

FAKE = "--use-fake-device-for-media-stream"

needed = pytest.mark.skipif(
    chromium.find() is None, reason="there is no Chromium: see CONTRIBUTING.md"
)


@contextmanager
def started(microphone: Path) -> Iterator[Browser]:
    """Start Chromium, which may use a microphone that a WAV file stands in for."""
    heard = f"--use-file-for-fake-audio-capture={microphone}"
    with chromium.started([FAKE, "--use-fake-ui-for-media-stream", heard]) as browser:
        yield browser
