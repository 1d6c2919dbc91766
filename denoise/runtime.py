"""The light runtime: a network in one ONNX file, run by onnxruntime.

The file's metadata hold, under KEY, what inference needs beside the graph, as JSON.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime

from denoise.errors import BundleError, ParamsError
from denoise.schema import build
from denoise.streaming import MaskNetwork, NetworkForm

FORMAT = 1
KEY = "denoise"
_STATE = onnxruntime.capi.onnxruntime_pybind11_state  # its errors have no base of their own
LOADING_ERRORS: tuple[type[Exception], ...] = (
    _STATE.Fail,
    _STATE.InvalidArgument,
    _STATE.InvalidGraph,
    _STATE.InvalidProtobuf,
    _STATE.NotImplemented,
    _STATE.RuntimeException,
    ValueError,
    ParamsError,
)
_HERE = Path(__file__).parent
_MODELS = _HERE / "models"  # in an installed package; a checkout has them beside it
BUILT_IN = (_MODELS if _MODELS.is_dir() else _HERE.parent / "models") / "denoiser.onnx"


def to_metadata(form: NetworkForm) -> dict[str, str]:
    """Return a network's form as an ONNX file's metadata."""
    return {KEY: json.dumps({"format": FORMAT, **asdict(form)}, sort_keys=True)}


def from_metadata(metadata: Mapping[str, str]) -> NetworkForm:
    """Read a network's form; raises ValueError where the metadata hold none of this format."""
    description = json.loads(metadata.get(KEY, "null"))
    if not isinstance(description, dict) or description.pop("format", None) != FORMAT:
        raise ValueError(f"it holds no {KEY} metadata of format {FORMAT}")
    form: NetworkForm = build(NetworkForm, description)
    return form


def load_network(path: str | os.PathLike[str]) -> MaskNetwork:
    """Load an ONNX file that the export stage wrote; raises BundleError where it is none.

    It runs on the calling thread alone, so that many calls run side by side.
    """
    if not Path(path).is_file():
        raise BundleError(f"No model at {path}. Name another, or run dvc repro export.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        form = from_metadata(session.get_modelmeta().custom_metadata_map)
        (stft,), (mask,) = session.get_inputs(), session.get_outputs()
    except LOADING_ERRORS as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"{path} is no model of this program: {reason}") from error

    def run(spectrograms: np.ndarray) -> np.ndarray:
        (masks,) = session.run([mask.name], {stft.name: spectrograms})
        return np.asarray(masks)

    return MaskNetwork(run, form)
