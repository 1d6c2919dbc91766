"""Print lines and a progress bar."""

import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

QUIET, NORMAL, VERBOSE = range(3)
BAR = "{desc}{percentage:.0f} % |{bar}| [{elapsed}<{remaining}]"  # desc: the file, and which one
MAX_NAME_LENGTH = 40  # of a file's name beside the bar


def one_line(text: str) -> str:
    """Return a text with escapes for characters that cannot be shown: a name may hold any."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii")
        for sign in text
    )


def print_line(text: str, file: TextIO | None) -> None:
    """Print one line, whatever characters the text and the encoding of `file` have.

    None stands for a stream that is closed: nothing is printed.
    """
    if file is None:
        return
    encoding = file.encoding or "utf-8"
    line = one_line(text).encode(encoding, "backslashreplace").decode(encoding)
    print(line, file=file, flush=True)


class Console:
    """Standard error, shared by all threads. Use it in a `with` block, which clears the bar."""

    def __init__(self, verbosity: int, n_tasks: int) -> None:
        """Show a bar for `n_tasks`, unless `verbosity` is QUIET or there is no terminal."""
        self.verbosity = verbosity
        self._n_tasks, self._n_started = n_tasks, 0
        self._lock = threading.Lock()
        has_bar = verbosity > QUIET and n_tasks > 0 and sys.stderr.isatty()
        self._bar = _make_bar(n_tasks) if has_bar else None

    def __enter__(self) -> "Console":
        """Return the console itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the bar."""
        if self._bar is not None:
            self._bar.close()

    def print_line(self, line: str, verbosity: int = NORMAL) -> None:
        """Print a line if the console's verbosity is at least `verbosity`."""
        if self.verbosity < verbosity:
            return
        with self._lock:
            if self._bar is None:
                print_line(line, sys.stderr)
            else:
                self._bar.write(one_line(line), file=sys.stderr)

    def track_task(self, name: str) -> Callable[[float], None]:
        """Return a function that shows how much of one task is done, as a fraction 0 to 1.

        The bar names the file and the whole: `talk.wav: 3 of 12, 40 %`. With several files at a
        time, it names the one that went on last.
        """
        shown = 0.0
        with self._lock:
            self._n_started += 1
            label = _label(name, self._n_started, self._n_tasks)

        def show(fraction: float) -> None:
            nonlocal shown
            if self._bar is not None:
                with self._lock:
                    self._bar.set_description_str(label, refresh=False)
                    # rounding would bring the sum above the total, of which tqdm warns
                    rest = self._n_tasks - self._bar.n
                    self._bar.update(min(fraction - shown, rest))
                    shown = fraction

        if self._bar is not None:
            with self._lock:
                self._bar.set_description_str(label)
        return show


def _label(name: str, number: int, total: int) -> str:
    """Return what stands before the percentage: the file's name, and which file it is."""
    name = one_line(name)
    if len(name) > MAX_NAME_LENGTH:
        name = f"...{name[3 - MAX_NAME_LENGTH :]}"
    return f"{name}: {number} of {total}, " if total > 1 else f"{name}: "


def _make_bar(n_tasks: int) -> Any:
    from tqdm import tqdm  # only where a bar is shown

    return tqdm(total=n_tasks, bar_format=BAR, leave=False, dynamic_ncols=True, file=sys.stderr)
