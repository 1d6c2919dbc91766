"""A causal network depends on no later frame, and its file says so."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from denoise.dsp.stft import count_frames
from denoise.errors import ModelError, ParamsError
from denoise.export.keras_to_onnx import to_onnx
from denoise.inference.block_denoiser import BlockDenoiser
from denoise.inference.onnx_runtime import load_network
from denoise.inference.streaming import latency_seconds
from denoise.network.architectures import build_model, past_level
from denoise.network.saved_model import ModelConfig, load_model, save_model
from denoise.network.spec import (
    METADATA_KEY,
    MaskFunction,
    MaskNetwork,
    NetworkSpec,
    from_metadata,
    to_metadata,
    with_frame_shifts,
    with_mask_power,
)
from denoise.network.tf_function import as_function
from denoise.params import SpectrogramParams
from denoise.params_file import load_params
from tests.closures import ROOT
from tests.networks import gain_network
from tests.test_keras_to_onnx import onnx_function, with_random_statistics

PARAMS = load_params(ROOT / "params.yaml")
RATE = 8000
SPECTROGRAM = SpectrogramParams(n_fft=128, hop_length=64, win_length=128)
N_FRAMES, CHANGED = 121, 50


def make_config(causal: bool, frames_per_step: int = 1) -> ModelConfig:
    network = dataclasses.replace(
        PARAMS.model.skip_autoencoder,
        channels=8,
        bottleneck_channels=4,
        subbands=16,
        dilations=(1, 3),
        normalisation_window_seconds=0.06,
        causal=causal,
        frames_per_step=frames_per_step,
    )
    model = dataclasses.replace(PARAMS.model, skip_autoencoder=network)
    audio = dataclasses.replace(PARAMS.audio, sample_rate=RATE)
    return ModelConfig(audio, SPECTROGRAM, model, peak=1.0)


def make_model(causal: bool, frames_per_step: int = 1) -> keras.Model:
    return with_random_statistics(make_config(causal, frames_per_step).build_model())


def make_stft(batch: int = 1, seed: int = 0) -> np.ndarray:
    shape = (batch, N_FRAMES, SPECTROGRAM.n_bins, 2)
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def make_causal_file(frames_per_step: int = 1) -> bytes:
    model = make_model(causal=True, frames_per_step=frames_per_step)
    return to_onnx(model, to_metadata(make_config(True, frames_per_step).spec()))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("is_exported", [False, True])
@pytest.mark.parametrize("frames_per_step", [1, 2])
def test_a_mask_depends_on_the_receptive_field_and_no_other_frame(
    causal: bool, is_exported: bool, frames_per_step: int
) -> None:
    model = make_model(causal, frames_per_step)
    spec = make_config(causal, frames_per_step).spec()
    run = onnx_function(to_onnx(model, {})) if is_exported else as_function(model)
    noisy = np.concatenate([make_stft(seed=seed) for seed in range(8)])
    before, after = [], []
    for frame in range(CHANGED, CHANGED + frames_per_step):
        changed = noisy.copy()
        changed[:, frame] *= 1000
        (affected,) = np.nonzero((run(noisy) != run(changed)).any(axis=(0, 2)))
        before.append(frame - affected.min())
        after.append(affected.max() - frame)
    in_step = frames_per_step - 1 if causal else 0  # the frames of a step see each other
    assert max(before) == spec.lookahead_frames + in_step
    assert max(after) == spec.receptive_field_frames
    assert spec.lookahead_frames == (0 if causal else spec.receptive_field_frames)
    assert spec.stride == frames_per_step


def test_the_exported_causal_network_equals_that_of_keras() -> None:
    run_keras, run_onnx = as_function(make_model(causal=True)), onnx_function(make_causal_file())
    for n_frames in (1, 2, 7, N_FRAMES):
        x = make_stft(2)[:, :n_frames]
        mask = run_keras(x)
        assert mask.std() > 0.1
        np.testing.assert_allclose(run_onnx(x), mask, rtol=1e-5, atol=1e-5)


@pytest.fixture
def causal_network(tmp_path: Path, request: pytest.FixtureRequest) -> MaskNetwork:
    path = tmp_path / "causal.onnx"
    path.write_bytes(make_causal_file(getattr(request, "param", 1)))
    return load_network(path)


@pytest.mark.parametrize("n_shifts", [1, 2])
@pytest.mark.parametrize("power", [1.0, 1.5])
@pytest.mark.parametrize("causal_network", [1, 2], indirect=True)
def test_pieces_of_a_recording_have_the_masks_of_the_whole(
    causal_network: MaskNetwork, n_shifts: int, power: float
) -> None:
    network = with_frame_shifts(with_mask_power(causal_network, power), n_shifts)
    x = make_stft(2)[:, : N_FRAMES - 1]
    whole = network.mask(x)
    assert network.start is not None
    for size in [n for n in (2, 8, 34, 36) if n % network.spec.stride == 0]:
        mask = network.start()
        pieces = [mask(x[:, first : first + size]) for first in range(0, x.shape[1], size)]
        np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, atol=5e-6)
    restarted = network.start()(x[:, size:])
    assert np.abs(restarted[:, :2] - whole[:, size : size + 2]).max() > 0.01


def test_a_recording_s_frames_are_computed_once(causal_network: MaskNetwork) -> None:
    sizes: list[int] = []

    def counted(mask: MaskFunction) -> MaskFunction:
        return lambda stft: sizes.append(stft.shape[1]) or mask(stft)

    noisy = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    denoiser = BlockDenoiser(causal_network.wrapped(counted), block_seconds=0.016)
    once = np.concatenate([denoiser.feed(noisy), denoiser.flush()])
    count = count_frames(len(noisy), SPECTROGRAM)
    assert sizes == [2] * (count // 2) + [1] * (count % 2)
    without = dataclasses.replace(causal_network, start=None)
    anew = BlockDenoiser(without, block_seconds=0.016)
    expected = np.concatenate([anew.feed(noisy), anew.flush()])
    np.testing.assert_allclose(once, expected, atol=5e-6)


def test_a_network_that_looks_ahead_keeps_no_frames(tmp_path: Path) -> None:
    config = make_config(causal=False)
    path = tmp_path / "symmetric.onnx"
    path.write_bytes(to_onnx(make_model(causal=False), to_metadata(config.spec())))
    assert load_network(path).start is None


def test_both_networks_have_the_same_weights_and_other_masks() -> None:
    causal, symmetric = make_model(causal=True), make_model(causal=False)
    assert [w.shape for w in causal.weights] == [w.shape for w in symmetric.weights]
    x = make_stft()
    assert np.abs(as_function(causal)(x) - as_function(symmetric)(x)).max() > 0.01


def test_the_past_level_is_the_mean_over_the_frames_so_far() -> None:
    power = np.square(make_stft()[..., 0])
    level = np.asarray(past_level(keras.ops.convert_to_tensor(power), 5))[0, :, 0]
    for frame in range(10):
        expected = np.sqrt(power[0, max(0, frame - 4) : frame + 1, 2:].mean())
        assert level[frame] == pytest.approx(expected, rel=1e-5)


def test_the_latency_of_a_causal_network_is_its_window() -> None:
    spectrogram = SpectrogramParams(n_fft=512, hop_length=256, win_length=512)
    causal = NetworkSpec(16_000, spectrogram, receptive_field_frames=178, stride=1, causal=True)
    symmetric = dataclasses.replace(causal, causal=False)
    paired = dataclasses.replace(causal, stride=2)
    for spec, expected in ((causal, 0.032), (symmetric, 0.032 + 178 * 0.016), (paired, 0.048)):
        network = MaskNetwork(gain_network(1.0).mask, spec)
        assert latency_seconds(network, 16_000, 1e-3) == pytest.approx(expected)


def test_the_metadata_of_a_symmetric_network_stay_as_they_were() -> None:
    file = onnx.load(ROOT / "models" / "denoiser.onnx", load_external_data=False)
    metadata = {prop.key: prop.value for prop in file.metadata_props}
    spec = from_metadata(metadata)
    assert not spec.causal and spec.lookahead_frames == spec.receptive_field_frames
    if not PARAMS.model.skip_autoencoder.causal:
        assert to_metadata(spec) == metadata


def test_the_metadata_of_a_causal_network_are_read_as_they_were_written() -> None:
    spec = make_config(causal=True).spec()
    metadata = to_metadata(spec)
    assert json.loads(metadata[METADATA_KEY])["causal"] is True
    assert from_metadata(metadata) == spec
    wrong = {METADATA_KEY: metadata[METADATA_KEY].replace("true", '"yes"')}
    with pytest.raises(ParamsError, match="causal: 'yes' is not of type bool"):
        from_metadata(wrong)


def test_a_saved_model_without_the_key_is_an_error_that_names_it(tmp_path: Path) -> None:
    config = make_config(causal=False)
    save_model(tmp_path / "model", config.build_model(), config)
    path = tmp_path / "model" / "config.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    del description["model"]["skip_autoencoder"]["causal"]
    path.write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ModelError, match=r"model\.skip_autoencoder\.causal: the key is missing"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("frames_per_step", [1, 2])
def test_a_saved_model_names_only_what_differs_from_the_default(
    tmp_path: Path, frames_per_step: int
) -> None:
    config = make_config(False, frames_per_step)
    save_model(tmp_path / "model", config.build_model(), config)
    description = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    network = description["model"]["skip_autoencoder"]
    assert network.get("frames_per_step", 1) == frames_per_step
    assert ("frames_per_step" in network) == (frames_per_step == 2)
    assert load_model(tmp_path / "model")[1] == config


def test_the_reference_is_never_causal() -> None:
    config = make_config(causal=True)
    reference = dataclasses.replace(config.model, architecture="reference")
    assert not dataclasses.replace(config, model=reference).spec().causal
    build_model(reference, SPECTROGRAM, RATE)
