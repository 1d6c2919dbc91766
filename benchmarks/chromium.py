"""Chromium without a screen, as the tests of the page and its picture need it."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = (
    "--no-sandbox",  # it may be run by root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find() -> str | None:
    """Return where Chromium is: $CHROMIUM, or on the path."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def started(further: Sequence[str] = ()) -> Iterator[Browser]:
    """Start it, with further arguments."""
    with sync_playwright() as playwright:
        arguments = [*ARGUMENTS, *further]
        browser = playwright.chromium.launch(executable_path=find(), args=arguments)
        yield browser
        browser.close()
