"""Several recordings at once."""

import io
import re
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import Download, Page, Route, expect

from tests import browser
from tests.page.acts import RATE, TALK, WAV, expect_result, respond

pytestmark = browser.needed


def choose_all(page: Page, files: dict[str, bytes]) -> None:
    page.locator("#file").set_input_files(
        [{"name": name, "mimeType": "", "buffer": content} for name, content in files.items()]
    )


def test_each_file_has_a_row_and_one_that_fails_stops_no_other(page: Page) -> None:
    choose_all(page, {"first.wav": WAV, "notes.txt": b"no audio", "last.wav": WAV})
    expect(page.get_by_role("heading", name="2 of 3 cleaned, 1 failed")).to_be_visible()
    expect(page.locator("#status")).to_have_text("2 of 3 cleaned, 1 failed")
    rows = page.get_by_role("listitem")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("first.wav")
    expect(rows.nth(0)).to_contain_text("Cleaned, 31.3 kB")
    expect(rows.nth(1)).to_contain_text("This is not a supported audio format.")
    expect(rows.nth(1).get_by_role("button")).to_have_count(0)
    expect(page.locator(".primary")).to_have_text(["Download all"])
    expect(page.locator("#result")).to_be_hidden()


def test_the_results_of_all_files_are_downloaded_under_different_names(page: Page) -> None:
    downloads: list[Download] = []
    page.on("download", lambda download: downloads.append(download))
    choose_all(page, {"talk.wav": WAV, "talk.flac": flac()})
    expect(page.get_by_role("heading", name="2 of 2 cleaned")).to_be_visible()
    with page.expect_download(lambda _: len(downloads) == 2):
        page.get_by_role("button", name="Download all").click()
    names = sorted(download.suggested_filename for download in downloads)
    assert names == ["talk-denoised.flac", "talk-denoised.wav"]
    for download in downloads:
        content = Path(download.path()).read_bytes()
        samples, rate = soundfile.read(io.BytesIO(content), always_2d=True)
        assert (samples.shape, rate) == (TALK.shape, RATE)
        assert abs(samples - TALK / 2).max() < 2e-4


def flac() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, TALK, RATE, format="FLAC")
    return file.getvalue()


def test_results_of_the_same_name_are_numbered(page: Page) -> None:
    names = page.evaluate(
        """async () => {
            const { Batch } = await import("/page/batch.js");
            const names = [];
            HTMLAnchorElement.prototype.click = function () { names.push(this.download); };
            const made = { blob: new Blob(["x"]), extension: "wav" };
            const batch = new Batch({ clean: async () => made, open: () => {} });
            batch.load(["a.wav", "a.mp3", "a.ogg"].map((name) => new File(["x"], name)));
            await batch.run(new AbortController().signal);
            document.getElementById("download-all").click();
            const atOnce = names.length;
            while (names.length < 3) await new Promise((resolve) => setTimeout(resolve, 50));
            return [atOnce, ...names];
        }"""
    )
    # Browsers drop downloads that a page starts all at once.
    assert names == [1, "a-denoised.wav", "a-denoised (2).wav", "a-denoised (3).wav"]


def test_other_files_that_are_dropped_replace_a_batch_that_is_running(page: Page) -> None:
    states = page.evaluate(
        """async () => {
            const { Batch } = await import("/page/batch.js");
            const whenAsked = [];
            const clean = () => new Promise((_, reject) => whenAsked.push(reject));
            const batch = new Batch({ clean, open: () => {} });
            const files = (...names) => names.map((name) => new File(["x"], name));
            const first = new AbortController();
            batch.load(files("a.wav"));
            const former = batch.run(first.signal).catch(() => {});
            batch.load(files("b.wav", "c.wav"));
            batch.run(new AbortController().signal);
            first.abort();
            whenAsked[0](first.signal.reason); // the first batch ends, with the second under way
            await former;
            return [...document.querySelectorAll("#rows .state")].map((each) => each.textContent);
        }"""
    )
    assert states == ["Cleaning", "Waiting"]


def test_a_row_is_listened_to_while_the_rows_stay(page: Page) -> None:
    choose_all(page, {"first.wav": WAV, "second.wav": WAV})
    page.get_by_role("button", name="Listen to second.wav").click()
    expect_result(page, "second.wav")
    expect(page.get_by_role("listitem")).to_have_count(2)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download first.wav").click()
    assert waiting.value.suggested_filename == "first-denoised.wav"


def test_listening_to_one_does_not_end_the_others(page: Page) -> None:
    count = 0

    def hold(route: Route) -> None:
        nonlocal count
        count += 1
        if count == 1:
            route.continue_()

    page.route("**/v1/denoise*", hold)
    choose_all(page, {"first.wav": WAV, "second.wav": WAV})
    listen = page.get_by_role("button", name="Listen to first.wav")
    expect(listen).to_be_disabled()
    page.get_by_role("button", name="Cancel").click()
    expect(listen).to_be_enabled()


def test_a_single_file_replaces_the_rows(page: Page) -> None:
    choose_all(page, {"first.wav": WAV, "second.wav": WAV})
    expect(page.get_by_role("heading", name="2 of 2 cleaned")).to_be_visible()
    choose_all(page, {"single.wav": WAV})
    expect_result(page, "single.wav")
    expect(page.get_by_role("listitem")).to_have_count(0)


@pytest.mark.parametrize("position", [0, 1])
def test_files_after_a_cancelled_one_are_not_cleaned(page: Page, position: int) -> None:
    count = 0

    def hold(route: Route) -> None:
        nonlocal count
        count += 1
        if count <= position:
            route.continue_()

    page.route("**/v1/denoise*", hold)
    choose_all(page, {"first.wav": WAV, "second.wav": WAV, "third.wav": WAV})
    expect(page.locator("#doing")).to_have_text(re.compile(f"^{position + 1} of 3: "))
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Not cleaned")).to_have_count(3 - position)
    expect(page.get_by_role("heading", name=f"{position} of 3 cleaned")).to_be_visible()
    assert page.get_by_role("button", name="Download all").is_enabled() == (position > 0)
    page.unroute("**/v1/denoise*")
    page.get_by_role("button", name="Clean the rest").click()
    expect(page.get_by_role("heading", name="3 of 3 cleaned")).to_be_visible()
    expect(page.get_by_text("Not cleaned")).to_have_count(0)
    expect(page.get_by_role("button", name="Clean the rest")).to_be_hidden()


def test_what_failed_for_a_while_is_cleaned_with_the_rest(page: Page) -> None:
    fails = respond(500, {"title": "Disk is full", "detail": "Try again later."})
    page.route("**/v1/denoise*", fails, times=1)
    choose_all(page, {"first.wav": WAV, "notes.txt": b"no audio", "last.wav": WAV})
    expect(page.get_by_role("heading", name="1 of 3 cleaned, 2 failed")).to_be_visible()
    expect(page.get_by_role("listitem").nth(0)).to_contain_text("Disk is full")
    page.get_by_role("button", name="Clean the rest").click()
    expect(page.get_by_role("heading", name="2 of 3 cleaned, 1 failed")).to_be_visible()
    expect(page.get_by_role("listitem").nth(0)).to_contain_text("Cleaned, 31.3 kB")
    expect(page.get_by_role("button", name="Clean the rest")).to_be_hidden()


def test_the_token_is_asked_for_once(page: Page) -> None:
    seen: list[str | None] = []

    def ask(route: Route) -> None:
        token = route.request.headers.get("authorization")
        seen.append(token)
        route.continue_() if token else respond(401, {"title": "Token", "detail": ""})(route)

    page.route("**/v1/denoise*", ask)
    choose_all(page, {"first.wav": WAV, "second.wav": WAV})
    page.get_by_label("This server requires a token").fill("sesame")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="2 of 2 cleaned")).to_be_visible()
    assert seen == [None, "Bearer sesame", "Bearer sesame"]
