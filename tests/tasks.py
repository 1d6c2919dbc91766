"""Functions that tests/test_parallel.py runs in other processes, which import them from here."""

import os
import signal
import sys
import time
from pathlib import Path

from denoise.errors import CorpusError


def add(shared: int, item: int) -> int:
    return shared + item


def wait_and_add(shared: int, item: int) -> int:
    time.sleep(0.03)
    return shared + item


def describe_process(shared: None, item: int) -> tuple[int, str, bool]:
    """Return which process this is, its threads of BLAS, and whether it has TensorFlow."""
    import denoise.evaluation.run
    import denoise.features.build  # noqa: F401

    time.sleep(0.02)
    return os.getpid(), os.environ.get("OPENBLAS_NUM_THREADS", ""), "tensorflow" in sys.modules


def refuse_above(limit: int, item: int) -> int:
    """Raise for the items above a limit, for larger ones sooner."""
    if item > limit:
        time.sleep(0.2 / item)
        raise CorpusError(f"{item} is too much.")
    return item


def fail(shared: None, item: int) -> int:
    raise ZeroDivisionError(f"a bug in {item}")


def kill_this_process(shared: None, item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def count_openings(archive: object, item: int) -> tuple[int, int]:
    """Return the process and the number of the archive's object in it."""
    time.sleep(0.01)
    return os.getpid(), id(archive)


def mark(folder: Path, item: int) -> int:
    """Leave a file that tells that the item was worked on, by this process."""
    time.sleep(0.05)
    (folder / f"{item}.{os.getpid()}").touch()
    return item
