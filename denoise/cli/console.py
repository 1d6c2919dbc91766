"""What a person sees on standard error: lines, and a progress bar where it is a terminal."""

import sys
import threading
from collections.abc import Callable
from typing import Any

QUIET, NORMAL, VERBOSE = range(3)
BAR = "{percentage:3.0f} %|{bar}| {n:.1f} of {total} [{elapsed}<{remaining}]"


class Console:
    """Standard error, shared by all threads; used with `with`, which clears the bar away."""

    def __init__(self, level: int, n_tasks: int) -> None:
        """Show a bar for `n_tasks` unless `level` is QUIET, or nobody watches."""
        self.level = level
        self._lock = threading.Lock()
        self._bar = _bar(n_tasks) if level > QUIET and n_tasks and sys.stderr.isatty() else None

    def __enter__(self) -> "Console":
        """Start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the bar away."""
        if self._bar is not None:
            self._bar.close()

    def say(self, line: str, level: int = NORMAL) -> None:
        """Print a line for those who want to hear as much as `level`."""
        if self.level < level:
            return
        with self._lock:
            if self._bar is None:
                print(line, file=sys.stderr, flush=True)
            else:
                self._bar.write(line, file=sys.stderr)

    def follow(self) -> Callable[[float], None]:
        """Return what takes the share of a task that is done, 0 to 1, to the bar."""
        shown = 0.0

        def show(share: float) -> None:
            nonlocal shown
            if self._bar is not None:
                with self._lock:
                    self._bar.update(share - shown)
                    shown = share

        return show


def _bar(n_tasks: int) -> Any:
    from tqdm import tqdm  # not for those who see none

    return tqdm(total=n_tasks, bar_format=BAR, leave=False, file=sys.stderr)
