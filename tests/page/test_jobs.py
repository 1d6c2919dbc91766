"""Long recordings, which the page sends as jobs."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests import browser
from tests.page.acts import WAV, choose, expect_result, respond

pytestmark = browser.needed

CLEAN = """async ([bytes, query, cancelAt]) => {
    const { denoiseAsJob } = await import("/page/job.js");
    const told = [];
    const controller = new AbortController();
    const tell = (phase, share) => {
        told.push([phase, share]);
        if (share === cancelAt) controller.abort();
    };
    const file = new File([new Uint8Array(bytes)], "talk.wav");
    try {
        const made = await denoiseAsJob(file, query, tell, controller.signal);
        return { ...made, blob: [...new Uint8Array(await made.blob.arrayBuffer())], told };
    } catch ({ name, title, message, status }) {
        return { name, title, message, status, told };
    }
}"""


def clean(
    page: Page,
    content: bytes = WAV,
    query: dict[str, str] | None = None,
    cancel_at: float | str | None = "never",
) -> dict[str, Any]:
    """Clean as a job, cancelled at a share of progress; return the result, or the error."""
    found: dict[str, Any] = page.evaluate(CLEAN, [list(content), query or {}, cancel_at])
    return found


@pytest.fixture
def deleted(page: Page) -> list[str]:
    """Return a list that gets the path of each job that the page deletes."""
    paths: list[str] = []

    def note(route: Route) -> None:
        if route.request.method == "DELETE":
            paths.append(route.request.url)
        route.continue_()

    page.route("**/v1/jobs/*", note)
    return paths


def wait_for(page: Page, condition: Callable[[], object]) -> None:
    for _ in range(100):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("It has not happened.")


def test_a_job_gives_what_a_direct_request_gives(
    page: Page, address: str, deleted: list[str]
) -> None:
    made = clean(page, query={"format": "flac"})
    assert (made["sampleRate"], made["extension"]) == (8000, "flac")
    direct = page.request.post(f"{address}v1/denoise?format=flac", data=WAV)
    assert bytes(made["blob"]) == direct.body()
    phases = [phase for phase, *_ in made["told"]]
    assert phases[0] == "sending" and phases[-1] == "receiving"
    wait_for(page, lambda: deleted)
    assert page.request.get(deleted[0]).status == 404


def test_a_job_that_fails_tells_why(page: Page, deleted: list[str]) -> None:
    failed = clean(page, b"no audio")
    assert failed["title"] == "This is not a supported audio format."
    assert (failed["name"], failed["status"]) == ("Problem", 415)
    wait_for(page, lambda: deleted)


def test_a_job_that_is_cancelled_before_the_server_has_answered_is_deleted(
    page: Page, deleted: list[str]
) -> None:
    assert clean(page, cancel_at=None)["name"] == "AbortError"  # once the whole recording is sent
    wait_for(page, lambda: deleted)
    wait_for(page, lambda: page.request.get(deleted[0]).status == 404)


@pytest.mark.parametrize(
    ("method", "pattern", "failures"),
    [
        ("POST", "**/v1/jobs?*", [503]),
        ("GET", "**/v1/jobs/*", [503, 0, 502]),
        ("GET", "**/v1/jobs/*/result", [504, 0]),
    ],
)
def test_a_server_that_is_busy_or_starts_anew_is_waited_for(
    page: Page, method: str, pattern: str, failures: list[int]
) -> None:
    left = list(failures)

    def fail_at_first(route: Route) -> None:
        if route.request.method != method or not left:
            route.continue_()
        elif status := left.pop():
            respond(status, "<html>")(route)
        else:
            route.abort()

    page.route(pattern, fail_at_first)
    made = clean(page)
    assert made["extension"] == "wav" and left == []
    assert ["waiting" if method == "POST" else "unreachable", None] in made["told"]


def test_a_pause_leaves_no_listener_behind(page: Page) -> None:
    count = page.evaluate(
        """async () => {
            const { pause } = await import("/page/api.js");
            const { signal } = new AbortController();
            let count = 0;
            signal.addEventListener = () => { count += 1; };
            signal.removeEventListener = () => { count -= 1; };
            await pause(0, signal);
            return count;
        }"""
    )
    assert count == 0


def test_a_job_that_the_server_has_lost_is_an_error(page: Page) -> None:
    page.route("**/v1/jobs/*", respond(404, {"title": "No job", "detail": ""}))
    assert clean(page)["title"] == "The server has lost the recording."


def test_a_job_that_needs_a_token_asks_for_it(page: Page) -> None:
    page.route("**/v1/jobs/*", respond(401, {"title": "No token", "detail": ""}))
    assert clean(page)["status"] == 401


def test_a_cancelled_job_is_deleted(page: Page, deleted: list[str]) -> None:
    queued = {"state": "running", "progress": 0.2}
    page.route(
        "**/v1/jobs/*",
        lambda route: (
            respond(200, queued)(route) if route.request.method == "GET" else route.fallback()
        ),
    )
    cancelled = clean(page, cancel_at=0.2)
    assert cancelled["name"] == "AbortError"
    assert ["cleaning", 0.2] in cancelled["told"]
    wait_for(page, lambda: deleted)


def test_a_page_that_is_closed_deletes_its_job(page: Page, address: str) -> None:
    jobs: list[str] = []
    page.on("request", lambda request: "/v1/jobs/" in request.url and jobs.append(request.url))
    page.route("**/v1/jobs/*/result", lambda route: None)
    page.evaluate(f"(given) => {{ ({CLEAN})(given); }}", [list(WAV), {}, "never"])
    wait_for(page, lambda: jobs and jobs[-1].endswith("/result"))
    assert page.request.get(jobs[0]).ok
    page.goto(f"{address}openapi.json")
    wait_for(page, lambda: page.request.get(jobs[0]).status == 404)


def test_long_recordings_are_sent_as_jobs(open_page: Callable[..., Page]) -> None:
    limits = {"body_bytes": 2**30, "channel_seconds": 7200, "minutes": {"2": 60}}
    page = open_page(routes={"**/v1/limits": respond(200, limits)})
    paths: list[str] = []
    page.on("request", lambda request: paths.append(request.url.rsplit("/v1/")[-1]))
    choose(page, WAV + bytes(8 * 2**20), "long.wav")
    expect(page.get_by_role("alert")).to_contain_text("long.wav:")  # the server takes less
    assert [path for path in paths if path.startswith(("jobs", "denoise"))] == ["jobs?format=wav"]
    choose(page)
    expect_result(page)
    assert any(path.startswith("denoise") for path in paths)


def test_the_rest_of_a_job_is_estimated_from_its_progress(page: Page) -> None:
    shown = page.evaluate(
        """async () => {
            const { Pace } = await import("/page/pace.js");
            const { tell } = await import("/page/task.js");
            const pace = new Pace(null);
            const now = performance.now.bind(performance);
            pace.follow("cleaning");
            performance.now = () => now() + 10_000;
            tell("cleaning", 0.25, pace.estimate(0.25));
            performance.now = now;
            const { value } = document.getElementById("progress");
            return [document.getElementById("doing").textContent, value];
        }"""
    )
    assert shown == ["Cleaning: about 30 seconds left", 0.25]
