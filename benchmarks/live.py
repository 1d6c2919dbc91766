"""Measure the computing time of a stream, by the length of its blocks: `python -m benchmarks.live`.

Noise is fed block by block, as a microphone would, to the model on one thread. The table gives the
delay of the output, the time per second of audio, and the longest time that one block took, which
must stay below the length of the blocks.
"""

import argparse
import time

import numpy as np

from benchmarks.cost import describe_machine
from denoise.inference.built_in import LIVE
from denoise.inference.denoiser import Denoiser
from denoise.inference.live import choose_format

BLOCKS_MS = (16, 32, 64, 128)


def measure(denoiser: Denoiser, rate: int, block_ms: float, seconds: float) -> dict[str, float]:
    """Return the latency, the time per second of audio and the longest block, in milliseconds."""
    live_format = choose_format(denoiser.network, rate, 1, block_ms / 1000)
    stream = denoiser.stream(rate, block_seconds=live_format.block_seconds)
    rng, times = np.random.default_rng(0), []
    for _ in range(max(1, round(seconds * rate / live_format.n_block))):
        block = 0.1 * rng.standard_normal((live_format.n_block, 1), np.float32)
        started = time.perf_counter()
        stream.feed(block)
        times.append(1000 * (time.perf_counter() - started))
    n_heard = len(times) * live_format.n_block / rate
    return {
        "latency": 1000 * live_format.latency_seconds,
        "per_second": sum(times) / n_heard,
        "longest": max(times),
    }


def main() -> None:
    """Print the measurements as a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--model", default=LIVE, help="a built-in model or a path")
    parser.add_argument("--rate", type=int, default=16_000, metavar="HZ")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    denoiser = Denoiser.load(options.model)
    print(f"{describe_machine()['processor']}, one thread, {options.rate} Hz\n")
    print(
        "| length of a block | delay | computing time per second of audio "
        "| computing time of the slowest block |"
    )
    print("|--:|--:|--:|--:|")
    for block_ms in BLOCKS_MS:
        found = measure(denoiser, options.rate, block_ms, options.seconds)
        cells = [f"{found[key]:.0f} ms" for key in ("latency", "per_second", "longest")]
        print(f"| {block_ms} ms | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
