"""Standard input and output as files: spooled on disk, so that memory does not grow."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from denoise.cli.io_plan import Task
from denoise.errors import DenoiseError, UsageError

Files = Mapping[Task, tuple[Path, Path]]


def check_terminals(tasks: Sequence[Task], is_dry_run: bool = False) -> None:
    """Raise UsageError where audio would come from a keyboard, or go where it does no good."""
    if any(task.source is None for task in tasks) and sys.stdin.isatty():
        raise UsageError("Standard input is a terminal: pipe a recording into it.")
    to_output = any(task.target is None for task in tasks) and not is_dry_run
    if to_output and sys.stdout.isatty():
        raise UsageError("Standard output is a terminal: name a file with -o, or pipe on.")


@contextmanager
def naming(task: Task, source: Path, target: Path) -> Iterator[None]:
    """Raise DenoiseErrors that name what a task reads and writes, not the files spooled for it."""
    try:
        yield
    except DenoiseError as error:
        text = str(error).replace(str(source), task.source_name)
        raise DenoiseError(text.replace(str(target), task.target_name)) from error


@contextmanager
def connected(tasks: Sequence[Task]) -> Iterator[Files]:
    """Yield the files that each task reads and writes.

    What stands for standard output is sent there in the end, if it was written, whole. Raises
    DenoiseError where standard input cannot be kept.
    """
    if all(task.source and task.target for task in tasks):
        yield {task: (task.source, task.target) for task in tasks if task.source and task.target}
        return
    (task,) = tasks
    with tempfile.TemporaryDirectory(prefix="denoise-") as folder:
        source = task.source or _spool(Path(folder) / "in")
        target = task.target or Path(folder) / "out"
        yield {task: (source, target)}
        if task.target is None and target.exists():
            _send(target)


def _spool(path: Path) -> Path:
    """Keep what comes through standard input."""
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    except OSError as error:
        raise DenoiseError(
            f"Standard input cannot be kept in {path.parent.parent}: {error.strerror}. Make room, "
            "or name another folder in the environment variable TMPDIR."
        ) from error
    if path.stat().st_size == 0:
        raise DenoiseError("Nothing came through standard input.")
    return path


def _send(path: Path) -> None:
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()
