"""Load the model that an option names."""

from typing import TYPE_CHECKING

from denoise.errors import ModelError

if TYPE_CHECKING:  # numpy and onnxruntime are imported only when needed
    from denoise.inference.denoiser import Denoiser


def load_denoiser(model: str | None) -> "Denoiser":
    """Load the model at a path, or the built-in one; raises ModelError if it is not valid."""
    from denoise.inference.denoiser import Denoiser

    try:
        return Denoiser.load(model)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"The model needs {error.name}, which is not installed. A saved model needs the "
            "packages in requirements.txt; an ONNX file needs only what pip install . installs."
        ) from error
