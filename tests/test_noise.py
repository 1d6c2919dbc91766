"""Noise: at the requested SNR, of the spectrum it is named by, and the same from one seed."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise.dsp.audio import rms
from denoise.noise.generators import GENERATORS, hum, white
from denoise.noise.mixing import (
    SPEECH_NOISE_TYPES,
    NoiseSources,
    Sampler,
    draw_voices,
    make_noisy,
    mix,
    noise_gain,
    utterance_rng,
)
from denoise.params import NOISE_TYPES

RATE = 22_050
SLOPES_DB = {"white": 0.0, "pink": -3.01, "brown": -6.02, "blue": 3.01, "violet": 6.02}
seeds = st.integers(0, 2**32 - 1)


def speech_like(n_samples: int, level: float = 0.1, seed: int = 0) -> np.ndarray:
    loud = np.sin(np.linspace(0, np.pi, n_samples)) ** 4
    drawn = np.random.default_rng(seed).standard_normal(n_samples)
    return (level * (loud + 0.01) * drawn).astype(np.float32)


def speech_source(n_samples: int) -> Sampler:
    return lambda rng, n: speech_like(n_samples, rng.uniform(0.01, 0.3), int(rng.integers(100)))


def sources_of(n_samples: int) -> NoiseSources:
    return NoiseSources(speech_source(n_samples), lambda rng, n: 0.1 * white(rng, n_samples, RATE))


def snr_db_of(clean: np.ndarray, noisy: np.ndarray) -> float:
    noise = noisy.astype(np.float64) - clean
    return float(10 * np.log10(np.mean(np.square(clean, dtype=np.float64)) / np.mean(noise**2)))


def mean_power(noise_type: str, n_samples: int, draws: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies and the mean power spectrum of draws scaled to an RMS of 1."""
    power = np.zeros(n_samples // 2 + 1)
    for seed in range(draws):
        noise = GENERATORS[noise_type](np.random.default_rng(seed), n_samples, RATE)
        power += np.abs(np.fft.rfft(noise / rms(noise))) ** 2
    return np.fft.rfftfreq(n_samples, 1 / RATE), power / draws


def test_every_noise_type_of_the_params_exists() -> None:
    assert (*GENERATORS, *SPEECH_NOISE_TYPES, "recordings") == NOISE_TYPES


@pytest.mark.parametrize("noise_type", NOISE_TYPES)
@given(
    snr_db=st.floats(-60, 60),
    level=st.floats(1e-4, 1),
    n_samples=st.integers(800, 9001),
    seed=seeds,
)
def test_the_snr_is_the_requested_one(
    noise_type: str, snr_db: float, level: float, n_samples: int, seed: int
) -> None:
    clean = speech_like(n_samples, level)
    rng = np.random.default_rng(seed)
    noisy = make_noisy(clean, RATE, noise_type, snr_db, rng, sources_of(n_samples))
    assert (noisy.dtype, noisy.shape) == (np.float32, clean.shape)
    assert snr_db_of(clean, noisy) == pytest.approx(snr_db, abs=0.02)


@given(level=st.floats(1e-4, 1), seed=seeds)
def test_white_noise_at_0_db_has_the_clips_rms_as_standard_deviation(
    level: float, seed: int
) -> None:
    clean = speech_like(RATE, level)
    rng = np.random.default_rng(seed)
    noise = make_noisy(clean, RATE, "white", 0, rng, sources_of(len(clean))) - clean
    assert noise.std(dtype=np.float64) == pytest.approx(rms(clean), rel=1e-3)


@given(snr_db=st.floats(-40, 40), snr_step_db=st.floats(0.1, 20))
def test_a_higher_snr_scales_the_noise_down(snr_db: float, snr_step_db: float) -> None:
    clean, noise = speech_like(900), speech_like(900, 1, seed=1)
    more, less = (noise_gain(clean, noise, s) for s in (snr_db, snr_db + snr_step_db))
    assert 20 * np.log10(more / less) == pytest.approx(snr_step_db)


@pytest.mark.parametrize("silent", ["clean", "noise"])
def test_silence_has_no_snr(silent: str) -> None:
    waveforms = {"clean": speech_like(99), "noise": speech_like(99, seed=1)}
    waveforms[silent] = np.zeros(99, np.float32)
    with pytest.raises(ValueError, match="The SNR is undefined"):
        mix(waveforms["clean"], waveforms["noise"], 0)


@pytest.mark.parametrize(("noise_type", "slope_db"), SLOPES_DB.items())
def test_colours_rise_or_fall_by_their_decibels_an_octave(noise_type: str, slope_db: float) -> None:
    frequency, power = mean_power(noise_type, 2 * RATE + 1)
    edges = 50 * 2 ** np.arange(0, 7.76, 0.25)  # 50 Hz to 10.8 kHz, four bands an octave
    bands = [power[(frequency >= a) & (frequency < b)].mean() for a, b in pairwise(edges)]
    octaves = np.arange(len(bands)) / 4
    level_db = 10 * np.log10(bands)
    slope, offset = np.polyfit(octaves, level_db, 1)
    assert slope == pytest.approx(slope_db, abs=0.1)
    assert np.abs(level_db - (slope * octaves + offset)).max() < 1.5


@pytest.mark.parametrize("noise_type", ["pink", "brown", "blue", "violet"])
def test_coloured_noise_holds_nothing_below_20_hz(noise_type: str) -> None:
    frequency, power = mean_power(noise_type, RATE, draws=3)
    assert power[frequency < 20].max() < 1e-6 * power.max()
    assert power[20:30].mean() > 0.05 * power[40:50].mean()


@pytest.mark.parametrize("sample_rate", [4000, 22_050])
@settings(max_examples=15)
@given(seed=seeds)
def test_hum_is_mains_and_its_harmonics_up_to_1_khz(sample_rate: int, seed: int) -> None:
    noise = hum(np.random.default_rng(seed), 2 * sample_rate, sample_rate)
    assert noise.dtype == np.float32
    power = np.abs(np.fft.rfft(noise * np.hanning(len(noise)))) ** 2
    frequency = np.fft.rfftfreq(len(noise), 1 / sample_rate)
    fundamental = frequency[power[frequency < 75].argmax()]
    mains = 50 if fundamental < 55 else 60

    def line(number: int) -> np.ndarray:
        return np.abs(frequency - number * mains) < 0.005 * number * mains + 2

    assert line(1)[frequency == fundamental].all()
    numbers = range(1, int(min(1000, sample_rate / 2 - 1) / mains) + 1)
    on_lines = np.logical_or.reduce([line(number) for number in numbers])
    assert power[~on_lines].sum() < 1e-3 * power.sum()
    # each harmonic has an amplitude of 0.1 to 1 over its number
    assert all(
        power[line(number)].max() * number**2 > 5e-3 * power.max() for number in numbers[:-1]
    )


def test_hum_is_50_or_60_hz() -> None:
    power = {50: 0.0, 60: 0.0}
    for seed in range(20):
        spectrum = np.abs(np.fft.rfft(hum(np.random.default_rng(seed), 8000, 8000))) ** 2
        for hertz in power:
            power[hertz] += spectrum[hertz] > 0.3 * spectrum.max()
    assert min(power.values()) >= 4


@pytest.mark.parametrize("noise_type", NOISE_TYPES)
@given(seed=seeds, n_samples=st.integers(400, 1501))
def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(
    noise_type: str, seed: int, n_samples: int
) -> None:
    clean = speech_like(n_samples)

    def bytes_of(seed: int, utterance_id: str, *context: int) -> bytes:
        rng = utterance_rng(seed, utterance_id, *context)
        return make_noisy(clean, RATE, noise_type, 0, rng, sources_of(len(clean))).tobytes()

    first = bytes_of(seed, "3_07_12", 1)
    assert bytes_of(seed, "3_07_12", 1) == first
    others = (seed + 1, "3_07_12", 1), (seed, "3_07_13", 1), (seed, "3_07_12", 2)
    assert all(bytes_of(*other) != first for other in others)


def test_an_utterances_generator_is_the_same_in_every_process_and_version() -> None:
    drawn = utterance_rng(20, "3_07_12", 0).integers(1000, size=4).tolist()
    assert drawn == [907, 665, 402, 177]


@given(first=st.text(max_size=9), second=st.text(max_size=9), seed=seeds)
def test_no_two_utterances_share_a_generator(first: str, second: str, seed: int) -> None:
    draws = [utterance_rng(seed, name).integers(2**60) for name in (first, second)]
    assert (draws[0] == draws[1]) == (first == second)


def test_babble_is_four_to_eight_people_equally_loud() -> None:
    counts = set()
    for seed in range(60):
        clips: list[np.ndarray] = []

        def speech(rng: np.random.Generator, n: int, clips: list[np.ndarray] = clips) -> np.ndarray:
            clips.append(np.float32(10.0 ** -len(clips)) * white(rng, 8001, RATE))
            return clips[-1]

        noise = draw_voices(np.random.default_rng(seed), "babble", 8001, speech)
        assert (noise.dtype, noise.shape) == (np.float32, (8001,))
        assert rms(noise) == pytest.approx(np.sqrt(len(clips)), rel=0.1)
        counts.add(len(clips))
    assert counts == {4, 5, 6, 7, 8}


@given(seed=seeds)
def test_speech_is_one_recording_at_an_rms_of_1(seed: int) -> None:
    clips: list[np.ndarray] = []

    def speech(rng: np.random.Generator, n: int) -> np.ndarray:
        clips.append(speech_source(801)(rng, n))
        return clips[-1]

    noise = draw_voices(np.random.default_rng(seed), "speech", 801, speech)
    (clip,) = clips
    start = int(np.correlate(np.tile(noise, 2), clip, "valid").argmax())
    assert rms(noise) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(np.roll(noise, -start), clip / rms(clip), rtol=1e-5)


def test_speech_starts_anywhere() -> None:
    click = np.eye(1, 801, dtype=np.float32)[0]
    starts = {
        int(draw_voices(np.random.default_rng(s), "speech", 801, lambda *_: click).argmax())
        for s in range(50)
    }
    assert min(starts) < 100 and max(starts) > 700 and len(starts) > 40


def test_recordings_are_mixed_as_they_are_drawn() -> None:
    clean, scene = speech_like(900), speech_like(900, seed=1)

    def noise(rng: np.random.Generator, n: int) -> np.ndarray:
        return scene

    sources = NoiseSources(speech_source(900), noise)
    noisy = make_noisy(clean, RATE, "recordings", 3, utterance_rng(1, "a"), sources)
    np.testing.assert_array_equal(noisy, mix(clean, scene, 3))
