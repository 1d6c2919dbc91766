"""Playback: before, after and removed, switched while playing."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests import browser
from tests.corpora import encode
from tests.page.acts import LONG_WAV, RATE, choose, expect_result, tone, wait_until

pytestmark = browser.needed


PLAY = """async ([rate, switches]) => {
    const { Player } = await import("/page/player.js");
    const context = new OfflineAudioContext(1, 2 * rate, rate);
    const made = gain => {
        const buffer = new AudioBuffer({ length: 2 * rate, sampleRate: rate });
        const samples = buffer.getChannelData(0);
        for (let n = 0; n < samples.length; n += 1) {
            samples[n] = gain * Math.sin(2 * Math.PI * 100 * n / rate);
        }
        return buffer;
    };
    const player = new Player(() => {}, () => context);
    player.load(made(0.8), made(0.6));
    for (const [seconds, key, value] of switches) {
        context.suspend(seconds).then(() => { player[key] = value; context.resume(); });
    }
    await player.play();
    return [...(await context.startRendering()).getChannelData(0)];
}"""


def test_before_after_and_removed_switch_without_a_click(page: Page) -> None:
    switches = [
        (0.5, "heard", "before"),
        (1.0, "heard", "removed"),
        (1.5, "heard", "after"),
        (1.75, "strength", 0.5),
    ]
    played = np.array(page.evaluate(PLAY, [RATE, switches]))
    seconds = np.arange(len(played)) / RATE
    wave = np.sin(2 * np.pi * 100 * seconds)
    for start, end, gain in (
        (0.1, 0.5, 0.6),
        (0.6, 1.0, 0.8),
        (1.1, 1.5, 0.2),
        (1.6, 1.75, 0.6),
        (1.85, 2, 0.7),
    ):
        during = (seconds >= start) & (seconds < end)
        np.testing.assert_allclose(played[during], gain * wave[during], atol=0.002)
    # The bound is 1.3 times the steepest slope of the tone; a hard switch at a peak of the wave
    # would be a step of 0.2 or more.
    assert np.abs(np.diff(played)).max() < 1.3 * 0.8 * 2 * np.pi * 100 / RATE


KEEP_CONTEXTS = """window.contexts = [];
window.AudioContext = class extends AudioContext {
    constructor(...options) { super(...options); contexts.push(this); }
};"""


def test_playback_uses_the_recording_s_rate_and_closes_old_contexts(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(init=KEEP_CONTEXTS)
    contexts = "contexts.map(({ sampleRate, state }) => `${sampleRate} ${state}`)"
    for rate, expected in ((8000, "8000 running"), (16_000, "8000 closed,16000 running")):
        choose(page, encode(tone(15, rate), "WAV", "PCM_16", rate), f"{rate}.wav")
        expect_result(page, f"{rate}.wav")
        page.get_by_role("button", name="Play").click()
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        assert ",".join(page.evaluate(contexts)) == expected
    page.get_by_role("button", name="Pause").click()
    wait_until(page, "contexts[1].state === 'suspended'")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert page.evaluate("contexts[1].state") == "running"


def test_the_slider_can_be_stepped_and_is_not_announced_while_playing(page: Page) -> None:
    choose(page, LONG_WAV)
    expect_result(page)
    slider = page.get_by_role("slider", name="Position")
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    at = float(slider.input_value())
    assert 1 <= at <= 5
    expect(slider).to_have_attribute(
        "aria-valuetext", f"0:{int(at * 10 + 1e-6) / 10:04.1f} of 0:15.0"
    )
    announced = slider.get_attribute("aria-valuetext")
    shown = page.locator("#time").text_content() or ""
    page.get_by_role("button", name="Play").evaluate("button => button.click()")
    expect(page.locator("#time")).not_to_have_text(shown)
    assert float(slider.input_value()) > at
    assert slider.get_attribute("aria-valuetext") == announced
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^0:00\.\d of"))


def test_scrolling_by_touch_does_not_seek(page: Page) -> None:
    choose(page)
    expect_result(page)
    picture = page.get_by_role("img", name="Spectrogram, after: 0")
    x, y = picture.evaluate(
        "c => { const b = c.getBoundingClientRect(); return [b.x + b.width / 2, b.y + 9]; }"
    )
    for ending, expected in (("pointercancel", 0), ("pointerup", pytest.approx(1, abs=0.1))):
        touch = {"pointerType": "touch", "bubbles": True, "clientX": x, "clientY": y}
        picture.dispatch_event("pointerdown", {**touch, "buttons": 1})
        picture.dispatch_event(ending, touch)
        assert float(page.get_by_role("slider", name="Position").input_value()) == expected


def test_playback_continues_at_the_new_position(page: Page) -> None:
    choose(page, LONG_WAV)
    expect_result(page)
    picture = page.get_by_role("img", name="Spectrogram, after: 0")
    expect(picture).to_be_visible()  # it reacts to clicks only once it is drawn
    page.get_by_role("button", name="Play").click()
    pause = page.get_by_role("button", name="Pause")
    expect(pause).to_be_visible()
    picture.click()  # in its middle
    position = page.get_by_role("slider", name="Position")
    at = float(position.input_value())
    assert 7 < at < 15
    pause.click()
    page.get_by_label("Removed").check(force=True)
    assert at <= float(position.input_value()) < 15
    position.fill("14.5")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()  # playback has ended
    expect(page.get_by_text("0:15.0 / 0:15.0")).to_be_visible()
