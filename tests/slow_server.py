"""A server with a slow network, for tests.

python -m tests.slow_server SECONDS_PER_BLOCK [FOLDER_FOR_JOBS [PORT]]
"""

import sys
import time
from pathlib import Path

import numpy as np

from denoise.network.spec import MaskNetwork, NetworkSpec
from denoise.params import SpectrogramParams
from denoise.server.context import ServerContext
from denoise.server.limits import Limits
from denoise.server.waitress_server import Server


def mask(spectrograms: np.ndarray) -> np.ndarray:
    time.sleep(float(sys.argv[1]))
    return np.full(spectrograms.shape[:-1], 0.5, np.float32)


if __name__ == "__main__":
    spec = NetworkSpec(8000, SpectrogramParams(128, 64, 128), receptive_field_frames=0, stride=1)
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    context = ServerContext(MaskNetwork(mask, spec), Limits(workers=1, queue=1), jobs_folder=folder)
    server = Server(context, "127.0.0.1", int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    server.run(lambda: print(f"denoise serves on {server.url}", flush=True))
