"""Firefox for tests of the page, driven by WebDriver BiDi; they are skipped where there is none.

https://w3c.github.io/webdriver-bidi/ defines the commands. Playwright drives only a Firefox of its
own, which it would have to download.
"""

import asyncio
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

import aiohttp
import pytest

NAMES = ("firefox-esr", "firefox")
TIMEOUT_SECONDS = 30.0
PREFERENCES = {
    "media.autoplay.default": 0,  # 0: allowed
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
}


def find() -> str | None:
    """Return the path of Firefox, from $FIREFOX or the PATH; None if there is none."""
    return os.environ.get("FIREFOX") or next(filter(None, map(shutil.which, NAMES)), None)


needed = pytest.mark.skipif(find() is None, reason="there is no Firefox: see CONTRIBUTING.md")


class Tab:
    """A tab of Firefox."""

    def __init__(
        self, runner: asyncio.Runner, socket: aiohttp.ClientWebSocketResponse, context: str
    ) -> None:
        """Use the tab whose browsing context has this id."""
        self._runner, self._socket, self._context = runner, socket, context

    def goto(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self._command("browsingContext.navigate", url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression: text, a number, a Boolean or None."""
        result = self._evaluate(expression)
        return result.get("value")

    def wait_until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = monotonic() + TIMEOUT_SECONDS
        while not self.evaluate(f"Boolean({condition})"):
            if monotonic() > deadline:
                page = self.evaluate("document.body.innerText")
                raise AssertionError(f"This has not become true: {condition}\n{page}")
            sleep(0.05)

    def set_files(self, selector: str, paths: Sequence[Path]) -> None:
        """Choose files in a file input."""
        element = self._evaluate(f"document.querySelector({selector!r})")
        reference = {"sharedId": element["sharedId"]}
        self._command("input.setFiles", element=reference, files=[str(path) for path in paths])

    def press(self, key: str) -> None:
        """Press a key, and let it go."""
        steps = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self._command(
            "input.performActions", actions=[{"type": "key", "id": "keyboard", "actions": steps}]
        )

    def _evaluate(self, expression: str) -> dict[str, Any]:
        answer = self._command(
            "script.evaluate",
            expression=expression,
            target={"context": self._context},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        result: dict[str, Any] = answer["result"]
        return result

    def _command(self, method: str, **params: Any) -> dict[str, Any]:
        if "target" not in params:
            params["context"] = self._context
        return self._runner.run(send(self._socket, method, params))


_ids = itertools.count()


async def send(
    socket: aiohttp.ClientWebSocketResponse, method: str, params: dict[str, Any]
) -> dict[str, Any]:
    """Send a command and return its result; events that arrive before are dropped."""
    command_id = next(_ids)
    await socket.send_json({"id": command_id, "method": method, "params": params})
    while True:
        answer = await socket.receive_json(timeout=TIMEOUT_SECONDS)
        if answer.get("id") == command_id:
            assert answer["type"] == "success", answer
            result: dict[str, Any] = answer["result"]
            return result


@contextmanager
def started() -> Iterator[Tab]:
    """Start Firefox without a window, yield its tab, and close it at the end."""
    with TemporaryDirectory() as profile, asyncio.Runner() as runner:
        lines = [
            f'user_pref("{name}", {str(value).lower()});' for name, value in PREFERENCES.items()
        ]
        Path(profile, "user.js").write_text("\n".join(lines), encoding="utf-8")
        process = subprocess.Popen(
            [find() or "", "--headless", "--remote-debugging-port=0", "--profile", profile],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        session = runner.run(open_session())
        try:
            yield runner.run(connect(runner, session, read_address(process)))
        finally:
            runner.run(session.close())
            process.terminate()
            process.communicate()


def read_address(process: subprocess.Popen[str]) -> str:
    """Return the address that Firefox prints once it listens."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
            return found[1]
    raise AssertionError("Firefox has ended.")


async def open_session() -> aiohttp.ClientSession:
    """Return an HTTP client, which has to be made inside the event loop."""
    return aiohttp.ClientSession()


async def connect(runner: asyncio.Runner, client: aiohttp.ClientSession, address: str) -> Tab:
    """Begin a WebDriver session and return Firefox' first tab."""
    socket = await client.ws_connect(f"{address}/session", max_msg_size=0)
    await send(socket, "session.new", {"capabilities": {}})
    tree = await send(socket, "browsingContext.getTree", {})
    return Tab(runner, socket, tree["contexts"][0]["context"])
