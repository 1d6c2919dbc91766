"""Keys of a parsed params.yaml by their dotted names."""

import functools
from typing import Any


def look_up(tree: Any, key: str) -> Any:
    """Return the value of a key; raises KeyError or TypeError where there is none."""
    return functools.reduce(dict.__getitem__, key.split("."), tree)


def set_value(tree: Any, key: str, value: Any) -> None:
    """Set the value of a key, which may be new, in a section that must exist."""
    *sections, leaf = key.split(".")
    functools.reduce(dict.__getitem__, sections, tree)[leaf] = value
