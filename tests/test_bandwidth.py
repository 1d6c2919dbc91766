"""Recordings of a lower rate than the network's are cleaned as well as others."""

from dataclasses import replace

import numpy as np
import pytest
import soxr

from denoise.bandwidth import for_rate, open_stream, shown_bins
from denoise.metrics import si_sdr_db
from denoise.params import SpectrogramParams
from denoise.runtime import BUILT_IN, load_network
from denoise.streaming import MaskNetwork, NetworkForm, Stream
from tests.speechlike import SAMPLE_RATE, voice, white

FORM = NetworkForm(SAMPLE_RATE, SpectrogramParams(1536, 512, 1536), context_frames=4, stride=1)


def echo(stft: np.ndarray) -> np.ndarray:
    """Return what a network is shown, as its mask."""
    return stft[..., 0]


@pytest.mark.parametrize("sample_rate", [SAMPLE_RATE, 44_100])
def test_a_full_band_is_shown_as_it_is(sample_rate: int) -> None:
    network = MaskNetwork(echo, FORM)
    assert for_rate(network, sample_rate) is network


@pytest.mark.parametrize("sample_rate", [4000, 8000, 16_000, 22_000])
def test_beyond_its_band_a_recording_is_shown_its_top_to_and_fro(sample_rate: int) -> None:
    n_bins = FORM.spectrogram.n_bins
    stft = np.zeros((1, 2, n_bins, 2), np.float32)
    stft[..., 0] = np.arange(n_bins)
    shown = for_rate(MaskNetwork(echo, FORM), sample_rate).mask(stft)
    assert shown.shape == (1, 2, n_bins)
    np.testing.assert_array_equal(shown[0, 0], shown[0, 1])
    there = shown[0, 0] == np.arange(n_bins)
    last = int(np.flatnonzero(there)[-1])
    assert there[: last + 1].all()
    hz = last * SAMPLE_RATE / 2 / (n_bins - 1)
    assert 0.9 * sample_rate / 2 < hz < 0.95 * sample_rate / 2
    beyond = shown[0, 0, last:].astype(int)
    assert (np.abs(np.diff(beyond)) == 1).all()
    assert beyond.max() == last
    if len(beyond) > last:
        assert beyond.min() == last - last // 4


@pytest.mark.parametrize("n_fft", [16, 64])
@pytest.mark.parametrize("sample_rate", [4000, 6000])
def test_every_bin_is_shown_one_that_is_there(n_fft: int, sample_rate: int) -> None:
    form = replace(FORM, sample_rate=192_000, spectrogram=SpectrogramParams(n_fft, 4, n_fft))
    shown = shown_bins(form, sample_rate)
    assert len(shown) == n_fft // 2 + 1
    assert shown.min() >= 0 and shown.max() <= 2


@pytest.mark.parametrize("sample_rate", [8000, 16_000])
def test_noise_goes_from_recordings_of_low_rates_too(sample_rate: int) -> None:
    network = load_network(BUILT_IN)
    clean = soxr.resample(voice(1, 3.0), SAMPLE_RATE, sample_rate).astype(np.float32)
    noisy = clean + white(clean, snr_db=5)

    def gain_db(stream: Stream, recording: np.ndarray) -> float:
        denoised = np.concatenate([stream.feed(recording[:, None]), stream.flush()])[:, 0]
        return si_sdr_db(clean, denoised) - si_sdr_db(clean, noisy)

    shown = gain_db(open_stream(network, sample_rate), noisy)
    not_shown = gain_db(Stream(network, sample_rate), noisy)
    assert shown > 6
    assert shown > not_shown + 1.5


def test_clean_speech_of_a_low_rate_passes() -> None:
    network = load_network(BUILT_IN)
    clean = soxr.resample(voice(1, 3.0), SAMPLE_RATE, 8000).astype(np.float32)
    stream = open_stream(network, 8000)
    passed = np.concatenate([stream.feed(clean[:, None]), stream.flush()])[:, 0]
    assert si_sdr_db(clean, passed) > 15
