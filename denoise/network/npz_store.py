"""What was trained, on disk: a folder with a description, JSON, and each network's weights, .npz.

Keras' own formats hold names, dates or addresses that differ from run to run; these do not.
"""

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from denoise.errors import ModelError, ParamsError
from denoise.schema import build
from denoise.util.atomic import replacing_folder, write_text

FORMAT = 1
DESCRIPTION = "config.json"
Weights = Sequence[np.ndarray]
T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """What a folder holds, as errors call it, and the command that makes it."""

    noun: str
    remedy: str


def save(path: str | os.PathLike[str], config: Any, weights: Mapping[str, Weights]) -> None:
    """Write a folder at `path`, whole or not at all: a dataclass, and weights by network."""
    with replacing_folder(path) as folder:
        for name, arrays in weights.items():
            save_weights(folder / f"{name}.npz", arrays)
        description = {"format": FORMAT, **asdict(config)}
        write_text(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def save_weights(path: Path, arrays: Weights) -> None:
    """Write arrays by their number: a full disk is then an error like any other."""
    numbered: dict[str, Any] = {str(i): array for i, array in enumerate(arrays)}
    np.savez(path, **numbered)


def load_config(folder: Path, config: type[T], kind: Kind) -> T:
    """Read the description of a folder; raises BundleError where there is none or another."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ModelError(f"No {kind.noun} at {folder}. {kind.remedy}")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description.pop("format") != FORMAT:
            raise ModelError(f"{path} is not of format {FORMAT}. {kind.remedy}")
        found: T = build(config, description)
    except (ValueError, KeyError, AttributeError, ParamsError) as error:
        raise ModelError(f"{path} describes no {kind.noun}: {error}") from error
    return found


def load_weights(path: Path, variables: Sequence[Any]) -> None:
    """Give Keras variables the arrays of a file; raises BundleError where these are not theirs."""
    try:
        with np.load(path) as saved:
            weights = [saved[str(number)] for number in range(len(saved))]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} does not fit its description: {error}") from error
    found = [weight.shape for weight in weights]
    if found != [tuple(variable.shape) for variable in variables]:
        raise ModelError(f"{path} does not fit its description: it holds arrays of {found}.")
    for variable, weight in zip(variables, weights, strict=True):
        variable.assign(weight)
