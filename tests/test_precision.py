"""Training in mixed precision: what is bfloat16, what stays float32, and what it changes."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from denoise.errors import ParamsError
from denoise.extensions import ExtensionError
from denoise.network.architectures import build_model
from denoise.network.saved_model import ModelConfig, load_model, save_model
from denoise.params_file import parse_params
from denoise.training.checkpoint import Checkpoint
from denoise.training.train_step import TrainStep
from tests.few_steps import RATE, SAMPLE_RATE, SPECTROGRAM, tiny_params, tiny_training

MIXED = "mixed_bfloat16"
ARCHITECTURES = ["skip_autoencoder", "causal", "reference"]
WIDE_RANGE = {"Square", "Sqrt", "Pow", "AvgPool", "Mean", "RealDiv", "Sigmoid", "FusedBatchNormV3"}
"""Operations of the level and of the input's compression, of statistics, and of the mask."""
N_STEPS = 40


def tiny(architecture: str, precision: str) -> keras.Model:
    is_causal = architecture == "causal"
    params = tiny_params("skip_autoencoder" if is_causal else architecture, is_causal)
    return build_model(params.model, SPECTROGRAM, SAMPLE_RATE, precision=precision)


def operations(model: keras.Model, training: bool) -> list[tf.Operation]:
    """Return the operations that compute the masks of a batch and the gradients of the weights."""

    def gradients(stft: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model(stft, training=training))
        found = tape.gradient(total, model.trainable_variables)
        assert {gradient.dtype for gradient in found} == {tf.float32}
        return found

    shape = tf.TensorSpec((2, 21, SPECTROGRAM.n_bins, 2), tf.float32)
    return tf.function(gradients).get_concrete_function(shape).graph.get_operations()


def dtypes(found: list[tf.Operation], *types: str) -> list[str]:
    return [each.outputs[0].dtype.name for each in found if each.type in types]


def noise() -> np.ndarray:
    shape = (2, 40, SPECTROGRAM.n_bins, 2)
    return np.random.default_rng(3).standard_normal(shape, np.float32)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_convolutions_compute_in_bfloat16_and_weights_are_float32(architecture: str) -> None:
    model = tiny(architecture, MIXED)
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    *inner, last = (layer.compute_dtype for layer in convolutions)
    assert len(inner) >= 4
    assert set(inner) == {"bfloat16"}
    assert last == model.output.dtype == "float32"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert np.asarray(model(noise())).dtype == np.float32


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_on_a_gpu_all_but_the_last_convolution_are_of_bfloat16(
    architecture: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    found = operations(tiny(architecture, MIXED), training)
    *inner, last = dtypes(found, "Conv2D")
    assert set(inner) == {"bfloat16"}
    assert last == "float32"
    for kind in ("Conv2DBackpropInput", "Conv2DBackpropFilter"):  # from the last to the first
        last, *inner = dtypes(found, kind)
        assert set(inner) == {"bfloat16"}
        assert last == "float32"
    assert set(dtypes(found, "Relu")) == {"bfloat16"}
    assert set(dtypes(found, *WIDE_RANGE)) == {"float32"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_on_a_cpu_convolutions_of_rounded_numbers_are_computed_in_float32(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    found = operations(tiny(architecture, MIXED), training=True)
    assert set(dtypes(found, "Conv2D", "MaxPool", *WIDE_RANGE)) == {"float32"}
    assert set(dtypes(found, "Relu")) == {"bfloat16"}
    *inner, _ = (each for each in found if each.type == "Conv2D")
    for convolution in inner:
        for rounded in convolution.inputs:
            cast = rounded.op
            while cast.type in ("SpaceToBatchND", "Pad"):
                cast = cast.inputs[0].op
            assert (cast.type, cast.inputs[0].dtype) == ("Cast", tf.bfloat16)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_is_cast_in_float32(architecture: str) -> None:
    found = operations(tiny(architecture, "float32"), training=True)
    assert "bfloat16" not in {out.dtype.name for each in found for out in each.outputs}
    assert "float32" not in dtypes(found, "Cast")


@pytest.mark.parametrize("architecture", ["skip_autoencoder", "reference"])
@pytest.mark.slow
def test_training_is_that_in_float32_but_for_the_rounding(
    architecture: str, tmp_path: Path
) -> None:
    params = tiny_params(architecture)
    losses, steps = {}, {}
    for precision in ("float32", MIXED):
        steps[precision], stft, pair = tiny_training(params, precision)
        step = steps[precision].step
        losses[precision] = np.array([step(stft, pair, RATE) for _ in range(N_STEPS)])
    fallen = losses["float32"][0] - losses["float32"][-1]
    difference = np.abs(losses[MIXED] - losses["float32"]) / fallen
    assert 0 < difference[0] < 1e-3  # 0.03 if the reference network were bfloat16 throughout
    assert difference[-10:].mean() < 0.02  # 1 if the weights stood still
    assert {v.dtype for v in steps[MIXED].state} == {v.dtype for v in steps["float32"].state}
    check_that_the_saved_model_runs_in_float32(
        tmp_path, steps[MIXED].model, ModelConfig(params.audio, SPECTROGRAM, params.model, 1.0)
    )


def check_that_the_saved_model_runs_in_float32(
    folder: Path, trained: keras.Model, config: ModelConfig
) -> None:
    in_float32 = config.build_model()
    save_model(folder / "of float32", in_float32, config)
    in_float32.set_weights(trained.get_weights())
    save_model(folder / "of mixed", trained, config)
    assert (folder / "of mixed/config.json").read_bytes() == (
        folder / "of float32/config.json"
    ).read_bytes()
    loaded, _ = load_model(folder / "of mixed")
    masks = [np.asarray(model(noise())) for model in (loaded, in_float32, trained)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert 0 < np.abs(masks[0] - masks[2]).max() < 0.05 * masks[0].max()
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}


@pytest.mark.slow
def test_training_twice_gives_equal_weights_and_resumes_from_a_checkpoint(tmp_path: Path) -> None:
    def take_steps(training: TrainStep) -> list[np.ndarray]:
        for _ in range(2):
            training.step(stft, pair, RATE)
        return [np.asarray(variable).copy() for variable in training.state]

    def assert_equal(one: list[np.ndarray], other: list[np.ndarray]) -> None:
        for array, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, same)

    training, stft, pair = tiny_training(tiny_params(), MIXED)
    again, *_ = tiny_training(tiny_params(), MIXED)
    assert_equal(take_steps(training), take_steps(again))
    checkpoint = Checkpoint(tmp_path / "state", "key")
    checkpoint.save(training.state, [{"validation_loss": 1.0}])
    take_steps(again)
    assert checkpoint.load(again.state)
    assert_equal(take_steps(training), take_steps(again))


def test_keras_policy_is_the_same_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keras.config.dtype_policy().name
    tiny("reference", MIXED)
    assert keras.config.dtype_policy().name == before == "float32"
    monkeypatch.chdir(tmp_path)
    extension = tmp_path / "extensions/architectures/wrong.py"
    extension.parent.mkdir(parents=True)
    extension.write_text(
        "def mask(stft, frame_rate):\n    return stft\n\n\nreceptive_field = None\n"
    )
    with pytest.raises(ExtensionError, match="has the shape"):
        tiny("wrong", MIXED)
    assert keras.config.dtype_policy().name == before


def test_the_mask_of_an_extension_is_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    extension = tmp_path / "extensions/architectures/gate.py"
    extension.parent.mkdir(parents=True)
    extension.write_text(
        "from keras import layers\n"
        "from denoise.network.precision import Convolution\n\n\n"
        "def mask(stft, frame_rate):\n"
        "    return layers.Activation('sigmoid')(Convolution(1, 3, padding='same')(stft))[..., 0]\n"
        "\n\nreceptive_field = None\n"
    )
    model = tiny("gate", MIXED)
    assert model.layers[1].compute_dtype == "bfloat16"
    assert np.asarray(model(noise())).dtype == np.float32


def test_float16_is_refused(tree: dict) -> None:
    tree["train"]["precision"] = "mixed_float16"
    with pytest.raises(ParamsError, match=r"train\.precision: .*mixed_bfloat16"):
        parse_params(tree)
