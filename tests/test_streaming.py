"""Streaming gives the same samples as one pass, for input pieces of any size."""

import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise.dsp.stft import count_frames, istft, stft, to_real_imag
from denoise.inference.block_denoiser import BlockDenoiser, block_frames
from denoise.inference.streaming import Stream
from denoise.network.spec import MaskNetwork, NetworkSpec
from denoise.params import SpectrogramParams

PARAMS = SpectrogramParams(n_fft=128, hop_length=64, win_length=128)
RATE = 8000
RADIUS = 3


def mask_from_neighbours(spectrograms: np.ndarray) -> np.ndarray:
    """Return a mask that depends on RADIUS frames on each side, and on the waveform's ends."""
    power = np.square(spectrograms).sum(axis=-1)
    padded = np.pad(power, ((0, 0), (RADIUS, RADIUS), (0, 0)))
    n_frames = power.shape[1]
    around = sum(padded[:, shift : shift + n_frames] for shift in range(2 * RADIUS + 1))
    mask: np.ndarray = power / (around + np.float32(1e-3))
    return mask


SPEC = NetworkSpec(RATE, PARAMS, RADIUS, stride=1)
NETWORK = MaskNetwork(mask_from_neighbours, SPEC)


def make_noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape, dtype=np.float32)


def split(samples: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    start, number = 0, 0
    while start < len(samples):
        size = sizes[number % len(sizes)]
        yield samples[start : start + size]
        start, number = start + size, number + 1


def run_stream(stream: BlockDenoiser | Stream, parts: Iterator[np.ndarray]) -> np.ndarray:
    ready = [stream.feed(part) for part in parts]
    return np.concatenate([*ready, stream.flush()])


@settings(max_examples=30)
@given(
    n_samples=st.integers(0, 200_000),
    sizes=st.lists(st.integers(1, 60_000), min_size=1, max_size=4).filter(lambda s: max(s) > 50),
)
def test_blocks_give_the_same_result_as_one_pass(n_samples: int, sizes: list[int]) -> None:
    waveform = make_noise(n_samples)
    streamed = run_stream(BlockDenoiser(NETWORK), split(waveform, sizes))
    once = run_stream(BlockDenoiser(NETWORK), iter([waveform]))
    np.testing.assert_array_equal(streamed, once)
    n_mirrored = min(RADIUS * PARAMS.hop_length, RATE, max(0, n_samples - 1))
    noisy = stft(np.concatenate([waveform, waveform[::-1][1 : n_mirrored + 1]]), PARAMS)
    count = count_frames(n_samples, PARAMS)
    denoised = (noisy * mask_from_neighbours(to_real_imag(noisy)[None])[0])[:count]
    np.testing.assert_allclose(once, istft(denoised, PARAMS, n_samples), atol=1e-5)


@pytest.mark.parametrize("n_samples", [1, 2, 300, 5000, 3 * RATE])
def test_the_network_sees_the_noise_go_on_after_the_end(n_samples: int) -> None:
    seen: list[np.ndarray] = []

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        seen.append(np.square(spectrograms[0]).sum(axis=(1, 2)))
        return mask_from_neighbours(spectrograms)

    denoiser = BlockDenoiser(MaskNetwork(mask, replace(SPEC, receptive_field_frames=RADIUS)))
    assert len(run_stream(denoiser, iter([make_noise(n_samples)]))) == n_samples
    count = count_frames(n_samples, PARAMS)
    after = seen[-1][count : count + RADIUS - 2]
    if n_samples > RADIUS * PARAMS.hop_length + PARAMS.n_fft:
        assert len(after) == RADIUS - 2
        assert after.min() > 0.3 * np.median(seen[-1])  # it would be 0


def test_a_receptive_field_that_is_too_small_changes_the_result() -> None:
    wrong_spec = MaskNetwork(mask_from_neighbours, replace(SPEC, receptive_field_frames=RADIUS - 1))
    waveform = make_noise(100_000)
    denoised = run_stream(BlockDenoiser(wrong_spec), iter([waveform]))
    assert np.abs(denoised - run_stream(BlockDenoiser(NETWORK), iter([waveform]))).max() > 1e-4


@pytest.mark.parametrize("stride", [2, 3])
def test_blocks_start_at_multiples_of_the_stride(stride: int) -> None:
    lengths: list[int] = []

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        lengths.append(spectrograms.shape[1])
        return np.ones(spectrograms.shape[:-1], np.float32)

    spec = NetworkSpec(RATE, PARAMS, receptive_field_frames=4, stride=stride)
    run_stream(BlockDenoiser(MaskNetwork(mask, spec)), iter([make_noise(250_000)]))
    block, margin = block_frames(spec), spec.margin_frames
    assert block % stride == 0 and margin % stride == 0
    assert margin >= 4
    assert lengths[:2] == [block + margin, block + 2 * margin]


@pytest.mark.parametrize("rate", [4000, 7999, 8000, 44_100, 192_000])
@pytest.mark.parametrize("channels", [1, 3])
def test_pieces_of_any_size_give_the_same_bytes_at_any_rate(rate: int, channels: int) -> None:
    samples = make_noise(9 * rate, channels)
    once = run_stream(Stream(NETWORK, rate, channels, 0.7), iter([samples]))
    assert (once.dtype, once.shape) == (np.float32, samples.shape)
    for sizes in ([1000, 77_777, 3], [rate // 3]):
        streamed = run_stream(Stream(NETWORK, rate, channels, 0.7), split(samples, sizes))
        np.testing.assert_array_equal(streamed, once)


def test_equal_channels_are_computed_once_for_as_long_as_they_are_equal() -> None:
    n_computed = 0

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        nonlocal n_computed
        n_computed += 1
        return mask_from_neighbours(spectrograms)

    counted = MaskNetwork(mask, SPEC)

    def denoise(samples: np.ndarray) -> tuple[np.ndarray, int]:
        nonlocal n_computed
        n_computed = 0
        stream = Stream(counted, RATE, samples.shape[1])
        return run_stream(stream, split(samples, [RATE])), n_computed

    left, other = make_noise(40 * RATE, 1), 0.5 * make_noise(40 * RATE, 1)[::-1]
    alone, n_blocks = denoise(left)
    both, n_calls = denoise(np.hstack([left, left]))
    np.testing.assert_array_equal(both, np.hstack([alone, alone]))
    assert n_calls == n_blocks > 3
    half = len(left) // 2
    right = np.concatenate([left[:half], other[half:]])
    both, n_calls = denoise(np.hstack([left, right]))
    np.testing.assert_array_equal(both, np.hstack([alone, denoise(right)[0]]))
    assert n_blocks < n_calls < 2 * n_blocks


def test_memory_does_not_grow_with_the_stream() -> None:
    stream = Stream(NETWORK, 16_000, 2)
    sizes = []
    for _ in range(40):
        stream.feed(make_noise(16_000, 2))
        sizes.append(sum(len(each._samples) for each in stream._denoisers) + len(stream._noisy))
        assert not any(function._masks for function in stream._equal_channels._functions)
    longest = 2 * (block_frames(SPEC) + 2 * SPEC.margin_frames + 2) * PARAMS.hop_length
    assert max(sizes) < 3 * longest
    assert max(sizes[20:]) <= 1.02 * max(sizes[:20])


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_an_empty_stream_and_a_single_sample(rate: int) -> None:
    assert Stream(NETWORK, rate, 2).flush().shape == (0, 2)
    stream = Stream(NETWORK, rate, 1)
    ready = [stream.feed(np.ones((1, 1), np.float32)), stream.flush()]
    assert np.concatenate(ready).shape == (1, 1)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (make_noise(4), "not"),
        (make_noise(4, 3), "not"),
        (np.full((1, 2), np.nan, np.float32), "finite"),
    ],
)
def test_invalid_samples_are_refused(samples: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stream(NETWORK, RATE, 2).feed(samples)


def test_silence_stays_silence() -> None:
    assert not run_stream(Stream(NETWORK, 11_025), iter([np.zeros((30_000, 1), np.float32)])).any()


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_an_error_inside_feed_ends_the_stream(rate: int) -> None:
    n_calls = 0

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            raise MemoryError
        return mask_from_neighbours(spectrograms)

    stream, samples = Stream(MaskNetwork(mask, SPEC), rate), make_noise(40 * rate, 1)
    with pytest.raises(MemoryError):
        stream.feed(samples)
    for act in (lambda: stream.feed(samples), stream.flush):
        with pytest.raises(ValueError, match="ended with flush or an error"):
            act()


@pytest.mark.parametrize("rate", [RATE, 44_100])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stream_can_be_neither_copied_nor_pickled(
    rate: int, duplicate: Callable[[Stream], object]
) -> None:
    with pytest.raises(TypeError, match="neither copied nor pickled"):
        duplicate(Stream(NETWORK, rate))
