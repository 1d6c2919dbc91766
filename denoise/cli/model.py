"""Load the model that an option names."""

from typing import TYPE_CHECKING

from denoise.errors import ModelError
from denoise.util.cores import count_cores

if TYPE_CHECKING:  # numpy and onnxruntime are imported only when needed
    from denoise.inference.denoiser import Denoiser


def load_denoiser(model: str | None, threads: int | None = None) -> "Denoiser":
    """Load the model at a path, or the built-in one; raises ModelError if it is not valid.

    It runs on as many threads as there are cores, unless `threads` says otherwise.
    """
    try:
        from denoise.inference.denoiser import Denoiser
    except ModuleNotFoundError as error:
        raise ModelError(f"{error.name} is not installed. Run pip install . again.") from error
    return Denoiser.load(model, threads or count_cores())
