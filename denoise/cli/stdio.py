"""Give standard input and output the interface of files.

Both are stored in temporary files on disk, so that memory does not grow with their length.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from denoise.cli.io_plan import Task
from denoise.errors import DenoiseError, UsageError

Files = Mapping[Task, tuple[Path, Path]]
SPACE = "Free some space, or set the environment variable TMPDIR to another folder."


def check_terminals(tasks: Sequence[Task], is_dry_run: bool = False) -> None:
    """Raise UsageError if audio would be read from the keyboard or written to the screen.

    A stream that a shell has closed, as with `>&-`, is refused, too; Python has None for it.
    """
    reads_input = any(task.source is None for task in tasks)
    if reads_input and (unusable := _unusable(sys.stdin)):
        raise UsageError(f"Standard input is {unusable}. Pipe a recording into it.")
    writes_output = any(task.target is None for task in tasks) and not is_dry_run
    if writes_output and (unusable := _unusable(sys.stdout)):
        raise UsageError(f"Standard output is {unusable}. Name a file with -o, or use a pipe.")


def _unusable(stream: TextIO | None) -> str | None:
    """Return why no audio passes through a standard stream, or None if it does."""
    if stream is None:
        return "closed"
    return "a terminal" if stream.isatty() else None


@contextmanager
def user_names_in_errors(task: Task, source: Path, target: Path) -> Iterator[None]:
    """In DenoiseErrors, replace the names of temporary files by those that the user knows."""
    try:
        yield
    except DenoiseError as error:
        text = str(error).replace(str(source), task.source_name)
        raise type(error)(text.replace(str(target), task.target_name)) from error


@contextmanager
def open_files(tasks: Sequence[Task]) -> Iterator[Files]:
    """Yield the source and target file of each task.

    A temporary file takes the place of standard input and output. At the end, if the one for
    standard output was written, it is sent there as a whole. Raises DenoiseError if standard input
    is empty or cannot be stored, and if standard output cannot be written.
    """
    if all(task.source and task.target for task in tasks):
        yield {task: (task.source, task.target) for task in tasks if task.source and task.target}
        return
    (task,) = tasks
    with _temporary_folder() as folder:
        source = task.source or _store_input(Path(folder) / "in")
        target = task.target or Path(folder) / "out"
        yield {task: (source, target)}
        if task.target is None and target.exists():
            _send_to_output(target)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="denoise-")
    except OSError as error:  # no folder for temporary files can be written to
        raise DenoiseError(f"No temporary folder can be made: {error.strerror}. {SPACE}") from error


def _store_input(path: Path) -> Path:
    """Write standard input to `path`; return `path`."""
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    except OSError as error:
        raise DenoiseError(
            f"Standard input cannot be stored in {path.parent.parent}: {error.strerror}. {SPACE}"
        ) from error
    if path.stat().st_size == 0:
        raise DenoiseError("Standard input is empty.")
    return path


def _send_to_output(path: Path) -> None:
    with path.open("rb") as file, output_errors():
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def drop_output() -> None:
    """Drop what is left in the buffer of standard output, which Python would write at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def output_errors() -> Iterator[None]:
    """Raise DenoiseError where standard output cannot be written, as on a full disk.

    A reader that is gone stays a BrokenPipeError.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise DenoiseError(f"Standard output cannot be written: {error.strerror}.") from error
