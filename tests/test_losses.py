"""The loss: each term rewards a better mask, in proportion to its weight."""

import dataclasses

import numpy as np
import pytest

from denoise.dsp.stft import istft, stft, to_real_imag
from denoise.evaluation.metrics import si_sdr_db
from denoise.params import LossWeights, SpectrogramParams
from denoise.training.data import to_network_input
from denoise.training.losses import (
    SpectralLoss,
    energy,
    inverse_energy,
    power_of,
    scalar_product,
)
from denoise.training.losses import (
    si_sdr_db as si_sdr_db_of_energies,
)
from tests.speechlike import SAMPLE_RATE, voice, white

PARAMS = SpectrogramParams(512, 128, 512)
WEIGHTS = [field.name for field in dataclasses.fields(LossWeights) if field.name != "extensions"]
NONE = LossWeights(**dict.fromkeys(WEIGHTS, 0.0))


def loss_of(weights: LossWeights, wiener: float, level: float = 1.0) -> float:
    """Return the loss of the oracle Wiener mask to the power `wiener`; 0 is a mask of ones."""
    clean = level * voice()
    spectrograms = [stft(w, PARAMS)[None] for w in (clean + white(clean, snr_db=0), clean)]
    powers = [np.abs(s.astype(complex)) ** 2 for s in spectrograms]
    noise = np.abs(spectrograms[0] - spectrograms[1]) ** 2
    oracle = (powers[1] / (powers[1] + noise + 1e-9)).astype(np.float32)
    _, pair = to_network_input(*spectrograms)
    return float(SpectralLoss(PARAMS, SAMPLE_RATE, weights)(pair, oracle**wiener))


def test_without_weights_there_is_no_loss() -> None:
    assert loss_of(NONE, 0.5) == 0


@pytest.mark.parametrize("part", WEIGHTS)
def test_each_term_rewards_a_better_mask_in_proportion_to_its_weight(part: str) -> None:
    once, twice = (dataclasses.replace(NONE, **{part: weight}) for weight in (1.0, 2.0))
    losses = [loss_of(once, wiener) for wiener in (0, 0.25, 0.5)]
    assert losses[0] > losses[1] > losses[2]
    assert loss_of(twice, 0.5) == pytest.approx(2 * losses[2], rel=1e-4)


@pytest.mark.parametrize("part", WEIGHTS)
def test_no_term_depends_on_the_level_of_a_recording(part: str) -> None:
    weights = dataclasses.replace(NONE, **{part: 1.0})
    assert loss_of(weights, 0.5, level=0.1) == pytest.approx(loss_of(weights, 0.5), rel=2e-3)


@pytest.mark.parametrize("is_masked", [False, True])
def test_si_sdr_of_spectrograms_is_that_of_their_waveforms(is_masked: bool) -> None:
    clean = voice()
    spectrograms = [stft(w, PARAMS) for w in (clean, clean + white(clean, snr_db=3))]
    rng = np.random.default_rng(0)  # a random mask: overlapping frames become inconsistent
    mask = rng.random(spectrograms[0].shape, np.float32) if is_masked else np.float32(1)
    masked = spectrograms[1] * mask
    expected = si_sdr_db(clean, istft(masked, PARAMS, len(clean)))
    reference, denoised = (to_real_imag(s)[None] for s in (spectrograms[0], masked))
    found = si_sdr_db_of_energies(
        energy(power_of(reference)),
        inverse_energy(denoised, PARAMS),
        energy(scalar_product(reference, denoised)),
    )
    assert float(found[0]) == pytest.approx(expected, abs=0.05)
    if is_masked:
        assert float(energy(power_of(denoised))[0]) > 1.2 * float(
            inverse_energy(denoised, PARAMS)[0]
        )


def test_the_energy_of_a_spectrogram_is_that_of_its_waveform_with_its_dc_offset() -> None:
    waveform = np.zeros(4096, np.float32)
    inside = slice(1024, 3072)
    waveform[inside] = 0.5 + 0.3 * (-1.0) ** np.arange(2048)  # a DC offset and the Nyquist
    waveform[inside] += np.random.default_rng(0).normal(0, 0.1, 2048)
    power = np.abs(stft(waveform, PARAMS).astype(complex)) ** 2
    # The squares of Hann windows that overlap by three quarters add up to 1.5.
    expected = PARAMS.n_fft * 1.5 * np.sum(np.square(waveform, dtype=np.float64))
    found = float(energy(power[None].astype(np.float32))[0])
    assert found == pytest.approx(expected, rel=1e-5)
