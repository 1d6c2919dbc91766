"""The Dockerfile and the systemd unit of docs/server.md, as far as they can be read."""

import json
import re
import shlex
import subprocess
import sys
import threading
from http.server import HTTPServer

import pytest

from denoise.server.cli import make_parser
from tests.closures import ROOT
from tests.test_client import Handler

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
UNIT = PAGE.partition("```ini\n")[2].partition("```")[0]


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    copied = [
        name for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.M) for name in line.split()
    ]
    assert {"denoise", "general/models", "general/live/models", "pyproject.toml"} <= set(copied)
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in kept


def test_the_commands_are_valid_and_the_image_does_not_run_as_root() -> None:
    entry = json.loads(DOCKERFILE.partition("ENTRYPOINT ")[2])
    started = shlex.split(UNIT.partition("ExecStart=")[2].splitlines()[0])
    for program, command, *options in (entry, started):
        assert program.rpartition("/")[2] == "denoise" and command == "serve"
        make_parser().parse_args(options)
    assert "\nUSER denoise\n" in DOCKERFILE.partition("ENTRYPOINT")[0]
    assert make_parser().parse_args([]).port == int(DOCKERFILE.partition("EXPOSE ")[2].split()[0])


class Answer(Handler):
    def do_GET(self) -> None:  # noqa: N802
        assert self.path == "/livez"
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()


@pytest.mark.parametrize(("status", "is_healthy"), [(200, True), (500, False), (None, False)])
def test_the_health_check(status: int | None, is_healthy: bool) -> None:
    line = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", DOCKERFILE, re.M)[0]
    _, option, program = json.loads(line)
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.status = status  # type: ignore[attr-defined]
        port = server.server_address[1]
        if status is None:
            server.server_close()
        else:
            threading.Thread(target=server.handle_request, daemon=True).start()
        program = program.replace("8765", str(port))
        finished = subprocess.run([sys.executable, option, program], stderr=subprocess.DEVNULL)
    assert (finished.returncode == 0) == is_healthy
