"""The denoiser around its network: the same length, rate and alignment, whatever comes in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.inference import Denoiser
from denoise.params import SpectrogramParams
from denoise.reconstruction import RECONSTRUCTIONS
from denoise.spectrogram import stft

PARAMS = SpectrogramParams(n_fft=128, hop_length=64, win_length=128)
RATE = 8000


class Network:
    """Gives one mask everywhere, and remembers what it was given."""

    def __init__(self, mask: float) -> None:
        self.mask = mask
        self.given: list[np.ndarray] = []

    def __call__(self, spectrograms: np.ndarray) -> np.ndarray:
        self.given.append(spectrograms)
        return np.full(spectrograms.shape[:-1], self.mask, np.float32)


def denoiser(mask: float = 1.0, reconstruction: str = "noisy_phase") -> Denoiser:
    return Denoiser(Network(mask), PARAMS, RATE, reconstruction)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@given(n_samples=st.integers(0, 1000), mask=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_constant_mask_is_a_gain_at_any_length(n_samples: int, mask: float) -> None:
    waveform = noise(n_samples)
    denoised = denoiser(mask).denoise(waveform, RATE)
    assert (denoised.dtype, denoised.shape) == (np.float32, waveform.shape)
    np.testing.assert_allclose(denoised, mask * waveform, atol=1e-5)


@given(
    n_samples=st.integers(1, 3000),
    sample_rate=st.sampled_from([4000, 7999, 11_025, 22_050, 44_100, 48_000, 192_000]),
)
def test_length_and_rate_are_kept(n_samples: int, sample_rate: int) -> None:
    denoised = denoiser().denoise(noise(n_samples), sample_rate)
    assert (denoised.dtype, denoised.shape) == (np.float32, (n_samples,))
    assert np.isfinite(denoised).all()


@pytest.mark.parametrize("sample_rate", [6000, 11_025, 44_100, 48_000])
def test_what_the_network_hears_comes_back_in_its_place(sample_rate: int) -> None:
    time = np.arange(sample_rate) / sample_rate
    waveform = (np.sin(2 * np.pi * 440 * time) * np.hanning(len(time))).astype(np.float32)
    denoised = denoiser().denoise(waveform, sample_rate)
    np.testing.assert_allclose(denoised, waveform, atol=2e-3)


def test_the_network_is_given_the_stft_of_the_whole_batch_at_its_own_rate() -> None:
    network = Network(1.0)
    clips = noise(3, 999)
    denoised = Denoiser(network, PARAMS, RATE).denoise_clips(clips)
    (given_,) = network.given
    assert (given_.dtype, given_.shape) == (np.float32, (3, 17, 65, 2))
    for clip, parts in zip(clips, given_, strict=True):
        np.testing.assert_array_equal(parts[..., 0] + 1j * parts[..., 1], stft(clip, PARAMS))
    np.testing.assert_allclose(denoised, clips, atol=1e-5)


def test_each_bin_gets_its_own_mask() -> None:
    def low_pass(spectrograms: np.ndarray) -> np.ndarray:
        mask = np.ones(spectrograms.shape[:-1], np.float32)
        mask[..., 32:] = 0  # from 2 kHz on
        return mask

    time = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * hertz * time).astype(np.float32) for hertz in (500, 3000))
    denoised = Denoiser(low_pass, PARAMS, RATE).denoise(low + high, RATE)
    np.testing.assert_allclose(denoised[200:-200], low[200:-200], atol=1e-3)


def test_clips_do_not_disturb_each_other() -> None:
    together = denoiser(0.7).denoise_clips(noise(3, 500))
    for number, clip in enumerate(noise(3, 500)):
        np.testing.assert_array_equal(denoiser(0.7).denoise(clip, RATE), together[number])


@pytest.mark.parametrize("reconstruction", ["noisy_phase", "griffin_lim"])
def test_the_reconstruction_is_the_one_asked_for(
    monkeypatch: pytest.MonkeyPatch, reconstruction: str
) -> None:
    masked = []

    def rebuild(stft: np.ndarray, params: SpectrogramParams, n_samples: int) -> np.ndarray:
        masked.append((stft, params))
        return np.full(n_samples, 7, np.float32)

    monkeypatch.setitem(RECONSTRUCTIONS, reconstruction, rebuild)
    waveform = noise(999)
    assert (denoiser(0.5, reconstruction).denoise(waveform, RATE) == 7).all()
    ((given_, params),) = masked
    assert params == PARAMS
    np.testing.assert_array_equal(given_, stft(waveform, PARAMS) * np.float32(0.5))


@pytest.mark.parametrize(
    "waveform", [noise(2, 100), noise(), np.array([0, np.nan]), np.array([np.inf, 1])]
)
def test_what_is_no_waveform_is_an_error(waveform: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one-dimensional and finite"):
        denoiser().denoise(waveform, RATE)
