"""The pipeline's stages: each reads params, loads, calls the library and writes."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from denoise.errors import DenoiseError
from denoise.params import Params
from denoise.params_file import load_params

# TensorFlow's oneDNN picks its kernels by the processor, and rounds differently in each: AVX2 is
# held to on all. Python imports this package before any of its modules, so before TensorFlow.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"


def run(main: Callable[[Params, argparse.Namespace], None], *path_names: str) -> None:
    """Run a stage: each of `path_names` is a required option that holds a path.

    An error that the user can mend, a full disk included, ends with one line and exit status 1.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    for name in path_names:
        parser.add_argument(f"--{name}", type=Path, required=True)
    paths = parser.parse_args()
    try:
        main(load_params(paths.params), paths)
    except DenoiseError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        reason = os.strerror(error.errno) if error.errno else str(error)
        sys.exit(f"error: {reason}{where}. Nothing half-written was kept.")
    except sqlite3.Error as error:  # DVCLive opens DVC's database
        sys.exit(f"error: {error}. Is the disk full?")
    except KeyboardInterrupt:
        sys.exit(130)
