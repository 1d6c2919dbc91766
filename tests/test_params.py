"""params.yaml: unknown and missing keys, types, ranges, and values that contradict each other."""

import copy
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from denoise.errors import ParamsError
from denoise.params import NOISE_TYPES, NoiseWeights, Params
from denoise.params_file import RENAMED, load_params, parse_params
from denoise.schema import Choices, Names, Range
from tests.closures import ROOT
from tests.conftest import COMMITTED


def leaves(
    section: type, prefix: str = ""
) -> Iterator[tuple[str, Any, Range | Choices | Names | None]]:
    """Yield the dotted key, the type and the bounds of everything under `section`."""
    for name, hint in get_type_hints(section, include_extras=True).items():
        if name == "extensions":  # stands for keys of its section
            continue
        if dataclasses.is_dataclass(hint):
            yield from leaves(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            expected, bounds = get_args(hint) if get_origin(hint) is Annotated else (hint, None)
            yield prefix + name, expected, bounds


def optional_keys(section: type, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys under `section` that have a default."""
    hints = get_type_hints(section)
    for field in dataclasses.fields(section):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from optional_keys(hints[field.name], f"{prefix}{field.name}.")
        elif field.default is not dataclasses.MISSING:
            yield prefix + field.name


LEAVES = list(leaves(Params))
KEYS = [key for key, _, _ in LEAVES]
OPTIONAL = set(optional_keys(Params))
"""Keys with a default, which older files and models do not have."""
LOSSES = [key.rpartition(".")[2] for key in KEYS if key.startswith("train.loss.")]
TYPES = {key: expected for key, expected, _ in LEAVES}
RANGED = [(key, expected, b.low, b.high) for key, expected, b in LEAVES if isinstance(b, Range)]


def set_value(tree: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Set the value of a dotted key, with its sections where they are missing; return `tree`."""
    *sections, leaf = key.split(".")
    inner = tree
    for name in sections:
        inner = inner.setdefault(name, {})
    inner[leaf] = value
    return tree


def value_of(params: Any, key: str) -> Any:
    """Return the value of a dotted key, of dataclasses or of a tree."""
    for name in key.split("."):
        params = params[name] if isinstance(params, dict) else getattr(params, name)
    return params


def error_of(tree: Any) -> str:
    with pytest.raises(ParamsError) as raised:
        parse_params(tree)
    return str(raised.value)


@pytest.mark.parametrize("key", KEYS)
def test_every_committed_value_is_read(key: str) -> None:
    written, read = value_of(COMMITTED, key), value_of(load_params(ROOT / "params.yaml"), key)
    assert (list(read) if isinstance(read, tuple) else read) == written
    assert type(read) is (get_origin(TYPES[key]) or TYPES[key])


def test_params_are_read_as_they_were_written(tmp_path: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    tree = dataclasses.asdict(params)
    for section in ("noise.weights", "train.loss", "train.fine_tuning.loss"):
        assert value_of(tree, section).pop("extensions") == {}
    plain = yaml.safe_load(yaml.safe_dump(tree))
    assert parse_params(plain) == params


@pytest.mark.parametrize("key", [key for key in KEYS if key not in OPTIONAL])
def test_the_error_for_a_missing_key_names_it(tree: dict[str, Any], key: str) -> None:
    section, _, leaf = key.rpartition(".")
    del (value_of(tree, section) if section else tree)[leaf]
    assert error_of(tree) == f"{key}: the key is missing."


def test_files_from_before_frames_per_step_describe_the_same_network(tree: dict[str, Any]) -> None:
    del tree["model"]["skip_autoencoder"]["frames_per_step"]
    assert parse_params(tree) == load_params(ROOT / "params.yaml")


@pytest.mark.parametrize("section", ["", *sorted({k.rpartition(".")[0] for k in KEYS} - {""})])
def test_the_error_for_an_unknown_key_names_it_and_the_known_ones(
    tree: dict[str, Any], section: str
) -> None:
    inner = value_of(tree, section) if section else tree
    known = list(inner)
    inner["epoch"] = 3
    error = error_of(tree)
    assert error.startswith(f"{section}.epoch: no such key" if section else "epoch: no such key")
    assert all(name in error for name in known)


@pytest.mark.parametrize(("key", "expected", "bounds"), LEAVES)
def test_the_error_for_a_wrong_value_has_key_and_value(
    tree: dict[str, Any], key: str, expected: Any, bounds: Any
) -> None:
    may_be = [] if isinstance(bounds, Names) else ...
    for value in (None, {}, {"low": 1}, [], [None], b"x", True, "", "12", 10**400):
        if (type(value) is expected and bounds is None) or value == may_be:
            continue
        error = error_of(set_value(tree, key, value))
        assert error.startswith(f"{key}: ")
        assert repr(value) in error or (value == [None] and "None" in error)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


SCIENTIFIC_NOTATION = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")


def to_number(value: Any) -> Any:
    """Return what a value of a float key is read as: a number for scientific notation."""
    is_number = isinstance(value, str) and SCIENTIFIC_NOTATION.fullmatch(value)
    return float(value) if is_number else value


@given(key=st.sampled_from(KEYS), value=ANYTHING)
def test_a_value_is_read_or_gives_a_params_error(key: str, value: Any) -> None:
    try:
        params = parse_params(set_value(copy.deepcopy(COMMITTED), key, value))
    except ParamsError as error:
        assert key.split(".")[0] in str(error)
    else:
        if TYPES[key] in (float, tuple[float, ...]):
            value = [*map(to_number, value)] if isinstance(value, list) else to_number(value)
        assert value_of(params, key) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(("key", "expected", "low", "high"), RANGED)
def test_the_error_for_a_value_out_of_range_has_the_range(
    tree: dict[str, Any], key: str, expected: Any, low: float, high: float
) -> None:
    is_list = get_origin(expected) is tuple
    step = 1 if expected in (int, tuple[int, ...]) else 1e-9
    for value in (low - step, high + step, -high - 1):
        error = error_of(set_value(copy.deepcopy(tree), key, [value] if is_list else value))
        assert error == f"{key}: {value!r} lies outside {low} to {high}."


@pytest.mark.parametrize(
    "key", [key for key, expected, *_ in RANGED if expected in (float, tuple[float, ...])]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_out_of_range(
    tree: dict[str, Any], key: str, value: float
) -> None:
    error = error_of(set_value(tree, key, value if TYPES[key] is float else [1.0, value]))
    assert error.startswith(f"{key}: {value!r} lies outside ")


@pytest.mark.parametrize("key", [key for key in KEYS if TYPES[key] is int])
@pytest.mark.parametrize("value", [True, 20.0, "20", "2e1", "2E+01"])
def test_an_int_key_accepts_only_integers(tree: dict[str, Any], key: str, value: Any) -> None:
    assert error_of(set_value(tree, key, value)) == f"{key}: {value!r} is not of type int."


def test_a_float_key_accepts_integers(tree: dict[str, Any]) -> None:
    params = parse_params(set_value(tree, "audio.duration_seconds", 2))
    assert repr(params.audio.duration_seconds) == "2.0"
    assert params.audio.n_samples == 44_100


# YAML 1.1 resolves none of these to a number; `dvc exp run -S` writes the second form.
@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-3", 1e-3), ("5e-05", 5e-5), ("1e0", 1.0), ("+1E-1", 0.1), (".5e0", 0.5)],
)
def test_a_float_key_accepts_scientific_notation(
    tree: dict[str, Any], text: str, number: float
) -> None:
    value = yaml.safe_load(text)
    assert value == text
    params = parse_params(set_value(tree, "train.learning_rate", value))
    assert params.train.learning_rate == number


def test_a_list_of_floats_accepts_scientific_notation(tree: dict[str, Any]) -> None:
    snr_db = yaml.safe_load("[-2E+1, 5e-05, 1e-3, 6]")
    assert snr_db == ["-2E+1", "5e-05", "1e-3", 6]
    params = parse_params(set_value(tree, "evaluate.snr_db", snr_db))
    assert params.evaluate.snr_db == (-20.0, 5e-5, 1e-3, 6.0)


def test_scientific_notation_is_read_from_a_file(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    changed, n_changed = re.subn(r"(?m)^(  learning_rate:) .*", r"\1 5e-05", text, count=1)
    assert n_changed == 1
    (tmp_path / "params.yaml").write_text(changed, encoding="utf-8")
    assert load_params(tmp_path / "params.yaml").train.learning_rate == 5e-5


@pytest.mark.parametrize("text", ["-2E+1", "1e400", "5e-09"])
def test_the_range_holds_for_scientific_notation(tree: dict[str, Any], text: str) -> None:
    error = error_of(set_value(tree, "train.learning_rate", yaml.safe_load(text)))
    assert error == f"train.learning_rate: {text!r} lies outside 1e-07 to 1.0."


@pytest.mark.parametrize(
    "text", ["", "12", "0.5", "nan", "inf", "1e", "e-3", "1e-3 ", "1_0e-3", "0x1e-3", "\u0661e-3"]
)
def test_a_float_key_accepts_no_other_strings(tree: dict[str, Any], text: str) -> None:
    error = error_of(set_value(tree, "train.learning_rate", text))
    assert error == f"train.learning_rate: {text!r} is not of type float."


@pytest.mark.parametrize("key", RENAMED)
@pytest.mark.parametrize("replaces_new_key", [False, True])
def test_the_error_for_a_former_key_names_the_present_one(
    tree: dict[str, Any], key: str, replaces_new_key: bool
) -> None:
    if replaces_new_key:
        for present in present_keys(key):
            section, _, leaf = present.rpartition(".")
            del (value_of(tree, section) if section else tree)[leaf]
    error = error_of(set_value(tree, key, 1))
    assert error == f"{key}: this key was renamed; write {RENAMED[key]} instead."


@pytest.mark.parametrize("key", RENAMED)
def test_a_former_key_is_gone_and_its_present_name_exists(key: str) -> None:
    for present in present_keys(key):
        value_of(COMMITTED, present)
    with pytest.raises(KeyError):
        value_of(COMMITTED, key)


def present_keys(key: str) -> list[str]:
    """Return the names that replace a former key."""
    return re.split(", | and ", RENAMED[key])


@given(noise_types=st.lists(st.sampled_from(NOISE_TYPES), min_size=1, max_size=6))
def test_a_noise_type_may_be_listed_only_once(noise_types: list[str]) -> None:
    tree = set_value(copy.deepcopy(COMMITTED), "evaluate.noise_types", noise_types)
    set_value(tree, "download.noise", "somewhere")
    if len(set(noise_types)) == len(noise_types):
        assert parse_params(tree).evaluate.noise_types == tuple(noise_types)
    else:
        assert error_of(tree) == f"evaluate.noise_types: {noise_types!r} names a value twice."


def test_every_noise_type_has_a_weight() -> None:
    assert (*NOISE_TYPES, "extensions") == tuple(
        field.name for field in dataclasses.fields(NoiseWeights)
    )


LONG_HOPS = {
    "audio.sample_rate": 4000,
    "audio.duration_seconds": 4.0,
    "spectrogram.n_fft": 8192,
    "spectrogram.hop_length": 4096,
    "spectrogram.win_length": 8192,
}
"""Less than one frame a second."""


@pytest.fixture
def sized_tree(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the committed params with the STFT sizes that the bounds in the tests depend on."""
    sizes = {"n_fft": 512, "hop_length": 256, "win_length": 512}
    return set_value(tree, "spectrogram", sizes)


@pytest.mark.parametrize(
    ("changes", "key", "message"),
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
        ({"train.loss": dict.fromkeys(LOSSES, 0)}, "train.loss", "all are 0"),
        (
            {"train.fine_tuning.epochs": 1, "train.fine_tuning.loss": dict.fromkeys(LOSSES, 0)},
            "train.fine_tuning.loss",
            "all are 0",
        ),
        (
            {"features.cache": "waveforms", "train.dynamic_mixing": False},
            "train.dynamic_mixing: false needs spectrograms",
            "waveforms are always mixed anew",
        ),
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
            {"download.source": "open", "download.open.speech": []},
            "download.open.speech: [] names no speech",
            "download.source is open",
        ),
        ({"download.open.noise": ["rain", "rain"]}, "download.open.noise", "names a value twice"),
        (
            {"noise.weights.recordings": 0.5},
            "download.noise: '' names no folder or zip, download.open.noise is empty",
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
        (
            {**LONG_HOPS, "train.crop_seconds": 2.0},
            "spectrogram.hop_length: 4096 at audio.sample_rate, 4000, gives a crop of 2 s fewer",
            "raise train.crop_seconds",
        ),
        (
            {**LONG_HOPS, "train.crop_seconds": 3.0},
            "spectrogram.hop_length: 4096 at audio.sample_rate, 4000, gives the loss no frame",
            "in 0.384 s",
        ),
        (
            {**LONG_HOPS, "train.dynamic_mixing": False},
            "spectrogram.hop_length",
            "gives the loss no frame",
        ),
    ],
)
def test_the_error_for_contradicting_values_names_them(
    sized_tree: dict[str, Any], changes: dict[str, Any], key: str, message: str
) -> None:
    for name, value in changes.items():
        set_value(sized_tree, name, value)
    error = error_of(sized_tree)
    assert error.startswith(key)
    assert message in error


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
        {"download.source": "open"},
        {"download.open.noise": ["rain"], "noise.weights.recordings": 1},
        {"download.open.speech": []},
        {"audio.sample_rate": 5120, "audio.duration_seconds": 0.1},
        {**LONG_HOPS, "model.architecture": "reference", "train.crop_seconds": 2.048},
        {**LONG_HOPS, "audio.sample_rate": 6000, "train.crop_seconds": 2.0},
    ],
)
def test_values_at_the_limits_of_the_checks_are_accepted(
    sized_tree: dict[str, Any], changes: dict[str, Any]
) -> None:
    for name, value in changes.items():
        set_value(sized_tree, name, value)
    params = parse_params(sized_tree)
    for name, value in changes.items():
        read = value_of(params, name)
        assert (list(read) if isinstance(read, tuple) else read) == value


@pytest.mark.parametrize("tree", [None, 3, "text", [1], {}])
def test_a_file_that_is_not_a_mapping_is_an_error(tree: Any) -> None:
    assert "key" in error_of(tree)


@pytest.mark.parametrize(
    "content", [b"a: [", b"\xff\xfe\x00", b"a: 2020-13-45", b"? [1]\n: 2", b"\t- x", b"9: " * 3]
)
def test_the_error_for_invalid_yaml_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"params\.yaml is not YAML"):
        load_params(path)


def test_the_error_for_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"No params at .*absent\.yaml\. Run from the project"):
        load_params(tmp_path / "absent.yaml")


def test_derived_sizes_are_computed_from_the_params(sized_tree: dict[str, Any]) -> None:
    params = parse_params(sized_tree)
    assert params.audio.n_samples == 22_050
    assert params.spectrogram.n_bins == 257
