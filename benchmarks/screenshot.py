"""Take the README's screenshot of the web page: `python -m benchmarks.screenshot`.

This needs Chromium: on the PATH, or its path in $CHROMIUM.
"""

from pathlib import Path

from playwright.sync_api import Browser, ViewportSize

from benchmarks import chromium
from benchmarks.served import serving

TARGET = Path("docs/page.png")
SIZE: ViewportSize = {"width": 900, "height": 860}


def take_screenshot(browser: Browser, address: str) -> None:
    """Wait for the example with which the page opens, go to its middle, and save a screenshot."""
    page = browser.new_page(viewport=SIZE, color_scheme="light")
    page.goto(address)
    page.get_by_role("img", name="Spectrogram, after: 0 to").click()
    page.get_by_role("heading", name="Denoise").click()  # removes the focus from the player
    page.screenshot(path=TARGET, full_page=True)


def main() -> None:
    """Write the screenshot."""
    with serving() as (_, address), chromium.started() as browser:
        take_screenshot(browser, address)
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
