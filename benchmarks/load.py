"""How the server bears many clients at once: throughput, latency, memory, and whether none is lost.

`python -m benchmarks.load` starts `denoise serve` in a process of its own, on any free port, and
sends it a second of audio from 1, 8 and 64 threads. A busy answer, 503, is tried again as
Retry-After says; its wait counts as latency.
"""

import argparse
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
class Tally:
    """What came of the requests: seconds of each that was answered, busy answers, losses."""

    seconds: list[float] = field(default_factory=list)
    busy: int = 0
    lost: int = 0


def second_of_noise() -> bytes:
    """Return a second of noise as WAV."""
    waveform = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)
    content = io.BytesIO()
    soundfile.write(content, waveform, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return content.getvalue()


def ask(url: str, body: bytes, tally: Tally) -> None:
    """Send one request until it is answered; note what came of it."""
    started = time.monotonic()
    while True:
        request = urllib.request.Request(url, body, {"Content-Type": "audio/wav"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                is_whole = len(answer.read()) >= len(body) - 100
        except urllib.error.HTTPError as error:
            if error.code == 503:
                tally.busy += 1
                time.sleep(float(error.headers["Retry-After"]))
                continue
            is_whole = False
        except OSError:
            is_whole = False
        tally.lost += not is_whole
        tally.seconds.append(time.monotonic() - started)
        return


def load(url: str, body: bytes, n_clients: int, n_requests: int) -> tuple[Tally, float]:
    """Let clients send `n_requests` together; return their tally and how long it took."""
    tally, waiting = Tally(), queue.SimpleQueue[None]()
    for _ in range(n_requests):
        waiting.put(None)

    def work() -> None:
        while True:
            try:
                waiting.get_nowait()
            except queue.Empty:
                return
            ask(url, body, tally)

    started = time.monotonic()
    clients = [threading.Thread(target=work) for _ in range(n_clients)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return tally, time.monotonic() - started


def render(n_clients: int, tally: Tally, elapsed: float, memory_mb: float) -> str:
    """Return a row of the table."""
    spread = statistics.quantiles(tally.seconds, n=20)
    milliseconds = f"{1000 * statistics.median(tally.seconds):.0f} | {1000 * spread[-1]:.0f}"
    rate = len(tally.seconds) / elapsed
    return (
        f"| {n_clients} | {len(tally.seconds)} | {rate:.0f} | {milliseconds} | {tally.busy} "
        f"| {tally.lost} | {memory_mb:.0f} |"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Print a Markdown table, a row for each number of clients."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--requests", type=int, default=700, help="for each number of clients")
    options = parser.parse_args(words)
    with serving() as (server, address):
        print(f"{describe_machine()['processor']}; clients and server share its cores\n")
        print(
            "| clients | requests | a second | median, ms | 95 %, ms | busy | lost | memory, MB |"
        )
        print("|--:|--:|--:|--:|--:|--:|--:|--:|")
        for n_clients in options.clients:
            url, body = f"{address}/v1/denoise", second_of_noise()
            tally, elapsed = load(url, body, n_clients, options.requests)
            memory_mb = status_mb("VmRSS", server.pid) or 0
            print(render(n_clients, tally, elapsed, memory_mb), flush=True)
    print(f"\nThe server ended with status {server.returncode}.")


if __name__ == "__main__":
    main()
