"""Find the recordings that the inputs of a command name: files, folders and patterns."""

import argparse
import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from denoise.dsp import formats
from denoise.errors import DenoiseError, UsageError
from denoise.util.paths import FILE, FOLDER, kind_of, problem_of_name, real_path


@dataclass(frozen=True)
class Request:
    """The inputs and the output options; `existing` is refuse, overwrite or skip.

    With `remux`, the results of videos are videos.
    """

    inputs: tuple[str, ...]
    output: str | None = None
    suffix: str | None = None
    format: str | None = None
    residual: bool = False
    existing: str = "refuse"
    remux: bool = False

    @classmethod
    def from_options(cls, options: argparse.Namespace, remux: bool = False) -> "Request":
        """Return the request of a command line."""
        existing = (
            "overwrite" if options.overwrite else "skip" if options.skip_existing else "refuse"
        )
        output = (options.output, options.suffix, options.format, options.residual)
        return cls(tuple(options.inputs), *output, existing, remux)

    @property
    def output_suffixes(self) -> tuple[str, ...]:
        """Return the suffixes that mark a file as an earlier output rather than a recording."""
        own = (self.suffix,) if self.suffix else ()
        return (*formats.RESULT_SUFFIXES.values(), *own)


@dataclass(frozen=True)
class FoundFile:
    """A recording, and its path relative to the folder or pattern that it was found with.

    `is_remuxed` says that its result is a video.
    """

    path: Path
    relative_path: Path
    is_remuxed: bool = False


@dataclass(frozen=True)
class Failure:
    """An input that cannot be worked on, and a sentence that says why."""

    name: str
    error: str


@dataclass
class Found:
    """The recordings that were found, and the inputs that gave none."""

    files: list[FoundFile] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def find_recordings(request: Request) -> Found:
    """Find the files that the inputs name. An input without any does not stop the others.

    Raises UsageError if it is the only input.
    """
    finder = _Finder(request)
    for name in request.inputs:
        try:
            finder.add(name)
        except UsageError as error:
            finder.found.failures.append(Failure(name, str(error)))
    found = finder.found
    if found.failures and not found.files and len(request.inputs) == 1:
        raise UsageError(found.failures[0].error)
    return found


def mark_videos(files: Sequence[FoundFile], request: Request) -> list[FoundFile]:
    """Return the files; those with a picture are marked, if the request is to remux them.

    Without PyAV the extension decides, and the work on a video ends with what to install.
    """
    if not request.remux:
        return list(files)
    from denoise.inference.remux import has_picture  # reads files, with PyAV for videos

    marked = []
    for each in files:
        try:
            is_video = has_picture(each.path)
        except DenoiseError:
            is_video = formats.extension(each.path) in formats.VIDEOS
        marked.append(replace(each, is_remuxed=is_video))
    return marked


def check_name(name: str, what: str) -> None:
    """Raise UsageError for a name that no file can have."""
    if not name:
        raise UsageError(f"{what} has an empty name. Name a file or a folder.")
    if problem := problem_of_name(name):
        raise UsageError(f"{what} {name} {problem}.")


def is_pattern(name: str) -> bool:
    """Tell whether a name is a pattern, and not that of a file that exists."""
    return glob.has_magic(name) and kind_of(name) is None


def is_earlier_output(path: Path, request: Request) -> bool:
    """Tell whether a file's name is one that a run like this one gives to its outputs."""
    return path.stem.endswith(request.output_suffixes)


class _Finder:
    """Collects what the inputs of one request name."""

    def __init__(self, request: Request) -> None:
        self.found = Found()
        self._request = request
        self._output = None if request.output is None else real_path(request.output)
        self._n_outputs = 0  # earlier outputs that were left out

    def add(self, name: str) -> None:
        """Add what one input names; raises UsageError if that is nothing."""
        check_name(name, "An input")
        before, self._n_outputs = len(self.found.files), 0
        n_failures = len(self.found.failures)
        if is_pattern(name):
            self._add_matches(name)
            nothing = f"No audio file matches {name}."
        elif self._is_file(name):
            self.found.files.append(FoundFile(Path(name), Path(Path(name).name)))
            return
        elif len(self._request.inputs) > 1 and real_path(name) == self._output:
            return  # a pattern that the shell has expanded matches the output folder, too
        else:
            self.found.files += self._find_in_folder(Path(name))
            known = ", ".join([*formats.BY_EXTENSION, *sorted(formats.READ_ONLY)])
            nothing = f"The folder {name} contains no audio files (known extensions: {known})."
        if len(self.found.files) == before and len(self.found.failures) == n_failures:
            if self._n_outputs:
                ends = " or ".join(self._request.output_suffixes)
                nothing += f" Names that end in {ends} are left out: name such a file itself."
            raise UsageError(nothing)

    def _is_file(self, name: str) -> bool:
        """Tell whether a file is at a path, and no folder; raises UsageError for anything else."""
        kind = kind_of(name)
        if kind is not None:
            if kind not in (FILE, FOLDER):
                raise UsageError(f"{name} is {kind}. Pipe it in and pass - instead.")
            return kind == FILE
        try:
            os.stat(name)  # noqa: PTH116 - Path drops a slash at the end
        except (FileNotFoundError, NotADirectoryError):
            raise UsageError(f"No file or folder at {name}.") from None
        except OSError as error:
            raise UsageError(f"{name} cannot be read: {error.strerror}.") from error
        raise UsageError(f"{name} has just changed. Try again.")

    def _add_matches(self, pattern: str) -> None:
        """Add the audio files that match a pattern, and those in folders that match it."""
        names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path's finds hidden files
        parts = Path(pattern).parts
        base = Path(*parts[: [glob.has_magic(part) for part in parts].index(True)])
        is_in_output = self._is_in_output(base)
        for path in map(Path, names):
            if not is_in_output and self._is_in_output(path):
                continue
            if kind_of(path) == FOLDER:
                for each in self._find_in_folder(path):
                    self.found.files.append(FoundFile(each.path, _below(base, each.path)))
            elif formats.is_recording(path) and not self._is_ignored(path):
                self.found.files.append(FoundFile(path, _below(base, path)))

    def _find_in_folder(self, folder: Path) -> Iterator[FoundFile]:
        """Yield the audio files in a folder and its subfolders, without the output folder."""
        for parent, folders, names in os.walk(folder, onerror=self._add_unreadable):
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".") and real_path(Path(parent, name)) != self._output
            )
            for path in (Path(parent, name) for name in sorted(names)):
                if formats.is_recording(path) and not self._is_ignored(path):
                    yield FoundFile(path, path.relative_to(folder))

    def _add_unreadable(self, error: OSError) -> None:
        text = f"The folder {error.filename} cannot be read: {error.strerror}."
        self.found.failures.append(Failure(str(error.filename), text))

    def _is_in_output(self, path: Path) -> bool:
        """Tell whether a path is the output folder or lies in it."""
        if self._output is None:
            return False
        real = real_path(path)
        return Path(real).is_relative_to(self._output)

    def _is_ignored(self, path: Path) -> bool:
        """Tell whether a file that was not named itself is hidden or an earlier output."""
        if path.name.startswith("."):
            return True
        is_output = is_earlier_output(path, self._request)
        self._n_outputs += is_output
        return is_output


def _below(base: Path, path: Path) -> Path:
    """Return a path relative to `base`, without the part that leads upwards again."""
    parts = path.relative_to(base).parts
    upwards = [number for number, part in enumerate(parts) if part == ".."]
    return Path(*parts[upwards[-1] + 1 :]) if upwards else Path(*parts)
