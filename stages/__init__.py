"""The pipeline's stages: each reads the params, loads its inputs, calls the library and writes."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from denoise.errors import DenoiseError
from denoise.params import Params
from denoise.params_file import load_params

ROOT = Path(__file__).parent.parent

# TensorFlow uses oneDNN on some processors only, and oneDNN chooses its kernels by the processor.
# They round differently: use oneDNN on all processors, with AVX2.
# Python runs this file before any stage, and so before TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"


def run(main: Callable[[Params, argparse.Namespace], None], *path_names: str) -> None:
    """Run a stage; each of `path_names` is a required option that takes a path.

    An error that the user can fix, such as a full disk, ends with one line and exit status 1.
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
        sys.exit(f"error: {reason}{where}. No partial output was kept.")
    except sqlite3.Error as error:  # DVCLive opens DVC's database
        sys.exit(f"error: {error}. Is the disk full?")
    except KeyboardInterrupt:
        sys.exit(130)


def source_files(stage: str) -> list[Path]:
    """Return the modules and the files of extensions that a stage's `deps` in dvc.yaml name."""
    definition = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    deps = definition["stages"][stage]["deps"]
    modules = [ROOT / dep for dep in deps if dep.endswith(".py")]
    folders = [ROOT / dep for dep in deps if dep.startswith("extensions/")]
    found = [p for folder in folders for p in sorted(folder.rglob("[!.]*")) if p.is_file()]
    return modules + [path for path in found if path.suffix != ".pyc"]  # Python writes these
