"""Decide what is read and what is written, before any work begins."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from denoise.cli.recordings import (
    Failure,
    FoundFile,
    Request,
    check_name,
    find_recordings,
    is_earlier_output,
    is_pattern,
    mark_videos,
)
from denoise.containers.detection import sniff
from denoise.dsp import formats
from denoise.errors import DenoiseError, UsageError
from denoise.util.paths import FILE, FOLDER, is_link, kind_of, problem_of_name, real_path

PIPE = "-"
IS_CASE_SENSITIVE = sys.platform not in ("win32", "darwin")
MAX_NAMED = 5  # files that one error message names


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
    """The tasks to run, those to skip because their target exists, and what cannot be done."""

    tasks: tuple[Task, ...]
    skipped: tuple[Task, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def n_files(self) -> int:
        """Return how many files and names the plan is about."""
        return len(self.tasks) + len(self.skipped) + len(self.failures)


def make_plan(request: Request) -> Plan:
    """Find all recordings and choose their targets; write nothing.

    Raises UsageError for a target that two inputs share, that is itself an input, or that exists
    and may not be replaced. An input that cannot be read, and a target that no file can replace,
    become failures of the plan, or a UsageError if they are all that was asked for.
    """
    _check_options(request)
    if PIPE in (*request.inputs, request.output):
        return _sort_by_existing([_make_pipe_task(request)], [], request)
    found = find_recordings(request)
    names = _Names()
    files = list({names.entry(each.path): each for each in reversed(found.files)}.values())[::-1]
    files = mark_videos(files, request)
    into_folder = _is_folder(request, len(files))
    tasks = _make_tasks(files, request, into_folder, names)
    tasks = _refuse_collisions(_leave_out_outputs(tasks, request, names), names)
    return _sort_by_existing(tasks, found.failures, request)


def _check_options(request: Request) -> None:
    """Raise UsageError for a name that no file can have, and options that exclude each other."""
    if request.output is not None:
        check_name(request.output, "The output")
    suffix = request.suffix or ""
    has_separator = any(sign and sign in suffix for sign in ("/", os.sep, os.altsep))
    if has_separator or problem_of_name(suffix):
        raise UsageError(
            f"The suffix {suffix} is not a part of a file name. Name a folder with -o instead."
        )
    if request.remux and request.format is not None:
        raise UsageError("--remux and --format exclude each other. Omit one of them.")
    is_piped = request.output == PIPE or (request.output is None and PIPE in request.inputs)
    if request.remux and is_piped:
        raise UsageError("--remux writes no video to standard output. Name a file with -o.")


def _make_pipe_task(request: Request) -> Task:
    """Return the single task that uses standard input or output."""
    if len(request.inputs) != 1:
        raise UsageError("- stands for one recording. Pass no other input with it.")
    (name,) = request.inputs
    check_name(name, "The input")
    source = None if name == PIPE else Path(name)
    if source is not None and kind_of(source) != FILE:
        raise UsageError(f"No file at {name}. Only a file can be written to standard output.")
    if request.output in (None, PIPE):
        return Task(source, None)
    target = Path(str(request.output))
    if _is_folder(request, 1):
        raise UsageError(f"{target} is a folder. Name a file for the recording in standard input.")
    is_remuxed = request.remux and formats.extension(target) in formats.VIDEOS
    return Task(source, _check_target(Path(source or "pipe"), target, request, is_remuxed))


def _is_folder(request: Request, n_found: int) -> bool:
    """Tell whether the output is a folder; raises UsageError if it must be one and cannot be."""
    if request.output is None:
        return False
    output = Path(request.output)
    kind = kind_of(output)
    ends_in_slash = request.output.endswith(("/", os.sep))
    is_for_several = n_found > 1 or any(kind_of(name) == FOLDER for name in request.inputs)
    is_for_several |= any(map(is_pattern, request.inputs)) and not _is_file_name(output, request)
    if (is_for_several or ends_in_slash) and kind not in (None, FOLDER):
        raise UsageError(f"{output} is {kind}. Name a folder to write several recordings to.")
    if is_for_several and kind is None and _is_file_name(output, request) and not ends_in_slash:
        raise UsageError(
            f"{output} is the name of one file. Name a folder to write several recordings to; "
            f"{output}/ would be a folder of that name."
        )
    return is_for_several or ends_in_slash or kind == FOLDER


def _is_file_name(output: Path, request: Request) -> bool:
    """Tell whether an output has the extension of a file that can be written."""
    is_video = request.remux and formats.extension(output) in formats.VIDEOS
    return is_video or formats.is_audio(output)


def _make_tasks(
    found: Sequence[FoundFile], request: Request, into_folder: bool, names: "_Names"
) -> list[Task]:
    """Return a task for each file.

    The result of a video beside a recording of the same name keeps the video's extension, as in
    talk.mp4.wav.
    """
    targets = [_choose_target(each, request, into_folder) for each in found]
    n_uses = Counter(map(names.file, targets))
    tasks = []
    for each, target in zip(found, targets, strict=True):
        is_renamed = formats.extension(each.path) != formats.extension(target)
        is_shared = n_uses[names.file(target)] > 1 and target.stem.startswith(each.path.stem)
        if is_renamed and is_shared and _result_name(each.path) != each.path.name:
            rest = target.name.removeprefix(each.path.stem)
            target = target.with_name(f"{each.path.name}{rest}")
        tasks.append(Task(each.path, target))
    return tasks


def _choose_target(found: FoundFile, request: Request, into_folder: bool) -> Path:
    if request.output is not None and not into_folder:
        return _check_target(found.path, Path(request.output), request, found.is_remuxed)
    name = formats.video_name(found.path) if found.is_remuxed else _result_name(found.path)
    if request.format is not None:
        name = formats.rename(found.path, request.format)
    default = formats.RESULT_SUFFIXES[request.residual] if request.output is None else ""
    suffix = default if request.suffix is None else request.suffix
    name = f"{Path(name).stem}{suffix}{Path(name).suffix}"
    if request.output is None:
        return found.path.with_name(name)
    return Path(request.output, found.relative_path.parent, name)


def _result_name(path: Path) -> str:
    """Return a recording's name with the extension of the format in which its result is written.

    The first bytes tell where the extension is unknown, and for OGG: FLAC in it must not be lossy.
    """
    is_clear = formats.BY_EXTENSION.get(formats.extension(path), "OGG") != "OGG" or not path.suffix
    if not is_clear and kind_of(path) == FILE:
        with suppress(OSError), path.open("rb") as file:
            container = sniff(file)
            if container is not None and not container.is_read_by_sndfile:
                return path.with_suffix(".wav").name
    return formats.result_name(path)


def _check_target(source: Path, target: Path, request: Request, is_remuxed: bool) -> Path:
    """Return a target that the user named; raises UsageError if its extension does not fit."""
    named = formats.BY_EXTENSION.get(formats.extension(target))
    if request.format is not None and named not in (None, formats.BY_EXTENSION[request.format]):
        raise UsageError(
            f"{target} and --format {request.format} name different formats. Omit one of them."
        )
    try:
        if is_remuxed:
            formats.choose_video(source, target)
        else:
            formats.choose(source, target, request.format)
    except DenoiseError as error:
        raise UsageError(str(error)) from error
    return target


class _Names:
    """Keys that are equal for all names of one file; folders are looked up once."""

    def __init__(self) -> None:
        self._folders: dict[Path, str] = {}

    def entry(self, path: Path) -> str:
        """Return a key for a name in a folder; a link and its file have different keys."""
        if path.parent not in self._folders:
            self._folders[path.parent] = real_path(path.parent)
        return self._fold(self._folders[path.parent] + os.sep + path.name)

    def file(self, path: Path) -> str:
        """Return a key for a file; a link and its file have the same key."""
        return self._fold(real_path(path)) if is_link(path) else self.entry(path)

    @staticmethod
    def _fold(name: str) -> str:
        return name if IS_CASE_SENSITIVE else name.casefold()


def _leave_out_outputs(tasks: list[Task], request: Request, names: _Names) -> list[Task]:
    """Leave out inputs that an earlier run wrote: a shell expands *.wav to them, too."""
    if request.output is not None:
        return tasks
    targets = {names.file(task.target) for task in tasks if task.target}
    return [
        task
        for task in tasks
        if task.source is None
        or not is_earlier_output(task.source, request)
        or names.file(task.source) not in targets
    ]


def _refuse_collisions(tasks: list[Task], names: _Names) -> list[Task]:
    """Return the tasks; raises UsageError if a target is an input, or the target of two tasks."""
    sources = {names.file(task.source) for task in tasks if task.source is not None}
    owners: dict[str, Task] = {}
    for task in tasks:
        if task.target is None:
            continue
        key = names.file(task.target)
        if key in sources:
            raise UsageError(f"{task.target} is also an input. Choose another --suffix or -o.")
        if key in owners:
            raise UsageError(
                f"{owners[key].source_name} and {task.source_name} would both be written to "
                f"{task.target}. Rename one of them, or denoise them one at a time."
            )
        owners[key] = task
    return tasks


def check_replaceable(target: Path, may_replace: bool) -> str | None:
    """Return what is at a target; raises UsageError if no file may be written there."""
    kind = kind_of(target)
    if kind not in (None, FILE):
        raise UsageError(f"{target} is {kind} and cannot be replaced by a file. Name another.")
    if kind == FILE and not may_replace:
        raise UsageError(f"{target} already exists. Pass --overwrite, or another name.")
    return kind


def _sort_by_existing(tasks: list[Task], failures: Sequence[Failure], request: Request) -> Plan:
    """Return a plan that treats targets that exist as the request says; may raise UsageError."""
    usable, there, failures = [], set(), list(failures)
    for task in tasks:
        try:
            if task.target is not None and check_replaceable(task.target, True) is not None:
                there.add(task)
            usable.append(task)
        except UsageError as error:
            if len(tasks) + len(failures) == 1:
                raise
            failures.append(Failure(task.source_name, str(error)))
    if there and request.existing == "refuse":
        in_order = [task.target_name for task in usable if task in there]
        names = ", ".join(in_order[:MAX_NAMED])
        more = f" and {len(there) - MAX_NAMED} more" if len(there) > MAX_NAMED else ""
        exist = "exists" if len(there) == 1 else "exist"
        raise UsageError(
            f"{names}{more} already {exist}. Pass --overwrite, --skip-existing or another name."
        )
    skipped = there if request.existing == "skip" else set()
    return Plan(
        tuple(task for task in usable if task not in skipped),
        tuple(task for task in usable if task in skipped),
        tuple(failures),
    )
