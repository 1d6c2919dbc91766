"""Textures: each model keeps its ranges; draws are finite, not silent, and repeat from one seed."""

import hashlib
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise.dsp.audio import rms
from denoise.noise import modulated, steady, textures
from denoise.noise.envelopes import control_time, draw_swell
from denoise.noise.impacts import draw_clatter, draw_drops, draw_releases, draw_rhythm
from denoise.noise.instruments import Instrument, Strokes, add_room, draw_instrument, strike
from denoise.noise.shaping import (
    KNOTS_HZ,
    OCTAVES,
    db_to_gain,
    draw_shape,
    fft_length,
    read_at,
    shaped_noise,
)
from denoise.noise.textures import COUNTS, MODELS, WEIGHTS, draw_model
from denoise.noise.tones import (
    MAX_HARMONICS,
    draw_contour,
    draw_loudness,
    draw_timbre,
    harmonic_stack,
    play,
    wavetable,
)
from tests.closures import ROOT

RATE = 22_050
SEEDS = range(40)
seeds = st.integers(0, 2**32 - 1)
every_model = pytest.mark.parametrize("name", MODELS)


def power_of(waveform: np.ndarray, sample_rate: int = RATE) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies and the power spectrum under a Hann window."""
    windowed = waveform.astype(np.float64) * np.hanning(len(waveform))
    return np.fft.rfftfreq(len(windowed), 1 / sample_rate), np.abs(np.fft.rfft(windowed)) ** 2


def centroid(waveform: np.ndarray) -> float:
    """Return the mean frequency in Hz, weighted by power."""
    frequency, power = power_of(waveform)
    return float((frequency * power).sum() / power.sum())


def levels_db(waveform: np.ndarray, n_samples: int = RATE // 50) -> np.ndarray:
    """Return the levels of successive stretches of 20 ms, in dB."""
    frames = waveform[: len(waveform) // n_samples * n_samples].reshape(-1, n_samples)
    return 10 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-12)


@every_model
@settings(max_examples=12, deadline=None)
@given(
    sample_rate=st.sampled_from([4000, 8000, 16_000, 22_050, 44_100, 48_000, 96_000]),
    seconds=st.floats(0.1, 2),
    seed=seeds,
)
def test_a_draw_is_finite_and_not_silent(
    name: str, sample_rate: int, seconds: float, seed: int
) -> None:
    n_samples = round(seconds * sample_rate)
    noise = draw_model(np.random.default_rng(seed), name, n_samples, sample_rate)
    assert (noise.dtype, noise.shape) == (np.float32, (n_samples,))
    assert np.isfinite(noise).all()
    assert rms(noise) == pytest.approx(1, rel=1e-4)
    assert name == "rumble" or abs(noise.mean(dtype=np.float64)) < 1e-5


@every_model
@pytest.mark.parametrize("sample_rate", [4000, 96_000])
def test_a_draw_may_last_ten_seconds(name: str, sample_rate: int) -> None:
    noise = draw_model(np.random.default_rng(4), name, 10 * sample_rate, sample_rate)
    assert noise.shape == (10 * sample_rate,)
    assert rms(noise) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 17, 101])
@every_model
def test_a_draw_of_a_few_samples_is_not_silent(name: str, n_samples: int) -> None:
    for seed in range(8):
        noise = draw_model(np.random.default_rng(seed), name, n_samples, RATE)
        assert noise.shape == (n_samples,)
        assert rms(noise) == pytest.approx(1, rel=1e-4)


@every_model
def test_one_seed_gives_the_same_bytes_and_others_give_others(name: str) -> None:
    def bytes_of(seed: int) -> bytes:
        return draw_model(np.random.default_rng(seed), name, 4001, RATE).tobytes()

    assert bytes_of(5) == bytes_of(5)
    assert len({bytes_of(seed) for seed in range(10)}) == 10


def digests() -> list[str]:
    """Return a digest of draws of every model and of the mixture."""
    draws = [
        draw_model(np.random.default_rng(seed), name, 11_025, RATE)
        for name in MODELS
        for seed in range(8)
    ]
    draws += [textures.textures(np.random.default_rng(seed), 11_025, RATE) for seed in range(8)]
    return [hashlib.sha256(noise.tobytes()).hexdigest() for noise in draws]


def test_another_process_without_simd_extensions_gives_the_same_bytes() -> None:
    features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    program = "import tests.test_textures as t; print(*t.digests())"
    completed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert completed.stdout.split() == digests()


# The mixture


def test_every_model_has_a_weight_and_is_described() -> None:
    assert len(WEIGHTS) == len(MODELS) and sum(WEIGHTS) == pytest.approx(1)
    page = (ROOT / "docs" / "noise.md").read_text(encoding="utf-8")
    for name, weight in zip(MODELS, WEIGHTS, strict=True):
        assert f"| `{name}` | {100 * weight:.0f} % |" in page


def test_a_mixture_holds_one_to_three_models(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def record(rng: np.random.Generator, name: str, n_samples: int, sample_rate: int) -> np.ndarray:
        drawn.append(name)
        return np.eye(1, n_samples, len(drawn) - 1, dtype=np.float32)[0]

    monkeypatch.setattr(textures, "draw_model", record)
    rng = np.random.default_rng(3)
    counts, every = [], set()
    for _ in range(2000):
        drawn.clear()
        noise = textures.textures(rng, 8, RATE)
        counts.append(len(drawn))
        every |= set(drawn)
        assert noise[0] == 1 and np.count_nonzero(noise) == len(drawn)
        assert (noise[1 : len(drawn)] > 0.0999).all() and (noise <= 1).all()  # -20 to 0 dB
    assert every == set(MODELS)
    np.testing.assert_allclose(np.bincount(counts)[1:] / 2000, COUNTS, atol=0.04)


# Steady noise


def test_steady_noise_has_the_drawn_spectral_shape() -> None:
    for seed in range(6):
        shape = draw_shape(np.random.default_rng(seed))
        noise = shaped_noise(np.random.default_rng(seed + 100), 20 * RATE, RATE, shape)
        assert rms(noise) == pytest.approx(1, rel=0.15)
        frequency, power = power_of(noise)
        expected = np.interp(frequency, KNOTS_HZ, shape) ** 2
        edges = 30 * 2 ** np.arange(0, 8.4, 1 / 3)
        bands = [(frequency >= low) & (frequency < high) for low, high in pairwise(edges)]
        difference = [10 * np.log10(power[b].sum() / expected[b].sum()) for b in bands]
        loud = [expected[b].mean() > 1e-6 * expected.max() for b in bands]
        assert np.ptp(np.array(difference)[loud]) < 4
        assert power[frequency < 19].sum() < 1e-6 * power.sum()


def test_spectral_shapes_differ_widely_and_tilt_as_described() -> None:
    shapes_db = np.array([20 * np.log10(draw_shape(np.random.default_rng(s))) for s in range(300)])
    band = (KNOTS_HZ > 100) & (KNOTS_HZ < 8000)
    slopes = np.polyfit(OCTAVES[band], shapes_db[:, band].T, 1)[0]
    assert -9 < np.median(slopes) < 0 and np.std(slopes) > 1.5
    relative = shapes_db[:, band] - shapes_db[:, band].mean(axis=1, keepdims=True)
    assert np.std(relative, axis=0).min() > 4
    ranges = np.ptp(shapes_db[:, band], axis=1)
    assert ranges.min() > 3 and 15 < np.median(ranges) < 60


def test_steady_noise_is_steady() -> None:
    for seed in range(8):
        shape = np.where(KNOTS_HZ > 300, draw_shape(np.random.default_rng(seed)), 0)
        noise = shaped_noise(np.random.default_rng(seed), 2 * RATE, RATE, shape.astype(np.float32))
        assert np.std(levels_db(noise, RATE // 5)) < 2.5


@given(n_samples=st.integers(1, 10**7))
def test_an_fft_length_is_long_enough_and_not_much_longer(n_samples: int) -> None:
    length = fft_length(n_samples)
    assert n_samples <= length <= max(1.25 * n_samples + 2, 16) and length % 2 == 0
    for factor in (2, 3, 5):
        while length % factor == 0:
            length //= factor
    assert length == 1


# Rumble


def test_rumble_lies_below_60_hz_and_often_has_an_offset() -> None:
    offsets = []
    for seed in SEEDS:
        noise = draw_model(np.random.default_rng(seed), "rumble", 4 * RATE, RATE)
        frequency, power = power_of(noise)
        assert power[frequency < 62].sum() > 0.999 * power.sum()
        offsets.append(abs(float(noise.mean())))
    assert 0.2 < np.mean(np.array(offsets) > 0.3) < 0.7


def test_rumble_is_not_the_same_in_short_clips() -> None:
    clips = [steady.rumble(np.random.default_rng(seed), RATE // 10, RATE) for seed in SEEDS]
    assert all(np.std(clip) > 0 for clip in clips)


# Noise that moves


def test_swells_have_a_rate_below_12_hz_and_a_depth_of_at_least_3_db() -> None:
    time = control_time(10 * RATE, RATE)
    depths, rates = [], []
    for seed in range(100):
        swell_db = 20 * np.log10(draw_swell(np.random.default_rng(seed), time))
        depths.append(np.ptp(swell_db))
        is_above = swell_db > swell_db.mean()
        rates.append(np.count_nonzero(np.diff(is_above)) / 2 / 10)
    assert 1.5 < min(depths) < 8 and 20 < max(depths) < 80
    assert max(rates) < 12.2 and min(rates) < 0.6 and np.median(rates) > 0.7


def test_a_swelling_draw_moves_more_than_a_steady_one() -> None:
    def movement(name: str) -> float:
        draws = (draw_model(np.random.default_rng(s), name, 2 * RATE, RATE) for s in SEEDS)
        return float(np.median([np.ptp(np.percentile(levels_db(d), [5, 95])) for d in draws]))

    assert movement("swelling") > movement("steady") + 3
    assert movement("bursts") > movement("steady") + 8
    assert movement("clicks") > movement("steady") + 8


def resonance(hertz: float) -> np.ndarray:
    """Return the spectral shape of a narrow band."""
    distance = (OCTAVES - np.log2(hertz / 20)) / 0.02
    return np.exp(-0.5 * distance**2).astype(np.float32)


def test_a_passing_vehicle_rises_falls_and_drops_in_pitch(monkeypatch: pytest.MonkeyPatch) -> None:
    line = resonance(2000)
    monkeypatch.setattr(modulated, "draw_shape", lambda rng: line)
    monkeypatch.setattr(modulated, "_draw_engine", lambda rng, emitted, rate: 0 * emitted)
    shifts = []
    for seed in range(12):
        noise = modulated.pass_by(np.random.default_rng(seed), 2.0, 4 * RATE, RATE)
        before, near, after = (noise[int(t * RATE) : int((t + 0.5) * RATE)] for t in (0, 1.75, 3.5))
        assert rms(near) > max(rms(before), rms(after))
        early, late = centroid(before), centroid(after)
        shifts.append(early / late)
    assert min(shifts) > 1 and 1.1 < max(shifts) < (343 + 45) / (343 - 45) * 1.01


def test_no_passing_vehicle_folds_at_the_highest_frequency(monkeypatch: pytest.MonkeyPatch) -> None:
    line = resonance(12_900)  # in the source, but above half the sample rate
    monkeypatch.setattr(modulated, "draw_shape", lambda rng: line)
    monkeypatch.setattr(modulated, "_draw_engine", lambda rng, emitted, rate: 0 * emitted)
    monkeypatch.setattr(modulated, "add_background", lambda rng, waveform, *_: waveform)
    levels = [rms(modulated.passing(np.random.default_rng(s), RATE, RATE)) for s in range(9)]
    assert max(levels) < 0.1  # 0.05 comes from the linear interpolation


# Impacts


def test_strokes_come_at_human_rates() -> None:
    medians, counts = [], []
    for seed in range(100):
        strokes = draw_rhythm(np.random.default_rng(seed), 30)
        gaps = np.diff(strokes.onsets)
        assert (gaps >= 0).all() and strokes.onsets[0] >= 0 and strokes.onsets[-1] < 30
        assert np.std(20 * np.log10(strokes.gains)) < 7
        medians.append(np.median(gaps))
        counts.append(len(gaps))
    assert 1 / 14 < min(medians) < 0.12 and 0.4 < max(medians) < 1.2
    assert max(counts) < 30 * 13 and min(counts) > 10


def test_a_release_is_softer_and_50_to_160_ms_later() -> None:
    strokes = Strokes(np.arange(0, 40, 1, np.float32), np.ones(40, np.float32))
    shares = []
    for seed in SEEDS:
        releases = draw_releases(np.random.default_rng(seed), strokes)
        delays = releases.onsets % 1
        assert (delays >= 0.049).all() and (delays <= 0.161).all()
        assert (releases.gains <= db_to_gain(-3)).all() and (
            releases.gains >= db_to_gain(-14.1)
        ).all()
        shares.append(len(delays) / 40)
    assert min(shares) > 0.3 and max(shares) > 0.85


def test_clatter_comes_in_groups() -> None:
    for seed in SEEDS:
        strokes = draw_clatter(np.random.default_rng(seed), 20)
        assert 1 <= len(strokes.onsets) < 20 * 10 * 7
        assert (strokes.onsets >= 0).all()
    gaps = [
        np.diff(np.sort(draw_clatter(np.random.default_rng(seed), 20).onsets)) for seed in SEEDS
    ]
    assert np.median([np.std(g) / np.mean(g) for g in gaps if len(g) > 5]) > 1.1  # Poisson: 1


@pytest.fixture
def bell() -> Instrument:
    """An instrument of two exact modes and no burst."""
    one = np.float32(1)
    modes = np.array([800, 3000], np.float32)
    decays = np.array([0.02, 0.005], np.float32)
    return Instrument(
        modes, decays, one * modes / modes, 2000 * one, one, one / 100, 0 * one, 0 * one
    )


def test_a_stroke_rings_at_its_modes_and_decays(bell: Instrument) -> None:
    strokes = Strokes(np.array([0.1], np.float32), np.array([2], np.float32))
    sound = strike(np.random.default_rng(1), bell, strokes, RATE, RATE)
    start = int(0.1 * RATE)
    assert not sound[:start].any() and sound[start + 1 : start + 100].any()
    frequency, power = np.fft.rfftfreq(RATE, 1 / RATE), np.abs(np.fft.rfft(sound)) ** 2
    for hertz in bell.modes_hz:
        near = (frequency > 0.9 * hertz) & (frequency < 1.1 * hertz)
        assert frequency[near][power[near].argmax()] == pytest.approx(hertz, rel=0.01)
    level = levels_db(sound[start:], RATE // 100)
    assert level[0] - level[4] == pytest.approx(0.04 / 0.02 * 8.69, abs=2.5)
    assert not sound[start + int(0.15 * RATE) :].any()


def test_two_strokes_are_the_sum_of_each_and_those_outside_are_left_out(bell: Instrument) -> None:
    def of(*onsets: float) -> np.ndarray:
        strokes = Strokes(np.array(onsets, np.float32), np.ones(len(onsets), np.float32))
        return strike(np.random.default_rng(1), bell, strokes, 2000, RATE)

    assert not of(-0.1, 1.0).any() and not of().any()
    assert np.abs(of(0.01, 0.02)).max() > 0.5
    np.testing.assert_array_equal(of(0.01, 5.0)[:221], of(0.01)[:221])


def test_an_instrument_keeps_its_ranges() -> None:
    for seed in range(100):
        for rate in (4000, 48_000):
            drawn = draw_instrument(
                np.random.default_rng(seed), (2, 6), (120, 9000), (0.001, 0.05), rate
            )
            assert 2 <= len(drawn.modes_hz) == len(drawn.decays) <= 6
            assert drawn.modes_hz.min() >= 119.9
            assert drawn.modes_hz.max() <= min(9001, 0.4501 * rate)
            assert drawn.decays.min() >= 0.00099 and drawn.decays.max() <= 0.0501
            assert 0.0099 <= drawn.detuning <= 0.0801


def test_a_room_follows_the_sound_at_minus_14_to_2_db() -> None:
    impulse = np.eye(1, RATE, 300, dtype=np.float32)[0]
    for seed in SEEDS:
        wet = add_room(np.random.default_rng(seed), impulse, RATE)
        assert np.abs(wet[:300]).max() < 1e-5
        tail = np.square(wet, dtype=np.float64)
        tail[300] = (wet[300] - 1) ** 2
        assert -14.1 < 10 * np.log10(tail.sum()) < 2.1
        assert tail[300 : 300 + RATE // 10].sum() > 0.5 * tail.sum()


def test_drops_follow_their_impulses() -> None:
    train = np.zeros(4096, np.float32)
    train[2000] = 1
    for seed in SEEDS:
        sound = draw_drops(np.random.default_rng(seed), train, RATE)
        energy = np.square(sound, dtype=np.float64)
        assert energy[2000 : 2000 + int(0.035 * RATE)].sum() > 0.999 * energy.sum() > 0


def test_drops_are_sparse_or_dense() -> None:
    draws = [draw_model(np.random.default_rng(s), "drops", RATE, RATE) for s in SEEDS]
    peaks = [np.abs(draw).max() for draw in draws]
    assert min(peaks) < 7 and max(peaks) > 15


# Tones


def test_a_stack_holds_multiples_of_its_pitch() -> None:
    for seed, pitch in enumerate((55.0, 220.0, 441.0)):
        rng = np.random.default_rng(seed)
        table = wavetable(rng, draw_timbre(rng, pitch, RATE, 20))
        contour = np.full(len(control_time(RATE, RATE)), pitch, np.float32)
        frequency, power = power_of(harmonic_stack(contour, table, RATE, RATE, 0.3))
        numbers = np.arange(1, 21) * pitch
        on_lines = np.abs(frequency[:, None] - numbers).min(axis=1) < 3
        assert power[~on_lines].sum() < 1e-6 * power.sum()
        assert power[on_lines].max() > 0


def test_harmonics_stay_below_the_highest_frequency_and_pitches_within_their_range() -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        timbre = draw_timbre(rng, 700, 8000, MAX_HARMONICS)
        assert len(timbre) == 5 and timbre.any()
        assert len(draw_timbre(rng, 20, 48_000, MAX_HARMONICS)) == MAX_HARMONICS
        assert len(draw_timbre(rng, 20_000, 22_050, 8)) == 1


def test_contours_are_steady_wavy_or_gliding() -> None:
    time = control_time(2 * RATE, RATE)
    contours = np.array([draw_contour(np.random.default_rng(seed), time) for seed in range(200)])
    spans = np.ptp(contours, axis=1)
    assert 0.2 < np.mean(spans < 0.01) < 0.6 and np.mean(spans > 0.1) > 0.25
    assert np.abs(contours).max() < 1.2
    longest = control_time(60 * RATE, RATE)
    assert max(np.abs(draw_contour(np.random.default_rng(s), longest)).max() for s in SEEDS) < 2.6


def test_loudness_is_steady_swells_or_beeps() -> None:
    time = control_time(4 * RATE, RATE)
    envelopes = [draw_loudness(np.random.default_rng(seed), time) for seed in range(200)]
    is_steady = [np.ptp(e) == 0 for e in envelopes]
    is_beep = [e.min() == 0 for e in envelopes]
    assert 0.5 < np.mean(is_steady) < 0.7 and 0.08 < np.mean(is_beep) < 0.24
    for envelope, beeps in zip(envelopes, is_beep, strict=True):
        if beeps:
            assert 0.1 < np.mean(envelope > 0.5) < 0.9


def test_a_tone_of_one_harmonic_reads_a_pure_sine() -> None:
    table = wavetable(np.random.default_rng(1), np.ones(1, np.float32))
    frequency, power = power_of(play(table, np.arange(RATE) * (997 / RATE)))
    near = np.abs(frequency - 997) < 3
    assert power[~near].sum() < 1e-8 * power.sum()


def test_tables_are_read_between_their_samples() -> None:
    table = np.array([0, 2, 4, 0], np.float32)
    np.testing.assert_allclose(read_at(table, np.array([0, 0.25, 1.5, 2.5])), [0, 0.5, 3, 2])
