"""Every error message that the page can show."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, Route, expect

from tests import browser
from tests.corpora import encode
from tests.page.acts import (
    RATE,
    TALK,
    choose,
    download,
    expect_error,
    expect_result,
    open_details,
    respond,
    wait_until,
)
from tests.test_waitress_server import serving

pytestmark = browser.needed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The recording is empty."),
        (bytes(3 * 2**19), "It has 1.5 MB; this server accepts at most 1 MB."),
        (b"<!doctype html>" * 10, "This is not a supported audio format."),
        (encode(TALK, "FLAC", "PCM_16", RATE)[:-9000], "This audio cannot be processed."),
        (encode(TALK[:0], "WAV", "PCM_16", RATE), "This audio cannot be processed."),
        (encode(np.zeros((25 * 8000, 1)), "FLAC", "PCM_16", 8000), "The audio is too long."),
    ],
    ids=["empty", "large", "no audio", "truncated", "no samples", "long"],
)
def test_recordings_that_cannot_be_processed_are_reported(
    page: Page, content: bytes, message: str
) -> None:
    choose(page, content)
    expect_error(page, message)


def test_an_error_keeps_the_previous_result(page: Page) -> None:
    choose(page)
    expect_result(page)
    choose(page, b"no audio", "other.wav")
    expect_error(page, "other.wav: This is not a supported audio format")
    expect(page.get_by_role("heading", name="talk.wav")).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    assert download(page)[0] == "talk-denoised.wav"
    expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (
            respond(504, {"title": "The request took too long", "detail": "60 s."}),
            "took too long. 60 s.",
        ),
        (respond(500, {"title": "Wrong", "detail": "Not you."}), "Wrong. Not you."),
        (respond(502, "<html>"), "It answered 502"),
        (respond(502, {"message": "No."}), "It answered 502"),
        (lambda route: route.abort(), "The server does not answer."),
        (respond(200, "no audio"), "The browser cannot play this."),
    ],
    ids=["504", "500", "HTML from a proxy", "JSON from a proxy", "none", "no audio"],
)
def test_unusable_responses_are_reported(page: Page, response: Any, message: str) -> None:
    page.route("**/v1/denoise*", response)
    choose(page)
    expect_error(page, message)


def test_a_failed_request_can_be_repeated(page: Page) -> None:
    page.route("**/v1/denoise*", respond(500, {"title": "Wrong", "detail": ""}))
    page.locator("#record").click()
    expect(page.get_by_role("meter")).not_to_have_js_property("value", -60)
    page.get_by_role("button", name="Stop and clean").click()
    expect_error(page, "Wrong.")
    page.unroute("**/v1/denoise*")
    page.get_by_role("button", name="Try again").click()
    expect_result(page, "recording.wav")
    expect(page.locator("#kept")).to_be_hidden()
    choose(page, b"no audio")
    expect_error(page, "This is not a supported audio format")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_a_recording_that_was_not_cleaned_can_be_downloaded(page: Page) -> None:
    page.route("**/v1/denoise*", respond(413, "<html>"))
    page.locator("#record").click()
    expect(page.get_by_role("meter")).not_to_have_js_property("value", -60)
    page.get_by_role("button", name="Stop and clean").click()
    expect_error(page, "The recording is too large.")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download it").click()
    assert saved.value.suggested_filename == "recording.wav"
    assert len(soundfile.read(saved.value.path())[0]) > 100
    page.unroute("**/v1/denoise*")
    choose(page)
    expect_result(page)
    page.locator("#record").click()
    expect(page.get_by_role("meter")).not_to_have_js_property("value", -60)
    page.get_by_role("button", name="Stop and clean").click()
    expect_result(page, "recording.wav")
    expect(page.locator("#kept")).to_be_visible()  # the first one still is nowhere else


def test_several_recordings_that_were_not_cleaned_are_downloaded(page: Page) -> None:
    leave = "dispatchEvent(new Event('beforeunload', { cancelable: true }))"  # false: it asks
    page.route("**/v1/denoise*", respond(413, "<html>"))
    assert page.evaluate(leave)
    for _ in range(2):
        page.locator("#record").click()
        expect(page.get_by_role("meter")).not_to_have_js_property("value", -60)
        page.get_by_role("button", name="Stop and clean").click()
        expect_error(page, "The recording is too large.")
    expect(page.get_by_text("2 recordings of yours have not been cleaned.")).to_be_visible()
    expect(page.get_by_role("button", name="Download all 2")).to_be_visible()
    assert not page.evaluate(leave)
    at_once = page.evaluate(
        """() => {
            window.names = [];
            HTMLAnchorElement.prototype.click = function () { names.push(this.download); };
            document.getElementById("save-kept").click();
            return names.length;
        }"""
    )
    assert at_once == 1  # browsers drop downloads that a page starts all at once
    wait_until(page, "names.length === 2")
    assert page.evaluate(leave)
    assert page.evaluate("names") == ["recording.wav"] * 2


@pytest.mark.parametrize(
    "trouble",
    [
        {"routes": {"**/mix.js": lambda route: route.abort()}},
        {"init": "delete AbortSignal.prototype.throwIfAborted;"},
    ],
    ids=["a part that is missing", "an old browser"],
)
def test_a_page_that_cannot_work_says_so(
    open_page: Callable[..., Page], trouble: dict[str, Any]
) -> None:
    page = open_page(**trouble, has_example=False)
    notice = page.get_by_text("This page needs a newer browser")
    # It waits for some seconds, in which the page may still load.
    page.evaluate("for (const each of document.getAnimations()) each.finish()")
    expect(notice).to_be_visible()


def test_a_page_that_is_still_loading_says_nothing(open_page: Callable[..., Page]) -> None:
    held: list[Route] = []
    hold = {"**/mix.js": lambda route: held.append(route)}
    page = open_page(routes=hold, has_example=False, is_loaded=False)
    notice = page.get_by_text("This page needs a newer browser")
    expect(notice).to_have_css("visibility", "hidden")
    while not held:
        page.wait_for_timeout(20)
    delays = "document.getAnimations().map((each) => each.effect.getTiming().duration)"
    assert page.evaluate(delays) == [15_000]
    held[0].continue_()
    expect(page.get_by_role("heading", name="An example")).to_be_visible()
    expect(notice).to_have_count(0)


def test_files_of_the_page_that_cannot_be_loaded_are_reported(
    open_page: Callable[..., Page],
) -> None:
    rejection = "Promise.reject(new DOMException('It is gone.', 'AbortError'))"
    page = open_page(
        init=f"AudioWorklet.prototype.addModule = () => {rejection};",
        routes={"**/example.flac": lambda route: route.abort()},
        has_example=False,
    )
    page.locator("#record").click()
    expect(page.get_by_role("alert")).to_contain_text("The recording could not be started.")
    expect(page.locator("#record")).to_be_focused()
    page.get_by_role("button", name="Show an example").click()
    expect_error(page, "The example could not be loaded.")
    page.unroute("**/example.flac")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="An example")).to_be_focused()


def test_a_download_error_scrolls_into_view(open_page: Callable[..., Page]) -> None:
    page = open_page(viewport={"width": 390, "height": 500})
    choose(page)
    expect_result(page)
    page.route("**/v1/denoise*", lambda route: route.abort())
    open_details(page)
    page.get_by_label("Download as").select_option("FLAC")
    page.get_by_role("button", name="Download").click()
    expect(page.get_by_role("button", name="Download")).to_be_focused()
    expect(page.get_by_role("alert")).to_be_in_viewport()


def test_the_page_asks_for_the_token(open_page: Callable[..., Page], model: Path) -> None:
    arguments = ["denoise", "serve", "--port", "0", "--model", str(model), "--token", "sesame"]
    with serving(arguments) as (_, netloc):
        page = open_page(f"http://{netloc}/", has_example=False)
        expect(page.get_by_role("button", name="Show an example")).to_be_visible()
        choose(page)
        field = page.get_by_label("This server requires a token")
        expect(field).to_be_focused()
        for token in ("wrong", "sesame"):
            expect(field).to_have_value("")
            field.fill(token)
            field.press("Enter")
            if token == "wrong":
                expect(page.get_by_role("alert")).to_have_text(re.compile("The token is wrong"))
        expect_result(page)
        page.reload()
        choose(page, name="next.wav")
        expect_result(page, "next.wav")


def test_a_stopped_server_is_reported(open_page: Callable[..., Page], model: Path) -> None:
    with serving(["denoise", "serve", "--port", "0", "--model", str(model)]) as (process, netloc):
        page = open_page(f"http://{netloc}/")
        process.kill()
        process.wait()
        choose(page)
        expect_error(page, "The server does not answer.")


REFUSE = """navigator.mediaDevices.getUserMedia = () => {
    return Promise.reject(new DOMException("", "?"));
};"""


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (
            "Object.defineProperty(navigator, 'mediaDevices', { value: undefined });",
            "This page is not allowed to record.",
        ),
        (REFUSE.replace("?", "NotFoundError"), "There is no microphone."),
        (REFUSE.replace("?", "NotAllowedError"), "The microphone is not allowed."),
        (REFUSE.replace("?", "NotReadableError"), "The microphone cannot be used."),
    ],
    ids=["not secure", "none", "refused", "in use"],
)
def test_an_unavailable_microphone_is_reported(
    open_page: Callable[..., Page], init: str, message: str
) -> None:
    page = open_page(init=init)
    page.locator("#record").click()
    expect(page.get_by_role("alert")).to_contain_text(message)
