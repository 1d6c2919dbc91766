"""A user's own noise types, sources of speech, architectures, losses and metrics.

Each is a Python file in the folder `extensions` of the project: `extensions/noise/rain.py` is the
noise type `rain`. Its name may stand in params.yaml wherever those of its kind may, and the stages
that can use it have its folder among their `deps`. docs/extending.md has an example of each kind.
"""

import functools
import traceback
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from denoise.errors import DenoiseError

FOLDER = Path("extensions")
"""Relative to the working folder: stages run in the project's."""

KINDS = {
    "noise": ("generate",),
    "sources": ("download",),
    "architectures": ("mask", "receptive_field"),
    "losses": ("loss",),
    "metrics": ("score", "HIGHER_IS_BETTER"),
}
"""The kinds of extensions, which are folders, and what the files of each define."""


class ExtensionError(DenoiseError):
    """A file in the folder `extensions` cannot be used."""


def names(kind: str, built_in: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of the extensions of a kind in alphabetical order; none is loaded.

    Raises ExtensionError if one has a name that is `built_in` already.
    """
    found = sorted(path.stem for path in (FOLDER / kind).glob("*.py"))
    for name in set(found) & set(built_in):
        raise ExtensionError(f"{FOLDER / kind / name}.py: {name} is built in. Rename the file.")
    return tuple(found)


def load(kind: str, name: str) -> Any:
    """Return the module of an extension, which is run once in each process.

    Raises ExtensionError if it fails, or does not define what `KINDS` names. The functions that
    `KINDS` names raise ExtensionError, too, whatever their error is.
    """
    return _load((FOLDER / kind / f"{name}.py").resolve(), kind)


@functools.lru_cache
def _load(path: Path, kind: str) -> types.ModuleType:
    module = types.ModuleType(f"extensions.{kind}.{path.stem}")
    module.__file__ = str(path)
    try:
        # Not imported: Python would write its cache into a folder that DVC watches.
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    except Exception as error:
        raise _error_of(path, error) from error
    for name in KINDS[kind]:
        if not hasattr(module, name):
            raise ExtensionError(f"{path} defines no {name}; see docs/extending.md.")
        if callable(function := getattr(module, name)):
            setattr(module, name, _naming_errors(path, function))
    return module


def _naming_errors(path: Path, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose errors name the file."""

    @functools.wraps(function, updated=())
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except DenoiseError:
            raise
        except Exception as error:
            raise _error_of(path, error) from error

    return call


def _error_of(path: Path, error: Exception) -> ExtensionError:
    """Return an error of one line, which names the file and the last of its lines that ran."""
    calls = traceback.extract_tb(error.__traceback__)
    lines = [call.lineno for call in calls if call.filename == str(path)]
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    return ExtensionError(f"{where}: {type(error).__name__}: {' '.join(str(error).split())}")
