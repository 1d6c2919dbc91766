"""Keeps memory that training frees, so that the next step does not have to allocate it again."""

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_MAX = -4
MAX_INT = 2**31 - 1
TOP_PAD = 2**28


def keep_freed_memory() -> None:
    """Tell glibc's allocator not to return freed memory to the operating system.

    A training step allocates and frees hundreds of MB. By default glibc returns them after each
    step, and every page has to be faulted in again, which doubled the time of a step where it was
    measured. With another allocator, nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, MAX_INT)
        mallopt(M_TOP_PAD, TOP_PAD)
