"""The player's keys, its loop, and the figure for the noise."""

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests import browser
from tests.corpora import encode
from tests.page.acts import LONG_WAV, RATE, choose, expect_result, open_details, tone

pytestmark = browser.needed


def test_space_plays_and_pauses_wherever_the_focus_is(page: Page) -> None:
    choose(page, LONG_WAV)
    expect_result(page)  # the heading has the focus
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("slider", name="Position").focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_space_presses_the_button_that_has_the_focus(page: Page) -> None:
    page.get_by_role("button", name="Loop").focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Loop")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_b_switches_between_before_and_after(page: Page) -> None:
    for expected in ("Before", "After", "Before"):
        page.keyboard.press("b")
        expect(page.get_by_label(expected, exact=True)).to_be_checked()
    page.get_by_label("Removed").check(force=True)
    page.keyboard.press("B")
    expect(page.get_by_label("Before", exact=True)).to_be_checked()
    name = "Spectrogram, before: 0 to"
    expect(page.get_by_role("img", name=name)).to_be_visible()


@pytest.mark.parametrize("key", ["Control+b", "Alt+b", "Meta+b"])
def test_keys_with_a_modifier_are_the_browser_s(page: Page, key: str) -> None:
    page.keyboard.press(key)
    expect(page.get_by_label("After", exact=True)).to_be_checked()


def test_keys_can_be_turned_off(page: Page) -> None:
    open_details(page)
    page.get_by_label("Keys").uncheck()
    page.keyboard.press("b")
    page.keyboard.press("l")
    expect(page.get_by_label("After", exact=True)).to_be_checked()
    expect(page.get_by_role("button", name="Loop")).to_have_attribute("aria-pressed", "false")


def test_keys_do_nothing_while_the_microphone_is_on(page: Page) -> None:
    page.locator("#record").click()
    page.get_by_role("meter").click()
    page.keyboard.press("Space")
    page.keyboard.press("b")
    expect(page.get_by_label("After", exact=True)).to_be_checked()
    expect(page.locator("#play")).to_be_disabled()
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("#play")).to_be_enabled()


def test_a_looped_recording_starts_again(page: Page) -> None:
    choose(page, encode(tone(0.4, RATE), "WAV", "PCM_16", RATE))
    expect_result(page)
    page.keyboard.press("l")
    expect(page.get_by_role("button", name="Loop")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Space")
    page.wait_for_timeout(1200)  # three times its length
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert 0 <= float(page.get_by_role("slider", name="Position").input_value()) <= 0.4
    page.keyboard.press("l")
    expect(page.get_by_role("button", name="Play")).to_be_visible()  # it has ended


NOISE_LEVEL = """async ([before, after, weights]) => {
    const { spectra } = await import("/page/spectrogram.js");
    const { noiseLevel } = await import("/page/noise-level.js");
    const [first, second] = [before, after].map((samples) => Float32Array.from(samples));
    return noiseLevel(spectra(first, second, 16000), weights);
}"""


def make_talk(noise_gain: float, noise_kept: float, offset: float = 0) -> tuple[list, list]:
    """Return noisy and cleaned samples: tones of half a second with pauses of half a second."""
    random = np.random.default_rng(4)
    speech = np.tile(np.repeat([0.3, 0.0], 8000), 4) * np.sin(0.2 * np.arange(64_000))
    noise = noise_gain * random.standard_normal(64_000)
    return (speech + noise + offset).tolist(), (speech + noise_kept * noise).tolist()


@pytest.mark.parametrize(
    ("kept", "weights", "expected"),
    [
        (0.1, [0, 1], 20),
        (0.01, [0, 1], 40),
        (0.001, [0, 1], 40),  # the most that is said
        (0.1, [0.5, 0.5], 5.19),  # at half the strength, 55 % of the noise is left
        (0.1, [1, 0], 0),
    ],
)
def test_the_noise_is_measured_in_the_pauses(
    page: Page, kept: float, weights: list[float], expected: float
) -> None:
    found = page.evaluate(NOISE_LEVEL, [*make_talk(0.003, kept, offset=0.2), weights])
    assert found["reductionDb"] == pytest.approx(expected, abs=0.3)


def test_noise_that_nobody_hears_and_speech_without_pauses_have_no_figure(page: Page) -> None:
    quiet = page.evaluate(NOISE_LEVEL, [*make_talk(1e-5, 0.1), [0, 1]])
    assert quiet == {"reductionDb": None, "isSilent": True}
    steady = (0.3 * np.sin(0.2 * np.arange(32_000))).tolist()
    assert page.evaluate(NOISE_LEVEL, [steady, steady, [0, 1]]) == {
        "reductionDb": None,
        "isSilent": False,
    }


def test_the_figure_follows_the_strength(page: Page) -> None:
    noisy, _ = make_talk(0.003, 0)
    choose(page, encode(np.array(noisy)[:, None], "WAV", "PCM_16", RATE))
    expect_result(page)
    expect(page.locator("#noise")).to_have_text("Noise 6 dB lower")  # the network halves all
    open_details(page)
    page.get_by_label("Strength").fill("0")
    page.get_by_label("Strength").dispatch_event("change")
    expect(page.locator("#noise")).to_have_text("Noise as before")
