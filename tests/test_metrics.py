"""Tests of the metrics: invariances, known values, limits and undefined cases."""

import math
import os
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.errors import DenoiseError
from denoise.evaluation import metrics
from tests.closures import ROOT
from tests.speechlike import SAMPLE_RATE, voice, white

Metric = Callable[[np.ndarray, np.ndarray], float]

CLEAN = voice()
NOISY = CLEAN + white(CLEAN, 0)
SILENCE = np.zeros_like(CLEAN)


def estoi(clean: np.ndarray, estimate: np.ndarray) -> float:
    return metrics.estoi(clean, estimate, SAMPLE_RATE)


def distance(clean: np.ndarray, estimate: np.ndarray) -> float:
    return metrics.log_spectral_distance_db(clean, estimate, SAMPLE_RATE)


def pesq(clean: np.ndarray, estimate: np.ndarray) -> float:
    return metrics.pesq_wide_band(clean, estimate, SAMPLE_RATE)


needs_pesq = pytest.mark.skipif(not metrics.has_pesq(), reason="the optional package pesq")
EVERY_METRIC = [metrics.si_sdr_db, estoi, distance, pytest.param(pesq, marks=needs_pesq)]


@pytest.mark.parametrize("snr_db", [-20.0, 0.0, 15.0])
def test_si_sdr_equals_the_snr_for_orthogonal_noise(snr_db: float) -> None:
    clean = CLEAN - CLEAN.mean(dtype=np.float64)
    noise = white(CLEAN, 0).astype(np.float64)
    noise -= noise.mean() + (noise @ clean) / (clean @ clean) * clean
    noise *= np.linalg.norm(clean) / np.linalg.norm(noise) * 10 ** (-snr_db / 20)
    assert metrics.si_sdr_db(clean, clean + noise) == pytest.approx(snr_db, abs=1e-6)


@given(gain=st.floats(1e-6, 1e6), sign=st.sampled_from([-1, 1]), offset=st.floats(-1, 1))
def test_si_sdr_does_not_depend_on_scale_sign_and_offset(
    gain: float, sign: int, offset: float
) -> None:
    transformed = sign * gain * (NOISY.astype(np.float64) + offset)
    expected = metrics.si_sdr_db(CLEAN, NOISY)
    assert metrics.si_sdr_db(CLEAN, transformed) == pytest.approx(expected, abs=1e-6)
    assert metrics.si_sdr_db(transformed, CLEAN) == pytest.approx(expected, abs=1e-6)


def test_si_sdr_is_limited() -> None:
    assert metrics.si_sdr_db(CLEAN, CLEAN) == 100
    assert metrics.si_sdr_db(CLEAN, 3 * CLEAN.astype(np.float64)) == 100
    assert metrics.si_sdr_db(CLEAN, SILENCE) == -100
    assert metrics.si_sdr_db(CLEAN, SILENCE + np.float32(0.1)) == -100
    assert metrics.si_sdr_db(np.array([1.0, -1, 0, 0]), np.array([0.0, 0, 1, -1])) == -100


def test_si_sdr_is_bit_exact_on_any_number_of_cores() -> None:
    code = (
        "import numpy as np; from denoise.evaluation.metrics import si_sdr_db;"
        "draws = np.random.default_rng(0).standard_normal((9, 2, 22_050));"
        "print([si_sdr_db(*pair).hex() for pair in draws])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": cores},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for cores in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("metric", EVERY_METRIC)
def test_silent_reference_is_rejected(metric: Metric) -> None:
    with pytest.raises(ValueError, match="reference is silent"):
        metric(SILENCE, NOISY)


def test_constant_counts_as_silence_for_si_sdr() -> None:
    constant = np.full(22_051, 0.1)
    assert constant.mean() != 0.1  # otherwise the test proves nothing
    with pytest.raises(ValueError, match="reference is silent"):
        metrics.si_sdr_db(constant, np.append(NOISY, 0))


@pytest.mark.parametrize("metric", EVERY_METRIC)
@pytest.mark.parametrize(
    ("estimate", "message"),
    [
        (NOISY[:-1], "Shapes"),
        (NOISY[:, None], "Shapes"),
        (np.where(np.arange(len(NOISY)) == 7, np.nan, NOISY), "not finite"),
        (np.where(np.arange(len(NOISY)) == 7, np.inf, NOISY), "not finite"),
    ],
)
def test_invalid_waveforms_are_rejected(metric: Metric, estimate: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric(CLEAN, estimate)
    with pytest.raises(ValueError, match="Shapes"):
        metric(CLEAN[:0], CLEAN[:0])
    with pytest.raises(ValueError, match="Shapes"):
        metric(CLEAN[None], NOISY[None])


@pytest.mark.parametrize("metric", EVERY_METRIC)
def test_less_noise_scores_better_and_inputs_stay_unchanged(metric: Metric) -> None:
    clean, estimates = CLEAN.copy(), [CLEAN + white(CLEAN, snr) for snr in (-6, 0, 6, 20)]
    scores = [metric(clean, estimate) for estimate in estimates]
    assert scores == sorted(scores, reverse=metric is distance)
    assert len(set(scores)) == len(scores)
    np.testing.assert_array_equal(clean, CLEAN)


def test_estoi_is_one_for_the_clean_waveform_and_zero_for_silence() -> None:
    assert estoi(CLEAN, CLEAN) == pytest.approx(1, abs=1e-6)
    assert estoi(CLEAN, SILENCE) == 0
    assert 0.05 < estoi(CLEAN, NOISY) < 0.9


@pytest.mark.parametrize("gain", [1e-20, 1e-4, 1e4])
def test_estoi_and_pesq_do_not_depend_on_the_gain(gain: float) -> None:
    scaled = (gain * NOISY).astype(np.float32)
    assert estoi(CLEAN, scaled) == pytest.approx(estoi(CLEAN, NOISY), abs=1e-4)
    if metrics.has_pesq():
        assert pesq(CLEAN, scaled) == pytest.approx(pesq(CLEAN, NOISY), abs=1e-3)


def test_estoi_agrees_with_the_resampler_of_pystoi() -> None:
    from pystoi import stoi

    expected = stoi(CLEAN, NOISY, SAMPLE_RATE, extended=True)
    assert estoi(CLEAN, NOISY) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("n_samples", [1, 300, 8000])
def test_estoi_is_undefined_for_too_little_speech(
    n_samples: int, recwarn: pytest.WarningsRecorder
) -> None:
    middle = slice(8000, 8000 + n_samples)
    assert math.isnan(estoi(CLEAN[middle], NOISY[middle]))
    click = SILENCE.copy()
    click[middle] = CLEAN[middle]
    assert math.isnan(estoi(click, NOISY))
    assert not recwarn.list


def test_estoi_is_defined_from_30_frames_on() -> None:
    clean, estimate = white(np.ones(4097), 0, 1), white(np.ones(4097), 0, 2)
    assert math.isfinite(metrics.estoi(clean, estimate, 10_000))
    assert math.isnan(metrics.estoi(clean[1:], estimate[1:], 10_000))


def test_estoi_is_repeatable_and_restores_the_global_generator() -> None:
    gated = np.where(np.arange(len(NOISY)) < 12_000, NOISY, 0)  # pystoi adds dither to zeros
    np.random.seed(1)  # noqa: NPY002
    first = estoi(CLEAN, gated)
    sample = np.random.standard_normal()  # noqa: NPY002
    assert estoi(CLEAN, gated) == first
    np.random.seed(1)  # noqa: NPY002
    assert np.random.standard_normal() == sample  # noqa: NPY002


@pytest.mark.parametrize("gain_db", [-20.0, -3.0, 6.0])
def test_log_spectral_distance_equals_the_gain_above_the_floor(
    gain_db: float,
) -> None:
    loud = white(CLEAN, 0)
    assert distance(loud, loud) == 0
    assert distance(loud, loud * 10 ** (gain_db / 20)) == pytest.approx(abs(gain_db), rel=0.01)


def test_log_spectral_distance_has_a_floor_60_db_below_the_strongest_bin() -> None:
    # The impulse lies in the middle of one frame of ten, all of whose bins are then equal. Silence
    # is 60 dB below in that frame, and equal to the floor in the nine others.
    clean = np.zeros(9 * 128)
    clean[3 * 128] = 1
    found = metrics.log_spectral_distance_db(clean, 0 * clean, sample_rate=8000)
    assert found == pytest.approx(60 / 10, abs=1e-3)


def test_log_spectral_distance_ignores_a_common_gain_and_is_finite_for_silence() -> None:
    assert distance(1e-3 * CLEAN, 1e-3 * NOISY) == pytest.approx(distance(CLEAN, NOISY), abs=1e-3)
    assert 0 < distance(CLEAN, SILENCE) < 60


@needs_pesq
def test_pesq_covers_its_scale_and_is_undefined_without_speech() -> None:
    assert pesq(CLEAN, CLEAN) == pytest.approx(4.64, abs=0.01)
    assert 1 < pesq(CLEAN, NOISY) < 2
    assert math.isnan(pesq(CLEAN, SILENCE))
    assert math.isnan(pesq(CLEAN[8000:12_000], NOISY[8000:12_000]))


def test_pesq_errors_become_nan_and_its_rate_is_16_khz(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pesq: Any = types.ModuleType("pesq")
    fake_pesq.NoUtterancesError = type("NoUtterancesError", (RuntimeError,), {})
    fake_pesq.BufferTooShortError = type("BufferTooShortError", (RuntimeError,), {})
    calls: list[Any] = []

    def fail(*arguments: object) -> float:
        calls.append(arguments)
        raise [fake_pesq.NoUtterancesError, fake_pesq.BufferTooShortError][len(calls) % 2]

    fake_pesq.pesq = fail
    monkeypatch.setitem(sys.modules, "pesq", fake_pesq)
    assert all(math.isnan(pesq(CLEAN, NOISY)) for _ in range(2))
    rate, reference, estimate, mode = calls[0]
    assert (rate, len(reference), len(estimate), mode) == (16_000, 16_000, 16_000, "wb")


def test_missing_pesq_package_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)
    assert not metrics.has_pesq()
    with pytest.raises(DenoiseError, match="pip install pesq"):
        pesq(CLEAN, NOISY)
