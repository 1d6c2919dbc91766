"""Networks written as ONNX: equal to Keras, and the same bytes each time."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers, ops

from denoise.dsp.stft import stft, to_real_imag
from denoise.export.keras_to_onnx import to_onnx
from denoise.export.onnx_builder import ExportError
from denoise.network.architectures import CropFrames, build_model
from denoise.network.tf_function import as_function
from denoise.params_file import load_params
from tests.closures import ROOT
from tests.speechlike import voice, white

PARAMS = load_params(ROOT / "params.yaml")
ARCHITECTURES = ["skip_autoencoder", "reference"]
N_BINS = PARAMS.spectrogram.n_bins


def network(architecture: str) -> keras.Model:
    """Return a network as if trained: no batch normalisation is left as it was built."""
    params = dataclasses.replace(PARAMS.model, architecture=architecture)
    model = build_model(params, PARAMS.spectrogram, PARAMS.audio.sample_rate, peak=30.0)
    return trained(model)


def trained(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                at_least, at_most = (
                    (-0.5, 0.5) if weight.name in ("beta", "moving_mean") else (0.5, 2)
                )
                weight.assign(rng.uniform(at_least, at_most, weight.shape))
    return model


def spoken(batch: int, n_frames: int) -> np.ndarray:
    """Return the STFT of noisy voices, float32 [batch, n_frames, n_bins, 2]."""
    seconds = (n_frames + 8) * PARAMS.spectrogram.hop_length / PARAMS.audio.sample_rate
    voices = [voice(seed, seconds) for seed in range(batch)]
    noisy = np.stack(
        [
            stft(clean + white(clean, 3.0, seed), PARAMS.spectrogram)
            for seed, clean in enumerate(voices)
        ]
    )
    return to_real_imag(noisy)[:, :n_frames]


def runner(file: bytes) -> Callable[[np.ndarray], np.ndarray]:
    onnx.checker.check_model(file, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["mask"], {"stft": x})[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_masks_are_those_of_keras(architecture: str) -> None:
    model = network(architecture)
    in_keras, in_onnx = as_function(model), runner(to_onnx(model, {}))
    for batch, n_frames in [(1, 1), (3, 2), (1, 39), (3, 40), (1, 101)]:
        x = spoken(batch, n_frames)
        assert x.shape[:2] == (batch, n_frames)
        mask = in_keras(x)
        assert mask.std() > 0.1
        # the reference's mask has no bound
        np.testing.assert_allclose(in_onnx(x), mask, rtol=1e-5, atol=1e-5)


def everything(stft: keras.KerasTensor) -> keras.KerasTensor:
    """Return a mask by way of what the networks above do not do, or do in one way only."""
    even = stft[:, :, :-1]
    x = twice = layers.Conv2D(16, (5, 4), strides=2, padding="same", use_bias=False)(even)
    x = layers.BatchNormalization()(x) - twice
    x = layers.BatchNormalization(scale=False)(layers.Conv2D(32, 3, strides=2, padding="same")(x))
    x = layers.Conv2D(4, 3, padding="same", dilation_rate=(3, 2), activation="sigmoid")(x)
    x = layers.BatchNormalization(center=False)(layers.MaxPooling2D(2, padding="same")(x))
    x = CropFrames()(layers.UpSampling2D(8)(x), even)
    x = ops.concatenate([x, even], axis=-1)
    x = ops.transpose(ops.transpose(x, (0, 3, 1, 2)), (0, 2, 1, 3))
    x = layers.Reshape((-1, 6 * even.shape[2]))(1.0 - x / 3.0)
    x = ops.maximum(x[..., 1 : N_BINS + 1], x[:, :, -N_BINS:] * 0.5)
    x = ops.power(ops.sqrt(ops.square(x)), 1.7) + ops.mean(x, axis=-1, keepdims=True)
    x = ops.average_pool(ops.pad(x, ((0, 0), (0, 0), (2, 3))), 4, strides=1, padding="same")
    return ops.expand_dims(x, -1)[:, :, 2:-3, 0]


def test_each_operation_is_that_of_keras() -> None:
    inputs = keras.Input((None, N_BINS, 2))
    model = trained(keras.Model(inputs, everything(inputs)))
    in_keras, in_onnx = as_function(model), runner(to_onnx(model, {}))
    rng = np.random.default_rng(2)
    for n_frames in range(1, 18):
        x = rng.standard_normal((2, n_frames, N_BINS, 2)).astype(np.float32)
        np.testing.assert_allclose(in_onnx(x), in_keras(x), rtol=1e-5, atol=1e-5)


def noise_types(model: keras.Model) -> Counter:
    return Counter(node.op_type for node in onnx.load_from_string(to_onnx(model, {})).graph.node)


def test_a_convolution_does_the_batch_normalisation_of_its_output() -> None:
    x = keras.Input((None, N_BINS, 2))
    convolved = layers.Conv2D(2, 3, padding="same")(x)
    normal = layers.BatchNormalization()(convolved)
    assert noise_types(keras.Model(x, normal[..., 0]))["Mul"] == 0
    assert noise_types(keras.Model(x, (normal * convolved)[..., 0]))["Mul"] == 2
    relu = layers.BatchNormalization()(layers.Conv2D(2, 3, padding="same", activation="relu")(x))
    assert noise_types(keras.Model(x, relu[..., 0]))["Mul"] == 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_network_gives_the_same_bytes(architecture: str) -> None:
    # Keras numbers its names on, so the second network's differ from the first's.
    first = to_onnx(network(architecture), {"b": "2", "a": "1"})
    assert to_onnx(network(architecture), {"a": "1", "b": "2"}) == first
    assert to_onnx(network(architecture), {"a": "1", "b": "3"}) != first


def test_another_process_gives_the_same_bytes() -> None:
    source = (
        "import hashlib; from tests.test_keras_to_onnx import network, to_onnx;"
        "print(hashlib.sha256(to_onnx(network('skip_autoencoder'), {'a': '1'})).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    command = [sys.executable, "-c", source]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    here = to_onnx(network("skip_autoencoder"), {"a": "1"})
    assert done.stdout.decode().strip() == hashlib.sha256(here).hexdigest()


def test_the_file_says_what_it_is() -> None:
    file = onnx.load_from_string(to_onnx(network("skip_autoencoder"), {"z": "last", "a": "first"}))
    assert [(prop.key, prop.value) for prop in file.metadata_props] == [
        ("a", "first"),
        ("z", "last"),
    ]
    assert file.producer_name == "denoise"
    (stft_in,), (mask,) = file.graph.input, file.graph.output
    assert (stft_in.name, mask.name) == ("stft", "mask")
    axes = [axis.dim_param or axis.dim_value for axis in stft_in.type.tensor_type.shape.dim]
    assert axes == ["batch", "n_frames", N_BINS, 2]


def test_frames_are_the_same_bits_in_any_chunk_and_batch() -> None:
    run = runner(to_onnx(network("skip_autoencoder"), {}))
    x = spoken(2, 300)
    whole = run(x[:1])
    np.testing.assert_array_equal(run(x)[:1], whole)
    for start in (1, 2, 3, 8):
        chunk = run(x[:1, start : 290 + start])
        np.testing.assert_array_equal(chunk[:, 100 - start : 190], whole[:, 100 : 190 + start])


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda x: ops.tanh(x)[..., 0], "Tanh"),
        (lambda x: layers.Conv2D(1, 3, padding="valid")(x)[..., 0], "Conv2D.*without padding"),
        (lambda x: layers.Activation("gelu")(x)[..., 0], "Activation.*gelu"),
        (lambda x: x[:, :, ::2, 0], "GetItem.*slice"),
        (lambda x: layers.MaxPooling2D(1)(x)[..., 0], "MaxPooling2D.*without padding"),
        (lambda x: ops.mean(x, axis=2), "Mean"),
        (lambda x: (x * np.ones(2, np.float32))[..., 0], "Multiply.*array"),
    ],
)
def test_what_cannot_be_written_is_named(make: Callable, named: str) -> None:
    x = keras.Input((None, 4, 2))
    with pytest.raises(ExportError, match=named):
        to_onnx(keras.Model(x, make(x)), {})
