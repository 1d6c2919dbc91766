"""Run headless Chromium, for the tests of the web page and its screenshot."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = (
    "--no-sandbox",  # the sandbox does not start as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find() -> str | None:
    """Return the path of Chromium, from $CHROMIUM or the PATH; None if there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def started(extra_arguments: Sequence[str] = ()) -> Iterator[Browser]:
    """Start Chromium, yield it, and close it at the end."""
    with sync_playwright() as playwright:
        arguments = [*ARGUMENTS, *extra_arguments]
        browser = playwright.chromium.launch(executable_path=find(), args=arguments)
        yield browser
        browser.close()
