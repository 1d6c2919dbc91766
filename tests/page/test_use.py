"""Use of the page: choose or drop a file, record, cancel, download."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests import browser
from tests.corpora import encode
from tests.page.acts import (
    LONG_WAV,
    RATE,
    TALK,
    TONE_HZ,
    WAV,
    choose,
    download,
    expect_result,
    open_details,
    respond,
    tone,
    wait_until,
)

pytestmark = browser.needed


def test_the_page_opens_with_the_example_cleaned(page: Page) -> None:
    expect(page.get_by_text("Press play, then switch between before and after.")).to_be_visible()
    expect(page.get_by_role("img", name="Spectrogram, after: 0 to")).to_be_visible()
    expect(page.get_by_role("button", name="Download")).to_be_visible()
    expect(page.locator("body")).to_be_focused()  # nothing has taken the focus
    expect(page.locator("#unsupported")).to_have_count(0)
    expect(page.locator(".primary")).to_have_text(["Choose files"])
    expect(page.get_by_role("button", name="Show an example")).to_be_hidden()


@pytest.mark.parametrize("answer", [401, 503, 500, None])
def test_the_page_opens_without_the_example_where_it_cannot_be_cleaned(
    open_page: Callable[..., Page], answer: int | None
) -> None:
    refuse = respond(answer or 0, {"title": "No", "detail": ""})
    route = refuse if answer else lambda route: route.abort()
    page = open_page(routes={"**/v1/denoise*": route}, has_example=False)
    again = page.get_by_role("button", name="Show an example")
    expect(again).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.locator("#result")).to_be_hidden()
    page.unroute("**/v1/denoise*")
    again.click()
    expect(page.get_by_role("heading", name="An example")).to_be_focused()
    expect(again).to_be_hidden()


def test_a_file_is_opened_while_the_example_is_still_cleaned(
    open_page: Callable[..., Page],
) -> None:
    held: list[Route] = []
    page = open_page(routes={"**/v1/denoise*": lambda route: held.append(route)}, has_example=False)
    wait_until(page, "performance.getEntriesByName(location.href + 'page/example.flac').length")
    page.unroute("**/v1/denoise*")
    choose(page)
    expect_result(page)
    expect(page.get_by_role("heading", name="An example")).to_have_count(0)


def test_a_chosen_file_is_denoised_and_shown(page: Page) -> None:
    expect(page.get_by_text("up to 10 seconds and 1 MB each")).to_be_visible()
    choose(page)
    expect_result(page)
    expect(page.locator(".primary")).to_have_text(["Download"])
    expect(page.get_by_text("up to 10 seconds and 1 MB each")).to_be_hidden()
    expect(page.get_by_role("button", name="Another recording")).to_be_visible()
    open_details(page)
    expect(page.get_by_text("0:02.0, 8 kHz, mono")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Colours from -"))).to_be_visible()
    for label in ("Before", "Removed", "After"):
        page.get_by_label(label, exact=True).check(force=True)
        name = f"Spectrogram, {label.lower()}: 0 to 0:02.0, 0 to 4.0 kHz"
        expect(page.get_by_role("img", name=name)).to_be_visible()


def test_a_dropped_file_is_denoised(page: Page) -> None:
    drop(page, ["first.wav"])
    expect_result(page, "first.wav")


def drop(page: Page, names: list[str]) -> None:
    page.evaluate(
        """([names, bytes]) => {
            const dataTransfer = new DataTransfer();
            const content = new Uint8Array(bytes);
            for (const name of names) dataTransfer.items.add(new File([content], name));
            const options = { dataTransfer, bubbles: true, cancelable: true };
            document.dispatchEvent(new DragEvent("drop", options));
        }""",
        [names, list(WAV)],
    )


@pytest.mark.parametrize(("format", "subtype"), [("AIFF", "PCM_16"), ("MP3", "MPEG_LAYER_III")])
def test_formats_that_browsers_decode_differently_are_aligned(
    page: Page, format: str, subtype: str
) -> None:
    choose(page, encode(tone(1.5, RATE), format, subtype, RATE), "talk.x")
    expect_result(page, "talk.x")
    expect(page.locator("#about")).to_have_text("0:01.5, 8 kHz, mono")


def test_the_microphone_is_recorded(page: Page) -> None:
    page.locator("#record").click()
    expect(page.get_by_role("timer")).to_have_text(re.compile("0:0[1-9]"))
    assert page.get_by_role("meter").evaluate("meter => meter.value") == pytest.approx(-8, abs=2)
    page.get_by_role("button", name="Stop and clean").click()
    expect_result(page, "recording.wav")
    name, samples, rate = download(page)
    assert name == "recording-denoised.wav"
    assert 1 <= len(samples) / rate < 10
    middle = samples[rate // 4 : rate * 3 // 4, 0]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * rate / len(middle) == pytest.approx(TONE_HZ, abs=3)
    # No automatic gain control has changed the amplitude.
    assert np.sqrt(2 * np.mean(np.square(middle))) == pytest.approx(0.4 / 2, abs=0.02)


STUB_WAKE_LOCK = """window.locks = [];
const request = async (type) => {
    const lock = { type, isHeld: true, release: async () => { lock.isHeld = false; } };
    locks.push(lock);
    return lock;
};
Object.defineProperty(navigator, "wakeLock", { value: { request } });"""
COME_BACK = "document.dispatchEvent(new Event('visibilitychange')); locks.length"


@pytest.mark.parametrize("end", ["Stop and clean", "Discard"])
def test_the_screen_stays_on_while_the_microphone_is_recorded(
    open_page: Callable[..., Page], end: str
) -> None:
    page = open_page(init=STUB_WAKE_LOCK)
    assert page.evaluate("locks") == []
    page.locator("#record").click()
    expect(page.get_by_role("meter")).not_to_have_js_property("value", -60)
    held = page.evaluate("locks.map(({ type, isHeld }) => [type, isHeld])")
    assert held == [["screen", True]]
    assert page.evaluate(COME_BACK) == 2  # a browser takes the lock from a page that is hidden
    page.get_by_role("button", name=end).click()
    wait_until(page, "locks.every(({ isHeld }) => !isHeld)")
    assert page.evaluate(COME_BACK) == 2


def test_a_screen_that_may_not_stay_on_ends_no_recording(open_page: Callable[..., Page]) -> None:
    refuse = "request: () => Promise.reject(new DOMException('', 'NotAllowedError'))"
    page = open_page(
        init=f"Object.defineProperty(navigator, 'wakeLock', {{ value: {{ {refuse} }} }});"
    )
    page.locator("#record").click()
    expect(page.get_by_role("meter")).not_to_have_js_property("value", -60)
    page.get_by_role("button", name="Stop and clean").click()
    expect_result(page, "recording.wav")


def test_a_recording_can_be_discarded(page: Page) -> None:
    page.locator("#record").click()
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("#record")).to_be_focused()
    expect(page.get_by_role("heading", name="An example")).to_be_visible()


def test_a_recording_stops_at_the_server_s_limit(open_page: Callable[..., Page]) -> None:
    short = {"body_bytes": 2**20, "channel_seconds": 2.5, "minutes": {"2": 0.02}}
    page = open_page(routes={"**/v1/limits": respond(200, short)})
    page.locator("#record").click()
    expect(page.get_by_text("of 0:01 at most")).to_be_visible()
    expect_result(page, "recording.wav")


@pytest.mark.parametrize("reads_media", [True, False])
def test_the_formats_that_the_server_reads_are_named_and_offered(
    open_page: Callable[..., Page], reads_media: bool
) -> None:
    limits = {
        "body_bytes": 2**20,
        "channel_seconds": 60,
        "minutes": {"2": 0.5},
        "reads": ["wav", "m4a"][: 1 + reads_media],
    }
    page = open_page(routes={"**/v1/limits": respond(200, limits)})
    expect(page.get_by_text("up to 30 seconds and 1 MB each")).to_be_visible()
    assert (page.get_by_text("M4A, MP4 and others").count() == 1) == reads_media
    accept = page.locator("#file").get_attribute("accept") or ""
    assert (".m4a" in accept.split(",")) == reads_media and ".flac" in accept


KEEP_STREAM = """const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
window.allowed = new Promise((resolve) => { window.allow = resolve; });
navigator.mediaDevices.getUserMedia = async (options) => {
    window.stream = await original(options);
    if (HELD) await window.allowed;
    return window.stream;
};"""


def test_a_microphone_that_is_unplugged_ends_the_recording(open_page: Callable[..., Page]) -> None:
    page = open_page(init=KEEP_STREAM.replace("HELD", "false"))
    page.locator("#record").click()
    expect(page.get_by_role("meter")).not_to_have_js_property("value", -60)
    page.evaluate("stream.getTracks()[0].dispatchEvent(new Event('ended'))")
    expect_result(page, "recording.wav")


def test_a_microphone_that_is_allowed_too_late_is_released(open_page: Callable[..., Page]) -> None:
    page = open_page(init=KEEP_STREAM.replace("HELD", "true"))
    page.locator("#record").click()
    expect(page.locator("#status")).to_have_text("Waiting for the microphone")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#record")).to_be_focused()
    choose(page)
    expect_result(page)
    wait_until(page, "window.stream")
    page.evaluate("allow()")
    wait_until(page, "stream.getTracks()[0].readyState === 'ended'")
    expect(page.locator("#record")).to_be_visible()


def test_recording_excludes_playback_and_other_files(page: Page) -> None:
    choose(page, LONG_WAV)
    expect_result(page)
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.locator("#record").click()
    expect(page.get_by_role("button", name="Discard")).to_be_visible()
    # Playback has stopped, or the microphone would record it.
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    choose(page, name="other.wav")
    expect(page.get_by_role("alert")).to_contain_text("Stop or discard the recording first.")
    download = page.get_by_role("button", name="Download", exact=True)
    expect(download).to_be_disabled()  # it might have the recording cleaned once more
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(download).to_be_enabled()


@pytest.mark.parametrize(
    ("label", "extension", "strength", "share"),
    [("same as the original", "wav", 100, 0.5), ("FLAC", "flac", 50, 0.75), ("WAV", "wav", 0, 1.0)],
)
def test_the_download_has_the_chosen_strength(
    page: Page, label: str, extension: str, strength: int, share: float
) -> None:
    choose(page, name="a talk.of.ours.wav")
    expect_result(page, "a talk.of.ours.wav")
    open_details(page)
    page.get_by_label("Download as").select_option(label)
    page.get_by_label("Strength").fill(str(strength))
    name, samples, rate = download(page)
    assert (name, rate) == (f"a talk.of.ours-denoised.{extension}", RATE)
    np.testing.assert_allclose(samples, share * TALK, atol=2e-4)


@pytest.mark.parametrize("name", ["talk.wav", "talk.m4a", "talk.webm"])
def test_a_result_in_the_format_of_the_download_is_not_made_again(page: Page, name: str) -> None:
    choose(page, name=name)
    expect_result(page, name)
    posts: list[str] = []
    page.on("request", lambda request: request.method == "POST" and posts.append(request.url))
    assert download(page)[0] == "talk-denoised.wav"
    assert posts == []


SAY_LONG = "Object.defineProperty(HTMLMediaElement.prototype, 'duration', { get: () => 3000 });"
FLAC = encode(TALK, "FLAC", "PCM_16", RATE)


def post_paths(page: Page) -> list[str]:
    """Return a list that gets the path of each recording that the page sends."""
    paths: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            paths.append(request.url.rsplit("/v1/")[-1])

    page.on("request", note)
    return paths


def test_a_recording_too_long_to_be_played_is_cleaned_once(open_page: Callable[..., Page]) -> None:
    def lengthen(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "audio-seconds": "20000"})

    page = open_page(init=SAY_LONG, routes={"**/v1/jobs/*/result": lengthen})
    sent = post_paths(page)
    choose(page, FLAC, "talk.flac")
    expect(page.get_by_text("It is too long to be played in this page.")).to_be_visible()
    name, samples, rate = download(page)
    assert (name, rate) == ("talk-denoised.flac", RATE)
    np.testing.assert_allclose(samples, TALK / 2, atol=2e-4)
    assert sent == ["jobs?strength=1"]


def test_a_recording_that_only_seems_too_long_is_played(open_page: Callable[..., Page]) -> None:
    page = open_page(init=SAY_LONG)
    sent = post_paths(page)
    choose(page, FLAC, "talk.flac")
    expect_result(page, "talk.flac")
    expect(page.locator("#about")).to_have_text("0:02.0, 8 kHz, mono")
    assert download(page)[0] == "talk-denoised.flac"
    assert sent == ["jobs?strength=1", "jobs?format=wav"]


def test_a_format_that_only_the_browser_reads_is_sent_as_wav_at_once(
    open_page: Callable[..., Page],
) -> None:
    limits = {"body_bytes": 2**20, "channel_seconds": 20, "minutes": {"2": 1}, "reads": ["wav"]}
    page = open_page(routes={"**/v1/limits": respond(200, limits)})
    expect(page.get_by_text("up to 1 minute and 1 MB each")).to_be_visible()
    with page.expect_request("**/v1/denoise*") as sent:
        choose(page, FLAC, "talk.m4a")
    assert (sent.value.post_data_buffer or b"")[:4] == b"RIFF"
    expect_result(page, "talk.m4a")
    assert download(page)[0] == "talk-denoised.wav"


def test_the_page_can_be_used_by_keyboard_alone(page: Page) -> None:
    for control in ("choose", "record", "download"):
        page.keyboard.press("Tab")
        expect(page.locator(f"#{control}")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("After", exact=True)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Removed", exact=True)).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Position", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Loop")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    for control in ("Strength", "Download as", "Keys"):
        page.keyboard.press("Tab")
        expect(page.get_by_label(control)).to_be_focused()


def test_the_page_waits_for_a_busy_server(page: Page) -> None:
    urls: list[str] = []

    def busy_at_first(route: Route) -> None:
        urls.append(route.request.url)
        busy = respond(503, {"title": "Busy", "detail": ""}, **{"Retry-After": "1"})
        busy(route) if len(urls) == 1 else route.continue_()

    page.route("**/v1/denoise*", busy_at_first)
    choose(page)
    expect(page.locator("#status")).to_have_text("Waiting: the server is busy")
    expect_result(page)
    assert len(urls) == 2


@pytest.mark.parametrize("phase", ["sending", "waiting"])
def test_a_request_can_be_cancelled(page: Page, phase: str) -> None:
    held: list[Route] = []
    busy = respond(503, {"title": "Busy", "detail": ""}, **{"Retry-After": "60"})
    page.route("**/v1/denoise*", (lambda route: held.append(route)) if phase == "sending" else busy)
    choose(page)
    if phase == "waiting":
        expect(page.locator("#status")).to_have_text(re.compile("Waiting"))
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("Cancelled.")
    expect(page.locator("#choose")).to_be_focused()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_second_recording_replaces_the_first(page: Page) -> None:
    page.route("**/v1/denoise*", lambda route: route.continue_())
    choose(page, name="first.wav")
    choose(page, name="second.wav")
    expect_result(page, "second.wav")


HOLD_FIRST = """const decode = OfflineAudioContext.prototype.decodeAudioData;
const held = new Promise((resolve) => { window.release = resolve; });
window.started = -2; // the example is decoded before: twice
OfflineAudioContext.prototype.decodeAudioData = async function (bytes) {
    if (window.started++ === 0) await held;
    return decode.call(this, bytes);
};"""


@pytest.mark.parametrize("instead", ["Cancel", "second.wav"])
def test_a_recording_decoded_too_late_is_not_shown(
    open_page: Callable[..., Page], instead: str
) -> None:
    page = open_page(init=HOLD_FIRST)
    choose(page, name="first.wav")
    wait_until(page, "started > 0")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    if instead == "Cancel":
        page.keyboard.press("Enter")
        expect(page.locator("#choose")).to_be_focused()
    else:
        choose(page, name=instead)
        expect_result(page, instead)
    page.evaluate("release()")
    page.wait_for_timeout(300)
    expect(page.get_by_role("heading", name="first.wav")).to_have_count(0)


def test_download_is_disabled_while_another_file_is_sent(page: Page) -> None:
    choose(page)
    expect_result(page)
    page.route("**/v1/denoise*", lambda route: None)
    choose(page, name="next.wav")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    expect(page.get_by_role("button", name="Download")).to_be_disabled()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Download")).to_be_enabled()


def test_the_page_works_without_session_storage(open_page: Callable[..., Page]) -> None:
    page = open_page(
        init="""Object.defineProperty(window, "sessionStorage", {
            get() { throw new DOMException("", "SecurityError"); },
        });"""
    )
    choose(page)
    expect_result(page)
