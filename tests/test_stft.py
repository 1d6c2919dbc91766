"""The STFT and its inverse: perfect reconstruction at any length and with any params."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.dsp.stft import count_frames, istft, magnitude, overlap_add, stft, to_real_imag, window
from denoise.params import SpectrogramParams

COMMITTED = SpectrogramParams(n_fft=512, hop_length=256, win_length=512)


@st.composite
def valid_params(draw: st.DrawFn) -> SpectrogramParams:
    """Draw any params that are valid, with an n_fft of at most 256."""
    n_fft = 2 * draw(st.integers(8, 128))
    win_length = draw(st.integers(16, n_fft))
    return SpectrogramParams(n_fft, draw(st.integers(4, win_length // 2)), win_length)


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n_samples, dtype=np.float32)


@given(params=valid_params(), n_samples=st.integers(0, 1500))
def test_the_inverse_reconstructs_the_waveform(params: SpectrogramParams, n_samples: int) -> None:
    waveform = noise(n_samples)
    spectrogram = stft(waveform, params)
    assert (spectrogram.dtype, spectrogram.shape[1]) == (np.complex64, params.n_bins)
    reconstructed = istft(spectrogram, params, n_samples)
    assert (reconstructed.dtype, reconstructed.shape) == (np.float32, (n_samples,))
    np.testing.assert_allclose(reconstructed, waveform, atol=2e-5)


@pytest.mark.parametrize("n_samples", [1, 255, 256, 257, 21_999, 22_050, 22_051, 66_151])
def test_the_inverse_reconstructs_clips_of_full_length(n_samples: int) -> None:
    waveform = noise(n_samples)
    reconstructed = istft(stft(waveform, COMMITTED), COMMITTED, n_samples)
    np.testing.assert_allclose(reconstructed, waveform, atol=5e-6)


@given(params=valid_params(), n_samples=st.integers(0, 1500))
def test_the_last_centre_is_at_the_end_or_less_than_a_hop_after_it(
    params: SpectrogramParams, n_samples: int
) -> None:
    n_frames = count_frames(n_samples, params)
    assert len(stft(noise(n_samples), params)) == n_frames
    assert n_samples <= (n_frames - 1) * params.hop_length < n_samples + params.hop_length


@given(params=valid_params(), n_samples=st.integers(1, 999), error=st.integers(-3, 3).filter(bool))
def test_a_wrong_number_of_frames_is_an_error(
    params: SpectrogramParams, n_samples: int, error: int
) -> None:
    n_frames = max(0, count_frames(n_samples, params) + error)
    frames = np.zeros((n_frames, params.n_bins), np.complex64)
    with pytest.raises(ValueError, match=f"{n_frames} frames do not span {n_samples} samples"):
        istft(frames, params, n_samples)


@pytest.mark.parametrize(
    ("params", "n_samples"),
    [
        (COMMITTED, 22_050),
        (SpectrogramParams(512, 128, 400), 5001),
        (SpectrogramParams(512, 100, 401), 5000),
        (SpectrogramParams(64, 16, 33), 640),
    ],
)
def test_librosa_gives_the_same_frames(params: SpectrogramParams, n_samples: int) -> None:
    import librosa  # here, because the import takes seconds and only this test needs it

    waveform = noise(n_samples)
    expected = librosa.stft(
        waveform,
        n_fft=params.n_fft,
        hop_length=params.hop_length,
        win_length=params.win_length,
        pad_mode="constant",
    ).T
    ours = stft(waveform, params)
    assert len(ours) - len(expected) == (n_samples % params.hop_length > 0)
    np.testing.assert_allclose(ours[: len(expected)], expected, atol=1e-4)


@given(params=valid_params(), n_samples=st.integers(1, 999), gain=st.floats(-100, 100, width=16))
def test_the_transform_is_linear(params: SpectrogramParams, n_samples: int, gain: float) -> None:
    first, second = noise(n_samples, 1), noise(n_samples, 2)
    of_sum = stft(first + np.float32(gain) * second, params)
    sum_of_both = stft(first, params) + np.float32(gain) * stft(second, params)
    np.testing.assert_allclose(of_sum, sum_of_both, atol=1e-4 * (1 + abs(gain)))


@pytest.mark.parametrize("bin_number", [1, 100, 255])
def test_a_tone_has_its_maximum_in_its_bin(bin_number: int) -> None:
    time = np.arange(22_050)
    tone = np.sin(2 * np.pi * bin_number / COMMITTED.n_fft * time).astype(np.float32)
    inner = magnitude(stft(tone, COMMITTED))[2:-3]
    assert (inner.argmax(axis=1) == bin_number).all()
    # A tone of amplitude 1 gives half the sum of the window.
    np.testing.assert_allclose(inner[:, bin_number], 128, rtol=1e-3)


@given(params=valid_params())
def test_an_impulse_is_in_the_frames_that_cover_it(params: SpectrogramParams) -> None:
    impulse = np.zeros(1500, np.float32)
    impulse[700] = 1
    peaks = magnitude(stft(impulse, params)).max(axis=1)
    distance = np.abs(np.arange(len(peaks)) * params.hop_length - 700)
    assert (peaks[distance > params.win_length / 2] == 0).all()
    assert peaks[distance.argmin()] > 0


@given(params=valid_params())
def test_the_window_is_a_hann_window_centred_between_zeros(params: SpectrogramParams) -> None:
    before = (params.n_fft - params.win_length) // 2
    inner = window(params)[before : before + params.win_length]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(params.win_length) / params.win_length)
    np.testing.assert_allclose(inner, hann, atol=1e-6)
    assert window(params).sum(dtype=np.float64) == pytest.approx(inner.sum(dtype=np.float64))
    assert window(params).shape == (params.n_fft,)


@given(n_frames=st.integers(1, 9), n_fft=st.integers(1, 40), hop_length=st.integers(1, 40))
def test_overlapping_frames_are_added(n_frames: int, n_fft: int, hop_length: int) -> None:
    frames = noise(n_frames * n_fft).reshape(n_frames, n_fft)
    expected = np.zeros((n_frames - 1) * hop_length + n_fft)
    for number, frame in enumerate(frames):
        expected[number * hop_length :][:n_fft] += frame
    total = overlap_add(frames, hop_length)
    np.testing.assert_allclose(total[: len(expected)], expected, atol=1e-5)
    assert not total[len(expected) :].any()


@given(seed=st.integers(0, 99))
def test_magnitude_is_the_absolute_value(seed: int) -> None:
    spectrogram = stft(noise(999, seed), COMMITTED)
    assert magnitude(spectrogram).dtype == np.float32
    np.testing.assert_allclose(magnitude(spectrogram), np.abs(spectrogram), rtol=1e-6)


def test_real_and_imaginary_parts_are_right_in_any_memory_layout() -> None:
    spectrogram = stft(noise(999), COMMITTED)
    for array in (spectrogram, spectrogram.T, spectrogram[::2, None]):
        np.testing.assert_array_equal(to_real_imag(array), np.stack([array.real, array.imag], -1))
