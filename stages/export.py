"""Export the trained network as one ONNX file, which runs without TensorFlow."""

import argparse
from dataclasses import asdict, replace

from denoise.export.keras_to_onnx import to_onnx
from denoise.network.saved_model import load_model
from denoise.network.spec import to_metadata
from denoise.params import Params
from denoise.util.atomic import replacing
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write `paths.onnx` from the saved model at `paths.model`."""
    model, config = load_model(paths.model)
    spec = replace(config.spec(), **asdict(params.export))
    content = to_onnx(model, to_metadata(spec))
    with replacing(paths.onnx) as temporary:
        temporary.write_bytes(content)
    print(f"{paths.onnx}: {len(content) / 1e3:.0f} kB.")


if __name__ == "__main__":
    run(main, "model", "onnx")
