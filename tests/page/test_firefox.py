"""The page in Firefox: what the tests of the other modules do in Chromium, in short."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import firefox
from tests.page.acts import WAV

pytestmark = firefox.needed
HEADING = "document.getElementById('name').textContent"
LABEL = "document.getElementById('picture').getAttribute('aria-label')"


@pytest.fixture(scope="module")
def tab() -> Iterator[firefox.Tab]:
    with firefox.started() as started:
        yield started


@pytest.fixture
def page(tab: firefox.Tab, address: str) -> firefox.Tab:
    tab.goto(address)
    tab.wait_until(f"{HEADING} === 'An example'")
    return tab


HAS_SOUND = """Promise.race([
    new AudioContext().resume().then(() => true),
    new Promise((resolve) => setTimeout(() => resolve(false), 3000)),
])"""


@pytest.fixture
def sounding_page(page: firefox.Tab) -> firefox.Tab:
    """Return the page, or skip the test: without a sound card Firefox plays and records nothing."""
    if not page.evaluate(HAS_SOUND):
        pytest.skip("Firefox has no sound card: see CONTRIBUTING.md")
    return page


def talk(folder: Path, name: str = "talk.wav") -> Path:
    path = folder / name
    path.write_bytes(WAV)
    return path


def test_the_example_is_shown_in_firefox(page: firefox.Tab) -> None:
    page.wait_until(f"{LABEL}.startsWith('Spectrogram, after: 0 to 0:07')")
    assert page.evaluate("document.activeElement === document.body")


def test_a_file_is_denoised_in_firefox(page: firefox.Tab, tmp_path: Path) -> None:
    page.set_files("#file", [talk(tmp_path)])
    page.wait_until(f"{HEADING} === 'talk.wav'")
    assert page.evaluate("document.activeElement.id") == "name"
    page.press("b")
    page.wait_until(f"{LABEL} === 'Spectrogram, before: 0 to 0:02.0, 0 to 4.0 kHz'")


def test_a_file_is_played_in_firefox(sounding_page: firefox.Tab, tmp_path: Path) -> None:
    page = sounding_page
    page.set_files("#file", [talk(tmp_path)])
    page.wait_until(f"{HEADING} === 'talk.wav'")
    page.press("l")
    page.press(" ")
    page.wait_until("document.getElementById('play').ariaLabel === 'Pause'")
    page.wait_until("document.getElementById('position').value > 0.1")
    page.press(" ")
    page.wait_until("document.getElementById('play').ariaLabel === 'Play'")


def test_several_files_have_rows_in_firefox(page: firefox.Tab, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no audio")
    page.set_files("#file", [talk(tmp_path), tmp_path / "notes.txt", talk(tmp_path, "last.wav")])
    page.wait_until(
        "document.getElementById('batch-title').textContent === '2 of 3 cleaned, 1 failed'"
    )
    error = page.evaluate("document.querySelector('.is-failed').textContent")
    assert "This is not a supported audio format." in error


def test_the_microphone_is_recorded_in_firefox(sounding_page: firefox.Tab) -> None:
    page = sounding_page
    page.evaluate("document.getElementById('record').click()")
    page.wait_until("document.getElementById('recorded').textContent >= '0:01'")
    level = page.evaluate("document.getElementById('level').value")
    assert math.isfinite(level) and level > -60
    page.evaluate("document.getElementById('stop').click()")
    page.wait_until(f"{HEADING} === 'recording.wav'")
