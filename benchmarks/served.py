"""A server to measure, in a process of its own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `denoise serve` on any free port; yield its process and its address."""
    command = [sys.executable, "-m", "denoise", "serve", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline() if server.stdout else ""
        (address,) = re.findall(r"http://\S+", line)
        yield server, address
    finally:
        server.terminate()
        server.wait()
