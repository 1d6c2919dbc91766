"""Write the trained network as one ONNX file, which the light tool runs without TensorFlow."""

import argparse

from denoise.atomic import replacing
from denoise.bundle import load_bundle
from denoise.onnx_graph import to_onnx
from denoise.params import Params
from denoise.runtime import NetworkForm
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write `paths.onnx` from the bundle at `paths.model`."""
    model, snapshot = load_bundle(paths.model)
    reach, rate = snapshot.reach(), snapshot.audio.sample_rate
    form = NetworkForm(rate, snapshot.spectrogram, reach.frames, reach.stride)
    content = to_onnx(model, form.to_metadata())
    with replacing(paths.onnx) as temporary:
        temporary.write_bytes(content)
    print(f"{paths.onnx}: {len(content) / 1e3:.0f} kB.")


if __name__ == "__main__":
    run(main, "model", "onnx")
