"""Nothing is sent to anyone but the server that the user names, and the home folder stays empty."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from denoise.cli.main import main
from tests.closures import ROOT
from tests.test_client import FakeServer, server  # noqa: F401 - a fixture

EXAMPLE = ROOT / "denoise" / "server" / "web" / "example.flac"
DENOISE_AN_ARRAY = """
import numpy as np
from denoise import Denoiser
Denoiser.load().denoise(np.zeros(1000, np.float32), 16_000)
"""
IMPORT_THE_BENCHMARKS = "import benchmarks, onnxruntime"
USES = [
    ["-m", "denoise", str(EXAMPLE), "-o", "clean.flac"],
    ["-c", DENOISE_AN_ARRAY],
    ["-c", IMPORT_THE_BENCHMARKS],
]
TELEMETRY = [{}, {"ORT_DISABLE_TELEMETRY": "0"}, {"ORT_DISABLE_TELEMETRY": ""}]


def run_with_a_fresh_home(home: Path, *command: str, **variables: str) -> None:
    home.mkdir()
    left_out = ("ORT_", "XDG_")
    inherited = {key: text for key, text in os.environ.items() if not key.startswith(left_out)}
    names = ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME")
    homes = dict.fromkeys(names, str(home))
    environment = {**inherited, **homes, "PYTHONPATH": str(ROOT), **variables}
    subprocess.run(command, cwd=home.parent, env=environment, check=True, capture_output=True)


@pytest.mark.parametrize("use", USES, ids=["command", "array", "benchmarks"])
@pytest.mark.parametrize("telemetry", TELEMETRY, ids=str)
def test_nothing_is_written_into_the_home_folder(
    tmp_path: Path, use: list[str], telemetry: dict[str, str]
) -> None:
    run_with_a_fresh_home(tmp_path / "home", sys.executable, *use, **telemetry)
    assert list((tmp_path / "home").rglob("*")) == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_host_is_looked_up_and_no_file_in_the_home_folder_is_opened(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-e", "trace=socket,connect,openat,mkdir", "-o", str(trace)]
    try:
        run_with_a_fresh_home(tmp_path / "home", *strace, sys.executable, *USES[0])
    except subprocess.CalledProcessError as error:
        if b"ptrace" in error.stderr.lower():
            pytest.skip("strace may not trace here")
        raise
    calls = trace.read_text(encoding="utf-8", errors="replace")
    assert "exited with 0" in calls  # it did trace
    assert re.findall(r".*AF_(?:INET|NETLINK).*", calls) == []
    assert str(tmp_path / "home") not in calls


def test_every_import_of_onnxruntime_comes_after_the_switch() -> None:
    """Only one module of the package imports it; the benchmarks set the variable first."""
    importers = set()
    for package in ("denoise", "stages", "presets", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = {alias.name for alias in node.names}
                else:
                    names = {node.module} if isinstance(node, ast.ImportFrom) else set()
                if any(str(name).partition(".")[0] == "onnxruntime" for name in names):
                    importers.add(path.relative_to(ROOT).as_posix())
    assert importers == {"denoise/inference/onnx_runtime.py"}


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_the_client_sends_to_the_named_server_and_not_to_a_proxy(
    server: FakeServer,  # noqa: F811 - the fixture
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("no_proxy", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(variable, raising=False)
    Path("talk.wav").write_bytes(b"noisy")
    proxy = FakeServer()
    monkeypatch.setenv(name, proxy.url)
    with proxy:
        options = ["--token", "s3cret", "--timeout", "5"]
        assert main(["client", server.url, "talk.wav", "-o", "clean.wav", *options]) == 0
    assert proxy.requests == []
    ((_, headers, body),) = server.requests
    assert body == b"noisy" and headers["Authorization"] == "Bearer s3cret"
    assert "talk" not in str(headers)
