"""params.yaml: every key known, present, of its type, in its range, and possible with the rest."""

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from denoise.errors import ParamsError
from denoise.params import NOISE_TYPES, NoiseWeights, Params
from denoise.params_file import load_params, parse_params
from denoise.schema import Choices, Range
from tests.closures import ROOT
from tests.conftest import COMMITTED


def leaves(section: type, prefix: str = "") -> Iterator[tuple[str, Any, Range | Choices | None]]:
    """Yield the dotted key, the type and the bounds of everything under `section`."""
    for name, hint in get_type_hints(section, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            yield from leaves(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            kind, bounds = get_args(hint) if get_origin(hint) is Annotated else (hint, None)
            yield prefix + name, kind, bounds


LEAVES = list(leaves(Params))
KEYS = [key for key, _, _ in LEAVES]
RANGED = [(k, kind, b.low, b.high) for k, kind, b in LEAVES if isinstance(b, Range)]


def changed(tree: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    *sections, leaf = key.split(".")
    inner = tree
    for name in sections:
        inner = inner[name]
    inner[leaf] = value
    return tree


def value_of(params: Any, key: str) -> Any:
    for name in key.split("."):
        params = params[name] if isinstance(params, dict) else getattr(params, name)
    return params


def error_of(tree: Any) -> str:
    with pytest.raises(ParamsError) as raised:
        parse_params(tree)
    return str(raised.value)


@pytest.mark.parametrize("key", KEYS)
def test_every_committed_leaf_arrives(key: str) -> None:
    written, read = value_of(COMMITTED, key), value_of(load_params(ROOT / "params.yaml"), key)
    assert (list(read) if isinstance(read, tuple) else read) == written
    kind = dict((k, kind) for k, kind, _ in LEAVES)[key]
    assert type(read) is (get_origin(kind) or kind)


def test_params_written_and_read_again_are_the_same(tmp_path: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    plain = yaml.safe_load(yaml.safe_dump(dataclasses.asdict(params)))
    assert parse_params(plain) == params


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named(tree: dict[str, Any], key: str) -> None:
    section, _, leaf = key.rpartition(".")
    del (value_of(tree, section) if section else tree)[leaf]
    assert error_of(tree) == f"{key}: the key is missing."


@pytest.mark.parametrize("section", ["", *sorted({k.rpartition(".")[0] for k in KEYS} - {""})])
def test_an_unknown_key_is_named_with_the_known_ones(tree: dict[str, Any], section: str) -> None:
    inner = value_of(tree, section) if section else tree
    known = list(inner)
    inner["epoch"] = 3
    error = error_of(tree)
    assert error.startswith(f"{section}.epoch: no such key" if section else "epoch: no such key")
    assert all(name in error for name in known)


@pytest.mark.parametrize(("key", "kind", "bounds"), LEAVES)
def test_a_wrong_value_is_named(tree: dict[str, Any], key: str, kind: Any, bounds: Any) -> None:
    for value in (None, {}, {"low": 1}, [], [None], b"x", True, "", "12", 10**400):
        if type(value) is kind and bounds is None:
            continue
        error = error_of(changed(tree, key, value))
        assert error.startswith(f"{key}: ")
        assert repr(value) in error or (value == [None] and "None" in error)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@given(key=st.sampled_from(KEYS), value=ANYTHING)
def test_no_value_brings_another_error(key: str, value: Any) -> None:
    try:
        params = parse_params(changed(copy.deepcopy(COMMITTED), key, value))
    except ParamsError as error:
        assert key.split(".")[0] in str(error)
    else:
        assert value_of(params, key) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(("key", "kind", "low", "high"), RANGED)
def test_what_lies_outside_its_range_is_named(
    tree: dict[str, Any], key: str, kind: Any, low: float, high: float
) -> None:
    is_list = get_origin(kind) is tuple
    step = 1 if kind is int else 1e-9
    for value in (low - step, high + step, -high - 1):
        error = error_of(changed(copy.deepcopy(tree), key, [value] if is_list else value))
        assert error == f"{key}: {value!r} lies outside {low} to {high}."


@pytest.mark.parametrize(("key", "kind"), [(k, kind) for k, kind, *_ in RANGED if kind is not int])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_out_of_range(
    tree: dict[str, Any], key: str, kind: Any, value: float
) -> None:
    error = error_of(changed(tree, key, value if kind is float else [1.0, value]))
    assert error.startswith(f"{key}: {value!r} lies outside ")


@pytest.mark.parametrize("key", [key for key, kind, _ in LEAVES if kind is int])
@pytest.mark.parametrize("value", [True, 20.0, "20"])
def test_only_an_int_is_an_int(tree: dict[str, Any], key: str, value: Any) -> None:
    assert error_of(changed(tree, key, value)) == f"{key}: {value!r} is not of type int."


def test_a_whole_number_serves_as_float(tree: dict[str, Any]) -> None:
    params = parse_params(changed(tree, "audio.duration_seconds", 2))
    assert repr(params.audio.duration_seconds) == "2.0"
    assert params.audio.n_samples == 44_100


@given(noise_types=st.lists(st.sampled_from(NOISE_TYPES), min_size=1, max_size=6))
def test_noise_kinds_are_each_named_once(noise_types: list[str]) -> None:
    tree = changed(copy.deepcopy(COMMITTED), "evaluate.noise_types", noise_types)
    changed(tree, "download.noise", "somewhere")
    if len(set(noise_types)) == len(noise_types):
        assert parse_params(tree).evaluate.noise_types == tuple(noise_types)
    else:
        assert error_of(tree) == f"evaluate.noise_types: {noise_types!r} names a value twice."


def test_every_kind_of_noise_has_a_weight() -> None:
    assert tuple(field.name for field in dataclasses.fields(NoiseWeights)) == NOISE_TYPES


@pytest.fixture
def sized_tree(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the committed params with the sizes that the bounds below follow from."""
    sizes = {"n_fft": 512, "hop_length": 256, "win_length": 512}
    return changed(tree, "spectrogram", sizes)


@pytest.mark.parametrize(
    ("changes", "key", "named"),
    [
        ({"spectrogram.n_fft": 511, "spectrogram.win_length": 400}, "spectrogram.n_fft", "511"),
        ({"spectrogram.hop_length": 257}, "spectrogram.hop_length", "257 lies outside 4 to 256"),
        ({"spectrogram.win_length": 514}, "spectrogram.win_length", "514 lies outside 16 to 512"),
        (
            {"sample.validation_fraction": 0.5, "sample.test_fraction": 0.41},
            "sample.validation_fraction + sample.test_fraction",
            "0.91 lies outside 0.02 to 0.9",
        ),
        ({"noise.weights": dict.fromkeys(NOISE_TYPES, 0)}, "noise.weights", "all are 0"),
        ({"noise.snr_db": [5, -5]}, "noise.snr_db", "[5.0, -5.0]"),
        ({"noise.snr_db": [5]}, "noise.snr_db", "[5.0]"),
        ({"noise.snr_db": [0, 1, 2]}, "noise.snr_db", "[0.0, 1.0, 2.0]"),
        ({"recogniser.snr_db": [5, -5]}, "recogniser.snr_db", "[5.0, -5.0]"),
        ({"evaluate.snr_db": [0, 3, 0.0]}, "evaluate.snr_db", "[0.0, 3.0, 0.0]"),
        (
            {"features.speed_perturbation": [0.9, 1.1]},
            "features.speed_perturbation",
            "[0.9, 1.1] must hold 1",
        ),
        (
            {"features.speed_perturbation": [1, 1.1, 1.1]},
            "features.speed_perturbation",
            "no value twice",
        ),
        ({"download.source": "local"}, "download.local", "download.source is local"),
        (
            {"noise.weights.recordings": 0.5},
            "download.noise: '' names no folder or zip",
            "noise.weights.recordings is more than 0",
        ),
        (
            {"evaluate.noise_types": ["white", "recordings"]},
            "download.noise: '' names no folder or zip",
            "evaluate.noise_types holds recordings",
        ),
        (
            {"audio.sample_rate": 4000, "audio.duration_seconds": 0.1},
            "audio.duration_seconds",
            "400 samples, fewer than spectrogram.n_fft, 512",
        ),
    ],
)
def test_what_is_impossible_together_is_named(
    sized_tree: dict[str, Any], changes: dict[str, Any], key: str, named: str
) -> None:
    for name, value in changes.items():
        changed(sized_tree, name, value)
    error = error_of(sized_tree)
    assert error.startswith(key)
    assert named in error


@pytest.mark.parametrize(
    "changes",
    [
        {"spectrogram.hop_length": 256},
        {"noise.snr_db": [3, 3]},
        {"sample.validation_fraction": 0.1, "sample.test_fraction": 0.8},
        {"download.source": "local", "download.local": "somewhere"},
        {
            "download.noise": "somewhere",
            "noise.weights.recordings": 1,
            "evaluate.noise_types": ["recordings"],
        },
        {"audio.sample_rate": 5120, "audio.duration_seconds": 0.1},
    ],
)
def test_what_is_just_possible_together_is_taken(
    sized_tree: dict[str, Any], changes: dict[str, Any]
) -> None:
    for name, value in changes.items():
        changed(sized_tree, name, value)
    params = parse_params(sized_tree)
    for name, value in changes.items():
        read = value_of(params, name)
        assert (list(read) if isinstance(read, tuple) else read) == value


@pytest.mark.parametrize("tree", [None, 3, "text", [1], {}])
def test_what_is_no_mapping_is_an_error(tree: Any) -> None:
    assert "key" in error_of(tree)


@pytest.mark.parametrize(
    "content", [b"a: [", b"\xff\xfe\x00", b"a: 2020-13-45", b"? [1]\n: 2", b"\t- x", b"9: " * 3]
)
def test_what_is_no_yaml_is_an_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match="is not YAML"):
        load_params(path)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"No params at .*absent\.yaml\. Run from the project"):
        load_params(tmp_path / "absent.yaml")


def test_sizes_follow_from_the_params(sized_tree: dict[str, Any]) -> None:
    params = parse_params(sized_tree)
    assert params.audio.n_samples == 22_050
    assert params.spectrogram.n_bins == 257
