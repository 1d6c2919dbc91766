"""The package's public names are imported only when they are used."""

import importlib
import subprocess
import sys

import pytest

import denoise
from denoise.errors import DenoiseError
from denoise.inference.denoiser import Denoiser
from denoise.inference.file_denoiser import Report
from denoise.inference.streaming import Stream
from denoise.version import __version__
from tests.closures import ROOT

PRINT_IMPORTED = """
import sys, denoise
print(set(denoise.__all__) <= set(dir(denoise)))
print(sorted({"numpy", "onnxruntime", "soundfile", "denoise.inference"} & set(sys.modules)))
denoise.Denoiser
print("numpy" in sys.modules)
"""


def test_the_public_names_are_available() -> None:
    assert denoise.Denoiser is Denoiser
    assert denoise.__version__ == __version__
    assert (denoise.DenoiseError, denoise.Report, denoise.Stream) == (DenoiseError, Report, Stream)
    for name in denoise.__all__:
        assert hasattr(importlib.import_module("denoise"), name)


def test_importing_the_package_alone_loads_neither_numpy_nor_onnxruntime() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PRINT_IMPORTED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.splitlines() == ["True", "[]", "True"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'denoise' has no attribute 'nonsense'"):
        _ = denoise.nonsense
    with pytest.raises(ImportError):
        exec("from denoise import nonsense")
