"""Load the model that an option names."""

from typing import TYPE_CHECKING

from denoise.errors import ModelError

if TYPE_CHECKING:  # numpy and onnxruntime are imported only when needed
    from denoise.inference.denoiser import Denoiser


def load_denoiser(model: str, threads: int) -> "Denoiser":
    """Load the model of a built-in name or at a path; raises ModelError if it is not valid."""
    try:
        from denoise.inference.denoiser import Denoiser
    except ModuleNotFoundError as error:
        raise ModelError(f"{error.name} is not installed. Run pip install . again.") from error
    return Denoiser.load(model, threads)
