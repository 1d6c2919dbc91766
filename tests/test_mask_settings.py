"""What a model's file asks of the network: shifted grids of frames, and a power of the masks."""

import dataclasses

import numpy as np
import pytest

from denoise.dsp.phase import refine_phase
from denoise.dsp.stft import count_frames, istft, stft, to_real_imag, window
from denoise.errors import ParamsError
from denoise.evaluation.reconstruction import clip_denoiser
from denoise.inference.block_denoiser import BlockDenoiser
from denoise.inference.denoiser import Denoiser
from denoise.network.spec import (
    PHASE_ITERATIONS,
    MaskNetwork,
    NetworkSpec,
    from_metadata,
    to_metadata,
    with_frame_shifts,
    with_mask_power,
)
from denoise.params import SpectrogramParams
from denoise.params_file import parse_params
from tests.test_params import set_value

RATE, HOP = 8000, 64
SPEC = NetworkSpec(RATE, SpectrogramParams(128, HOP, 128), receptive_field_frames=3, stride=1)


def neighbours(stft: np.ndarray) -> np.ndarray:
    """Return a mask that depends on the level of a frame among those around it."""
    level = np.sqrt(np.square(stft).sum(axis=(2, 3)))
    padded = np.pad(level, ((0, 0), (3, 3)))
    around = np.stack([padded[:, i : i + level.shape[1]] for i in range(7)]).sum(axis=0)
    return np.broadcast_to((level / (around + 1e-9))[..., None], stft.shape[:3])


def noise(n_samples: int = 20_000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    swell = 1 + np.sin(np.arange(n_samples) / 700)
    return (0.1 * swell * rng.standard_normal(n_samples)).astype(np.float32)


def denoiser(n_shifts: int) -> Denoiser:
    return Denoiser(with_frame_shifts(MaskNetwork(neighbours, SPEC), n_shifts))


CLOSE = with_frame_shifts(
    MaskNetwork(
        neighbours, dataclasses.replace(SPEC, spectrogram=SpectrogramParams(128, HOP // 2, 128))
    ),
    1,
)
"""A network whose frames overlap by three quarters on one grid."""


def denoise_once(n_shifts: int, noisy: np.ndarray) -> np.ndarray:
    """Return the denoised waveform without the refinement that several grids allow."""
    once = BlockDenoiser(dataclasses.replace(denoiser(n_shifts).network, phase_iterations=0))
    return np.concatenate([once.feed(noisy), once.flush()])


@pytest.mark.parametrize("n_shifts", [2, 4])
def test_the_result_is_the_mean_of_the_grids_weighted_with_their_windows(n_shifts: int) -> None:
    noisy, shifted, weights = noise(), [], []
    squares = np.square(window(SPEC.spectrogram)).reshape(2, HOP).sum(axis=0)
    for number in range(n_shifts):
        before = np.zeros(number * HOP // n_shifts, np.float32)
        result = denoise_once(1, np.concatenate([before, noisy]))
        shifted.append(result[len(before) :])
        weights.append(squares[(np.arange(len(noisy)) + len(before)) % HOP])
    inner = slice(10 * HOP, -10 * HOP)
    expected = np.average(shifted, axis=0, weights=weights)
    found = denoise_once(n_shifts, noisy)
    np.testing.assert_allclose(found[inner], expected[inner], atol=2e-6)


def test_pieces_and_blocks_do_not_change_it() -> None:
    noisy = noise(70_000)
    whole = denoiser(2).denoise(noisy, RATE)
    stream = denoiser(2).stream(RATE)
    parts = [stream.feed(piece[:, None]) for piece in np.array_split(noisy, 37)]
    joined = np.concatenate([*parts, stream.flush()])[:, 0]
    np.testing.assert_array_equal(joined, whole)
    for block_seconds in (0.001, 0.05, 0.33):
        short = denoiser(2).stream(RATE, block_seconds=block_seconds)
        blocks = np.concatenate([short.feed(noisy[:, None]), short.flush()])[:, 0]
        np.testing.assert_allclose(blocks, whole, atol=2e-6)


@pytest.mark.parametrize("n_samples", [5000, 70_000])
def test_the_phases_of_several_grids_are_refined(n_samples: int) -> None:
    noisy, network = noise(n_samples), denoiser(2).network
    spectrogram, n_ahead = network.spec.spectrogram, network.spec.lookahead_frames
    mirrored = noisy[::-1][1 : n_ahead * spectrogram.hop_length + 1]  # the look-ahead at the end
    count = count_frames(n_samples, spectrogram)
    frames = stft(np.concatenate([noisy, mirrored]), spectrogram)
    masked = (frames * network.mask(to_real_imag(frames)[None])[0])[:count]
    refined = refine_phase(masked, spectrogram, PHASE_ITERATIONS)
    expected = istft(refined, spectrogram, n_samples)
    found = denoiser(2).denoise(noisy, RATE)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - denoise_once(2, noisy)).max() > 1e-3


@pytest.mark.parametrize("n_samples", [0, 1, 2, 63, 64, 65, 200, 20_000])
def test_recordings_of_any_length_keep_it(n_samples: int) -> None:
    found = denoiser(2).denoise(noise(n_samples), RATE)
    assert found.shape == (n_samples,)
    assert np.isfinite(found).all()


def test_a_mask_of_ones_returns_the_recording() -> None:
    ones = MaskNetwork(lambda x: np.ones(x.shape[:3], np.float32), SPEC)
    noisy = noise(20_000)
    found = Denoiser(with_frame_shifts(ones, 2)).denoise(noisy, RATE)
    np.testing.assert_allclose(found, noisy, atol=1e-4)


def test_the_observer_gets_every_frame_once() -> None:
    noisy, heard = noise(20_000), []
    network = denoiser(2).network
    once = BlockDenoiser(network, 0.1, lambda *block: heard.append(block))
    once.feed(noisy)
    once.flush()
    frames, masks = (np.concatenate(parts) for parts in zip(*heard, strict=True))
    expected, known = stft(noisy, network.spec.spectrogram), slice(-4)  # the last are mirrored
    np.testing.assert_allclose(frames[known], expected[known], atol=1e-4)
    inner = slice(0, -2 * network.spec.lookahead_frames)
    mask = network.mask(to_real_imag(expected)[None])[0]
    np.testing.assert_allclose(masks[inner], mask[inner], atol=1e-4)


def test_blocks_without_the_context_of_the_phases_would_change_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noisy = noise(70_000)
    whole = denoiser(2).denoise(noisy, RATE)
    path = "denoise.inference.block_denoiser.context_frames"
    monkeypatch.setattr(path, lambda params, n_iterations: 0)
    short = denoiser(2).stream(RATE, block_seconds=0.05)
    blocks = np.concatenate([short.feed(noisy[:, None]), short.flush()])[:, 0]
    assert np.abs(blocks - whole).max() > 1e-3


def test_phases_are_refined_where_frames_overlap_enough_and_nothing_is_causal() -> None:
    causal = MaskNetwork(neighbours, dataclasses.replace(SPEC, causal=True))
    assert with_frame_shifts(causal, 2).phase_iterations == 0
    assert denoiser(1).network.phase_iterations == 0
    assert denoiser(2).network.phase_iterations == PHASE_ITERATIONS
    assert CLOSE.phase_iterations == PHASE_ITERATIONS


def test_the_evaluation_refines_phases_as_inference_does() -> None:
    noisy = noise()
    expected = Denoiser(CLOSE).denoise(noisy, RATE)
    (found,) = clip_denoiser(CLOSE, "noisy_phase")(noisy[None])
    np.testing.assert_allclose(found[:-1000], expected[:-1000], atol=1e-5)  # the end is mirrored
    unrefined = dataclasses.replace(CLOSE, phase_iterations=0)
    (other,) = clip_denoiser(unrefined, "noisy_phase")(noisy[None])
    assert np.abs(other - found).max() > 1e-3


@pytest.mark.parametrize("n_shifts", [1, 2, 4])
@pytest.mark.parametrize("power", [1.0, 1.5])
@pytest.mark.parametrize("around", [(0, 0), (12, 12), (8, 0), (0, 3), (5, 2), (39, 0), (0, 40)])
@pytest.mark.parametrize("drops_context", [True, False])
def test_the_masks_between_two_contexts_are_those_of_all_frames(
    n_shifts: int, power: float, around: tuple[int, int], drops_context: bool
) -> None:
    def inner_neighbours(x: np.ndarray, n_before: int, n_after: int) -> np.ndarray:
        return neighbours(x)[:, n_before : x.shape[1] - n_after]

    whole = with_frame_shifts(with_mask_power(MaskNetwork(neighbours, SPEC), power), n_shifts)
    mask = inner_neighbours if drops_context else neighbours
    network = MaskNetwork(mask, SPEC, drops_context)
    network = with_frame_shifts(with_mask_power(network, power), n_shifts)
    x = np.random.default_rng(3).standard_normal((2, 40, 65, 2)).astype(np.float32)
    expected = whole.mask(x)[:, around[0] : 40 - around[1]]
    np.testing.assert_array_equal(network.inner_masks(x, *around), expected)


def test_the_spec_of_the_shifted_network_has_closer_frames() -> None:
    spec = with_frame_shifts(MaskNetwork(neighbours, SPEC), 4).spec
    assert spec.spectrogram.hop_length == HOP // 4
    assert (spec.receptive_field_frames, spec.stride, spec.frame_shifts) == (12, 4, 1)
    assert with_frame_shifts(MaskNetwork(neighbours, SPEC), 1).spec is SPEC


def test_a_file_says_how_many_shifts_it_wants() -> None:
    spec = dataclasses.replace(SPEC, frame_shifts=2)
    assert from_metadata(to_metadata(spec)) == spec
    assert "frame_shifts" not in to_metadata(SPEC)["denoise"]


def test_shifts_must_divide_the_hop(tree: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="64 is no multiple of 3"):
        with_frame_shifts(MaskNetwork(neighbours, SPEC), 3)
    with pytest.raises(ParamsError, match=r"export\.frame_shifts: 5 does not divide .* 384"):
        parse_params(set_value(tree, "export.frame_shifts", 5))


def test_masks_are_raised_to_the_power() -> None:
    network = with_mask_power(MaskNetwork(neighbours, SPEC), 1.5)
    stft = np.random.default_rng(3).standard_normal((1, 40, 65, 2)).astype(np.float32)
    np.testing.assert_allclose(network.mask(stft), neighbours(stft) ** 1.5, rtol=1e-5)
    assert with_mask_power(network, 1.0) is network


def test_a_file_says_which_power_it_wants() -> None:
    spec = dataclasses.replace(SPEC, mask_power=1.2)
    assert from_metadata(to_metadata(spec)) == spec
    assert with_mask_power(MaskNetwork(neighbours, spec), 1.2).spec == SPEC
    assert "mask_power" not in to_metadata(SPEC)["denoise"]
