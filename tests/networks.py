"""Networks with a constant mask, for tests."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from denoise.network.spec import MaskNetwork, NetworkSpec, to_metadata
from denoise.params import SpectrogramParams

SPECTROGRAM = SpectrogramParams(n_fft=128, hop_length=64, win_length=128)
RATE = 8000
SPEC = NetworkSpec(RATE, SPECTROGRAM, receptive_field_frames=0, stride=1)


def gain_network(gain: float) -> MaskNetwork:
    """Return a network whose mask is `gain` everywhere."""

    def mask(spectrograms: np.ndarray) -> np.ndarray:
        return np.full(spectrograms.shape[:-1], gain, np.float32)

    return MaskNetwork(mask, SPEC)


def write_halving_model(path: Path) -> Path:
    """Write an ONNX file whose mask is 0.5 everywhere; return its path."""
    axes = ["batch", "n_frames", SPECTROGRAM.n_bins]
    declare, float_type = helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    constants = [
        helper.make_tensor(name, float_type, [], [x]) for name, x in (("zero", 0.0), ("half", 0.5))
    ]
    nodes = [
        helper.make_node("ReduceMin", ["stft"], ["minimum"], axes=[3], keepdims=0),
        helper.make_node("Mul", ["minimum", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "half"], ["mask"]),
    ]
    graph = helper.make_graph(
        nodes,
        "half",
        [declare("stft", float_type, [*axes, 2])],
        [declare("mask", float_type, axes)],
        constants,
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, to_metadata(SPEC))
    path.write_bytes(model.SerializeToString())
    return path
