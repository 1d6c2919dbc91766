"""Exponential, logarithm and sine: close to NumPy's, and of the same bits without SIMD."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.dsp.portable_math import exp, exp2, log, log2, sine
from tests.closures import ROOT


@given(value=st.floats(-126, 127))
def test_powers_of_two(value: float) -> None:
    value = float(np.float32(value))
    assert exp2(value) == pytest.approx(2.0**value, rel=3e-7)


@given(value=st.floats(-80, 80))
def test_exponentials(value: float) -> None:
    assert exp(value) == pytest.approx(float(np.exp(value)), rel=2e-5)


def test_powers_out_of_range_are_clipped_to_normal_numbers() -> None:
    np.testing.assert_array_equal(
        exp2([-1e9, -127, 128, 1e9]), np.float32(2.0) ** [-126, -126, 127, 127]
    )


@given(value=st.floats(1e-30, 1e30))
def test_logarithms(value: float) -> None:
    assert log2(value) == pytest.approx(float(np.log2(value)), abs=1e-6, rel=3e-7)
    assert log(value) == pytest.approx(float(np.log(value)), abs=1e-6, rel=3e-7)


@given(cycles=st.floats(-1e6, 1e6))
def test_sines(cycles: float) -> None:
    exact = np.sin(2 * np.pi * (cycles - np.rint(cycles)))
    assert sine(cycles) == pytest.approx(float(exact), abs=4e-7)


@pytest.mark.parametrize("function", [exp2, exp, log2, log, sine])
def test_arrays_give_what_their_elements_give(function) -> None:  # type: ignore[no-untyped-def]
    values = np.linspace(0.01, 30, 999).reshape(3, -1)
    result = function(values)
    assert (result.dtype, result.shape) == (np.float32, values.shape)
    np.testing.assert_array_equal(result.ravel(), [function(value) for value in values.ravel()])
    assert function(np.zeros(0)).shape == (0,)


def test_exact_values() -> None:
    np.testing.assert_array_equal(exp2([-2, 0, 1, 10]), [0.25, 1, 2, 1024])
    np.testing.assert_array_equal(log2([0.25, 1, 2, 1024]), [-2, 0, 1, 10])
    np.testing.assert_allclose(sine([0, 0.25, -0.25, 7.25, 0.5]), [0, 1, -1, 1, 0], atol=1e-7)


def digest() -> str:
    values = np.random.default_rng(1).uniform(-20, 20, 10_001)
    results = exp2(values), exp(values), log2(np.abs(values)), log(np.abs(values)), sine(values)
    return hashlib.sha256(b"".join(result.tobytes() for result in results)).hexdigest()


def test_another_process_without_simd_extensions_gives_the_same_bytes() -> None:
    features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    program = "import tests.test_portable_math as t; print(t.digest())"
    command = [sys.executable, "-W", "ignore", "-c", program]
    completed = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert completed.stdout.strip() == digest()
