"""The STFT and its inverse: what goes in comes out, at any length and size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.dsp.stft import istft, magnitude, n_frames, overlap_add, stft, to_real_imag, window
from denoise.params import SpectrogramParams

COMMITTED = SpectrogramParams(n_fft=512, hop_length=256, win_length=512)


@st.composite
def sizes(draw: st.DrawFn) -> SpectrogramParams:
    """Draw any sizes that the params allow, up to 256."""
    n_fft = 2 * draw(st.integers(8, 128))
    win_length = draw(st.integers(16, n_fft))
    return SpectrogramParams(n_fft, draw(st.integers(4, win_length // 2)), win_length)


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n_samples, dtype=np.float32)


@given(params=sizes(), n_samples=st.integers(0, 1500))
def test_the_inverse_gives_the_waveform_back(params: SpectrogramParams, n_samples: int) -> None:
    waveform = noise(n_samples)
    spectrogram = stft(waveform, params)
    assert (spectrogram.dtype, spectrogram.shape[1]) == (np.complex64, params.n_bins)
    back = istft(spectrogram, params, n_samples)
    assert (back.dtype, back.shape) == (np.float32, (n_samples,))
    np.testing.assert_allclose(back, waveform, atol=2e-5)


@pytest.mark.parametrize("n_samples", [1, 255, 256, 257, 21_999, 22_050, 22_051, 66_151])
def test_the_inverse_gives_whole_clips_back(n_samples: int) -> None:
    waveform = noise(n_samples)
    back = istft(stft(waveform, COMMITTED), COMMITTED, n_samples)
    np.testing.assert_allclose(back, waveform, atol=5e-6)


@given(params=sizes(), n_samples=st.integers(0, 1500))
def test_the_last_centre_lies_at_the_end_or_less_than_a_hop_after(
    params: SpectrogramParams, n_samples: int
) -> None:
    count = n_frames(n_samples, params)
    assert len(stft(noise(n_samples), params)) == count
    assert n_samples <= (count - 1) * params.hop_length < n_samples + params.hop_length


@given(params=sizes(), n_samples=st.integers(1, 999), wrong=st.integers(-3, 3).filter(bool))
def test_a_wrong_number_of_frames_is_an_error(
    params: SpectrogramParams, n_samples: int, wrong: int
) -> None:
    count = max(0, n_frames(n_samples, params) + wrong)
    frames = np.zeros((count, params.n_bins), np.complex64)
    with pytest.raises(ValueError, match=f"{count} frames do not span {n_samples} samples"):
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
    import librosa  # seconds of start-up, for this test alone

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


@given(params=sizes(), n_samples=st.integers(1, 999), gain=st.floats(-100, 100, width=16))
def test_the_transform_is_linear(params: SpectrogramParams, n_samples: int, gain: float) -> None:
    first, second = noise(n_samples, 1), noise(n_samples, 2)
    together = stft(first + np.float32(gain) * second, params)
    apart = stft(first, params) + np.float32(gain) * stft(second, params)
    np.testing.assert_allclose(together, apart, atol=1e-4 * (1 + abs(gain)))


@pytest.mark.parametrize("bin_number", [1, 100, 255])
def test_a_tone_stands_in_its_bin(bin_number: int) -> None:
    time = np.arange(22_050)
    tone = np.sin(2 * np.pi * bin_number / COMMITTED.n_fft * time).astype(np.float32)
    inner = magnitude(stft(tone, COMMITTED))[2:-3]
    assert (inner.argmax(axis=1) == bin_number).all()
    # half the window's sum: a tone of amplitude 1 has that in its bin
    np.testing.assert_allclose(inner[:, bin_number], 128, rtol=1e-3)


@given(params=sizes())
def test_a_click_is_in_the_frames_that_cover_it(params: SpectrogramParams) -> None:
    click = np.zeros(1500, np.float32)
    click[700] = 1
    level = magnitude(stft(click, params)).max(axis=1)
    distance = np.abs(np.arange(len(level)) * params.hop_length - 700)
    assert (level[distance > params.win_length / 2] == 0).all()
    assert level[distance.argmin()] > 0


@given(params=sizes())
def test_the_window_is_hann_in_the_middle_of_zeros(params: SpectrogramParams) -> None:
    before = (params.n_fft - params.win_length) // 2
    inner = window(params)[before : before + params.win_length]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(params.win_length) / params.win_length)
    np.testing.assert_allclose(inner, hann, atol=1e-6)
    assert window(params).sum(dtype=np.float64) == pytest.approx(inner.sum(dtype=np.float64))
    assert window(params).shape == (params.n_fft,)


@given(count=st.integers(1, 9), n_fft=st.integers(1, 40), hop_length=st.integers(1, 40))
def test_overlapping_frames_add_up(count: int, n_fft: int, hop_length: int) -> None:
    frames = noise(count * n_fft).reshape(count, n_fft)
    expected = np.zeros((count - 1) * hop_length + n_fft)
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


def test_real_parts_are_those_of_any_layout() -> None:
    spectrogram = stft(noise(999), COMMITTED)
    for each in (spectrogram, spectrogram.T, spectrogram[::2, None]):
        np.testing.assert_array_equal(to_real_imag(each), np.stack([each.real, each.imag], -1))
