"""Progress, estimates, and formats that the browser decodes for the server."""

import io
import re

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, Route, expect

from tests import browser
from tests.corpora import encode
from tests.page.acts import RATE, choose, download, expect_error, expect_result, respond, tone

pytestmark = browser.needed


# The server has the whole recording, and does not answer.
NEVER_ANSWER = "XMLHttpRequest.prototype.send = function () { this.upload.onload(); }; 0"


def test_the_time_that_is_left_is_estimated(page: Page) -> None:
    page.evaluate(
        """async () => {
            const { Pace } = await import("/page/pace.js");
            const now = performance.now.bind(performance);
            for (const [audioSeconds, workSeconds] of [[60, 600], [2, 0.001]]) {
                const pace = new Pace(audioSeconds); // the second is too short to tell anything
                pace.follow("cleaning");
                performance.now = () => now() + 1000 * workSeconds;
                pace.follow("receiving");
                performance.now = now;
            }
            window.now = 0;
            performance.now = () => window.now;
        }"""
    )
    page.evaluate(NEVER_ANSWER)
    choose(page, encode(tone(2.0, RATE), "WAV", "PCM_16", RATE))
    expect(page.locator("#doing")).to_have_text("Cleaning: about 20 seconds left")
    bar = page.get_by_role("progressbar")
    assert bar.evaluate("bar => bar.value") == 0
    page.evaluate("window.now = 1000")
    expect(page.locator("#doing")).to_have_text("Cleaning: about 19 seconds left")
    assert bar.evaluate("bar => bar.value") == pytest.approx(0.05)
    expect(page.locator("#status")).to_have_text("Cleaning")  # is not read out every second


def test_the_bar_stops_before_its_end_where_the_estimate_was_too_short(page: Page) -> None:
    shown = page.evaluate(
        """async () => {
            const { tell } = await import("/page/task.js");
            tell("cleaning", null, { expected: 0.05 });
            await new Promise((resolve) => setTimeout(resolve, 600));
            const shown = [document.getElementById("progress").value];
            shown.push(document.getElementById("doing").textContent);
            tell("receiving", 1);
            return shown;
        }"""
    )
    assert shown == [pytest.approx(0.95), "Cleaning"]


def test_a_new_task_shows_nothing_of_the_last_one(page: Page) -> None:
    shown = page.evaluate(
        """async () => {
            const { attempt, tell } = await import("/page/task.js");
            const never = new Promise(() => {});
            attempt(() => {
                tell("cleaning", null, { expected: 20 }); // which a timer moves
                return never;
            });
            attempt(() => never);
            const shown = () => [
                document.getElementById("doing").textContent,
                document.getElementById("progress").hasAttribute("value"),
            ];
            const first = shown();
            await new Promise((resolve) => setTimeout(resolve, 600));
            return [...first, ...shown()];
        }"""
    )
    assert shown == ["Preparing", False] * 2


def test_a_file_of_unknown_duration_has_no_estimate(page: Page) -> None:
    page.evaluate(NEVER_ANSWER)
    choose(page, b"no audio at all")
    expect(page.locator("#doing")).to_have_text("Cleaning")
    assert not page.get_by_role("progressbar").evaluate("bar => bar.hasAttribute('value')")


def test_durations_and_sizes_are_written_in_words(page: Page) -> None:
    written = page.evaluate(
        """async () => {
            const { fileSize, inWords } = await import("/page/dom.js");
            const sizes = [900, 3 * 2 ** 20, 1.5 * 2 ** 30].map(fileSize);
            return [...[1.2, 59, 61, 3600].map(inWords), ...sizes];
        }"""
    )
    assert written[:4] == ["1 second", "59 seconds", "1 minute", "60 minutes"]
    assert written[4:] == ["0.9 kB", "3 MB", "1.5 GB"]


@pytest.mark.parametrize("file_name", ["talk.m4a", "talk.flac"])
def test_what_the_server_does_not_read_is_decoded_by_the_browser(
    page: Page, file_name: str
) -> None:
    bodies: list[bytes] = []

    def refuse_the_first(route: Route) -> None:
        bodies.append(route.request.post_data_buffer or b"")
        refusal = respond(415, {"title": "Unsupported", "detail": ""})
        refusal(route) if len(bodies) == 1 else route.continue_()

    page.route("**/v1/denoise*", refuse_the_first)
    stereo = np.hstack([tone(1.0), 0.25 * tone(1.0)])
    choose(page, encode(stereo, "FLAC", "PCM_16", 48_000), file_name)
    expect_result(page, file_name)
    sent, rate = soundfile.read(io.BytesIO(bodies[1]))
    assert rate == 48_000
    np.testing.assert_allclose(sent, stereo, atol=1e-4)
    name, samples, _ = download(page)
    assert (name, samples.shape) == ("talk-denoised.wav", stereo.shape)
    assert len(bodies) == 2  # the result was there already


def test_what_is_too_long_to_be_played_is_offered_for_download(page: Page) -> None:
    def claim_an_hour(route: Route) -> None:
        response = route.fetch()
        headers = {**response.headers, "audio-seconds": "3600", "audio-sample-rate": "48000"}
        route.fulfill(response=response, headers=headers)

    page.route("**/v1/denoise*", claim_an_hour)
    choose(page)
    expect_result(page)
    expect(page.get_by_text("It is too long to be played in this page.")).to_be_visible()
    expect(page.locator("#player")).to_be_hidden()
    assert download(page)[0] == "talk-denoised.wav"
    page.unroute("**/v1/denoise*")
    choose(page, name="short.wav")
    expect_result(page, "short.wav")
    expect(page.locator("#player")).to_be_visible()
    expect(page.get_by_text("It is too long to be played in this page.")).to_be_hidden()


def test_what_neither_reads_is_an_error(page: Page) -> None:
    choose(page, b"no audio", "notes.txt")
    expect_error(page, "notes.txt: This is not a supported audio format.")
    expect(page.locator("#error")).not_to_contain_text(re.compile("browser"))
