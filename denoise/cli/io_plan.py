"""What is to be read and written, found out in full before any work begins."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from denoise.dsp import formats
from denoise.errors import DenoiseError, UsageError

PIPE = "-"
CASE_MATTERS = sys.platform not in ("win32", "darwin")
MAX_NAMED = 5  # files in one error


@dataclass(frozen=True)
class Request:
    """What the command line asks for; `existing` is refuse, overwrite or skip."""

    inputs: tuple[str, ...]
    output: str | None = None
    suffix: str | None = None
    format: str | None = None
    residual: bool = False
    existing: str = "refuse"

    @property
    def suffixes(self) -> set[str]:
        """Return the ends of names that are taken for results, not for recordings."""
        return {
            *formats.RESULT_SUFFIXES.values(),
            self.suffix or formats.RESULT_SUFFIXES[self.residual],
        }


@dataclass(frozen=True)
class Task:
    """One recording to be cleaned, and where to; None is standard input, or standard output."""

    source: Path | None
    target: Path | None

    @property
    def source_name(self) -> str:
        """Return what to call the source."""
        return "standard input" if self.source is None else str(self.source)

    @property
    def target_name(self) -> str:
        """Return what to call the target."""
        return "standard output" if self.target is None else str(self.target)


@dataclass(frozen=True)
class Plan:
    """What is to be done, and what is left as it is, since it was done before."""

    tasks: tuple[Task, ...]
    skipped: tuple[Task, ...] = ()


@dataclass(frozen=True)
class Found:
    """A recording, and its place below the folder or the pattern that it was found by."""

    path: Path
    place: Path


def make_plan(request: Request) -> Plan:
    """Find all recordings and name their targets; nothing is written.

    Raises UsageError for inputs that are missing, and for targets that would collide, are
    themselves inputs, or exist and may not be replaced.
    """
    if PIPE in (*request.inputs, request.output):
        tasks = [_pipe(request)]
    else:
        found = find(request.inputs, request)
        into = _is_folder(request, len(found))
        tasks = [Task(each.path, _target(each, request, into)) for each in found]
    tasks = list(dict.fromkeys(tasks))  # a file that was named twice is cleaned once
    _refuse_collisions(tasks)
    return _sort_out_existing(tasks, request.existing)


def _pipe(request: Request) -> Task:
    """Return the one task that standard input or output takes part in."""
    if len(request.inputs) != 1:
        raise UsageError("- is one recording: name no other beside it.")
    (name,) = request.inputs
    source = None if name == PIPE else Path(name)
    if source is not None and not source.is_file():
        raise UsageError(f"No file at {name}; only a file goes to standard output.")
    if request.output in (None, PIPE):
        return Task(source, None)
    target = Path(str(request.output))
    if _is_folder(request, 1):
        raise UsageError(f"{target} is a folder: name a file for what comes through the pipe.")
    return Task(source, _checked(Path(source or "pipe"), target, request))


def find(inputs: Iterable[str], request: Request) -> list[Found]:
    """Return what files, folders and patterns stand for; raises UsageError for one of nothing."""
    found: list[Found] = []
    for name in inputs:
        if _is_pattern(name):
            found += _matches(name, request)
        else:
            found += _at(Path(name), Path(Path(name).name), request)
    return found


def _is_pattern(name: str) -> bool:
    return glob.has_magic(name) and not Path(name).exists()


def _matches(log_mel: str, request: Request) -> list[Found]:
    """Return the audio that a pattern matches, that in matching folders included."""
    names = sorted(glob.glob(log_mel, recursive=True))  # noqa: PTH207 - Path's finds hidden files
    parts = Path(log_mel).parts
    base = Path(*parts[: [glob.has_magic(part) for part in parts].index(True)])
    found: list[Found] = []
    for path in map(Path, names):
        if path.is_dir():
            found += [Found(each.path, each.path.relative_to(base)) for each in _in(path, request)]
        elif formats.is_audio(path) and not _is_result(path, request):
            found.append(Found(path, path.relative_to(base)))
    if not found:
        raise UsageError(f"No audio matches {log_mel}.")
    return found


def _at(path: Path, place: Path, request: Request) -> list[Found]:
    """Return the file, or all audio in the folder, at `path`."""
    if path.is_file():
        return [Found(path, place)]
    if not path.exists():
        raise UsageError(f"No file or folder at {path}.")
    if not path.is_dir():
        raise UsageError(f"{path} is neither file nor folder: send it through standard input (-).")
    found = list(_in(path, request))
    if not found:
        known = ", ".join(formats.BY_EXTENSION)
        raise UsageError(f"The folder {path} holds no audio (files that end in {known}).")
    return found


def _in(folder: Path, request: Request) -> Iterator[Found]:
    """Yield the audio in a folder and those below, hidden files and earlier results left out."""
    written_to = None if request.output is None else Path(request.output).resolve()
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and Path(parent, name).resolve() != written_to
        )
        for path in (Path(parent, name) for name in sorted(names)):
            if formats.is_audio(path) and not _is_result(path, request):
                yield Found(path, path.relative_to(folder))


def _raise(error: OSError) -> None:
    raise UsageError(f"The folder {error.filename} cannot be read: {error.strerror}.")


def _is_result(path: Path, request: Request) -> bool:
    """Tell whether a name that was not given itself is hidden, or lies beside its recording."""
    is_result = request.output is None and path.stem.endswith(tuple(request.suffixes))
    return path.name.startswith(".") or is_result


def _is_folder(request: Request, n_found: int) -> bool:
    """Tell whether the output is a folder; raises UsageError where it cannot be the one it must."""
    if request.output is None:
        return False
    output = Path(request.output)
    is_named = request.output.endswith(("/", os.sep))
    many = n_found > 1 or any(Path(name).is_dir() for name in request.inputs)
    many |= any(map(_is_pattern, request.inputs)) and not formats.is_audio(output)
    if many and output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file: name a folder for more than one recording.")
    return many or is_named or output.is_dir()


def _target(found: Found, request: Request, into_folder: bool) -> Path:
    if request.output is not None and not into_folder:
        return _checked(found.path, Path(request.output), request)
    name = found.path.name
    if request.format is not None:
        name = formats.rename(found.path, request.format)
    default = formats.RESULT_SUFFIXES[request.residual] if request.output is None else ""
    suffix = default if request.suffix is None else request.suffix
    name = f"{Path(name).stem}{suffix}{Path(name).suffix}"
    if request.output is None:
        return found.path.with_name(name)
    return Path(request.output, found.place.parent, name)


def _checked(source: Path, target: Path, request: Request) -> Path:
    """Return a target that was named; raises UsageError where its extension is of no use."""
    named = formats.BY_EXTENSION.get(formats.extension(target))
    if request.format is not None and named not in (None, formats.BY_EXTENSION[request.format]):
        raise UsageError(f"{target} and --format {request.format} disagree: leave one out.")
    try:
        formats.choose(source, target, request.format)
    except DenoiseError as error:
        raise UsageError(str(error)) from error
    return target


def _key(path: Path) -> str:
    """Return what two names of one file have in common."""
    resolved = str(path.resolve())
    return resolved if CASE_MATTERS else resolved.casefold()


def _refuse_collisions(tasks: list[Task]) -> None:
    sources = {_key(task.source) for task in tasks if task.source is not None}
    owners: dict[str, Task] = {}
    for task in tasks:
        if task.target is None:
            continue
        key = _key(task.target)
        if key in sources:
            raise UsageError(f"{task.target} is an input too: choose another --suffix, or -o.")
        if key in owners:
            raise UsageError(
                f"{owners[key].source_name} and {task.source_name} would both be written to "
                f"{task.target}: rename one, or clean them one by one."
            )
        owners[key] = task


def _sort_out_existing(tasks: list[Task], existing: str) -> Plan:
    there = [task for task in tasks if task.target is not None and task.target.exists()]
    folders = [str(task.target) for task in there if task.target and task.target.is_dir()]
    if folders:
        raise UsageError(f"{folders[0]} is a folder: a file cannot take its place.")
    if existing == "skip":
        return Plan(tuple(task for task in tasks if task not in there), tuple(there))
    if there and existing == "refuse":
        names = ", ".join(task.target_name for task in there[:MAX_NAMED])
        more = f" and {len(there) - MAX_NAMED} more" if len(there) > MAX_NAMED else ""
        raise UsageError(
            f"{names}{more} would be replaced: say --overwrite, --skip-existing, or another name."
        )
    return Plan(tuple(tasks))
