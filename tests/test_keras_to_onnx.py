"""Networks exported to ONNX give the masks that Keras gives, and the same bytes every time."""

import dataclasses
import functools
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
from onnx import helper, numpy_helper

from denoise.dsp.stft import stft, to_real_imag
from denoise.export.canonical import canonicalise
from denoise.export.keras_to_onnx import ExportError, to_onnx
from denoise.network.architectures import (
    DECODER_STEPS,
    build_model,
    power_of,
    receptive_field_of,
    skip_autoencoder_mask,
)
from denoise.network.context import CropFrames
from denoise.network.tf_function import as_function
from denoise.params_file import load_params
from tests.closures import ROOT
from tests.speechlike import voice, white

PARAMS = load_params(ROOT / "params.yaml")
ARCHITECTURES = ["skip_autoencoder", "reference"]
N_BINS = PARAMS.spectrogram.n_bins


def random_network(architecture: str, n_frames: int = 1) -> keras.Model:
    """Return a network with random weights, batch-normalisation statistics included.

    The skip autoencoder takes `n_frames` frames a step.
    """
    network = dataclasses.replace(PARAMS.model.skip_autoencoder, frames_per_step=n_frames)
    params = dataclasses.replace(PARAMS.model, architecture=architecture, skip_autoencoder=network)
    model = build_model(params, PARAMS.spectrogram, PARAMS.audio.sample_rate, peak=30.0)
    return with_random_statistics(model)


def with_random_statistics(model: keras.Model) -> keras.Model:
    """Give every batch normalisation random weights and statistics, as if it had been trained."""
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                is_offset = weight.name in ("beta", "moving_mean")
                low, high = (-0.5, 0.5) if is_offset else (0.5, 2)
                weight.assign(rng.uniform(low, high, weight.shape))
    return model


def noisy_speech(batch: int, n_frames: int) -> np.ndarray:
    """Return the STFT of synthetic noisy speech, float32 [batch, n_frames, n_bins, 2]."""
    seconds = (n_frames + 8) * PARAMS.spectrogram.hop_length / PARAMS.audio.sample_rate
    voices = [voice(seed, seconds) for seed in range(batch)]
    noisy = np.stack(
        [
            stft(clean + white(clean, 3.0, seed), PARAMS.spectrogram)
            for seed, clean in enumerate(voices)
        ]
    )
    return to_real_imag(noisy)[:, :n_frames]


def onnx_function(file: bytes) -> Callable[..., np.ndarray]:
    """Check an ONNX file and return its network as a function of arrays, on one thread.

    The frames before the first one are zeros. Where the network drops context, the function also
    takes how many frames are context, none unless it is told.
    """
    onnx.checker.check_model(file, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    past = session.get_inputs()[1:]

    def run(x: np.ndarray, *context: int) -> np.ndarray:
        zeros = {each.name: np.zeros((len(x), *each.shape[1:]), np.float32) for each in past}
        counts = {"context": np.array(context)} if context else {}
        return session.run(["mask"], {"stft": x, **zeros, **counts})[0]

    return run


@pytest.mark.parametrize(
    ("architecture", "frames_per_step"),
    [("skip_autoencoder", 1), ("skip_autoencoder", 2), ("reference", 1)],
)
def test_masks_equal_those_of_keras(architecture: str, frames_per_step: int) -> None:
    model = random_network(architecture, frames_per_step)
    run_keras, run_onnx = as_function(model), onnx_function(to_onnx(model, {}))
    for batch, n_frames in [(1, 1), (3, 2), (1, 39), (3, 40), (1, 101)]:
        x = noisy_speech(batch, n_frames)
        assert x.shape[:2] == (batch, n_frames)
        mask = run_keras(x)
        assert mask.std() > 0.1
        # relative as well, since the reference network's mask is unbounded
        np.testing.assert_allclose(run_onnx(x), mask, rtol=1e-5, atol=1e-5)


def all_operations(stft: keras.KerasTensor) -> keras.KerasTensor:
    """Return a mask made by every supported operation, in ways that the networks do not use."""
    even = stft[:, :, :-1]
    x = used_twice = layers.Conv2D(16, (5, 4), strides=2, padding="same", use_bias=False)(even)
    x = layers.BatchNormalization()(x) - used_twice
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


def test_each_operation_equals_that_of_keras() -> None:
    inputs = keras.Input((None, N_BINS, 2))
    model = with_random_statistics(keras.Model(inputs, all_operations(inputs)))
    run_keras, run_onnx = as_function(model), onnx_function(to_onnx(model, {}))
    rng = np.random.default_rng(2)
    for n_frames in range(1, 18):
        x = rng.standard_normal((2, n_frames, N_BINS, 2)).astype(np.float32)
        np.testing.assert_allclose(run_onnx(x), run_keras(x), rtol=1e-5, atol=1e-5)


def count_op_types(model: keras.Model) -> Counter:
    """Count the nodes of each type in a network's ONNX file."""
    return Counter(node.op_type for node in onnx.load_from_string(to_onnx(model, {})).graph.node)


def test_batch_normalisation_is_folded_into_the_convolution_before_it() -> None:
    x = keras.Input((None, N_BINS, 2))
    convolved = layers.Conv2D(2, 3, padding="same")(x)
    normalised = layers.BatchNormalization()(convolved)
    assert count_op_types(keras.Model(x, normalised[..., 0]))["Mul"] == 0
    assert count_op_types(keras.Model(x, (normalised * convolved)[..., 0]))["Mul"] == 2
    relu = layers.BatchNormalization()(layers.Conv2D(2, 3, padding="same", activation="relu")(x))
    assert count_op_types(keras.Model(x, relu[..., 0]))["Mul"] == 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_same_network_gives_same_bytes(architecture: str) -> None:
    # Keras numbers the layers of a process, so the second network has other names.
    first = to_onnx(random_network(architecture), {"b": "2", "a": "1"})
    assert to_onnx(random_network(architecture), {"a": "1", "b": "2"}) == first
    assert to_onnx(random_network(architecture), {"a": "1", "b": "3"}) != first


def test_an_export_leaves_the_network_as_it_was() -> None:
    model = random_network("skip_autoencoder")
    assert to_onnx(model, {}) == to_onnx(model, {})


@pytest.mark.slow
def test_another_process_gives_same_bytes() -> None:
    script = (
        "import hashlib; from tests.test_keras_to_onnx import random_network, to_onnx;"
        "print(hashlib.sha256(to_onnx(random_network('skip_autoencoder'), {'a': '1'})).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    command = [sys.executable, "-c", script]
    completed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    content = to_onnx(random_network("skip_autoencoder"), {"a": "1"})
    assert completed.stdout.decode().strip() == hashlib.sha256(content).hexdigest()


def test_file_holds_metadata_and_named_axes() -> None:
    file = onnx.load_from_string(
        to_onnx(random_network("skip_autoencoder"), {"z": "last", "a": "first"})
    )
    assert [(prop.key, prop.value) for prop in file.metadata_props] == [
        ("a", "first"),
        ("z", "last"),
    ]
    assert file.producer_name == "denoise"
    (stft_in, context), (mask,) = file.graph.input, file.graph.output
    assert (stft_in.name, context.name, mask.name) == ("stft", "context", "mask")
    axes = [axis.dim_param or axis.dim_value for axis in stft_in.type.tensor_type.shape.dim]
    assert axes == ["batch", "n_frames", N_BINS, 2]
    assert [axis.dim_value for axis in context.type.tensor_type.shape.dim] == [2]


def test_masks_have_the_same_bits_in_any_chunk_and_batch(autoencoder: bytes) -> None:
    run = onnx_function(autoencoder)
    x = noisy_speech(2, 300)
    whole = run(x[:1])
    np.testing.assert_array_equal(run(x)[:1], whole)
    for start in (1, 2, 3, 8):
        chunk = run(x[:1, start : 290 + start])
        np.testing.assert_array_equal(chunk[:, 100 - start : 190], whole[:, 100 : 190 + start])


@pytest.fixture(scope="module")
def autoencoder() -> bytes:
    return to_onnx(random_network("skip_autoencoder"), {})


@pytest.fixture(scope="module")
def in_pairs() -> bytes:
    """Return an autoencoder that takes two frames a step."""
    return to_onnx(random_network("skip_autoencoder", 2), {})


@pytest.mark.parametrize("around", [(0, 0), (150, 149), (150, 0), (0, 150), (7, 149), (299, 0)])
def test_dropped_context_leaves_the_masks_of_the_other_frames(
    autoencoder: bytes, around: tuple[int, int]
) -> None:
    run, x = onnx_function(autoencoder), noisy_speech(2, 300)
    n_before, n_after = around
    np.testing.assert_array_equal(run(x, *around), run(x)[:, n_before : 300 - n_after])


@pytest.mark.parametrize("n_frames", [1, 2, 299, 300])
@pytest.mark.parametrize("around", [(0, 0), (100, 99), (101, 98), (100, 0), (0, 99), (7, 1)])
def test_context_is_dropped_in_whole_steps(
    in_pairs: bytes, n_frames: int, around: tuple[int, int]
) -> None:
    run, x = onnx_function(in_pairs), noisy_speech(2, n_frames)
    if sum(around) >= n_frames:
        around = (0, 0)
    n_before, n_after = around
    expected = run(x)[:, n_before : n_frames - n_after]
    np.testing.assert_allclose(run(x, *around), expected, atol=2e-6)


def test_a_chunk_that_starts_with_a_step_has_the_same_masks(in_pairs: bytes) -> None:
    run, x = onnx_function(in_pairs), noisy_speech(1, 300)
    whole = run(x)
    for start in (2, 8):
        chunk = run(x[:, start : 290 + start])
        np.testing.assert_allclose(
            chunk[:, 130 - start : 150], whole[:, 130 : 150 + start], atol=2e-6
        )
    other_steps = run(x[:, 1:])
    assert np.abs(other_steps[:, 129:149] - whole[:, 130:150]).max() > 0.01


@pytest.mark.parametrize("frames_per_step", [1, 2])
def test_the_network_of_an_extension_keeps_all_frames(frames_per_step: int) -> None:
    stft = keras.Input((None, N_BINS, 2))
    network = dataclasses.replace(PARAMS.model.skip_autoencoder, frames_per_step=frames_per_step)
    mask = skip_autoencoder_mask(stft, network, frame_rate=60.0)
    model = keras.Model(stft, mask * ops.sigmoid(power_of(stft)))
    file = to_onnx(model, {})
    assert [value.name for value in onnx.load_from_string(file).graph.input] == ["stft"]
    x = noisy_speech(1, 50)
    np.testing.assert_allclose(onnx_function(file)(x), as_function(model)(x), rtol=1e-5, atol=1e-5)


def test_dropped_context_is_not_computed(autoencoder: bytes) -> None:
    file = onnx.load_from_string(autoencoder)
    convolutions = [node.output[0] for node in file.graph.node if node.op_type == "Conv"]
    file.graph.output.extend(onnx.ValueInfoProto(name=name) for name in convolutions)
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(file.SerializeToString(), providers=providers)

    def counts(n_before: int, n_after: int) -> list[int]:
        inputs = {"stft": noisy_speech(1, 300), "context": np.array([n_before, n_after])}
        return [value.shape[2] for value in session.run(convolutions, inputs)]

    n_seen = receptive_field_of(PARAMS.model, frame_rate=0).frames  # that the convolutions see
    assert set(counts(0, 0)) == {300}
    first, *_, last = counts(100, 100)
    assert (first, last) == (100 + 2 * n_seen, 100 + 2 * DECODER_STEPS)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: ops.tanh(x)[..., 0],
        lambda x: layers.Conv2D(1, 3, padding="valid")(x)[..., 0],
        lambda x: layers.Conv2D(1, 2, padding="valid", dilation_rate=2)(x)[..., 0],
        lambda x: x[:, :, ::2, 0],
        lambda x: layers.MaxPooling2D(1)(x)[..., 0],
        lambda x: layers.BatchNormalization(axis=2)(x)[..., 0],
        lambda x: ops.mean(x, axis=2),
        lambda x: (x * np.ones(2, np.float32))[..., 0],
    ],
)
def test_operations_of_no_network_equal_those_of_keras(make: Callable) -> None:
    inputs = keras.Input((None, 4, 2))
    model = with_random_statistics(keras.Model(inputs, make(inputs)))
    x = np.random.default_rng(3).standard_normal((2, 5, 4, 2)).astype(np.float32)
    masks = onnx_function(to_onnx(model, {}))(x)
    np.testing.assert_allclose(masks, as_function(model)(x), rtol=1e-5, atol=1e-5)


def test_unsupported_operation_raises_export_error() -> None:
    x = keras.Input((None, 4, 2))
    with pytest.raises(ExportError, match=r"cannot be exported.*Erfc"):
        to_onnx(keras.Model(x, layers.Activation("gelu")(x)[..., 0]), {})


def with_graphs_inside(prefix: str = "") -> onnx.ModelProto:
    """Return a file in which a loop and a condition inside it read values from outside.

    The names of all values but the input and the output start with `prefix`.
    """
    name = f"{prefix}{{}}".format
    node, floats = helper.make_node, functools.partial(helper.make_tensor_value_info, elem_type=1)
    branches = {
        f"{branch}_branch": helper.make_graph(
            [node(operation, [name("carried"), name("twice")], [name(branch)])],
            name("branch"),
            [],
            [floats(name(branch), shape=[1, prefix or "n", 2])],
        )
        for branch, operation in (("then", "Add"), ("else", "Sub"))
    }
    body = helper.make_graph(
        [
            node("Identity", [name("unused")], [name("dead")]),
            node("Identity", [name("go on")], [name("still")]),
            node("Less", [name("step"), name("one")], [name("is first")]),
            node("If", [name("is first")], [name("chosen")], **branches),
            node("Mul", [name("chosen"), name("half")], [name("next")]),
        ],
        name("body"),
        [
            helper.make_tensor_value_info(name("step"), 7, []),
            helper.make_tensor_value_info(name("go on"), 9, []),
            floats(name("carried"), shape=None),
        ],
        [helper.make_tensor_value_info(name("still"), 9, []), floats(name("next"), shape=None)],
        [numpy_helper.from_array(np.int64(1), name("one"))],
    )
    constants = {"count": np.int64(3), "always": np.bool_(True), "half": np.float32(0.5)}
    graph = helper.make_graph(
        [
            node("Loop", [name("count"), name("always"), "in"], ["out"], body=body),
            node("Identity", ["in"], [name("unused")]),
            node("Add", ["in", "in"], [name("twice")]),
        ],
        "main",
        [floats("in", shape=[1, "n", 2])],
        [floats("out", shape=[1, "n", 2])],
        [numpy_helper.from_array(np.asarray(x), name(key)) for key, x in constants.items()],
    )
    graph.node.sort(key=lambda each: each.op_type == "Loop")
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_graphs_inside_a_node_keep_the_values_that_they_read_from_outside() -> None:
    before = with_graphs_inside()
    after = canonicalise(before, ["stft"], ["mask"], {}, {})
    onnx.checker.check_model(after)
    x = np.random.default_rng(4).standard_normal((1, 5, 2)).astype(np.float32)
    session = onnxruntime.InferenceSession(before.SerializeToString())
    (expected,) = session.run(["out"], {"in": x})
    np.testing.assert_allclose(expected, ((((x + 2 * x) / 2) - 2 * x) / 2 - 2 * x) / 2)
    (mask,) = onnxruntime.InferenceSession(after).run(["mask"], {"stft": x})
    np.testing.assert_array_equal(mask, expected)


def test_names_inside_a_node_do_not_change_the_bytes() -> None:
    one, other = (
        canonicalise(with_graphs_inside(prefix), ["stft"], ["mask"], {}, {})
        for prefix in ("", "another ")
    )
    assert one == other


@pytest.mark.parametrize("layer", [layers.GRU, layers.LSTM])
def test_a_recurrent_layer_gives_the_masks_of_keras(layer: Callable) -> None:
    keras.utils.set_random_seed(5)
    inputs = keras.Input((None, 4, 2))
    y = layer(4, return_sequences=True)(layers.Reshape((-1, 8))(inputs))
    model = keras.Model(inputs, layers.Dense(4, activation="sigmoid")(y))
    file = to_onnx(model, {})
    x = np.random.default_rng(6).standard_normal((2, 9, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(onnx_function(file)(x), as_function(model)(x), atol=1e-5)
