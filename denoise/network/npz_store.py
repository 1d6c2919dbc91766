"""Trained weights on disk: a folder with a config in JSON and the weights of each network in .npz.

The files are the same bytes in every run. Keras' own formats hold names, dates or addresses that
differ from run to run.
"""

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from denoise.errors import ModelError, ParamsError
from denoise.schema import build
from denoise.util.atomic import replacing_folder, write_text

FORMAT = 2
CONFIG = "config.json"
Weights = Sequence[np.ndarray]
T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """What a folder holds, as errors call it, and the command that creates it."""

    noun: str
    remedy: str


def save(path: str | os.PathLike[str], config: Any, weights: Mapping[str, Weights]) -> None:
    """Write a folder at `path` atomically: a config, a dataclass, and the weights by network."""
    with replacing_folder(path) as folder:
        for name, arrays in weights.items():
            save_weights(folder / f"{name}.npz", arrays)
        description = {"format": FORMAT, **without_defaults(config)}
        write_text(folder / CONFIG, json.dumps(description, indent=2) + "\n")


def without_defaults(config: Any) -> dict[str, Any]:
    """Return a dataclass as a dictionary, without fields that have their default value.

    So a field that is added with a default does not change the files of existing networks.
    """
    values = {f.name: getattr(config, f.name) for f in fields(config)}
    defaults = {f.name: f.default for f in fields(config)}
    return {
        name: without_defaults(value) if is_dataclass(value) else value
        for name, value in values.items()
        if value != defaults[name]
    }


def save_weights(path: Path, arrays: Weights) -> None:
    """Write arrays, named by their position, to an .npz file; raises OSError on a full disk."""
    numbered: dict[str, Any] = {str(i): array for i, array in enumerate(arrays)}
    np.savez(path, **numbered)


def load_config(folder: Path, config: type[T], kind: Kind) -> T:
    """Read a folder's config; raises ModelError where it is missing or of another format."""
    path = folder / CONFIG
    if not path.is_file():
        raise ModelError(f"No {kind.noun} at {folder}. {kind.remedy}")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description.pop("format") != FORMAT:
            raise ModelError(f"{path} is not of format {FORMAT}. {kind.remedy}")
        loaded: T = build(config, description)
    except (ValueError, KeyError, AttributeError, TypeError, ParamsError) as error:
        raise ModelError(f"{path} is not the config of a {kind.noun}: {error}") from error
    return loaded


def load_weights(path: Path, variables: Sequence[Any]) -> None:
    """Assign the arrays of a file to Keras variables; raises ModelError where shapes differ."""
    try:
        with np.load(path) as saved:
            weights = [saved[str(number)] for number in range(len(saved))]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} does not fit its config: {error}") from error
    shapes = [weight.shape for weight in weights]
    if shapes != [tuple(variable.shape) for variable in variables]:
        raise ModelError(f"{path} does not fit its config: it holds arrays of {shapes}.")
    for variable, weight in zip(variables, weights, strict=True):
        variable.assign(weight)
