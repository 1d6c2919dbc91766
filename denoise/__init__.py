"""Denoise: removes noise from speech recordings, and trains the networks that do it.

>>> from denoise import Denoiser
>>> denoised = Denoiser.load().denoise(noisy, sample_rate)  # doctest: +SKIP

Nothing is imported until it is used: `import denoise` alone costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from denoise.inference.denoiser import Denoiser
    from denoise.version import __version__

__all__ = ["Denoiser", "__version__"]
_HOMES = {"Denoiser": "denoise.inference.denoiser", "__version__": "denoise.version"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
