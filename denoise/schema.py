"""Dataclasses from parsed YAML or JSON: every key known and present, of its type, in its range."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from denoise.errors import ParamsError


@dataclass(frozen=True)
class Range:
    """A number, or each of a list, must lie in [low, high]."""

    low: float
    high: float


class Choices:
    """A word must be one of `words`; a list may name each of them once."""

    def __init__(self, *words: str) -> None:
        """Take the words themselves."""
        self.words = words


def build(section: type, tree: Any, key: str = "") -> Any:
    """Build the dataclass `section` from a mapping; `key` is the dotted path used in errors."""
    hints = get_type_hints(section, include_extras=True)
    if not isinstance(tree, dict):
        raise ParamsError(f"{key or 'params.yaml'}: {tree!r} is not a section of keys.")
    for name in tree:
        if name not in hints:
            known = ", ".join(hints)
            raise ParamsError(f"{_join(key, name)}: no such key; known here are {known}.")
    for name in hints:
        if name not in tree:
            raise ParamsError(f"{_join(key, name)}: the key is missing.")
    return section(**{n: _value(hint, tree[n], _join(key, n)) for n, hint in hints.items()})


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _value(hint: Any, value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value, key)  # type: ignore[arg-type]
    kind, bounds = hint, None
    if get_origin(hint) is Annotated:
        kind, bounds = get_args(hint)
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind)[0], bounds, value, key)
    return _leaf(kind, bounds, value, key)


def _tuple(kind: Any, bounds: Range | Choices | None, value: Any, key: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise ParamsError(f"{key}: {value!r} is not a list of at least one {kind.__name__}.")
    values = tuple(_leaf(kind, bounds, item, key) for item in value)
    if isinstance(bounds, Choices) and len(set(values)) < len(values):
        raise ParamsError(f"{key}: {value!r} names a value twice.")
    return values


def _leaf(kind: Any, bounds: Range | Choices | None, value: Any, key: str) -> Any:
    if type(value) is not kind and (kind, type(value)) != (float, int):
        raise ParamsError(f"{key}: {value!r} is not of type {kind.__name__}.")
    if isinstance(bounds, Choices) and value not in bounds.words:
        raise ParamsError(f"{key}: {value!r} is none of {', '.join(bounds.words)}.")
    if isinstance(bounds, Range) and not bounds.low <= value <= bounds.high:  # true of NaN too
        raise ParamsError(f"{key}: {value!r} lies outside {bounds.low} to {bounds.high}.")
    return kind(value)
