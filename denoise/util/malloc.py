"""Memory that a training frees is kept for its next step."""

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_MAX = -4
MAX_INT = 2**31 - 1
TOP_PAD = 2**28


def keep_freed_memory() -> None:
    """Tell glibc's allocator not to hand freed memory back to the system.

    A step of training allocates and frees hundreds of MB; by default each step gives them back and
    faults them in again, page by page, which doubled a step's time where it was measured. Where
    the allocator is another, nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, MAX_INT)
        mallopt(M_TOP_PAD, TOP_PAD)
