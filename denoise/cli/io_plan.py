"""Decide what is read and what is written, before any work begins."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from denoise.dsp import formats
from denoise.errors import DenoiseError, UsageError

PIPE = "-"
IS_CASE_SENSITIVE = sys.platform not in ("win32", "darwin")
MAX_NAMED = 5  # files that one error message names


@dataclass(frozen=True)
class Request:
    """The inputs and the output options; `existing` is refuse, overwrite or skip."""

    inputs: tuple[str, ...]
    output: str | None = None
    suffix: str | None = None
    format: str | None = None
    residual: bool = False
    existing: str = "refuse"

    @property
    def output_suffixes(self) -> set[str]:
        """Return the suffixes that mark a file as an earlier output rather than a recording."""
        return {
            *formats.RESULT_SUFFIXES.values(),
            self.suffix or formats.RESULT_SUFFIXES[self.residual],
        }


@dataclass(frozen=True)
class Task:
    """One recording to denoise; None as source or target is standard input or output."""

    source: Path | None
    target: Path | None

    @property
    def source_name(self) -> str:
        """Return the source's name in messages."""
        return "standard input" if self.source is None else str(self.source)

    @property
    def target_name(self) -> str:
        """Return the target's name in messages."""
        return "standard output" if self.target is None else str(self.target)


@dataclass(frozen=True)
class Plan:
    """The tasks to run, and those to skip because their target exists."""

    tasks: tuple[Task, ...]
    skipped: tuple[Task, ...] = ()


@dataclass(frozen=True)
class FoundFile:
    """A recording, and its path relative to the folder or pattern that it was found with."""

    path: Path
    relative_path: Path


def make_plan(request: Request) -> Plan:
    """Find all recordings and choose their targets; write nothing.

    Raises UsageError for a missing input, and for a target that two inputs share, that is itself an
    input, or that exists and may not be replaced.
    """
    if PIPE in (*request.inputs, request.output):
        tasks = [_make_pipe_task(request)]
    else:
        found = find_recordings(request.inputs, request)
        into_folder = _is_folder(request, len(found))
        tasks = _make_tasks(found, request, into_folder)
    tasks = list(dict.fromkeys(tasks))  # a file that is named twice is denoised once
    _refuse_collisions(tasks)
    return _sort_by_existing(tasks, request.existing)


def _make_pipe_task(request: Request) -> Task:
    """Return the single task that uses standard input or output."""
    if len(request.inputs) != 1:
        raise UsageError("- stands for one recording. Pass no other input with it.")
    (name,) = request.inputs
    source = None if name == PIPE else Path(name)
    if source is not None and not source.is_file():
        raise UsageError(f"No file at {name}. Only a file can be written to standard output.")
    if request.output in (None, PIPE):
        return Task(source, None)
    target = Path(str(request.output))
    if _is_folder(request, 1):
        raise UsageError(f"{target} is a folder. Name a file for the recording in standard input.")
    return Task(source, _check_target(Path(source or "pipe"), target, request))


def find_recordings(inputs: Iterable[str], request: Request) -> list[FoundFile]:
    """Return the files that the inputs name; raises UsageError for an input that has none."""
    found: list[FoundFile] = []
    for name in inputs:
        if _is_pattern(name):
            found += _find_matches(name, request)
        else:
            found += _find_at(Path(name), request)
    return found


def _is_pattern(name: str) -> bool:
    return glob.has_magic(name) and not Path(name).exists()


def _find_matches(pattern: str, request: Request) -> list[FoundFile]:
    """Return the audio files that match a pattern, and those in folders that match it."""
    names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path's finds hidden files
    parts = Path(pattern).parts
    base = Path(*parts[: [glob.has_magic(part) for part in parts].index(True)])
    found: list[FoundFile] = []
    for path in map(Path, names):
        if path.is_dir():
            in_folder = _find_in_folder(path, request)
            found += [FoundFile(each.path, each.path.relative_to(base)) for each in in_folder]
        elif formats.is_recording(path) and not _is_ignored(path, request):
            found.append(FoundFile(path, path.relative_to(base)))
    if not found:
        raise UsageError(f"No audio file matches {pattern}.")
    return found


def _find_at(path: Path, request: Request) -> list[FoundFile]:
    """Return the file at `path`, or all audio files in the folder at `path`."""
    if path.is_file():
        return [FoundFile(path, Path(path.name))]
    if not path.exists():
        raise UsageError(f"No file or folder at {path}.")
    if not path.is_dir():
        raise UsageError(f"{path} is neither a file nor a folder. Pipe it in and pass - instead.")
    found = list(_find_in_folder(path, request))
    if not found:
        known = ", ".join([*formats.BY_EXTENSION, *sorted(formats.READ_ONLY)])
        raise UsageError(f"The folder {path} contains no audio files (known extensions: {known}).")
    return found


def _find_in_folder(folder: Path, request: Request) -> Iterator[FoundFile]:
    """Yield the audio files in a folder and its subfolders, without the output folder."""
    output = None if request.output is None else Path(request.output).resolve()
    for parent, folders, names in os.walk(folder, onerror=_raise_unreadable):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and Path(parent, name).resolve() != output
        )
        for path in (Path(parent, name) for name in sorted(names)):
            if formats.is_recording(path) and not _is_ignored(path, request):
                yield FoundFile(path, path.relative_to(folder))


def _raise_unreadable(error: OSError) -> None:
    raise UsageError(f"The folder {error.filename} cannot be read: {error.strerror}.")


def _is_ignored(path: Path, request: Request) -> bool:
    """Tell whether a file that was not named itself is hidden or an earlier output."""
    is_output = request.output is None and path.stem.endswith(tuple(request.output_suffixes))
    return path.name.startswith(".") or is_output


def _is_folder(request: Request, n_found: int) -> bool:
    """Tell whether the output is a folder; raises UsageError if it must be one but is a file."""
    if request.output is None:
        return False
    output = Path(request.output)
    ends_in_slash = request.output.endswith(("/", os.sep))
    is_for_several = n_found > 1 or any(Path(name).is_dir() for name in request.inputs)
    is_for_several |= any(map(_is_pattern, request.inputs)) and not formats.is_audio(output)
    if is_for_several and output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file. Name a folder to write several recordings to.")
    return is_for_several or ends_in_slash or output.is_dir()


def _make_tasks(found: list[FoundFile], request: Request, into_folder: bool) -> list[Task]:
    """Return a task for each file.

    The result of a video beside a recording of the same name keeps the video's extension, as in
    talk.mp4.wav.
    """
    targets = [_choose_target(each, request, into_folder) for each in found]
    n_uses = Counter(map(_file_key, targets))
    tasks = []
    for each, target in zip(found, targets, strict=True):
        is_read_only = formats.extension(each.path) in formats.READ_ONLY
        if (
            is_read_only
            and n_uses[_file_key(target)] > 1
            and target.stem.startswith(each.path.stem)
        ):
            rest = target.name.removeprefix(each.path.stem)
            target = target.with_name(f"{each.path.name}{rest}")
        tasks.append(Task(each.path, target))
    return tasks


def _choose_target(found: FoundFile, request: Request, into_folder: bool) -> Path:
    if request.output is not None and not into_folder:
        return _check_target(found.path, Path(request.output), request)
    name = formats.result_name(found.path)
    if request.format is not None:
        name = formats.rename(found.path, request.format)
    default = formats.RESULT_SUFFIXES[request.residual] if request.output is None else ""
    suffix = default if request.suffix is None else request.suffix
    name = f"{Path(name).stem}{suffix}{Path(name).suffix}"
    if request.output is None:
        return found.path.with_name(name)
    return Path(request.output, found.relative_path.parent, name)


def _check_target(source: Path, target: Path, request: Request) -> Path:
    """Return a target that the user named; raises UsageError if its extension does not fit."""
    named = formats.BY_EXTENSION.get(formats.extension(target))
    if request.format is not None and named not in (None, formats.BY_EXTENSION[request.format]):
        raise UsageError(
            f"{target} and --format {request.format} name different formats. Omit one of them."
        )
    try:
        formats.choose(source, target, request.format)
    except DenoiseError as error:
        raise UsageError(str(error)) from error
    return target


def _file_key(path: Path) -> str:
    """Return a string that is the same for all names of one file."""
    resolved = str(path.resolve())
    return resolved if IS_CASE_SENSITIVE else resolved.casefold()


def _refuse_collisions(tasks: list[Task]) -> None:
    """Raise UsageError if a target is an input, or the target of two tasks."""
    sources = {_file_key(task.source) for task in tasks if task.source is not None}
    owners: dict[str, Task] = {}
    for task in tasks:
        if task.target is None:
            continue
        key = _file_key(task.target)
        if key in sources:
            raise UsageError(f"{task.target} is also an input. Choose another --suffix or -o.")
        if key in owners:
            raise UsageError(
                f"{owners[key].source_name} and {task.source_name} would both be written to "
                f"{task.target}. Rename one of them, or denoise them one at a time."
            )
        owners[key] = task


def _sort_by_existing(tasks: list[Task], existing: str) -> Plan:
    """Return a plan that treats targets that exist as `existing` says; may raise UsageError."""
    there = [task for task in tasks if task.target is not None and task.target.exists()]
    folders = [str(task.target) for task in there if task.target and task.target.is_dir()]
    if folders:
        raise UsageError(f"{folders[0]} is a folder and cannot be replaced by a file.")
    if existing == "skip":
        return Plan(tuple(task for task in tasks if task not in there), tuple(there))
    if there and existing == "refuse":
        names = ", ".join(task.target_name for task in there[:MAX_NAMED])
        more = f" and {len(there) - MAX_NAMED} more" if len(there) > MAX_NAMED else ""
        exist = "exists" if len(there) == 1 else "exist"
        raise UsageError(
            f"{names}{more} already {exist}. Pass --overwrite, --skip-existing or another name."
        )
    return Plan(tuple(tasks))
