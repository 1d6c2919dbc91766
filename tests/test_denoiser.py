"""`Denoiser` keeps shape, sample rate and alignment, for every input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.inference.denoiser import Denoiser
from denoise.network.spec import MaskNetwork
from tests.closures import ROOT
from tests.networks import RATE, SPEC, gain_network


def make_denoiser(gain: float = 1.0) -> Denoiser:
    return Denoiser(gain_network(gain))


def make_noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@given(n_samples=st.integers(0, 1000), mask=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_constant_mask_is_a_gain_at_any_length(n_samples: int, mask: float) -> None:
    waveform = make_noise(n_samples)
    denoised = make_denoiser(mask).denoise(waveform, RATE)
    assert (denoised.dtype, denoised.shape) == (np.float32, waveform.shape)
    np.testing.assert_allclose(denoised, mask * waveform, atol=1e-5)


@given(
    shape=st.one_of(
        st.tuples(st.integers(0, 3000)), st.tuples(st.integers(0, 3000), st.integers(1, 8))
    ),
    sample_rate=st.sampled_from([4000, 7999, 11_025, 22_050, 44_100, 48_000, 192_000]),
)
def test_shape_and_rate_are_kept(shape: tuple[int, ...], sample_rate: int) -> None:
    denoised = make_denoiser().denoise(make_noise(*shape), sample_rate)
    assert (denoised.dtype, denoised.shape) == (np.float32, shape)
    assert np.isfinite(denoised).all()


@pytest.mark.parametrize("sample_rate", [6000, 11_025, 44_100, 48_000])
def test_resampling_keeps_the_alignment(sample_rate: int) -> None:
    time = np.arange(sample_rate) / sample_rate
    waveform = (np.sin(2 * np.pi * 440 * time) * np.hanning(len(time))).astype(np.float32)
    denoised = make_denoiser().denoise(waveform, sample_rate)
    np.testing.assert_allclose(denoised, waveform, atol=2e-3)


def test_each_bin_has_its_own_mask() -> None:
    def low_pass(spectrograms: np.ndarray) -> np.ndarray:
        mask = np.ones(spectrograms.shape[:-1], np.float32)
        mask[..., 32:] = 0  # from 2 kHz on
        return mask

    time = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * hertz * time).astype(np.float32) for hertz in (500, 3000))
    network = MaskNetwork(low_pass, SPEC)
    denoised = Denoiser(network).denoise(low + high, RATE)
    np.testing.assert_allclose(denoised[200:-200], low[200:-200], atol=1e-3)


def test_channels_are_independent() -> None:
    together = make_denoiser(0.7).denoise(make_noise(500, 3), RATE)
    for channel, alone in zip(together.T, make_noise(500, 3).T, strict=True):
        np.testing.assert_array_equal(make_denoiser(0.7).denoise(alone, RATE), channel)


@pytest.mark.parametrize("sample_rate", [RATE, 44_100])
def test_strength_mixes_and_the_residual_is_the_difference(sample_rate: int) -> None:
    noisy = make_noise(5000)
    denoised = make_denoiser(0.25).denoise(noisy, sample_rate)
    mixed = make_denoiser(0.25).denoise(noisy, sample_rate, strength=0.6)
    np.testing.assert_allclose(mixed, 0.6 * denoised + 0.4 * noisy, atol=1e-6)
    removed = make_denoiser(0.25).denoise(noisy, sample_rate, strength=0.6, residual=True)
    np.testing.assert_allclose(removed + mixed, noisy, atol=1e-6)
    unchanged = make_denoiser(0.25).denoise(noisy, sample_rate, strength=0.0)
    np.testing.assert_array_equal(unchanged, noisy)


@pytest.mark.parametrize(
    ("waveform", "options", "message"),
    [
        (make_noise(), {}, r"\[n_samples, n_channels\]"),
        (make_noise(2, 2, 2), {}, r"\[n_samples, n_channels\]"),
        (np.array([0, np.nan]), {}, "finite"),
        (np.array([np.inf, 1]), {}, "finite"),
        (make_noise(4, 9), {}, "9 channels"),
        (make_noise(4), {"strength": 1.5}, "strength of 1.5"),
        (make_noise(4), {"sample_rate": 3999}, "3999 Hz"),
        (make_noise(4), {"sample_rate": 192_001}, "192001 Hz"),
    ],
)
def test_invalid_input_is_an_error(
    waveform: np.ndarray, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_denoiser().denoise(waveform, **{"sample_rate": RATE, **options})


def test_the_documented_delays_are_those_of_the_built_in_network() -> None:
    built_in = Denoiser.load()
    spec = built_in.network.spec
    look_ahead = spec.margin_frames * spec.spectrogram.hop_length + spec.spectrogram.n_fft // 2
    page = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
    assert f"needs {look_ahead / spec.sample_rate:.2f} s of audio" in page
    stream, n_fed = built_in.stream(spec.sample_rate), 0
    while not len(stream.feed(make_noise(1000, 1))):
        n_fed += 1000
    assert f"a delay of about {n_fed / spec.sample_rate:.0f} s" in page
