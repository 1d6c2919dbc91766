"""Two passes and refined phases: the result is that of the whole recording, whatever the blocks."""

from dataclasses import replace

import numpy as np
import pytest

from denoise.dsp.stft import count_frames, istft, stft, to_real_imag
from denoise.inference import refined_denoiser
from denoise.inference.block_denoiser import BLOCK_SECONDS, BlockDenoiser
from denoise.inference.phase import refine_phase
from denoise.inference.refined_denoiser import (
    FIRST_POWER,
    N_ITERATIONS,
    SECOND_FLOOR,
    SECOND_POWER,
    RefinedDenoiser,
    make_denoiser,
)
from denoise.network.spec import MaskNetwork, NetworkSpec, with_frame_shifts
from denoise.params import SpectrogramParams
from tests.test_streaming import RADIUS, RATE, make_noise, mask_from_neighbours

SPEC = NetworkSpec(RATE, SpectrogramParams(128, 64, 128), RADIUS, stride=1)
NETWORK = with_frame_shifts(MaskNetwork(mask_from_neighbours, SPEC), 2)
PARAMS = NETWORK.spec.spectrogram


def run(
    network: MaskNetwork, noisy: np.ndarray, block_seconds: float = BLOCK_SECONDS
) -> np.ndarray:
    denoiser = make_denoiser(network, block_seconds)
    return np.concatenate([denoiser.feed(noisy), denoiser.flush()])


def frames_with_the_end_mirrored(waveform: np.ndarray, n_ahead: int) -> np.ndarray:
    n_mirrored = n_ahead * PARAMS.hop_length
    return stft(np.concatenate([waveform, waveform[::-1][1 : n_mirrored + 1]]), PARAMS)


@pytest.mark.parametrize("n_samples", [5000, 70_000])
def test_a_recording_is_denoised_as_in_one_block(n_samples: int) -> None:
    noisy = make_noise(n_samples)
    count, n_ahead = count_frames(n_samples, PARAMS), 2 * RADIUS
    frames = frames_with_the_end_mirrored(noisy, n_ahead)
    first = NETWORK.mask(to_real_imag(frames)[None])[0][:count] ** FIRST_POWER
    once = istft(frames[:count] * first, PARAMS, n_samples)
    again = frames_with_the_end_mirrored(once, n_ahead + 2)
    second = NETWORK.one_grid(to_real_imag(again)[None])[0][:count] ** SECOND_POWER
    assert second.min() < SECOND_FLOOR < second.max()
    masked = frames[:count] * first * np.maximum(second, SECOND_FLOOR)
    expected = istft(refine_phase(masked, PARAMS, N_ITERATIONS), PARAMS, n_samples)
    found = run(NETWORK, noisy)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - once).max() > 0.1


@pytest.mark.parametrize("n_samples", [1, 2, 63, 64, 65, 200, 20_000])
def test_recordings_of_any_length_keep_it(n_samples: int) -> None:
    found = run(NETWORK, make_noise(n_samples))
    assert found.shape == (n_samples,)
    assert np.isfinite(found).all()
    assert len(run(NETWORK, make_noise(0))) == 0


def test_pieces_and_blocks_do_not_change_it() -> None:
    noisy = make_noise(70_000)
    whole = run(NETWORK, noisy)
    denoiser = make_denoiser(NETWORK, BLOCK_SECONDS)
    parts = [denoiser.feed(piece) for piece in np.array_split(noisy, 37)]
    np.testing.assert_array_equal(np.concatenate([*parts, denoiser.flush()]), whole)
    for block_seconds in (0.001, 0.05, 0.33):
        np.testing.assert_allclose(run(NETWORK, noisy, block_seconds), whole, atol=5e-6)


@pytest.mark.parametrize("missing", ["the look-ahead of the second pass", "the phases' context"])
def test_blocks_with_too_little_context_would_change_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = make_noise(70_000)
    whole = run(NETWORK, noisy)
    if missing == "the phases' context":
        path = "denoise.inference.block_denoiser.context_frames"
        monkeypatch.setattr(path, lambda params, n_iterations: 0)
    else:
        original = refined_denoiser.second_network(NETWORK)
        short = replace(original, spec=replace(original.spec, receptive_field_frames=2))
        monkeypatch.setattr(refined_denoiser, "second_network", lambda network: short)
    assert np.abs(run(NETWORK, noisy, 0.05) - whole).max() > 1e-3


def test_the_observer_gets_every_frame_once_with_the_masks_of_both_passes() -> None:
    noisy, heard = make_noise(20_000), []
    denoiser = RefinedDenoiser(NETWORK, 0.1, lambda *block: heard.append(block))
    denoiser.feed(noisy)
    denoiser.flush()
    frames, masks = (np.concatenate(parts) for parts in zip(*heard, strict=True))
    known = slice(-4)  # the last frames hold samples of the end mirrored
    np.testing.assert_allclose(frames[known], stft(noisy, PARAMS)[known], atol=1e-4)
    first = NETWORK.mask(to_real_imag(stft(noisy, PARAMS))[None])[0] ** FIRST_POWER
    inner = slice(RADIUS * 4, -RADIUS * 4)
    assert (masks[inner] < first[inner] + 1e-5).all() and (masks[inner] < first[inner]).mean() > 0.9


def test_networks_of_one_grid_and_causal_ones_are_not_refined() -> None:
    causal = with_frame_shifts(MaskNetwork(mask_from_neighbours, replace(SPEC, causal=True)), 2)
    for network in (MaskNetwork(mask_from_neighbours, SPEC), causal):
        assert isinstance(make_denoiser(network, BLOCK_SECONDS), BlockDenoiser)
    assert isinstance(make_denoiser(NETWORK, BLOCK_SECONDS), RefinedDenoiser)
    with pytest.raises(ValueError, match="one grid of frames only"):
        refined_denoiser.second_network(MaskNetwork(mask_from_neighbours, SPEC))


def test_a_mask_of_ones_returns_the_recording() -> None:
    ones = MaskNetwork(lambda x: np.ones(x.shape[:3], np.float32), SPEC)
    noisy = make_noise(20_000)
    np.testing.assert_allclose(run(with_frame_shifts(ones, 2), noisy), noisy, atol=1e-4)
