"""What it takes from a command to the first written file, and to clean an hour, beside Keras.

Each is a process of its own: `python -m denoise`, with the exported model and with the bundle that
TensorFlow runs. Start-up is a clip of one second; Linux and macOS only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.cost import ONE_THREAD, describe_machine

SAMPLE_RATE = 44_100


@dataclass(frozen=True)
class Usage:
    """What a process took."""

    cpu_seconds: float
    peak_mb: float


def measure(command: Sequence[str]) -> Usage:
    """Run a command on one thread to its end; raises CalledProcessError where it fails."""
    process = subprocess.Popen(command, env=os.environ | ONE_THREAD)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024
    return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def write_noise(path: Path, seconds: int) -> None:
    """Write noise that rises and falls as speech does, second by second."""
    rng = np.random.default_rng(0)
    envelope = np.hanning(SAMPLE_RATE)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as sound:
        for _ in range(seconds):
            sound.write((0.1 * envelope * rng.standard_normal(SAMPLE_RATE)).astype(np.float32))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtime", description=__doc__)
    parser.add_argument("--onnx", type=Path, default=Path("models/denoiser.onnx"))
    parser.add_argument("--bundle", type=Path, default=Path("models/denoiser"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--long", type=int, default=3600, metavar="SECONDS")
    options = parser.parse_args()
    machine = describe_machine()
    print(f"{machine['processor']}, one thread; the least of {options.repeats} runs\n")
    print("| | s of CPU to the first file | peak, MB | s of CPU for the long file | peak, MB |")
    print("|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        clips = Path(folder) / "second.wav", Path(folder) / "long.wav"
        for clip, seconds in zip(clips, (1, options.long), strict=True):
            write_noise(clip, seconds)
        for name, model in (("onnxruntime", options.onnx), ("TensorFlow", options.saved_model)):
            program = [sys.executable, "-m", "denoise", "--quiet", "--overwrite"]
            command = [*program, "--model", str(model), "-o", str(Path(folder) / "out.wav")]
            first = [measure([*command, str(clips[0])]) for _ in range(options.repeats)]
            least = min(first, key=lambda usage: usage.cpu_seconds)
            long = measure([*command, str(clips[1])])
            print(
                f"| {name} | {least.cpu_seconds:.2f} | {least.peak_mb:.0f} | "
                f"{long.cpu_seconds:.0f} | {long.peak_mb:.0f} |"
            )


if __name__ == "__main__":
    main()
