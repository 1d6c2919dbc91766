"""What a method costs: time, start-up and memory, each measured in a process of its own.

Run as a module it is that process: it makes one method, on one core and one thread, denoises what
it is handed, and prints what that took as JSON.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.methods import Cleaner, Method, list_methods
from denoise.dsp.audio import Waveform
from denoise.errors import DenoiseError

REPEATS = 5
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    ),
    "1",
) | {"TF_CPP_MIN_LOG_LEVEL": "2"}
PACKAGES = ("numpy", "scipy", "tensorflow", "keras", "librosa", "noisereduce", "pyrnnoise", "pesq")


def measure_cost(method: str, bundles: list[str], noisy: Waveform, sample_rate: int) -> Any:
    """Return {ms_per_second, start_up_seconds, start_up_cpu_seconds, peak_memory_mb} of a method.

    `bundles` are the options that name the models; `noisy` is float32 [batch, n_samples], each clip
    denoised alone. Raises DenoiseError where the process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        clips = Path(folder) / "clips.npy"
        np.save(clips, noisy)
        command = [sys.executable, "-m", "benchmarks.cost", "--method", method, *bundles]
        command += ["--clips", str(clips), "--rate", str(sample_rate)]
        command += ["--started", repr(time.monotonic())]
        environment = os.environ | ONE_THREAD
        finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    if finished.returncode:
        last = (finished.stderr.strip().splitlines() or ["no word"])[-1]
        raise DenoiseError(f"measuring the cost of {method} failed: {last}")
    return json.loads(finished.stdout.splitlines()[-1])


def measure_here(method: Method, noisy: Waveform, sample_rate: int, started: float) -> Any:
    """Make a method and time it in this process, which began at `started` on the monotonic clock.

    Times are the processor's, which other work on the machine changes little, but for start_up.
    """
    cleaner = method.make(sample_rate)
    cleaner(noisy[:1], noisy[0])
    start_up = {
        "start_up_seconds": round(time.monotonic() - started, 3),
        "start_up_cpu_seconds": round(time.process_time(), 3),
    }
    seconds = noisy.size / sample_rate
    times = [_time_once(cleaner, noisy) for _ in range(REPEATS)]
    ms_per_second = round(1000 * statistics.median(times) / seconds, 2)
    return {"ms_per_second": ms_per_second, **start_up, "peak_memory_mb": peak_memory_mb()}


def _time_once(cleaner: Cleaner, noisy: Waveform) -> float:
    before = time.process_time()
    for waveform in noisy:
        cleaner(waveform[None], waveform)
    return time.process_time() - before


def peak_memory_mb() -> float | None:
    """Return the most memory that this process has held, in MB; None where no system call tells."""
    peak = status_mb("VmHWM")  # getrusage would tell the parent's peak where that is higher
    if peak is not None:
        return round(peak, 1)
    if sys.platform != "darwin":
        return None
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)


def status_mb(key: str, process: int | str = "self") -> float | None:
    """Return a figure that Linux keeps of a process' memory, in MB; None where there is none."""
    status = Path(f"/proc/{process}/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    found = (int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{key}:"))
    return next(found, None)


def hold_to_one_core() -> None:
    """Keep this process on one core, where the system allows it."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def describe_machine() -> dict[str, Any]:
    """Return the processor, its cores, the system, and the versions of what was compared."""
    versions = {package: _version(package) for package in PACKAGES}
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version for name, version in versions.items() if version},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def bundle_options(model: Path, reference: Path, more: Mapping[str, Path]) -> list[str]:
    """Return the options that name the same bundles to another process."""
    named = [word for name, path in more.items() for word in ("--model", f"{name}={path}")]
    return ["--ours", str(model), "--reference", str(reference), *named]


def add_bundle_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name models."""
    models = Path("models")
    parser.add_argument("--ours", type=Path, default=models / "denoiser.onnx", metavar="MODEL")
    parser.add_argument("--reference", type=Path, default=models / "reference", metavar="BUNDLE")
    parser.add_argument("--model", action="append", default=[], type=_named, metavar="NAME=BUNDLE")


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=BUNDLE")
    return name, Path(path)


def main() -> None:
    """Measure one method in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_bundle_options(parser)
    parser.add_argument("--method", required=True)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--started", type=float, required=True)
    options = parser.parse_args()
    hold_to_one_core()
    methods = list_methods(options.ours, options.reference, dict(options.model))
    method = next(method for method in methods if method.name == options.method)
    noisy = np.load(options.clips)
    print(json.dumps(measure_here(method, noisy, options.rate, options.started)))


if __name__ == "__main__":
    main()
