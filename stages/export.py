"""Write the trained network as one ONNX file, which the light tool runs without TensorFlow."""

import argparse

from denoise.atomic import replacing
from denoise.bundle import load_bundle
from denoise.onnx_graph import to_onnx
from denoise.params import Params
from denoise.runtime import to_metadata
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write `paths.onnx` from the bundle at `paths.model`."""
    model, snapshot = load_bundle(paths.model)
    content = to_onnx(model, to_metadata(snapshot.form()))
    with replacing(paths.onnx) as temporary:
        temporary.write_bytes(content)
    print(f"{paths.onnx}: {len(content) / 1e3:.0f} kB.")


if __name__ == "__main__":
    run(main, "model", "onnx")
