"""The models that come with the program, by name."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_GENERAL, _LIVE = _PACKAGE / "models", _PACKAGE / "models" / "live"  # in an installed package
if not _GENERAL.is_dir():  # in a checkout
    _GENERAL = _PACKAGE.parent / "general" / "models"
    _LIVE = _PACKAGE.parent / "general" / "live" / "models"

GENERAL, LIVE = "general", "live"
HELP = "general, live (faster but worse), an ONNX file or a saved model folder (default: general)"
BUILT_IN = {GENERAL: _GENERAL / "denoiser.onnx", LIVE: _LIVE / "denoiser.onnx"}


def path_of(model: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the path of the built-in model of this name, or `model` if it is no such name."""
    return BUILT_IN.get(model, model) if isinstance(model, str) else model
