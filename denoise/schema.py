"""Build dataclasses from parsed YAML or JSON, and check that keys, types and ranges are right."""

import dataclasses
import re
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from denoise import extensions
from denoise.errors import ParamsError

# In YAML 1.1 a float in scientific notation needs a dot and a signed exponent, as in 1.0e-3. The
# parser returns strings for others: for 1e-3, and for 5e-05, which `dvc exp run -S` writes.
_SCIENTIFIC_NOTATION = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


@dataclass(frozen=True)
class Range:
    """The number, or each number of a list, must be in [low, high]."""

    low: float
    high: float


class Choices:
    """The string must be one of `values`; a list may hold each of them once."""

    def __init__(self, *values: str, or_extension: str = "") -> None:
        """Set the allowed values, and the kind of extensions whose names are allowed as well."""
        self._values, self._extension = values, or_extension

    @property
    def values(self) -> tuple[str, ...]:
        """The allowed values, with the extensions that exist now."""
        if not self._extension:
            return self._values
        return self._values + extensions.names(self._extension, self._values)


class Names:
    """The list may be empty, and may hold each string once."""


@dataclass(frozen=True)
class OfExtensions:
    """The mapping holds the section's keys that name an extension of `kind`, each in [low, high].

    It stands for keys in the file and has no key of its own. An extension may lack a key.
    """

    kind: str
    low: float
    high: float


def build(section: type, tree: Any, key: str = "") -> Any:
    """Build the dataclass `section` from a mapping.

    `key` is the dotted path of the mapping, for error messages. A key may be missing where the
    dataclass has a default. Raises ParamsError for an unknown or missing key, and for a value of
    the wrong type or out of range.
    """
    hints = get_type_hints(section, include_extras=True)
    if not isinstance(tree, dict):
        raise ParamsError(f"{key or 'params.yaml'}: {tree!r} is not a section of keys.")
    tree, of_extensions = _take_extensions(hints, tree, key)
    for name in tree:
        if name not in hints:
            known = ", ".join(hints)
            raise ParamsError(f"{_join(key, name)}: no such key; the known keys are {known}.")
    for field in dataclasses.fields(section):
        if field.name not in tree and not _has_default(field):
            raise ParamsError(f"{_join(key, field.name)}: the key is missing.")
    values = {n: _value(hints[n], tree[n], _join(key, n)) for n in hints if n in tree}
    return section(**values, **of_extensions)


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _take_extensions(
    hints: dict[str, Any], tree: dict[str, Any], key: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take a section's keys of extensions out of `tree`; return the rest, and them by field.

    The names of their fields are taken out of `hints`.
    """
    found: dict[str, Any] = {}
    for field, hint in list(hints.items()):
        bounds = get_args(hint)[1] if get_origin(hint) is Annotated else None
        if isinstance(bounds, OfExtensions):
            del hints[field]
            present = [name for name in extensions.names(bounds.kind, hints) if name in tree]
            limits = Range(bounds.low, bounds.high)
            found[field] = {n: _leaf(float, limits, tree[n], _join(key, n)) for n in present}
            tree = {name: value for name, value in tree.items() if name not in present}
    return tree, found


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _value(hint: Any, value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value, key)  # type: ignore[arg-type]
    expected, bounds = hint, None
    if get_origin(hint) is Annotated:
        expected, bounds = get_args(hint)
    if get_origin(expected) is tuple:
        return _tuple(get_args(expected)[0], bounds, value, key)
    return _leaf(expected, bounds, value, key)


def _tuple(
    expected: Any, bounds: Range | Choices | Names | None, value: Any, key: str
) -> tuple[Any, ...]:
    may_be_empty = isinstance(bounds, Names)
    if not isinstance(value, list) or not (value or may_be_empty):
        form = "a list of" if may_be_empty else "a list of at least one"
        raise ParamsError(f"{key}: {value!r} is not {form} {expected.__name__}.")
    values = tuple(_leaf(expected, bounds, item, key) for item in value)
    if isinstance(bounds, Choices | Names) and len(set(values)) < len(values):
        raise ParamsError(f"{key}: {value!r} names a value twice.")
    return values


def _leaf(expected: Any, bounds: Range | Choices | Names | None, value: Any, key: str) -> Any:
    parsed = _parse_scientific_notation(value) if expected is float else value
    if type(parsed) is not expected and (expected, type(parsed)) != (float, int):
        raise ParamsError(f"{key}: {value!r} is not of type {expected.__name__}.")
    if isinstance(bounds, Choices) and parsed not in bounds.values:
        raise ParamsError(f"{key}: {value!r} is not one of {', '.join(bounds.values)}.")
    if isinstance(bounds, Range) and not bounds.low <= parsed <= bounds.high:  # also if it is NaN
        raise ParamsError(f"{key}: {value!r} lies outside {bounds.low} to {bounds.high}.")
    return expected(parsed)


def _parse_scientific_notation(value: Any) -> Any:
    """Return a string in scientific notation as a float, and any other value unchanged."""
    if isinstance(value, str) and _SCIENTIFIC_NOTATION.fullmatch(value):
        return float(value)
    return value
