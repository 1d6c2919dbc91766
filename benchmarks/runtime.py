"""Measure the processor time and memory of the command line, with onnxruntime and TensorFlow.

`python -m denoise` runs with the exported model and with the saved model, each time as a separate
process: once on a clip of one second, which is dominated by start-up, and once on an hour. Linux
and macOS only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.cost import ONE_THREAD, describe_machine

SAMPLE_RATE = 44_100


@dataclass(frozen=True)
class Usage:
    """The processor time of a process and its children, and the peak memory of the largest."""

    cpu_seconds: float
    peak_mb: float


def measure(
    command: Sequence[str], variables: Mapping[str, str], folder: Path | None = None
) -> Usage:
    """Run a command in `folder`, with more environment variables; measure its process and children.

    Raises CalledProcessError if it fails.
    """
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **variables})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024
    return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def write_noise(path: Path, seconds: int) -> None:
    """Write noise whose level rises and falls within each second, roughly like speech."""
    rng = np.random.default_rng(0)
    envelope = np.hanning(SAMPLE_RATE)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as sound:
        for _ in range(seconds):
            sound.write((0.1 * envelope * rng.standard_normal(SAMPLE_RATE)).astype(np.float32))


def main() -> None:
    """Print the measurements as a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtime", description=__doc__)
    parser.add_argument("--onnx", type=Path, default=Path("general/models/denoiser.onnx"))
    parser.add_argument("--saved-model", type=Path, default=Path("general/models/denoiser"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--long", type=int, default=3600, metavar="SECONDS")
    options = parser.parse_args()
    machine = describe_machine()
    print(
        f"{machine['processor']}, one thread; one-second file: the best of {options.repeats} runs\n"
    )
    long_head = f"CPU time for {options.long} s of audio (s) | peak memory (MB)"
    print(f"| | CPU time for 1 s of audio (s) | peak memory (MB) | {long_head} |")
    print("|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        short_file, long_file = Path(folder) / "second.wav", Path(folder) / "long.wav"
        write_noise(short_file, 1)
        write_noise(long_file, options.long)
        models = {"onnxruntime": options.onnx}
        if options.saved_model.exists():  # where the pipeline has run
            models["TensorFlow"] = options.saved_model
        for name, model in models.items():
            program = [sys.executable, "-m", "denoise", "--quiet", "--overwrite", "--threads", "1"]
            command = [*program, "--model", str(model), "-o", str(Path(folder) / "out.wav")]
            runs = [
                measure([*command, str(short_file)], ONE_THREAD) for _ in range(options.repeats)
            ]
            best = min(runs, key=lambda usage: usage.cpu_seconds)
            long = measure([*command, str(long_file)], ONE_THREAD)
            print(
                f"| {name} | {best.cpu_seconds:.2f} | {best.peak_mb:.0f} | "
                f"{long.cpu_seconds:.0f} | {long.peak_mb:.0f} |"
            )


if __name__ == "__main__":
    main()
