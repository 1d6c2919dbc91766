"""Run an exported network, a single ONNX file, with onnxruntime.

The file's metadata hold a JSON text with everything that inference needs beside the graph. This is
the only module that imports onnxruntime, because it switches off onnxruntime's telemetry first.
"""

import os

import numpy as np

# From 1.32 on, onnxruntime writes a device id and a database into the home folder and looks up a
# host as soon as it is imported. Whatever the environment says, this program sends nothing.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

from denoise.errors import ModelError, ParamsError
from denoise.network.spec import (
    MaskFunction,
    MaskNetwork,
    from_metadata,
    with_frame_shifts,
    with_mask_power,
)

_STATE = onnxruntime.capi.onnxruntime_pybind11_state  # its errors have no common base class
CONTEXT = "context"
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


def load_network(path: str | os.PathLike[str], n_threads: int = 1) -> MaskNetwork:
    """Load an ONNX file that the export stage wrote; raises ModelError if it is not one.

    The network runs on the calling thread and `n_threads - 1` others, which all calls share. The
    masks are the same for any number of threads.
    """
    if not os.path.isfile(path):  # noqa: PTH113 - Path's raises if a name is too long
        raise ModelError(
            f"No model at {path}. Pass general, live or another path, or run dvc repro export."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = n_threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads wait idle
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        spec = from_metadata(session.get_modelmeta().custom_metadata_map)
        (stft, *past), (mask, *last) = session.get_inputs(), session.get_outputs()
        optional = [each.name for each in session.get_overridable_initializers()]
    except LOADING_ERRORS as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path} is not a model of this program: {reason}") from error

    def run_once(spectrograms: np.ndarray, *context: int) -> np.ndarray:
        """Map spectrograms, and the numbers of context frames if there are any, to masks."""
        counts = {CONTEXT: np.array(context, np.int64)} if context else {}
        return np.asarray(session.run([mask.name], {stft.name: spectrograms, **counts})[0])

    def start() -> MaskFunction:
        """Return a function that keeps past frames, if the network has inputs for them."""
        kept: dict[str, np.ndarray] = {}

        def run(spectrograms: np.ndarray) -> np.ndarray:
            if not kept:
                n_batch = len(spectrograms)
                shapes = {each.name: (n_batch, *each.shape[1:]) for each in past}
                kept.update((name, np.zeros(shape, np.float32)) for name, shape in shapes.items())
            masks, *frames = session.run(
                [mask.name, *(each.name for each in last)], {stft.name: spectrograms, **kept}
            )
            kept.update(zip(kept, frames, strict=True))
            return np.asarray(masks)

        return run

    network = MaskNetwork(run_once, spec, drops_context=CONTEXT in optional)
    if past:
        network = MaskNetwork(lambda spectrograms: start()(spectrograms), spec, start=start)
    return with_frame_shifts(with_mask_power(network, spec.mask_power), spec.frame_shifts)
