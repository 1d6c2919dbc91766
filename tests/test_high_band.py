"""Above the network's band, speech is kept and noise is removed."""

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from denoise.inference.block_denoiser import BLOCK_SECONDS, BlockDenoiser
from denoise.inference.denoiser import Denoiser
from denoise.inference.high_band import HighBand, SampleQueue, make_spec
from denoise.inference.high_band_mask import (
    NOISE_SECONDS,
    UPPER_END,
    GainTrack,
    HighBandMask,
    NoiseEstimate,
    frame_gains,
)
from denoise.network.spec import MaskNetwork
from tests.networks import RATE, SPEC, gain_network

HIGH_RATE = 48_000


def make_noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def bins_network(low: float, high: float) -> MaskNetwork:
    """Return a network that passes the bins between two fractions of its Nyquist frequency."""

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        position = np.linspace(0, 1, spectrograms.shape[2], dtype=np.float32)
        passed = (low <= position) & (position <= high)
        return np.broadcast_to(passed, spectrograms.shape[:-1]).astype(np.float32)

    return MaskNetwork(mask, SPEC)


def loudness_network(limit: float) -> MaskNetwork:
    """Return a network that passes the frames with an energy above a limit, and no others."""

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        is_loud = np.square(spectrograms).sum(axis=(2, 3)) > limit
        return np.broadcast_to(is_loud[:, :, None], spectrograms.shape[:-1]).astype(np.float32)

    return MaskNetwork(mask, SPEC)


def tone(hertz: float, seconds: float = 1.0, sample_rate: int = HIGH_RATE) -> np.ndarray:
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    return np.sin(2 * np.pi * hertz * time).astype(np.float32)


def level_db(waveform: np.ndarray, reference: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(waveform**2) / np.sum(reference**2) + 1e-20))


@given(n_samples=st.integers(0, 20_000), rate=st.sampled_from([8001, 11_025, 44_100, 48_000]))
def test_a_mask_of_ones_returns_the_recording(n_samples: int, rate: int) -> None:
    waveform = make_noise(n_samples)
    denoised = Denoiser(gain_network(1.0)).denoise(waveform, rate)
    np.testing.assert_allclose(denoised, waveform, atol=1e-5)


@pytest.mark.parametrize("rate", [8001, 44_100, 48_000])
def test_a_mask_of_zeros_removes_the_high_band_too(rate: int) -> None:
    assert not Denoiser(gain_network(0.0)).denoise(make_noise(20_000), rate).any()


def test_a_recording_that_is_too_short_for_a_frame_is_kept() -> None:
    waveform = make_noise(1)
    denoised = Denoiser(gain_network(0.0)).denoise(waveform, HIGH_RATE)
    np.testing.assert_allclose(denoised, waveform, atol=1e-6)


def test_the_high_band_follows_the_upper_end_of_the_mask() -> None:
    waveform = tone(15_000) + make_noise(HIGH_RATE) * np.float32(0.01)
    lowest, highest = UPPER_END[0] - 0.02, UPPER_END[1] + 0.02
    kept = Denoiser(bins_network(lowest, highest)).denoise(waveform, HIGH_RATE)
    removed = Denoiser(bins_network(0.0, lowest)).denoise(waveform, HIGH_RATE)
    assert level_db(kept, tone(15_000)) == pytest.approx(0, abs=0.1)
    assert level_db(removed, tone(15_000)) < -30


def test_noise_is_removed_and_speech_is_kept() -> None:
    noise = make_noise(4 * HIGH_RATE) * np.float32(0.01)
    is_speech = np.arange(len(noise)) % HIGH_RATE >= HIGH_RATE // 2
    speech = (tone(3000, 4.0) + np.float32(0.1) * tone(15_000, 4.0)) * is_speech
    denoised = Denoiser(loudness_network(50.0)).denoise(noise + speech, HIGH_RATE)
    pause = slice(2 * HIGH_RATE + 2000, 2 * HIGH_RATE + HIGH_RATE // 2 - 2000)
    assert level_db(denoised[pause], noise[pause]) < -60
    spoken = slice(3 * HIGH_RATE + HIGH_RATE // 2 + 2000, 4 * HIGH_RATE - 2000)
    assert np.abs((denoised - speech)[spoken]).max() < np.abs(noise[spoken]).max()
    before, after = (np.abs(np.fft.rfft(each[spoken])) ** 2 for each in (noise + speech, denoised))
    at = np.linspace(0, HIGH_RATE / 2, len(before))
    empty, tonal = (at > 20_000) & (at < 23_000), np.abs(at - 15_000) < 100
    assert level_db(np.sqrt(after[empty]), np.sqrt(before[empty])) < -5
    assert level_db(np.sqrt(after[tonal]), np.sqrt(before[tonal])) == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("rate", [RATE, 6000, 4000])
def test_without_a_high_band_only_the_network_s_band_is_resampled(rate: int) -> None:
    waveform, network = make_noise(3 * rate), bins_network(0.3, 1.0)
    low = soxr.resample(waveform, rate, RATE, quality="HQ") if rate != RATE else waveform
    denoiser = BlockDenoiser(network)
    low = np.concatenate([denoiser.feed(low), denoiser.flush()])
    expected = soxr.resample(low, RATE, rate, quality="HQ") if rate != RATE else low
    denoised = Denoiser(network).denoise(waveform, rate)
    np.testing.assert_array_equal(denoised, expected[: len(waveform)])


def test_channels_have_their_own_gains() -> None:
    quiet, loud = make_noise(HIGH_RATE, seed=1) * np.float32(0.01), make_noise(HIGH_RATE, seed=2)
    denoiser = Denoiser(loudness_network(50.0))
    together = denoiser.denoise(np.stack([quiet, loud], axis=1), HIGH_RATE)
    for channel, alone in zip(together.T, (quiet, loud), strict=True):
        np.testing.assert_array_equal(denoiser.denoise(alone, HIGH_RATE), channel)
    assert not together[:, 0].any() and together[:, 1].any()


@given(
    rate=st.integers(RATE + 1, 192_000),
    sizes=st.lists(st.integers(0, 20), min_size=1, max_size=8),
)
def test_gains_are_interpolated_between_frames_in_pieces_of_any_size(
    rate: int, sizes: list[int]
) -> None:
    gains = np.random.default_rng(0).random(150, dtype=np.float32)
    stft = np.ones((len(gains), SPEC.spectrogram.n_bins), np.complex64)
    mask = np.broadcast_to(np.sqrt(gains)[:, None], stft.shape)
    tracks = [GainTrack(SPEC, make_spec(rate)) for _ in range(2)]
    for track in tracks:
        track.add(stft, mask)
    pieces = np.concatenate([tracks[0].take(size) for size in sizes])
    np.testing.assert_array_equal(pieces, tracks[1].take(sum(sizes)))
    seconds = np.arange(sum(sizes)) * make_spec(rate).spectrogram.hop_length / rate
    frame_seconds = np.arange(len(gains)) * SPEC.spectrogram.hop_length / RATE
    np.testing.assert_allclose(pieces, np.interp(seconds, frame_seconds, gains), atol=1e-5)


def test_a_gain_is_the_ratio_of_denoised_to_noisy_energy() -> None:
    parts = make_noise(2, 5, 65, seed=3)
    noisy = (parts[0] + 1j * parts[1]).astype(np.complex64)
    mask = np.random.default_rng(4).random(noisy.shape, dtype=np.float32)
    inside = slice(38, 62)  # 0.6 and 0.95 of bin 64
    energy = [np.sum(np.abs(each[:, inside]) ** 2, axis=1) for each in (mask * noisy, noisy)]
    np.testing.assert_allclose(frame_gains(noisy, mask), energy[0] / energy[1], rtol=1e-5)
    silence = frame_gains(np.zeros_like(noisy), mask)
    np.testing.assert_allclose(silence, np.mean(mask[:, inside] ** 2, axis=1), rtol=1e-5)


def test_memory_does_not_grow_with_the_stream() -> None:
    stream = Denoiser(gain_network(0.5)).stream(HIGH_RATE, 1)
    assert stream._high_band is not None
    for _ in range(40):
        stream.feed(make_noise(HIGH_RATE, 1))
        (track,), high_band = stream._high_band.gains, stream._high_band
        assert len(track._gains) < RATE / SPEC.spectrogram.hop_length
        assert len(high_band._noisy) < (BLOCK_SECONDS + 1) * RATE
        assert len(high_band._recording) < (BLOCK_SECONDS + 1) * HIGH_RATE
        assert len(high_band._low_band) < HIGH_RATE


def test_noise_is_measured_in_pauses_and_remembered_during_speech() -> None:
    estimate = NoiseEstimate(n_bands=2, frame_seconds=0.01)
    np.testing.assert_array_equal(estimate.power(), 0)
    noise, speech = np.array([[2.0, 8.0]]), np.array([[500.0, 100.0]])
    for power, gain in ((noise, 0.0), (speech, 1.0), (np.zeros((1, 2)) + 1e-20, 0.0)):
        estimate.update(power.repeat(300, axis=0), np.full(300, gain, np.float32))
        np.testing.assert_allclose(estimate.power(), noise[0], rtol=1e-3)
    n_frames = round(5 * NOISE_SECONDS / 0.01)
    for _ in range(n_frames):
        estimate.update(4 * noise, np.zeros(1, np.float32))
    np.testing.assert_allclose(estimate.power(), 4 * noise[0], rtol=0.05)


def test_the_estimate_needs_frames_without_speech() -> None:
    estimate = NoiseEstimate(n_bands=1, frame_seconds=0.01)
    estimate.update(np.ones((1000, 1)), np.full(1000, 0.95, np.float32))
    assert estimate.power()[0] < 0.1


@pytest.mark.parametrize("rate", [4001, 8001, 44_100, 192_000])
def test_the_windows_of_the_high_band_last_about_32_ms(rate: int) -> None:
    spectrogram = make_spec(rate).spectrogram
    assert spectrogram.n_fft / rate == pytest.approx(0.032, rel=0.05)
    assert 2 * spectrogram.hop_length == spectrogram.win_length == spectrogram.n_fft


def test_a_queue_returns_samples_in_order() -> None:
    queue = SampleQueue(channels=1)
    queue.add(make_noise(5, 1))
    queue.add(make_noise(3, 1))
    taken = [queue.take(4), queue.take(9)]
    expected = np.concatenate([make_noise(5, 1), make_noise(3, 1)])
    np.testing.assert_array_equal(np.concatenate(taken), expected)
    assert (len(taken[0]), len(queue)) == (4, 0)


@pytest.mark.parametrize("n_resampled", [90, 100, 110])
def test_the_end_is_padded_and_cropped_to_the_recording(n_resampled: int) -> None:
    high_band = HighBand(SPEC, HIGH_RATE, 1)
    low_band = np.zeros((n_resampled, 2), np.float32)
    recording = make_noise(100, 1)
    denoised = high_band.add(low_band, recording, is_last=True)
    np.testing.assert_allclose(denoised, recording, atol=1e-6)


def constant_mask(gain: float, power: np.ndarray) -> np.ndarray:
    """Return the mask, [n_frames, n_bins], of frames of a power, with one gain of the network."""
    spec = make_spec(HIGH_RATE)
    track = GainTrack(SPEC, spec)
    stft = np.ones((40, SPEC.spectrogram.n_bins), np.complex64)
    track.add(stft, np.full(stft.shape, gain, np.float32))
    spectrograms = np.zeros((1, *power.shape, 2), np.float32)
    spectrograms[0, :, :, 0] = np.sqrt(power)
    return HighBandMask(track, SPEC, spec)(spectrograms)[0]


@pytest.mark.parametrize(("gain", "expected"), [(1.0, 1.0), (0.1, 0.1995262)])
def test_without_noise_the_mask_is_a_power_of_the_carried_gain(
    gain: float, expected: float
) -> None:
    # The mask of the network is an amplitude gain of 0.1, an energy gain of 0.01: 0.01 ** 0.35.
    # A power of 1e-13 a bin sums to less than SILENCE_POWER, so that no noise is measured.
    power = np.full((10, make_spec(HIGH_RATE).spectrogram.n_bins), 1e-13, np.float32)
    np.testing.assert_allclose(constant_mask(gain, power), expected, rtol=1e-5)


def test_bins_below_the_resampler_s_transition_do_not_count() -> None:
    # The network's Nyquist frequency is bin 128 of 768, so the first band begins at bin 115.
    spec = make_spec(HIGH_RATE)
    band = slice(115, 256)
    track = GainTrack(SPEC, spec)
    mask = HighBandMask(track, SPEC, spec)
    spectrograms = np.zeros((2, 1, 20, spec.spectrogram.n_bins, 2), np.float32)
    spectrograms[0, :, :, band, 0] = 1  # noise of power 1, then speech and noise of power 2
    spectrograms[1, :, :, band, 0] = np.sqrt(2)
    spectrograms[1, :, :, :115, 0] = 100
    for gain, each in zip((0.0, 1.0), spectrograms, strict=True):
        stft = np.ones((40, SPEC.spectrogram.n_bins), np.complex64)  # as long as 20 other frames
        track.add(stft, np.full(stft.shape, gain, np.float32))
        found = mask(each)[0]
    # 20 frames are 0.32 s of noise, with MIN_NOISE_SECONDS, 0.001, to doubt it.
    np.testing.assert_allclose(found[1:, : band.stop], 1 - 0.5 * 0.32 / 0.321, rtol=1e-4)


def test_noise_in_the_resampler_s_transition_band_is_measured_too() -> None:
    spec = make_spec(HIGH_RATE)
    hertz = np.linspace(0, HIGH_RATE / 2, spec.spectrogram.n_bins)
    inside = (hertz > 0.92 * RATE / 2) & (hertz < RATE / 2)
    spectrograms = np.zeros((1, 20, len(hertz), 2), np.float32)
    spectrograms[:, :, inside] = 1
    track = GainTrack(SPEC, spec)
    high_band_mask = HighBandMask(track, SPEC, spec)
    for gain in (0.0, 1.0):
        stft = np.ones((40, SPEC.spectrogram.n_bins), np.complex64)  # as long as 20 other frames
        track.add(stft, np.full(stft.shape, gain, np.float32))
        mask = high_band_mask(spectrograms)
        np.testing.assert_allclose(mask[0, 1:, inside], 0, atol=0.01)
    assert mask.shape == spectrograms.shape[:-1]
