"""Measure the server under load: throughput, latency, memory and failed requests.

`python -m benchmarks.load` starts `denoise serve` in a process of its own on a free port, and sends
it one-second recordings from 1, 8 and 64 threads. After a busy answer (503) a client waits for the
seconds in Retry-After and tries again; this wait counts as latency.
"""

import argparse
import http.client
import io
import queue
import statistics
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import soundfile

from benchmarks.cost import describe_machine, status_mb
from benchmarks.served import serving

SAMPLE_RATE = 16_000
TIMEOUT_SECONDS = 120.0


@dataclass
class LoadResult:
    """The latency of each request in seconds, and the numbers of busy answers and failures."""

    latencies: list[float] = field(default_factory=list)
    busy: int = 0
    failed: int = 0


def make_noise_wav() -> bytes:
    """Return one second of white noise as a WAV file."""
    waveform = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)
    content = io.BytesIO()
    soundfile.write(content, waveform, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return content.getvalue()


def send(url: str, body: bytes, result: LoadResult) -> None:
    """Send one request, again after each busy answer, and add its outcome to the result."""
    started = time.monotonic()
    while True:
        request = urllib.request.Request(url, body, {"Content-Type": "audio/wav"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                is_complete = len(response.read()) >= len(body) - 100
        except urllib.error.HTTPError as error:
            if error.code == 503:
                result.busy += 1
                time.sleep(float(error.headers["Retry-After"]))
                continue
            is_complete = False
        except (OSError, http.client.HTTPException):  # no answer, or a part of one
            is_complete = False
        result.failed += not is_complete
        result.latencies.append(time.monotonic() - started)
        return


def run_load(url: str, body: bytes, n_clients: int, n_requests: int) -> tuple[LoadResult, float]:
    """Send `n_requests` in total from `n_clients` threads; return the result and the seconds."""
    result, pending = LoadResult(), queue.SimpleQueue[None]()
    for _ in range(n_requests):
        pending.put(None)

    def send_all() -> None:
        while True:
            try:
                pending.get_nowait()
            except queue.Empty:
                return
            send(url, body, result)

    started = time.monotonic()
    clients = [threading.Thread(target=send_all) for _ in range(n_clients)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return result, time.monotonic() - started


def render(n_clients: int, result: LoadResult, elapsed: float, memory_mb: float) -> str:
    """Return a row of the Markdown table."""
    median = statistics.median(result.latencies)
    percentile_95 = statistics.quantiles(result.latencies, n=20)[-1]
    rate = len(result.latencies) / elapsed
    return (
        f"| {n_clients} | {len(result.latencies)} | {rate:.0f} | {1000 * median:.0f} "
        f"| {1000 * percentile_95:.0f} | {result.busy} | {result.failed} | {memory_mb:.0f} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a Markdown table with a row for each number of clients."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--requests", type=int, default=700, help="per number of clients")
    options = parser.parse_args(arguments)
    with serving() as (server, server_url):
        print(f"{describe_machine()['processor']}; clients and server share its cores\n")
        print(
            "| clients | requests | requests per second | median, ms | 95th percentile, ms "
            "| busy | failed | memory, MB |"
        )
        print("|--:|--:|--:|--:|--:|--:|--:|--:|")
        for n_clients in options.clients:
            url, body = f"{server_url}/v1/denoise", make_noise_wav()
            result, elapsed = run_load(url, body, n_clients, options.requests)
            memory_mb = status_mb("VmRSS", server.pid) or 0
            print(render(n_clients, result, elapsed, memory_mb), flush=True)
    print(f"\nThe server ended with status {server.returncode}.")


if __name__ == "__main__":
    main()
