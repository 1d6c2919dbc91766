"""The measurements behind the figures in the documentation; each module runs as `python -m`."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # some of the other denoisers import onnxruntime
