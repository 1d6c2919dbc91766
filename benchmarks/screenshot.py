"""The page with its example, as the README shows it: `python -m benchmarks.screenshot`.

Chromium is needed; $CHROMIUM says where it is, where it is not on the path.
"""

from pathlib import Path

from playwright.sync_api import Browser, ViewportSize

from benchmarks import chromium
from benchmarks.served import serving

TARGET = Path("docs/page.png")
SIZE: ViewportSize = {"width": 900, "height": 860}


def draw(browser: Browser, address: str) -> None:
    """Clean the example, go to its middle, and keep the picture."""
    page = browser.new_page(viewport=SIZE, color_scheme="light")
    page.goto(address)
    page.get_by_role("button", name="Try an example").click()
    page.get_by_role("img", name="Spectrogram, after: 0 to").click()
    page.get_by_role("heading", name="Denoise").click()  # so that nothing has the focus
    page.screenshot(path=TARGET, full_page=True)


def main() -> None:
    """Write the picture."""
    with serving() as (_, address), chromium.started() as browser:
        draw(browser, address)
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
