"""Every error that people may read on the page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests import browser
from tests.corpora import encode
from tests.page.acts import RATE, TALK, answering, choose, download, expect_refusal, expect_result
from tests.test_waitress_server import serving

pytestmark = browser.needed


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "The recording is empty."),
        (bytes(3 * 2**19), "It has 1.5 MiB; this server takes 1 MiB."),
        (b"<!doctype html>" * 10, "This is no audio that can be read."),
        (encode(TALK, "FLAC", "PCM_16", RATE)[:-9000], "This audio cannot be worked on."),
        (encode(TALK[:0], "WAV", "PCM_16", RATE), "This audio cannot be worked on."),
        (encode(np.zeros((25 * 8000, 1)), "FLAC", "PCM_16", 8000), "The audio is too long."),
    ],
    ids=["empty", "large", "no audio", "broken off", "no sample", "long"],
)
def test_what_cannot_be_taken_is_told(page: Page, content: bytes, told: str) -> None:
    choose(page, content)
    expect_refusal(page, told)


def test_a_refusal_leaves_what_was_there(page: Page) -> None:
    choose(page)
    expect_result(page)
    choose(page, b"no audio", "other.wav")
    expect_refusal(page, "This is no audio")
    expect(page.get_by_role("heading", name="talk.wav")).to_be_visible()
    assert download(page)[0] == "talk-denoised.wav"
    expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            answering(504, {"title": "The work took too long", "detail": "60 s."}),
            "took too long. 60 s.",
        ),
        (answering(500, {"title": "Wrong", "detail": "Not you."}), "Wrong. Not you."),
        (answering(502, "<html>"), "It answered 502"),
        (answering(502, {"message": "No."}), "It answered 502"),
        (lambda route: route.abort(), "The server does not answer."),
        (answering(200, "no audio"), "The browser cannot play this."),
    ],
    ids=["504", "500", "a proxy's", "another proxy's", "none", "nonsense"],
)
def test_answers_that_are_none_are_told(page: Page, answer: Any, told: str) -> None:
    page.route("**/v1/denoise*", answer)
    choose(page)
    expect_refusal(page, told)


def test_what_failed_can_be_tried_again(page: Page) -> None:
    page.route("**/v1/denoise*", answering(500, {"title": "Wrong", "detail": ""}))
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("meter")).not_to_have_js_property("value", -60)
    page.get_by_role("button", name="Stop and clean").click()
    expect_refusal(page, "Wrong.")
    page.unroute("**/v1/denoise*")
    page.get_by_role("button", name="Try again").click()
    expect_result(page, "recording.wav")
    choose(page, b"no audio")
    expect_refusal(page, "This is no audio")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_parts_of_the_page_that_cannot_be_had_are_told_of(open_page: Callable[..., Page]) -> None:
    gone = "Promise.reject(new DOMException('It is gone.', 'AbortError'))"
    page = open_page(
        init=f"AudioWorklet.prototype.addModule = () => {gone};",
        routes={"**/example.flac": lambda route: route.abort()},
    )
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("alert")).to_contain_text("It cannot be recorded.")
    expect(page.get_by_role("button", name="Record")).to_be_focused()
    page.get_by_role("button", name="Try an example").click()
    expect_refusal(page, "The example cannot be had.")
    page.unroute("**/example.flac")
    page.get_by_role("button", name="Try again").click()
    expect_result(page, "example.flac")


def test_what_goes_wrong_with_a_download_is_seen(open_page: Callable[..., Page]) -> None:
    page = open_page(viewport={"width": 390, "height": 500})
    choose(page)
    expect_result(page)
    page.route("**/v1/denoise*", lambda route: route.abort())
    page.get_by_label("Format").select_option("FLAC")
    page.get_by_role("button", name="Download").click()
    expect(page.get_by_role("button", name="Download")).to_be_focused()
    expect(page.get_by_role("alert")).to_be_in_viewport()


def test_a_token_is_asked_for(open_page: Callable[..., Page], model: Path) -> None:
    arguments = ["denoise", "serve", "--port", "0", "--model", str(model), "--token", "sesame"]
    with serving(arguments) as (_, netloc):
        page = open_page(f"http://{netloc}/")
        choose(page)
        field = page.get_by_label("This server asks for a token")
        expect(field).to_be_focused()
        for token in ("wrong", "sesame"):
            expect(field).to_have_value("")
            field.fill(token)
            field.press("Enter")
            if token == "wrong":
                expect(page.get_by_role("alert")).to_have_text(re.compile("not the server's"))
        expect_result(page)
        page.reload()
        choose(page, name="next.wav")
        expect_result(page, "next.wav")


def test_a_server_that_has_gone_is_told_of(open_page: Callable[..., Page], model: Path) -> None:
    with serving(["denoise", "serve", "--port", "0", "--model", str(model)]) as (process, netloc):
        page = open_page(f"http://{netloc}/")
        process.kill()
        process.wait()
        choose(page)
        expect_refusal(page, "The server does not answer.")


REFUSE = """navigator.mediaDevices.getUserMedia = () => {
    return Promise.reject(new DOMException("", "?"));
};"""


@pytest.mark.parametrize(
    ("init", "told"),
    [
        (
            "Object.defineProperty(navigator, 'mediaDevices', { value: undefined });",
            "This page may not record.",
        ),
        (REFUSE.replace("?", "NotFoundError"), "There is no microphone."),
        (REFUSE.replace("?", "NotAllowedError"), "The microphone is not allowed."),
        (REFUSE.replace("?", "NotReadableError"), "The microphone cannot be used."),
    ],
    ids=["not secure", "none", "refused", "taken"],
)
def test_a_microphone_that_cannot_be_had_is_told_of(
    open_page: Callable[..., Page], init: str, told: str
) -> None:
    page = open_page(init=init)
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("alert")).to_contain_text(told)
