"""`Denoiser` keeps shape, sample rate and alignment, for every input."""

import copy
import dataclasses
import pickle
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from denoise.errors import ModelError
from denoise.inference.denoiser import Denoiser
from denoise.inference.samples import to_waveform
from denoise.network.spec import MaskNetwork
from tests.closures import ROOT
from tests.networks import RATE, SPEC, gain_network, write_halving_model


def make_denoiser(gain: float = 1.0) -> Denoiser:
    return Denoiser(gain_network(gain))


def make_noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@given(n_samples=st.integers(0, 1000), mask=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_constant_mask_is_a_gain_at_any_length(n_samples: int, mask: float) -> None:
    waveform = make_noise(n_samples)
    denoised = make_denoiser(mask).denoise(waveform, RATE)
    assert (denoised.dtype, denoised.shape) == (np.float32, waveform.shape)
    np.testing.assert_allclose(denoised, mask * waveform, atol=1e-5)


@given(
    shape=st.one_of(
        st.tuples(st.integers(0, 3000)), st.tuples(st.integers(0, 3000), st.integers(1, 8))
    ),
    sample_rate=st.sampled_from([4000, 7999, 11_025, 22_050, 44_100, 48_000, 192_000]),
)
def test_shape_and_rate_are_kept(shape: tuple[int, ...], sample_rate: int) -> None:
    denoised = make_denoiser().denoise(make_noise(*shape), sample_rate)
    assert (denoised.dtype, denoised.shape) == (np.float32, shape)
    assert np.isfinite(denoised).all()


@pytest.mark.parametrize("sample_rate", [6000, 11_025, 44_100, 48_000])
def test_resampling_keeps_the_alignment(sample_rate: int) -> None:
    time = np.arange(sample_rate) / sample_rate
    waveform = (np.sin(2 * np.pi * 440 * time) * np.hanning(len(time))).astype(np.float32)
    denoised = make_denoiser().denoise(waveform, sample_rate)
    np.testing.assert_allclose(denoised, waveform, atol=2e-3)


def test_each_bin_has_its_own_mask() -> None:
    def low_pass(spectrograms: np.ndarray) -> np.ndarray:
        mask = np.ones(spectrograms.shape[:-1], np.float32)
        mask[..., 32:] = 0  # from 2 kHz on
        return mask

    time = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * hertz * time).astype(np.float32) for hertz in (500, 3000))
    network = MaskNetwork(low_pass, SPEC)
    denoised = Denoiser(network).denoise(low + high, RATE)
    np.testing.assert_allclose(denoised[200:-200], low[200:-200], atol=1e-3)


def test_channels_are_independent() -> None:
    together = make_denoiser(0.7).denoise(make_noise(500, 3), RATE)
    for channel, alone in zip(together.T, make_noise(500, 3).T, strict=True):
        np.testing.assert_array_equal(make_denoiser(0.7).denoise(alone, RATE), channel)


@pytest.mark.parametrize("sample_rate", [RATE, 44_100])
def test_strength_mixes_and_the_residual_is_the_difference(sample_rate: int) -> None:
    noisy = make_noise(5000)
    denoised = make_denoiser(0.25).denoise(noisy, sample_rate)
    mixed = make_denoiser(0.25).denoise(noisy, sample_rate, strength=0.6)
    np.testing.assert_allclose(mixed, 0.6 * denoised + 0.4 * noisy, atol=1e-6)
    removed = make_denoiser(0.25).denoise(noisy, sample_rate, strength=0.6, residual=True)
    np.testing.assert_allclose(removed + mixed, noisy, atol=1e-6)
    unchanged = make_denoiser(0.25).denoise(noisy, sample_rate, strength=0.0)
    np.testing.assert_array_equal(unchanged, noisy)


@pytest.mark.parametrize(
    ("waveform", "options", "message"),
    [
        (make_noise(), {}, r"\[n_samples, n_channels\]"),
        (make_noise(2, 2, 2), {}, r"\[n_samples, n_channels\]"),
        (np.array([0, np.nan]), {}, "finite"),
        (np.array([np.inf, 1]), {}, "finite"),
        (make_noise(4, 9), {}, "9 channels"),
        (make_noise(4), {"strength": 1.5}, "strength of 1.5"),
        (make_noise(4), {"sample_rate": 3999}, "3999 Hz"),
        (make_noise(4), {"sample_rate": 192_001}, "192001 Hz"),
    ],
)
def test_invalid_input_is_an_error(
    waveform: np.ndarray, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_denoiser().denoise(waveform, **{"sample_rate": RATE, **options})


INTEGERS = [
    (np.int8, 2.0**7, 0),
    (np.int16, 2.0**15, 0),
    (np.int32, 2.0**31, 0),
    (np.uint8, 2.0**7, 128),
]


@pytest.mark.parametrize(("dtype", "scale", "offset"), INTEGERS)
@pytest.mark.parametrize("sample_rate", [RATE, 44_100])
def test_integers_have_the_full_scale_of_their_type(
    dtype: type, scale: float, offset: int, sample_rate: int
) -> None:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(3)
    integers = rng.integers(limits.min, limits.max, (3000, 2), dtype, endpoint=True)
    as_floats = ((integers.astype(np.float64) - offset) / scale).astype(np.float32)
    assert 0.9 < np.abs(as_floats).max() <= 1
    expected = make_denoiser(0.5).denoise(as_floats, sample_rate)
    for array in (integers, integers.astype(integers.dtype.newbyteorder(">"))):
        np.testing.assert_array_equal(make_denoiser(0.5).denoise(array, sample_rate), expected)
    stream = make_denoiser(0.5).stream(sample_rate, 2)
    streamed = np.concatenate([stream.feed(integers[:99]), stream.feed(integers[99:])])
    np.testing.assert_array_equal(np.concatenate([streamed, stream.flush()]), expected)


@pytest.mark.parametrize(("dtype", "scale", "offset"), INTEGERS)
def test_integers_are_converted_exactly_and_with_little_memory(
    dtype: type, scale: float, offset: int
) -> None:
    limits = np.iinfo(dtype)
    numbers = np.arange(max(limits.min, -(2**16)), min(limits.max, 2**16) + 1)
    numbers = np.concatenate([numbers, limits.min + numbers[-300:] % 300])
    numbers = np.concatenate([numbers, limits.max - numbers[-300:] % 300, 2**24 + numbers % 999])
    integers = np.tile(numbers[numbers <= limits.max].astype(dtype), 20)
    tracemalloc.start()
    samples = to_waveform(integers)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    expected = ((integers.astype(np.float64) - offset) / scale).astype(np.float32)
    np.testing.assert_array_equal(samples[:, 0], expected)
    assert peak < 1.2 * samples.nbytes + 10_000


def test_integers_of_files_are_scaled_as_soundfile_scales_them(tmp_path: Path) -> None:
    for subtype, dtype in (("PCM_16", "int16"), ("PCM_32", "int32"), ("PCM_24", "int32")):
        path = tmp_path / f"{subtype}.wav"
        soundfile.write(path, 0.3 * make_noise(2000).clip(-3, 3), RATE, subtype)
        integers, floats = (soundfile.read(path, dtype=each)[0] for each in (dtype, "float32"))
        results = [make_denoiser(0.5).denoise(each, RATE) for each in (integers, floats)]
        np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble, ">f4", "<f8", ">f8"])
def test_every_floating_point_type_is_taken(dtype: str | type) -> None:
    samples = make_noise(3000, 2).astype(np.float16)
    denoised = make_denoiser(0.5).denoise(samples.astype(dtype), 44_100)
    assert denoised.dtype == np.float32
    expected = make_denoiser(0.5).denoise(samples.astype(np.float32), 44_100)
    np.testing.assert_array_equal(denoised, expected)
    stream = make_denoiser(0.5).stream(44_100, 2)
    streamed = np.concatenate([stream.feed(samples.astype(dtype)), stream.flush()])
    assert streamed.dtype == np.float32
    np.testing.assert_array_equal(streamed, expected)


def test_arrays_of_any_memory_layout_and_lists_are_taken() -> None:
    samples = make_noise(3000, 2)
    expected = make_denoiser(0.5).denoise(samples, RATE)
    padded = np.zeros((6000, 4), np.float32)
    padded[::2, 3:1:-1] = samples
    read_only = samples.copy()
    read_only.setflags(write=False)
    for same in (np.asfortranarray(samples), padded[::2, 3:1:-1], read_only, samples.tolist()):
        np.testing.assert_array_equal(make_denoiser(0.5).denoise(same, RATE), expected)
    assert (samples == make_noise(3000, 2)).all()


REFUSED = [
    (np.ones(9, complex), "type complex128"),
    (np.ones(9, bool), "type bool"),
    (np.ones(9, object), "type object"),
    (np.full(9, None), "type object"),
    (np.array(["1", "2"]), "type <U1"),
    (np.array([b"1"]), r"type \|S1"),
    (np.zeros(9, "M8[s]"), r"type datetime64\[s\]"),
    (np.zeros(9, "m8[s]"), r"type timedelta64\[s\]"),
    (np.zeros(9, [("left", "f4")]), "type .*left"),
    (np.zeros(9, np.int64), "type int64 .*int16"),
    (np.zeros(9, np.uint16), "type uint16"),
    (np.zeros(9, np.uint32), "type uint32"),
    (np.zeros(9, np.uint64), "type uint64"),
    (np.ma.masked_array(np.ones(3), [0, 1, 0]), "masked"),
    (np.full(9, 1e38, np.float32), r"must not exceed 1e\+10"),
    (np.full(9, -1.1e10), r"must not exceed 1e\+10"),
    (np.full(9, 1e300), r"must not exceed 1e\+10"),
    (np.full(9, np.finfo(np.longdouble).max), "must not exceed"),
    (np.array([1, np.nan], np.float16), "finite"),
    (np.array([-np.inf, np.nan]), "finite"),
]


@pytest.mark.parametrize(("array", "message"), REFUSED, ids=lambda each: str(each)[:30])
def test_other_types_and_values_are_refused(array: np.ndarray, message: str) -> None:
    for rate in (RATE, 44_100):
        with pytest.raises(ValueError, match=message):
            make_denoiser().denoise(array, rate)
        with pytest.raises(ValueError, match=message):
            make_denoiser().stream(rate).feed(array[:, None])


@pytest.mark.parametrize("shape", [(2, 3000), (1, 9), (9, 3000)])
def test_channels_first_are_refused_with_advice(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"transpose it: it must be \[n_samples, n_channels\]"):
        make_denoiser().denoise(make_noise(*shape), RATE)
    if shape[0] <= 8:
        with pytest.raises(ValueError, match="Transpose the array"):
            make_denoiser().stream(RATE, shape[0]).feed(make_noise(*shape))


@pytest.mark.parametrize("shape", [(), (2, 2, 2), (0, 0), (9, 0), (4, 2, 0)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"is not|not supported"):
        make_denoiser().denoise(make_noise(*shape), RATE)
    with pytest.raises(ValueError, match=r"is not \[n_samples, 1\]"):
        make_denoiser().stream(RATE).feed(make_noise(*shape))


def test_the_largest_samples_stay_finite() -> None:
    alternating = np.tile(np.float32([1e10, -1e10, 1e10, 1e10, 0]), 2000)
    for waveform in (np.full(10_000, 1e10, np.float32), alternating, alternating * 1e-48):
        for rate in (4000, RATE, 48_000):
            assert np.isfinite(Denoiser.load().denoise(waveform, rate)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": "8000"}, "sample rate must be a number, not '8000'"),
        ({"sample_rate": None}, "sample rate must be a number"),
        ({"sample_rate": True}, "sample rate must be a number"),
        ({"sample_rate": 44_100.5}, "sample rate must be a whole number"),
        ({"sample_rate": float("nan")}, "sample rate must be a whole number"),
        ({"sample_rate": 10**400}, "sample rate is too large"),
        ({"channels": "2"}, "number of channels must be a number"),
        ({"channels": 1.5}, "number of channels must be a whole number"),
        ({"channels": 0}, "0 channels"),
        ({"strength": "1"}, "strength must be a number"),
        ({"strength": float("nan")}, "strength of nan"),
        ({"block_seconds": None}, "length of a block must be a number"),
        ({"block_seconds": float("inf")}, "block of inf s"),
        ({"residual": "False"}, "residual must be True or False, not 'False'"),
        ({"residual": None}, "residual must be True or False"),
    ],
    ids=str,
)
def test_numbers_of_other_types_and_ranges_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_denoiser().stream(**{"sample_rate": RATE, **options})


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", None, float("nan")], ids=str)
def test_a_number_of_threads_out_of_range_is_refused(threads: Any) -> None:
    with pytest.raises(ValueError, match="number of threads"):
        Denoiser.load(threads=threads)


def test_a_long_array_gives_the_bytes_of_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, denoiser = make_noise(25 * RATE, 2), make_denoiser(0.5)
    expected = denoiser.denoise(noisy, RATE)
    monkeypatch.setattr("denoise.inference.denoiser.PIECE_SECONDS", 7)
    np.testing.assert_array_equal(denoiser.denoise(noisy, RATE), expected)


def test_the_number_of_threads_changes_no_byte() -> None:
    noisy = make_noise(3 * RATE)
    expected = Denoiser.load().denoise(noisy, RATE)
    np.testing.assert_array_equal(Denoiser.load(threads=3).denoise(noisy, RATE), expected)


def test_numbers_may_be_those_of_numpy() -> None:
    expected = make_denoiser(0.5).denoise(make_noise(999), 44_100, 0.5)
    numbers = (np.int64(44_100), np.float64(44_100), 44_100.0)
    for rate in numbers:
        result = make_denoiser(0.5).denoise(make_noise(999), rate, np.float32(0.5))  # type: ignore[arg-type]
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_a_stream_that_was_flushed_takes_nothing_more(rate: int) -> None:
    stream = make_denoiser().stream(rate)
    stream.feed(make_noise(99, 1))
    stream.flush()
    for act in (lambda: stream.feed(make_noise(99, 1)), stream.flush):
        with pytest.raises(ValueError, match="ended with flush"):
            act()


def test_samples_that_are_refused_do_not_disturb_a_stream() -> None:
    stream, samples = make_denoiser(0.5).stream(44_100), make_noise(9000, 1)
    ready = [stream.feed(samples[:5000])]
    for wrong in (samples[:, 0], samples * np.inf, samples.astype(complex)):
        with pytest.raises(ValueError, match=r"is not|finite|type"):
            stream.feed(wrong)
    ready += [stream.feed(samples[5000:]), stream.flush()]
    expected = make_denoiser(0.5).denoise(samples, 44_100)
    np.testing.assert_array_equal(np.concatenate(ready), expected)


@pytest.mark.parametrize("name", ["", "missing.onnx", "x" * 300, "a\0b", "folder/x", "\udcff"])
def test_a_model_that_is_not_there_is_a_model_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"No model at|is empty"):
        Denoiser.load(name)


def test_a_name_that_is_misspelt_is_told_the_names() -> None:
    with pytest.raises(ModelError, match=r"No model at Live\. Pass general, live or another path"):
        Denoiser.load("Live")


def test_the_name_of_a_model_is_no_network() -> None:
    with pytest.raises(TypeError, match=r'takes a network\. Use Denoiser\.load\("general"\)'):
        Denoiser("live")  # type: ignore[arg-type]


@pytest.mark.parametrize("duplicate", [copy.copy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_denoiser_is_pickled_as_what_it_was_loaded_from(
    tmp_path: Path, duplicate: Callable[[Denoiser], Denoiser]
) -> None:
    path = write_halving_model(tmp_path / "half.onnx")
    loaded = duplicate(Denoiser.load(path, threads=2))
    assert loaded.loaded == (path, 2)
    expected = make_denoiser(0.5).denoise(make_noise(999), RATE)
    np.testing.assert_array_equal(loaded.denoise(make_noise(999), RATE), expected)


def test_a_denoiser_of_a_network_cannot_be_pickled() -> None:
    loaded = Denoiser.load()
    for unknown in (make_denoiser(), dataclasses.replace(loaded, network=gain_network(1.0))):
        with pytest.raises(TypeError, match=r"Only a Denoiser that Denoiser\.load returned"):
            pickle.dumps(unknown)


def test_the_length_of_a_block_is_named() -> None:
    with pytest.raises(TypeError, match="positional"):
        make_denoiser().stream(RATE, 1, 1.0, False, 0.1)  # type: ignore[misc]


def test_any_folder_without_tensorflow_is_an_error_that_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "denoise.network.saved_model", raising=False)
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ModelError, match=r"needs keras, .* requirements\.txt"):
        Denoiser.load(tmp_path)


def test_the_documented_delays_are_those_of_the_built_in_network() -> None:
    built_in = Denoiser.load()
    spec = built_in.network.spec
    look_ahead = spec.margin_frames * spec.spectrogram.hop_length + spec.spectrogram.n_fft // 2
    page = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
    assert f"needs {look_ahead / spec.sample_rate:.2f} s of audio" in page
    stream, n_fed = built_in.stream(spec.sample_rate), 0
    while not len(stream.feed(make_noise(1000, 1))):
        n_fed += 1000
    assert f"a delay of about {n_fed / spec.sample_rate:.0f} s" in page
