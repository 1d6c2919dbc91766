"""Keep standard error for the server's own lines.

Libraries in C print straight to file descriptor 2, without regard for the format of the log:
libmpg123 writes two lines for each damaged frame of an MP3 file.
"""

import faulthandler
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

STDERR = 2


@contextmanager
def own_stderr() -> Iterator[TextIO]:
    """Discard what libraries in C print to standard error in the `with` block.

    Yields `sys.stderr`, which still reaches the original file, and so do Python's stacks if a
    library crashes the process.
    """
    kept = _copy()
    try:
        with _redirected(sys.stderr, kept) as stream:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, STDERR)
            os.close(nowhere)
            faulthandler.enable(kept)
            yield stream
    finally:
        faulthandler.disable()
        os.dup2(kept, STDERR)
        os.close(kept)


def _copy() -> int:
    """Return a copy of file descriptor 2, or a descriptor of the null device if 2 is closed."""
    try:
        return os.dup(STDERR)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


@contextmanager
def _redirected(former: TextIO, kept: int) -> Iterator[TextIO]:
    """Have `sys.stderr` write to the descriptor `kept` if it writes to file descriptor 2."""
    if not _is_standard(former):
        yield former
        return
    encoding, errors = former.encoding, former.errors
    with open(kept, "w", 1, encoding=encoding, errors=errors, closefd=False) as stream:
        sys.stderr = stream
        try:
            yield stream
        finally:
            sys.stderr = former


def _is_standard(stream: TextIO) -> bool:
    try:
        return stream.fileno() == STDERR
    except (OSError, ValueError):  # a stream in memory has no descriptor
        return False
