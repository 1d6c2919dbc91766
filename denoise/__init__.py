"""Denoise: removes noise from speech recordings, and trains the networks that do it.

>>> from denoise import Denoiser
>>> denoised = Denoiser.load().denoise(noisy, sample_rate)  # doctest: +SKIP

Nothing is imported until it is used: `import denoise` alone costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from denoise.errors import DenoiseError
    from denoise.inference.denoiser import Denoiser
    from denoise.inference.file_denoiser import Report
    from denoise.inference.streaming import Stream
    from denoise.version import __version__

__all__ = ["DenoiseError", "Denoiser", "Report", "Stream", "__version__"]
_HOMES = {
    "DenoiseError": "denoise.errors",
    "Denoiser": "denoise.inference.denoiser",
    "Report": "denoise.inference.file_denoiser",
    "Stream": "denoise.inference.streaming",
    "__version__": "denoise.version",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, too, that are not imported yet."""
    return sorted({*globals(), *_HOMES})
