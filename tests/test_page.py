"""The page at /, in a browser: what people do with it, and every error that they may read."""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, Route, expect

from tests import browser
from tests.corpora import encode
from tests.networks import write_halving_model
from tests.test_serving import serving

pytestmark = browser.needed

RATE = 8000  # that of the network
TONE_HZ = 440
LIMITS = ("--max-body-mib", "1", "--max-channel-seconds", "20")
TALK = (0.2 * np.random.default_rng(8).standard_normal((2 * RATE, 1))).astype(np.float32)
WAV = encode(TALK, "WAV", "PCM_16", RATE)


def tone(seconds: float, rate: int = 48_000) -> np.ndarray:
    return 0.4 * np.sin(2 * np.pi * TONE_HZ * np.arange(round(seconds * rate)) / rate)[:, None]


def answering(status: int, told: dict[str, Any] | str, **headers: str) -> Callable[[Route], None]:
    body = told if isinstance(told, str) else json.dumps(told)
    return lambda route: route.fulfill(status=status, body=body, headers=headers)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_halving_model(tmp_path_factory.mktemp("model") / "half.onnx")


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    with serving(["denoise", "serve", "--port", "0", "--model", str(model), *LIMITS]) as (
        _,
        netloc,
    ):
        yield f"http://{netloc}/"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    microphone = tmp_path_factory.mktemp("microphone") / "tone.wav"
    microphone.write_bytes(encode(tone(10), "WAV", "PCM_16", 48_000))
    with browser.started(microphone) as started:
        yield started


@pytest.fixture
def open_page(chromium: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Open the page; in the end, no script of it has failed, and all came from its server."""
    faults: list[str] = []

    def open_it(
        url: str = address, init: str = "", routes: dict[str, Any] | None = None, **options: Any
    ) -> Page:
        page = chromium.new_context(**options).new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console", lambda told: "Content Security" in told.text and faults.append(told.text)
        )
        page.on(
            "request",
            lambda asked: asked.url.startswith((url, "blob:")) or faults.append(asked.url),
        )
        if init:
            page.add_init_script(init)
        for pattern, answer in (routes or {}).items():
            page.route(pattern, answer)
        page.goto(url)
        return page

    yield open_it
    for context in chromium.contexts:
        context.close()
    assert faults == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


def choose(page: Page, content: bytes = WAV, name: str = "talk.wav") -> None:
    page.locator("#file").set_input_files({"name": name, "mimeType": "audio/x", "buffer": content})


def wait_until(page: Page, holds: str) -> None:
    page.evaluate(f"async () => {{ while (!({holds})) await new Promise(setTimeout); }}")


def expect_result(page: Page, name: str = "talk.wav") -> None:
    expect(page.get_by_role("heading", name=name)).to_be_focused()
    expect(page.get_by_role("status")).to_have_text(f"{name} is cleaned.")


def expect_refusal(page: Page, told: str) -> None:
    expect(page.get_by_role("alert")).to_contain_text(told)
    expect(page.get_by_role("button", name="Choose a file")).to_be_focused()
    expect(page.get_by_role("progressbar")).to_be_hidden()


def download(page: Page) -> tuple[str, np.ndarray, int]:
    """Press Download; return the file's name, its samples and their rate."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    content = Path(waiting.value.path()).read_bytes()
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return waiting.value.suggested_filename, samples, rate


def test_a_file_is_chosen_cleaned_and_shown(page: Page) -> None:
    expect(page.get_by_text("up to 1 MiB and 0:20 min")).to_be_visible()
    choose(page)
    expect_result(page)
    expect(page.get_by_text("0:02.0, 8 kHz, mono")).to_be_visible()
    for which in ("before", "after"):
        picture = page.get_by_role("img", name=f"Spectrogram, {which}: 0 to 0:02.0, 0 to 4.0 kHz")
        expect(picture).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Colours from -"))).to_be_visible()


def test_a_file_is_dropped(page: Page) -> None:
    page.evaluate(
        """bytes => {
            const dataTransfer = new DataTransfer();
            for (const name of ["first.wav", "second.wav"]) {
                dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
            }
            const how = { dataTransfer, bubbles: true, cancelable: true };
            document.dispatchEvent(new DragEvent("drop", how));
        }""",
        list(WAV),
    )
    expect(page.get_by_role("heading", name="first.wav")).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("first.wav is taken, the rest is not.")


def test_the_example_is_there_to_try(page: Page) -> None:
    page.get_by_role("button", name="Try an example").click()
    expect_result(page, "example.flac")


@pytest.mark.parametrize(("format", "subtype"), [("AIFF", "PCM_16"), ("MP3", "MPEG_LAYER_III")])
def test_what_browsers_read_otherwise_is_aligned_all_the_same(
    page: Page, format: str, subtype: str
) -> None:
    choose(page, encode(tone(1.5, RATE), format, subtype, RATE), "talk.x")
    expect_result(page, "talk.x")
    expect(page.get_by_text("0:01.5, 8 kHz, mono")).to_be_visible()


def test_the_microphone_is_recorded(page: Page) -> None:
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("timer")).to_have_text("0:01")
    assert page.get_by_role("meter").evaluate("meter => meter.value") == pytest.approx(-8, abs=2)
    page.get_by_role("button", name="Stop and clean").click()
    expect_result(page, "recording.wav")
    name, samples, rate = download(page)
    assert name == "recording-denoised.wav"
    assert 1 <= len(samples) / rate < 10
    middle = samples[rate // 4 : rate * 3 // 4, 0]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * rate / len(middle) == pytest.approx(TONE_HZ, abs=3)
    assert np.abs(middle).max() == pytest.approx(0.4 / 2, abs=0.02)  # as it was: no gain moved


def test_a_recording_can_be_discarded(page: Page) -> None:
    page.get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("button", name="Record")).to_be_focused()
    expect(page.get_by_role("button", name="Download")).to_be_hidden()


def test_a_recording_ends_where_the_server_takes_no_more(open_page: Callable[..., Page]) -> None:
    short = {"body_bytes": 2**20, "channel_seconds": 2.5}
    page = open_page(routes={"**/v1/limits": answering(200, short)})
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_text("of 0:01 at most")).to_be_visible()
    expect_result(page, "recording.wav")


KEEP_STREAM = """const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
window.asked = new Promise((resolve) => { window.allow = resolve; });
navigator.mediaDevices.getUserMedia = async (what) => {
    window.stream = await ask(what);
    if (HELD) await window.asked;
    return window.stream;
};"""


def test_a_microphone_that_is_unplugged_ends_the_recording(open_page: Callable[..., Page]) -> None:
    page = open_page(init=KEEP_STREAM.replace("HELD", "false"))
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("meter")).not_to_have_js_property("value", -60)
    page.evaluate("stream.getTracks()[0].dispatchEvent(new Event('ended'))")
    expect_result(page, "recording.wav")


def test_a_microphone_that_is_allowed_too_late_is_let_go(open_page: Callable[..., Page]) -> None:
    page = open_page(init=KEEP_STREAM.replace("HELD", "true"))
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("status")).to_have_text("Waiting for the microphone")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Record")).to_be_focused()
    choose(page)
    expect_result(page)
    wait_until(page, "window.stream")
    page.evaluate("allow()")
    wait_until(page, "stream.getTracks()[0].readyState === 'ended'")
    expect(page.get_by_role("button", name="Record")).to_be_visible()


def test_recording_and_the_rest_keep_out_of_each_others_way(page: Page) -> None:
    choose(page, encode(tone(15, RATE), "WAV", "PCM_16", RATE))
    expect_result(page)
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("button", name="Discard")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()  # else it would be heard
    choose(page, name="other.wav")
    expect(page.get_by_role("alert")).to_contain_text("Stop or discard the recording first.")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize(
    ("label", "extension", "strength", "share"),
    [("as sent", "wav", 100, 0.5), ("FLAC", "flac", 50, 0.75), ("WAV", "wav", 0, 1.0)],
)
def test_what_is_downloaded_is_as_strong_as_asked_for(
    page: Page, label: str, extension: str, strength: int, share: float
) -> None:
    choose(page, name="a talk.of.ours.wav")
    expect_result(page, "a talk.of.ours.wav")
    page.get_by_label("Format").select_option(label)
    page.get_by_label("Strength").fill(str(strength))
    name, samples, rate = download(page)
    assert (name, rate) == (f"a talk.of.ours-denoised.{extension}", RATE)
    np.testing.assert_allclose(samples, share * TALK, atol=2e-4)


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


def test_before_after_and_removed_are_switched_in_place_without_a_click(page: Page) -> None:
    switches = [
        (0.5, "heard", "before"),
        (1.0, "heard", "removed"),
        (1.5, "heard", "after"),
        (1.75, "strength", 0.5),
    ]
    heard = np.array(page.evaluate(PLAY, [RATE, switches]))
    seconds = np.arange(len(heard)) / RATE
    wave = np.sin(2 * np.pi * 100 * seconds)
    for start, end, gain in (
        (0.1, 0.5, 0.6),
        (0.6, 1.0, 0.8),
        (1.1, 1.5, 0.2),
        (1.6, 1.75, 0.6),
        (1.85, 2, 0.7),
    ):
        during = (seconds >= start) & (seconds < end)
        np.testing.assert_allclose(heard[during], gain * wave[during], atol=0.002)
    # The steepest that the tone itself is; a switch at a wave's top would be a step of 0.2 or more.
    assert np.abs(np.diff(heard)).max() < 1.3 * 0.8 * 2 * np.pi * 100 / RATE


KEEP_CONTEXTS = """window.contexts = [];
window.AudioContext = class extends AudioContext {
    constructor(...how) { super(...how); contexts.push(this); }
};"""


def test_it_is_played_at_its_own_rate_and_nothing_is_held_on_to(
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


def test_the_slider_can_be_stepped_and_is_not_read_out_as_it_goes(page: Page) -> None:
    choose(page, encode(tone(15, RATE), "WAV", "PCM_16", RATE))
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
    told = slider.get_attribute("aria-valuetext")
    page.get_by_role("button", name="Play").evaluate("button => button.click()")
    expect(page.get_by_text("0:15.0", exact=False).first).not_to_have_text(f"{told}")
    page.wait_for_timeout(300)
    assert float(slider.input_value()) > at
    assert slider.get_attribute("aria-valuetext") == told
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^0:00\.\d of"))


def test_a_finger_that_scrolls_does_not_seek(page: Page) -> None:
    choose(page)
    expect_result(page)
    picture = page.get_by_role("img", name="Spectrogram, after: 0")
    x, y = picture.evaluate(
        "c => { const b = c.getBoundingClientRect(); return [b.x + b.width / 2, b.y + 9]; }"
    )
    for ending, expected in (("pointercancel", 0), ("pointerup", pytest.approx(1, abs=0.1))):
        finger = {"pointerType": "touch", "bubbles": True, "clientX": x, "clientY": y}
        picture.dispatch_event("pointerdown", {**finger, "buttons": 1})
        picture.dispatch_event(ending, finger)
        assert float(page.get_by_role("slider", name="Position").input_value()) == expected


def test_playing_goes_on_where_one_goes(page: Page) -> None:
    choose(page)
    expect_result(page)
    page.get_by_role("button", name="Play").click()
    pause = page.get_by_role("button", name="Pause")
    expect(pause).to_be_visible()
    page.get_by_role("img", name="Spectrogram, after").click()  # its middle
    position = page.get_by_role("slider", name="Position")
    at = float(position.input_value())
    assert 0.9 < at < 2
    pause.click()
    page.get_by_label("Removed").check(force=True)
    assert at <= float(position.input_value()) <= 2
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()  # again, at the end
    expect(page.get_by_text("0:02.0 / 0:02.0")).to_be_visible()


def test_it_can_be_used_by_keyboard_alone(page: Page) -> None:
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Try an example")).to_be_focused()
    page.keyboard.press("Enter")
    expect_result(page, "example.flac")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    page.keyboard.press("Space")
    for control in ("Position", "After"):
        page.keyboard.press("Tab")
        expect(page.get_by_label(control, exact=True)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Removed")).to_be_checked()
    for control in ("Strength", "Format"):
        page.keyboard.press("Tab")
        expect(page.get_by_label(control)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Download")).to_be_focused()


def test_spectrograms_are_the_servers(page: Page, address: str) -> None:
    rate = 16_000  # where both take frames of 512 samples
    noise = 0.1 * np.random.default_rng(3).standard_normal((rate // 2, 1))
    sent = encode(noise + tone(0.5, rate), "WAV", "FLOAT", rate)
    samples, _ = soundfile.read(io.BytesIO(sent), dtype="float32")
    ours = page.evaluate(
        """async ([samples, rate]) => {
            const { decibels, spectra } = await import("/page/spectrogram.js");
            const sound = Float32Array.from(samples);
            const { db, columns, rows } = decibels(spectra(sound, sound.map(() => 0), rate), 0);
            return { db: [...db], columns, rows };
        }""",
        [samples.tolist(), rate],
    )
    answer = page.request.post(f"{address}v1/spectrogram", data=sent)
    theirs = np.array(json.loads(answer.body())["db"])
    db = np.reshape(ours["db"], (ours["columns"], ours["rows"] // 2, 2)).max(axis=2)
    np.testing.assert_allclose(db, theirs, atol=0.06)  # it rounds to 0.1 dB


def test_spectrograms_of_mixes_are_those_of_the_mixed(page: Page) -> None:
    before, after = 0.1 * np.random.default_rng(5).standard_normal((2, 9000))
    db = page.evaluate(
        """async ([before, after]) => {
            const { decibels, spectra } = await import("/page/spectrogram.js");
            const of = (...both) => spectra(...both.map((x) => Float32Array.from(x)), 8000);
            const mixed = before.map((x, i) => x + 0.3 * (after[i] - x));
            const silent = before.map(() => 0);
            const found = [decibels(of(before, after), 0.3), decibels(of(mixed, silent), 0)];
            return found.map(({ db }) => [...db]);
        }""",
        [before.tolist(), after.tolist()],
    )
    np.testing.assert_allclose(db[0], db[1], atol=0.01)


def pixels(page: Page, which: str, x: int, y: int, height: int) -> np.ndarray:
    """Return 200 of a canvas's columns: [height, 200, 4]; y below 0 is counted from its bottom."""
    data = page.locator(which).evaluate(
        """(canvas, [x, y, height]) => {
            const top = y < 0 ? canvas.height + y : y;
            return [...canvas.getContext("2d").getImageData(x, top, 200, height).data];
        }""",
        [x, y, height],
    )
    return np.reshape(data, (height, 200, 4))


def test_silence_is_dark_up_to_half_its_own_rate(page: Page) -> None:
    choose(page, encode(0 * TALK, "WAV", "PCM_16", 4000))  # browsers play no less than 8 kHz
    expect_result(page)
    expect(page.get_by_role("img", name=re.compile("after.* 0 to 2.0 kHz"))).to_be_visible()
    assert pixels(page, "#after", 200, 20, 50)[..., :3].max() < 20


def test_pictures_follow_the_colours_and_the_zoom(page: Page) -> None:
    choose(page)
    expect_result(page)
    expect(page.get_by_role("img", name="Spectrogram, after: 0")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    for canvas in ("#before", "#after", "#scale"):
        letters = pixels(page, canvas, 200, -12 if canvas != "#scale" else -22, 12)
        assert np.median(letters[letters[..., 3] == 255, :3]) > 127, canvas
    width = page.evaluate("document.getElementById('scale').width")
    page.context.new_cdp_session(page).send(
        "Emulation.setDeviceMetricsOverride",
        {"width": 1024, "height": 720, "deviceScaleFactor": 1.25, "mobile": False},
    )
    for canvas in ("#before", "#after", "#scale"):
        expect(page.locator(canvas)).to_have_js_property("width", round(1.25 * width))


def test_long_times_are_told_in_whole_minutes(page: Page) -> None:
    told = page.evaluate(
        """async () => {
            const told = [];
            CanvasRenderingContext2D.prototype.fillText = text => told.push(text);
            const canvas = document.createElement("canvas");
            canvas.style.width = "800px";
            document.body.append(canvas);
            const { Picture } = await import("/page/picture.js");
            const spectrogram = { db: new Float32Array(4), columns: 2, rows: 2, topHz: 8000 };
            new Picture(canvas, "x", () => {}).show(spectrogram, 540, 8000, 0);
            return told;
        }"""
    )
    assert {"1:00", "2:00", "9:00"} <= set(told)


def test_no_picture_is_of_another_recording(page: Page) -> None:
    choose(page)
    expect_result(page)
    expect(page.get_by_role("img", name="Spectrogram, after: 0")).to_be_visible()
    page.route("**/spectrogram-worker.js", lambda route: None)
    choose(page, name="next.wav")
    expect_result(page, "next.wav")
    expect(page.get_by_role("img", name="Spectrogram, after", exact=True)).to_be_visible()
    assert not pixels(page, "#after", 0, 0, 100).any()


def test_the_page_stays_awake(open_page: Callable[..., Page]) -> None:
    page = open_page(
        init="""window.tasks = [];
        const note = (list) => tasks.push(...list.getEntries().map(({ duration }) => duration));
        new PerformanceObserver(note).observe({ type: "longtask" });"""
    )
    choose(page, encode(tone(19.5), "OGG", "VORBIS", 48_000))
    expect_result(page)
    expect(page.get_by_role("img", name="Spectrogram, after: 0")).to_be_visible()
    assert max(page.evaluate("tasks"), default=0) < 250  # ms


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


def test_a_busy_server_is_waited_for(page: Page) -> None:
    asked: list[str] = []

    def first_busy(route: Route) -> None:
        asked.append(route.request.url)
        busy = answering(503, {"title": "Busy", "detail": ""}, **{"Retry-After": "1"})
        busy(route) if len(asked) == 1 else route.continue_()

    page.route("**/v1/denoise*", first_busy)
    choose(page)
    expect(page.get_by_role("status")).to_have_text("Waiting: the server is busy")
    expect_result(page)
    assert len(asked) == 2


@pytest.mark.parametrize("phase", ["sending", "waiting"])
def test_it_can_be_cancelled(page: Page, phase: str) -> None:
    held: list[Route] = []
    busy = answering(503, {"title": "Busy", "detail": ""}, **{"Retry-After": "60"})
    page.route("**/v1/denoise*", (lambda route: held.append(route)) if phase == "sending" else busy)
    choose(page)
    if phase == "waiting":
        expect(page.get_by_role("status")).to_have_text(re.compile("Waiting"))
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Cancelled.")
    expect(page.get_by_role("button", name="Choose a file")).to_be_focused()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_second_recording_takes_the_place_of_the_first(page: Page) -> None:
    page.route("**/v1/denoise*", lambda route: route.continue_())
    choose(page, name="first.wav")
    choose(page, name="second.wav")
    expect_result(page, "second.wav")


HOLD_FIRST = """const decode = OfflineAudioContext.prototype.decodeAudioData;
const held = new Promise((resolve) => { window.release = resolve; });
window.begun = 0;
OfflineAudioContext.prototype.decodeAudioData = async function (bytes) {
    if (window.begun++ === 0) await held;
    return decode.call(this, bytes);
};"""


@pytest.mark.parametrize("instead", ["Cancel", "second.wav"])
def test_what_is_decoded_too_late_is_not_shown(
    open_page: Callable[..., Page], instead: str
) -> None:
    page = open_page(init=HOLD_FIRST)
    choose(page, name="first.wav")
    wait_until(page, "begun")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    if instead == "Cancel":
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Choose a file")).to_be_focused()
    else:
        choose(page, name=instead)
        expect_result(page, instead)
    page.evaluate("release()")
    page.wait_for_timeout(300)
    expect(page.get_by_role("heading", name="first.wav")).to_have_count(0)


def test_a_download_does_not_end_what_is_sent(page: Page) -> None:
    choose(page)
    expect_result(page)
    page.route("**/v1/denoise*", lambda route: None)
    choose(page, name="next.wav")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    expect(page.get_by_role("button", name="Download")).to_be_disabled()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Download")).to_be_enabled()


def test_a_browser_that_keeps_nothing_is_served(open_page: Callable[..., Page]) -> None:
    page = open_page(
        init="""Object.defineProperty(window, "sessionStorage", {
            get() { throw new DOMException("", "SecurityError"); },
        });"""
    )
    choose(page)
    expect_result(page)


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_it_fits_and_can_be_read(open_page: Callable[..., Page], width: int, scheme: str) -> None:
    page = open_page(viewport={"width": width, "height": 700}, color_scheme=scheme)
    choose(page, name="a_very_long_name_without_any_place_to_break_it_" * 3 + ".wav")
    expect(page.get_by_role("button", name="Download")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    middles = page.evaluate(
        """["strength", "strength-value"].map((id) => {
            const { top, bottom } = document.getElementById(id).getBoundingClientRect();
            return (top + bottom) / 2;
        })"""
    )
    assert middles[0] == pytest.approx(middles[1], abs=2)  # on one line
    for element in ("h1", ".small", "button.primary", "a", "legend", "#record"):
        assert contrast(page, element) >= 4.5, element


def contrast(page: Page, selector: str) -> float:
    """Return the contrast of an element's text against what lies under it (WCAG 2.2)."""
    ink, paper = page.locator(selector).first.evaluate(
        """element => {
            const ink = getComputedStyle(element).color;
            let under = element, paper;
            do { paper = getComputedStyle(under).backgroundColor; under = under.parentElement; }
            while (paper === "rgba(0, 0, 0, 0)" && under);
            return [ink, paper].map(colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number));
        }"""
    )
    lights = []
    for colour in (ink, paper):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in np.array(colour) / 255
        ]
        lights.append(float(np.dot([0.2126, 0.7152, 0.0722], linear)) + 0.05)
    return max(lights) / min(lights)
