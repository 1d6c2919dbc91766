"""A running server for the benchmarks."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `denoise serve` in a process of its own on a free port; yield the process and its URL."""
    command = [sys.executable, "-m", "denoise", "serve", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline() if server.stdout else ""
        (url,) = re.findall(r"http://\S+", line)
        yield server, url
    finally:
        server.terminate()
        server.wait()
