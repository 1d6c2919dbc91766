"""A stream gives, sample for sample, what one pass gives, whatever pieces it is fed."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise.dsp.stft import istft, stft, to_real_imag
from denoise.inference.streaming import BlockDenoiser, Stream, block_frames
from denoise.network.spec import MaskNetwork, NetworkSpec
from denoise.params import SpectrogramParams

PARAMS = SpectrogramParams(n_fft=128, hop_length=64, win_length=128)
RATE = 8000
REACH = 3


def neighbourly(spectrograms: np.ndarray) -> np.ndarray:
    """Return a mask that depends on the frames within REACH, and on where the waveform ends."""
    power = np.square(spectrograms).sum(axis=-1)
    padded = np.pad(power, ((0, 0), (REACH, REACH), (0, 0)))
    n_frames = power.shape[1]
    around = sum(padded[:, shift : shift + n_frames] for shift in range(2 * REACH + 1))
    mask: np.ndarray = power / (around + np.float32(1e-3))
    return mask


FORM = NetworkSpec(RATE, PARAMS, REACH, stride=1)
NETWORK = MaskNetwork(neighbourly, FORM)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape, dtype=np.float32)


def pieces(samples: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    start, number = 0, 0
    while start < len(samples):
        size = sizes[number % len(sizes)]
        yield samples[start : start + size]
        start, number = start + size, number + 1


def fed(stream: BlockDenoiser | Stream, parts: Iterator[np.ndarray]) -> np.ndarray:
    ready = [stream.feed(part) for part in parts]
    return np.concatenate([*ready, stream.flush()])


@settings(max_examples=30)
@given(
    n_samples=st.integers(0, 200_000),
    sizes=st.lists(st.integers(1, 60_000), min_size=1, max_size=4).filter(lambda s: max(s) > 50),
)
def test_blocks_give_what_the_whole_gives(n_samples: int, sizes: list[int]) -> None:
    waveform = noise(n_samples)
    streamed = fed(BlockDenoiser(NETWORK), pieces(waveform, sizes))
    once = fed(BlockDenoiser(NETWORK), iter([waveform]))
    np.testing.assert_array_equal(streamed, once)
    noisy = stft(waveform, PARAMS)
    mask = neighbourly(to_real_imag(noisy)[None])[0]
    np.testing.assert_allclose(once, istft(noisy * mask, PARAMS, n_samples), atol=1e-5)


def test_a_network_that_looks_further_than_it_says_is_found_out() -> None:
    short_sighted = MaskNetwork(neighbourly, replace(FORM, receptive_field_frames=REACH - 1))
    waveform = noise(100_000)
    ours = fed(BlockDenoiser(short_sighted), iter([waveform]))
    assert np.abs(ours - fed(BlockDenoiser(NETWORK), iter([waveform]))).max() > 1e-4


@pytest.mark.parametrize("stride", [2, 3])
def test_blocks_start_where_the_network_can_start(stride: int) -> None:
    starts: list[int] = []

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        numbers = np.round(spectrograms[0, :, 0, 0] - spectrograms[0, 0, 0, 0])
        starts.append(len(numbers))
        return np.ones(spectrograms.shape[:-1], np.float32)

    form = NetworkSpec(RATE, PARAMS, receptive_field_frames=4, stride=stride)
    fed(BlockDenoiser(MaskNetwork(mask, form)), iter([noise(150_000)]))
    block, margin = block_frames(form), form.margin_frames
    assert block % stride == 0 and margin % stride == 0
    assert margin >= 4
    assert starts[:2] == [block + margin, block + 2 * margin]


@pytest.mark.parametrize("rate", [4000, 7999, 8000, 44_100, 192_000])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_rate_gives_the_same_bytes_in_any_pieces(rate: int, channels: int) -> None:
    samples = noise(9 * rate, channels)
    once = fed(Stream(NETWORK, rate, channels, 0.7), iter([samples]))
    assert (once.dtype, once.shape) == (np.float32, samples.shape)
    for sizes in ([1000, 77_777, 3], [rate // 3]):
        streamed = fed(Stream(NETWORK, rate, channels, 0.7), pieces(samples, sizes))
        np.testing.assert_array_equal(streamed, once)


def test_memory_does_not_grow_with_the_stream() -> None:
    stream = Stream(NETWORK, 16_000, 2)
    held = []
    for _ in range(40):
        stream.feed(noise(16_000, 2))
        held.append(sum(len(each._samples) for each in stream._denoisers) + len(stream._noisy))
    longest = 2 * (block_frames(FORM) + 2 * FORM.margin_frames + 2) * PARAMS.hop_length
    assert max(held) < 3 * longest
    assert max(held[20:]) <= max(held[:20])


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_an_empty_stream_and_a_single_sample(rate: int) -> None:
    assert Stream(NETWORK, rate, 2).flush().shape == (0, 2)
    stream = Stream(NETWORK, rate, 1)
    ready = [stream.feed(np.ones((1, 1), np.float32)), stream.flush()]
    assert np.concatenate(ready).shape == (1, 1)


@pytest.mark.parametrize(
    ("samples", "message"),
    [(noise(4), "not"), (noise(4, 3), "not"), (np.full((1, 2), np.nan, np.float32), "finite")],
)
def test_what_a_stream_is_fed_is_checked(samples: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stream(NETWORK, RATE, 2).feed(samples)


def test_silence_stays_silence() -> None:
    assert not fed(Stream(NETWORK, 11_025), iter([np.zeros((30_000, 1), np.float32)])).any()
