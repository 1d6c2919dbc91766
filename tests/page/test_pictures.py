"""The spectrograms and the layout of the page."""

import io
import json
import re
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, Route, expect

from tests import browser
from tests.corpora import encode
from tests.page.acts import LONG_WAV, TALK, choose, expect_result, open_details, tone

pytestmark = browser.needed


def test_the_page_and_the_server_compute_the_same_spectrogram(page: Page, address: str) -> None:
    rate = 16_000  # at this rate both use frames of 512 samples
    noise = 0.1 * np.random.default_rng(3).standard_normal((rate // 2, 1))
    sent = encode(noise + tone(0.5, rate), "WAV", "FLOAT", rate)
    samples, _ = soundfile.read(io.BytesIO(sent), dtype="float32")
    on_page = page.evaluate(
        """async ([samples, rate]) => {
            const { decibels, spectra } = await import("/page/spectrogram.js");
            const sound = Float32Array.from(samples);
            const found = spectra(sound, sound.map(() => 0), rate);
            const { db, columns, rows } = decibels(found, [1, 0]);
            return { db: [...db], columns, rows };
        }""",
        [samples.tolist(), rate],
    )
    response = page.request.post(f"{address}v1/spectrogram", data=sent)
    on_server = np.array(json.loads(response.body())["db"])
    db = np.reshape(on_page["db"], (on_page["columns"], on_page["rows"] // 2, 2)).max(axis=2)
    np.testing.assert_allclose(db, on_server, atol=0.06)  # the server rounds to 0.1 dB


def test_the_spectrogram_of_a_mix_equals_that_of_the_mixed_samples(page: Page) -> None:
    before, after = 0.1 * np.random.default_rng(5).standard_normal((2, 9000))
    db = page.evaluate(
        """async ([before, after]) => {
            const { decibels, spectra } = await import("/page/spectrogram.js");
            const of = (...both) => spectra(...both.map((x) => Float32Array.from(x)), 8000);
            const mixed = before.map((x, i) => x + 0.3 * (after[i] - x));
            const silent = before.map(() => 0);
            const mix = decibels(of(before, after), [0.7, 0.3]);
            const found = [mix, decibels(of(mixed, silent), [1, 0])];
            return found.map(({ db }) => [...db]);
        }""",
        [before.tolist(), after.tolist()],
    )
    np.testing.assert_allclose(db[0], db[1], atol=0.01)


def pixels(page: Page, which: str, x: int, y: int, height: int) -> np.ndarray:
    """Return 200 columns of a canvas, [height, 200, 4]; a negative y counts from the bottom."""
    data = page.locator(which).evaluate(
        """(canvas, [x, y, height]) => {
            const top = y < 0 ? canvas.height + y : y;
            return [...canvas.getContext("2d").getImageData(x, top, 200, height).data];
        }""",
        [x, y, height],
    )
    return np.reshape(data, (height, 200, 4))


def test_silence_is_dark_up_to_half_the_sample_rate(page: Page) -> None:
    choose(page, encode(0 * TALK, "WAV", "PCM_16", 4000))  # browsers play 8 kHz or more
    expect_result(page)
    expect(page.get_by_role("img", name=re.compile("after.* 0 to 2.0 kHz"))).to_be_visible()
    assert pixels(page, "#picture", 200, 20, 50)[..., :3].max() < 20


def test_spectrograms_follow_the_colour_scheme_and_the_zoom(page: Page) -> None:
    choose(page)
    expect_result(page)
    open_details(page)
    expect(page.get_by_role("img", name="Spectrogram, after: 0")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    for canvas in ("#picture", "#scale"):
        letters = pixels(page, canvas, 200, -12 if canvas != "#scale" else -22, 12)
        assert np.median(letters[letters[..., 3] == 255, :3]) > 127, canvas
    width = page.evaluate("document.getElementById('scale').width")
    page.context.new_cdp_session(page).send(
        "Emulation.setDeviceMetricsOverride",
        {"width": 1024, "height": 720, "deviceScaleFactor": 1.25, "mobile": False},
    )
    for canvas in ("#picture", "#scale"):
        expect(page.locator(canvas)).to_have_js_property("width", round(1.25 * width))


def test_long_time_axes_are_labelled_in_whole_minutes(page: Page) -> None:
    labels = page.evaluate(
        """async () => {
            const labels = [];
            CanvasRenderingContext2D.prototype.fillText = text => labels.push(text);
            const canvas = document.createElement("canvas");
            canvas.style.width = "800px";
            document.body.append(canvas);
            const { Picture } = await import("/page/picture.js");
            const spectrogram = { db: new Float32Array(4), columns: 2, rows: 2, topHz: 8000 };
            const picture = new Picture(canvas, () => {});
            picture.hasAxes = true;
            picture.add("after", spectrogram, { duration: 540, hz: 8000, topDb: 0 });
            return labels;
        }"""
    )
    assert {"1:00", "2:00", "9:00"} <= set(labels)


def test_the_previous_spectrogram_is_cleared(page: Page) -> None:
    choose(page)
    expect_result(page)
    expect(page.get_by_role("img", name="Spectrogram, after: 0")).to_be_visible()
    page.route("**/spectrogram-worker.js", lambda route: None)
    choose(page, name="next.wav")
    expect_result(page, "next.wav")
    expect(page.get_by_role("img", name="Spectrogram, after", exact=True)).to_be_visible()
    assert not pixels(page, "#picture", 0, 0, 100).any()
    expect(page.locator("#picture")).to_have_css("background-color", "rgb(5, 6, 15)")


def test_the_page_can_be_used_while_a_worker_computes_the_spectrograms(page: Page) -> None:
    held: list[Route] = []
    page.route("**/spectrogram-worker.js", lambda route: held.append(route))
    choose(page, LONG_WAV)
    expect_result(page)
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_role("img", name="Spectrogram, after", exact=True)).to_be_visible()
    assert not pixels(page, "#picture", 0, 0, 100).any()  # the page itself computes none
    held[0].continue_()
    expect(page.get_by_role("img", name="Spectrogram, after: 0")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_the_page_fits_its_width_and_has_enough_contrast(
    open_page: Callable[..., Page], width: int, scheme: str
) -> None:
    page = open_page(viewport={"width": width, "height": 700}, color_scheme=scheme)
    choose(page, name="a_very_long_name_without_any_place_to_break_it_" * 3 + ".wav")
    expect(page.get_by_role("button", name="Download")).to_be_visible()
    open_details(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    middles = page.evaluate(
        """["strength", "strength-value"].map((id) => {
            const { top, bottom } = document.getElementById(id).getBoundingClientRect();
            return (top + bottom) / 2;
        })"""
    )
    assert middles[0] == pytest.approx(middles[1], abs=2)  # on one line
    for element in ("h1", "#about", "button.primary", "a", "summary", "#noise", "#play", "#record"):
        assert contrast(page, element) >= 4.5, element


def contrast(page: Page, selector: str) -> float:
    """Return the contrast of an element's text with its background (WCAG 2.2)."""
    foreground, background = page.locator(selector).first.evaluate(
        """element => {
            const foreground = getComputedStyle(element).color;
            let under = element, background;
            do {
                background = getComputedStyle(under).backgroundColor;
                under = under.parentElement;
            } while (background === "rgba(0, 0, 0, 0)" && under);
            const channels = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
            return [foreground, background].map(channels);
        }"""
    )
    luminances = []
    for colour in (foreground, background):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in np.array(colour) / 255
        ]
        luminances.append(float(np.dot([0.2126, 0.7152, 0.0722], linear)) + 0.05)
    return max(luminances) / min(luminances)
