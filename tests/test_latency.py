"""Blocks of any length give the same samples, and a stream is as late as it says."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise.inference.block_denoiser import phase_margin_frames
from denoise.inference.denoiser import Denoiser
from denoise.inference.streaming import Stream, delay_samples, latency_seconds
from denoise.network.spec import PHASE_ITERATIONS, MaskNetwork, NetworkSpec, with_frame_shifts
from denoise.params import SpectrogramParams
from tests.networks import SPEC, gain_network
from tests.test_causal import make_causal_file

CAUSAL = dataclasses.replace(SPEC, receptive_field_frames=9, causal=True)
SYMMETRIC = dataclasses.replace(CAUSAL, causal=False)
PAIRED = dataclasses.replace(CAUSAL, stride=2)
LONG = dataclasses.replace(CAUSAL, spectrogram=SpectrogramParams(150, 50, 150))
SPECS = [CAUSAL, SYMMETRIC, PAIRED, LONG]


def network_of(spec: NetworkSpec) -> MaskNetwork:
    """Return a network that changes nothing."""
    return MaskNetwork(gain_network(1.0).mask, spec)


REFINED = with_frame_shifts(network_of(SYMMETRIC), 2)
NETWORKS = [*(network_of(spec) for spec in SPECS), REFINED]


def make_stream(network: MaskNetwork, rate: int, block_seconds: float) -> Stream:
    return Stream(network, rate, block_seconds=block_seconds)


def count_lags(stream: Stream, n_piece: int, n_pieces: int) -> list[int]:
    """Return by how many samples the output is behind the input, after each piece."""
    n_in = n_out = 0
    lags = []
    for _ in range(n_pieces):
        n_in += n_piece
        n_out += len(stream.feed(np.zeros((n_piece, 1), np.float32)))
        lags.append(n_in - n_out)
    return lags


@pytest.fixture(scope="module")
def causal_denoiser(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    path = tmp_path_factory.mktemp("model") / "causal.onnx"
    path.write_bytes(make_causal_file())
    return Denoiser.load(path)


@pytest.mark.parametrize("block_seconds", [0.008, 0.016, 0.05, 1.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_short_blocks_give_the_same_samples_as_long_ones(
    causal_denoiser: Denoiser, block_seconds: float, channels: int
) -> None:
    noisy = np.random.default_rng(1).standard_normal((28_000, channels), dtype=np.float32)
    stream = causal_denoiser.stream(8000, channels, block_seconds=block_seconds)
    pieces = [stream.feed(piece) for piece in np.array_split(noisy, 50)]
    denoised = np.concatenate([*pieces, stream.flush()])
    np.testing.assert_allclose(denoised, causal_denoiser.denoise(noisy, 8000), atol=2e-6)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("block_seconds", [0.001, 0.016, 0.064, 0.3])
def test_the_latency_is_exact_at_the_network_s_rate(
    network: MaskNetwork, block_seconds: float
) -> None:
    stream = make_stream(network, network.spec.sample_rate, block_seconds)
    # The sample that completes a block ends the wait: just before it, the lag is one less.
    lag = max(count_lags(stream, 1, 12_000)) + 1
    assert stream.latency_seconds == pytest.approx(lag / network.spec.sample_rate)


def algorithmic_latency(spec: NetworkSpec) -> float:
    """Return the shortest delay with which a stream can be denoised, in seconds.

    A sample is complete once the last frame over it is denoised. That frame begins at the sample
    itself at the latest and is `n_fft` long, its mask needs the frames after it, and the frames of
    a stride are denoised together.
    """
    n_frames = spec.lookahead_margin_frames + spec.stride - 1
    n_samples = spec.spectrogram.n_fft + n_frames * spec.spectrogram.hop_length
    return n_samples / spec.sample_rate


def test_the_shortest_blocks_have_the_algorithmic_latency() -> None:
    for spec in SPECS:
        assert latency_seconds(network_of(spec), spec.sample_rate, 1e-3) == algorithmic_latency(
            spec
        )


def test_the_refinement_of_phases_looks_further_ahead() -> None:
    spec, frames = REFINED.spec, phase_margin_frames(REFINED)
    assert frames >= PHASE_ITERATIONS * (spec.spectrogram.n_fft // spec.spectrogram.hop_length - 1)
    seconds = frames * spec.spectrogram.hop_length / spec.sample_rate
    expected = algorithmic_latency(spec) + seconds
    assert latency_seconds(REFINED, 8000, 1e-3) == pytest.approx(expected)


@pytest.mark.parametrize("rate", [4000, 11_025, 48_000])
def test_the_latency_is_a_bound_at_other_rates(rate: int) -> None:
    stream = make_stream(network_of(CAUSAL), rate, 0.032)
    late = max(count_lags(stream, max(1, rate // 1000), 3000)) / rate
    assert 0.5 * stream.latency_seconds < late <= stream.latency_seconds


@settings(max_examples=15, deadline=None)
@given(
    network=st.sampled_from(NETWORKS),
    n_frames=st.integers(1, 6),
    n_piece=st.integers(1, 300),
)
def test_the_delay_keeps_a_piece_ready(network: MaskNetwork, n_frames: int, n_piece: int) -> None:
    spec = network.spec
    seconds = n_frames * spec.spectrogram.hop_length / spec.sample_rate
    delay = delay_samples(network, spec.sample_rate, seconds, n_piece)
    stream = make_stream(network, spec.sample_rate, seconds)
    assert max(count_lags(stream, n_piece, 6000 // n_piece + 700)) == delay


def test_an_impulse_leaves_the_stream_within_the_latency() -> None:
    stream, n_fed, at = make_stream(network_of(CAUSAL), CAUSAL.sample_rate, 0.016), 0, 1000
    heard: list[np.ndarray] = []
    while not any(part.any() for part in heard):
        sample = np.full((1, 1), float(n_fed == at), np.float32)
        heard.append(stream.feed(sample))
        n_fed += 1
    assert n_fed - at <= round(stream.latency_seconds * CAUSAL.sample_rate)
    assert np.argmax(np.concatenate(heard)) == at


@pytest.mark.parametrize("block_seconds", [0.0, -1.0, 61.0, float("nan"), float("inf")])
def test_a_block_out_of_range_is_an_error(block_seconds: float) -> None:
    with pytest.raises(ValueError, match=r"A block of .* s is not above 0 and at most 60 s"):
        make_stream(network_of(CAUSAL), 8000, block_seconds)
