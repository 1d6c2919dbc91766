"""Tests of the levels, pauses and simulated rooms that the comparison on real recordings uses."""

import math

import numpy as np
import pytest

from benchmarks.real.levels import active_level_db, find_pauses, pause_attenuation_db
from benchmarks.real.mixtures import mix_at_active_level
from benchmarks.real.rooms import draw_room_response, put_in_room, room_response
from tests.speechlike import voice

RATE = 16_000


def bursts(level: float = 0.1, seconds: float = 1.0) -> np.ndarray:
    """Return noise with pauses: the given seconds, as much silence, and so on, 4 times."""
    rng = np.random.default_rng(0)
    n_samples = int(seconds * RATE)
    noise = level * rng.standard_normal((4, n_samples))
    return np.concatenate([noise, np.zeros_like(noise)], axis=1).ravel().astype(np.float32)


def active_level_of_the_standard(speech: np.ndarray, sample_rate: int) -> float:
    """Follow the steps of ITU-T P.56, method B, sample by sample, with the numbers it gives.

    The thresholds are full scale divided by 2, 4, 8 ..., as in the standard. Ours are the peak
    divided by these numbers, so they are the same ones only where the peak is a power of two; for
    other peaks the interpolation between them differs by up to 0.2 dB.
    """
    decay, hangover = math.exp(-1 / (0.03 * sample_rate)), math.ceil(0.2 * sample_rate)
    thresholds = [2.0**-power for power in range(1, 16)]
    active, since = [0] * len(thresholds), [hangover] * len(thresholds)
    squares = smooth = envelope = 0.0
    for sample in speech.tolist():
        squares += sample * sample
        smooth = decay * smooth + (1 - decay) * abs(sample)
        envelope = decay * envelope + (1 - decay) * smooth
        for number, threshold in enumerate(thresholds):
            if envelope >= threshold:
                active[number] += 1
                since[number] = 0
            elif since[number] < hangover:
                active[number] += 1
                since[number] += 1
    before: tuple[float, float] | None = None
    for count, threshold in zip(active, thresholds, strict=True):  # from the highest down
        if count == 0:
            continue
        level = 10 * math.log10(squares / count)
        excess = level - 20 * math.log10(threshold) - 15.9
        if excess >= 0:
            if before is None:
                return level
            share = excess / (excess - before[1])
            return level + share * (before[0] - level)
        before = level, excess
    raise AssertionError("The speech is too quiet for the thresholds.")


def noise_with_pauses(seed: int, rate: int) -> np.ndarray:
    """Return bursts of noise of 0.1 to 0.6 s and of several levels; most pauses are longer."""
    rng = np.random.default_rng(seed)
    pieces = []
    for _ in range(8):
        burst = rng.standard_normal(int(rng.uniform(0.1, 0.6) * rate))
        pieces += [burst * rng.uniform(0.3, 1), np.zeros(int(rng.uniform(0.05, 0.9) * rate))]
    return np.concatenate(pieces)


@pytest.mark.parametrize("rate", [8000, 16_000])
@pytest.mark.parametrize("kind", ["noise", "voice"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("peak", [0.5, 0.125])
def test_active_level_is_that_of_the_standard(kind: str, seed: int, rate: int, peak: float) -> None:
    speech = noise_with_pauses(seed, rate) if kind == "noise" else voice(seed, 4.0, rate)
    speech = (peak * speech / np.abs(speech).max()).astype(np.float32)
    expected = active_level_of_the_standard(speech, rate)
    assert active_level_db(speech, rate) == pytest.approx(expected, abs=0.05)


def test_active_level_ignores_pauses() -> None:
    speech = bursts(seconds=2.0)
    mean_db = 10 * math.log10(np.mean(speech**2))
    assert active_level_db(speech, RATE) == pytest.approx(-20, abs=0.6)  # 0.2 s of hangover count
    assert mean_db == pytest.approx(-23, abs=0.2)
    padded = np.pad(speech, 5 * RATE)
    assert active_level_db(padded, RATE) == pytest.approx(active_level_db(speech, RATE), abs=0.01)


def test_active_level_of_a_steady_sound_is_its_rms() -> None:
    steady = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
    assert active_level_db(steady, RATE) == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize("gain", [1e-3, 0.3, 50.0])
def test_active_level_follows_the_gain(gain: float) -> None:
    speech = bursts()
    level_db = active_level_db(speech, RATE) + 20 * math.log10(gain)
    assert active_level_db(speech * np.float32(gain), RATE) == pytest.approx(level_db, abs=1e-3)


def test_active_level_of_silence_is_minus_infinity() -> None:
    assert active_level_db(np.zeros(RATE, np.float32), RATE) == -math.inf


@pytest.mark.parametrize("snr_db", [0.0, 15.0])
def test_snr_is_that_of_the_active_level(snr_db: float) -> None:
    speech = bursts(0.05)
    noise = np.random.default_rng(1).standard_normal(len(speech)).astype(np.float32)
    clean, noisy = mix_at_active_level(speech, noise, snr_db, RATE)
    noise_db = 10 * math.log10(np.mean(np.square(noisy - clean, dtype=np.float64)))
    assert active_level_db(clean, RATE) - noise_db == pytest.approx(snr_db, abs=1e-3)


def test_mixture_that_would_clip_is_made_quieter_as_a_whole() -> None:
    speech = bursts(0.2)
    noise = np.random.default_rng(1).standard_normal(len(speech)).astype(np.float32)
    clean, noisy = mix_at_active_level(speech, noise, 0.0, RATE)
    assert np.abs(noisy).max() == pytest.approx(0.99, abs=1e-5)
    np.testing.assert_allclose(clean, speech * (clean @ speech) / (speech @ speech), atol=1e-6)


def test_pauses_are_where_the_speech_is_silent() -> None:
    is_pause = find_pauses(bursts(), RATE).reshape(8, RATE)
    assert not is_pause[::2].any()
    assert is_pause[1::2].mean(axis=1) == pytest.approx(0.88, abs=0.08)  # 60 ms at each edge


def test_attenuation_is_measured_in_the_pauses_only() -> None:
    clean = bursts()
    noise = 0.02 * np.random.default_rng(2).standard_normal(len(clean)).astype(np.float32)
    noisy, is_pause = clean + noise, find_pauses(clean, RATE)
    quieter = np.where(is_pause, 0.1, 1.0).astype(np.float32) * noisy
    assert pause_attenuation_db(clean, noisy, quieter, RATE) == pytest.approx(20, abs=1e-3)
    muffled = np.where(is_pause, 1.0, 0.1).astype(np.float32) * noisy
    assert pause_attenuation_db(clean, noisy, muffled, RATE) == pytest.approx(0, abs=1e-3)
    silent = np.where(is_pause, 0, noisy)
    assert pause_attenuation_db(clean, noisy, silent, RATE) == 100


def test_attenuation_is_undefined_without_pauses() -> None:
    steady = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert math.isnan(pause_attenuation_db(steady, steady, steady, RATE))


@pytest.mark.parametrize("seconds", [0.3, 0.6])
def test_sound_decays_in_a_room_as_it_should(seconds: float) -> None:
    size, speaker, microphone = np.array([[5.5, 5.0, 4.6], [1.5, 2.0, 1.5], [4.0, 3.1, 2.9]])
    response = room_response(size, speaker, microphone, seconds, RATE).astype(np.float64)
    decay_db = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2))
    early, late = np.searchsorted(-decay_db, [5, 25])
    assert 3 * (late - early) / RATE == pytest.approx(seconds, rel=0.25)


def test_room_response_begins_with_the_direct_sound() -> None:
    for seed in range(8):
        response = draw_room_response(RATE, np.random.default_rng(seed))
        assert response[0] == pytest.approx(1, abs=0.05)  # and perhaps an echo within the sample
        assert np.isfinite(response).all()


def test_room_keeps_length_and_its_early_part_is_closer_to_the_speech() -> None:
    speech = bursts()
    early, wet = put_in_room(speech, RATE, np.random.default_rng(0))
    assert early.shape == wet.shape == speech.shape and wet.dtype == np.float32
    distances = [np.sum((each - speech) ** 2) for each in (early, wet)]
    assert 0 < distances[0] < distances[1]
