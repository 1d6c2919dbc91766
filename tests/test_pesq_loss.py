"""The PESQ loss follows wide-band PESQ."""

import numpy as np
import pytest
import tensorflow as tf

from denoise.dsp.filterbank import rectangular_filterbank
from denoise.dsp.stft import magnitude, stft
from denoise.params import SpectrogramParams
from denoise.training.pesq_loss import (
    N_BANDS,
    HearingModel,
    bark_to_hz,
    hz_to_bark,
    make_hearing_model,
    pesq_disturbance,
)
from tests.speechlike import SAMPLE_RATE, voice, white

PARAMS = SpectrogramParams(1536, 512, 1536)
MODEL = make_hearing_model(PARAMS.n_bins, SAMPLE_RATE, SAMPLE_RATE / PARAMS.hop_length)

# wide-band PESQ by pesq 0.0.4 of `voice(seed, 2.0)` in noise, at each of SNRS_DB
SNRS_DB = (0, 6, 12, 20, 30)
PESQ = {
    (0, "white"): (1.02, 1.02, 1.03, 1.20, 1.76),
    (0, "dull"): (1.05, 1.20, 1.56, 2.23, 3.19),
    (1, "white"): (1.02, 1.02, 1.03, 1.19, 1.75),
    (1, "dull"): (1.02, 1.07, 1.27, 1.84, 2.63),
    (2, "white"): (1.02, 1.02, 1.02, 1.13, 1.62),
    (2, "dull"): (1.06, 1.20, 1.53, 2.13, 2.80),
}


def power(waveform: np.ndarray) -> np.ndarray:
    return np.square(magnitude(stft(waveform, PARAMS)))[None]


def disturbance(clean: np.ndarray, degraded: np.ndarray) -> float:
    return float(pesq_disturbance(power(clean), power(degraded), MODEL)[0])


def noise(clean: np.ndarray, noise_type: str) -> np.ndarray:
    bright = white(clean, snr_db=0)
    if noise_type == "white":
        return bright
    dull = np.cumsum(bright)
    dull -= np.convolve(dull, np.full(400, 1 / 400), "same")
    return (dull * np.sqrt(np.mean(bright**2) / np.mean(dull**2))).astype(np.float32)


def in_noise(clean: np.ndarray, noise_type: str, snr_db: float) -> np.ndarray:
    return (clean + noise(clean, noise_type) * 10 ** (-snr_db / 20)).astype(np.float32)


def test_the_disturbance_follows_pesq() -> None:
    ours, theirs = [], []
    for (seed, noise_type), scores in PESQ.items():
        clean = voice(seed, 2.0)
        ours += [
            4.5 - disturbance(clean, in_noise(clean, noise_type, snr_db)) for snr_db in SNRS_DB
        ]
        # the inverse of P.862.2's mapping to a mean opinion score
        theirs += [(3.8224 - np.log(4 / (score - 0.999) - 1)) / 1.3669 for score in scores]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.97
    np.testing.assert_allclose(ours, theirs, atol=0.9)


def test_clean_speech_is_not_disturbed_whatever_its_level() -> None:
    clean = voice()
    for gain in (1e-3, 1.0, 30.0):
        assert disturbance(clean, np.float32(gain) * clean) < 0.01


def test_a_frequency_response_counts_less_than_noise_of_the_same_energy() -> None:
    clean = voice(1, 2.0)
    filtered = (clean + 0.5 * np.concatenate([[0], clean[:-1]])).astype(np.float32)
    level = np.sqrt(np.mean(np.square(filtered - clean)) / np.mean(np.square(clean)))
    noisy = in_noise(clean, "dull", -20 * np.log10(level))
    assert disturbance(clean, filtered) < 0.1 * disturbance(clean, noisy)


def test_added_sound_counts_more_than_missing_sound() -> None:
    clean = power(voice(2, 2.0))
    more, less = clean.copy(), clean.copy()
    some = slice(150, 220)  # 2.1 to 3.2 kHz
    more[..., some] += 0.1 * clean.max()
    less[..., some] = 0
    added, lost = (float(pesq_disturbance(clean, other, MODEL)[0]) for other in (more, less))
    assert added > 1.2 * lost > 0


def test_loss_and_gradient_are_finite_for_silence_and_for_every_resolution() -> None:
    for n_fft, sample_rate in ((16, 96_000), (64, 4000), (1536, SAMPLE_RATE)):
        n_bins = n_fft // 2 + 1
        hearing_model = make_hearing_model(n_bins, sample_rate, sample_rate / (n_fft // 2))
        rng = np.random.default_rng(3)
        spectra = [np.zeros((1, 9, n_bins)), rng.random((1, 9, n_bins)), rng.random((1, 1, n_bins))]
        for clean, degraded in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 2)):
            denoised = tf.constant(spectra[degraded], tf.float32)
            with tf.GradientTape() as tape:
                tape.watch(denoised)
                loss = pesq_disturbance(
                    tf.constant(spectra[clean], tf.float32), denoised, hearing_model
                )
            assert np.isfinite(loss), (n_fft, clean, degraded)
            assert np.isfinite(tape.gradient(loss, denoised)).all(), (n_fft, clean, degraded)


def test_bands_tile_the_spectrum_evenly_in_bark() -> None:
    edges_hz = bark_to_hz(np.linspace(hz_to_bark(60.0), hz_to_bark(8000.0), N_BANDS + 1))
    assert edges_hz[[0, -1]] == pytest.approx([60, 8000])
    shares = rectangular_filterbank(edges_hz, PARAMS.n_bins, SAMPLE_RATE)
    hz = np.linspace(0, SAMPLE_RATE / 2, PARAMS.n_bins)
    np.testing.assert_allclose(shares.sum(axis=1)[(hz > 70) & (hz < 7990)], 1, atol=1e-5)
    assert not shares[(hz < 50) | (hz > 8010)].any()
    np.testing.assert_allclose(shares.sum(axis=0) * hz[1], np.diff(edges_hz), rtol=1e-4)


def simple_model(n_bands: int, n_frames: int) -> HearingModel:
    """Return a model of one bin per band, and one more that sets the level; no band is special."""
    identity = np.eye(n_bands + 1, dtype=np.float32)
    ones = np.ones(n_bands, np.float32)
    return HearingModel(identity[:, :-1], identity[:, -1:], ones, 0.23 * ones, 0.1, n_frames)


def at_playback(bands: np.ndarray) -> np.ndarray:
    """Return powers, [1, n_frames, n_bands + 1], that are not scaled any more."""
    return np.pad(bands, ((0, 0), (0, 1)), constant_values=10**8.5)[None].astype(np.float32)


def expected_disturbance(clean: np.ndarray, compensated: np.ndarray) -> float:
    """Return P.862's disturbance of [n_frames, n_bands] in one interval, from its definition."""

    def loudness(power: np.ndarray) -> np.ndarray:
        return 0.187 * 2**0.23 * ((0.5 + 0.5 * power) ** 0.23 - 1)

    before, after = loudness(clean), loudness(compensated)
    masked = 0.25 * np.minimum(before, after)
    difference = 0.1 * np.sign(after - before) * np.maximum(np.abs(after - before) - masked, 0)
    ratio = ((compensated + 50) / (clean + 50)) ** 1.2
    factor = np.where(ratio < 3, 0, np.minimum(ratio, 12))
    weight = (clean.sum(axis=1) / 1e7 + 0.01) ** -0.04
    symmetric = np.sqrt(np.mean(difference**2, axis=1)) * clean.shape[1]
    asymmetric = np.sum(np.maximum(difference, 0) * factor, axis=1)
    means = [
        np.mean(np.minimum(frames * weight, 45) ** 6) ** (1 / 6)
        for frames in (symmetric, asymmetric)
    ]
    return float(0.1 * means[0] + 0.0309 * means[1])


@pytest.mark.parametrize("level", [1e5, 1e8])
def test_masked_differences_do_not_count_and_those_in_loud_frames_count_less(level: float) -> None:
    # Each band is loud in one frame, so that neither a frequency response nor a gain explains it.
    clean = np.full((10, 10), level)
    denoised = level * (0.1 + 9 * np.eye(10))
    found = pesq_disturbance(at_playback(clean), at_playback(denoised), simple_model(10, 10))
    expected = expected_disturbance(clean, denoised)
    assert float(found[0]) == pytest.approx(expected, rel=1e-2)

    slightly = level * (0.97 + 0.3 * np.eye(10))
    found = pesq_disturbance(at_playback(clean), at_playback(slightly), simple_model(10, 10))
    assert float(found[0]) < 1e-2


def test_the_gain_of_a_frame_holds_a_fifth_of_that_of_the_frame_before() -> None:
    clean = 1e7 * np.array([[12.0, 12.0], [1.0, 1.0]])
    denoised = 1e7 * np.array([[3.0, 3.0], [10.0, 10.0]])  # gains of 4 and 0.1; the mean is equal
    found = pesq_disturbance(at_playback(clean), at_playback(denoised), simple_model(2, 2))
    compensated = denoised * [[4.0], [0.2 * 4 + 0.8 * 0.1]]
    assert float(found[0]) == pytest.approx(expected_disturbance(clean, compensated), rel=1e-2)
