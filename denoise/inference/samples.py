"""Turn the arrays and the numbers that callers pass into what the stream works with, or refuse."""

from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import MAX_AMPLITUDE, MAX_CHANNELS, Waveform

INTEGER_SCALES = {"int8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31, "uint8": 2.0**7}
"""What full scale is in each type of integer samples, as soundfile reads them; uint8 is silent at
128. Audio files have no other integers, so nobody knows what full scale is in those."""


def to_waveform(samples: npt.ArrayLike, n_channels: int | None = None) -> Waveform:
    """Return samples as float32 [n_samples, n_channels], full scale 1.

    Floating point numbers are taken as they are, and integers are divided by their full scale.
    [n_samples] becomes one channel, unless `n_channels` says how many there must be. Raises
    ValueError for arrays of other types and shapes, and for samples that are not finite or exceed
    MAX_AMPLITUDE.
    """
    array = _as_array(samples)
    _check_shape(array, n_channels)
    channels = array[:, None] if array.ndim == 1 else array
    peak = np.abs(channels).max(initial=0) if channels.dtype.kind == "f" else 0
    if not np.isfinite(peak):
        raise ValueError("Samples must be finite numbers.")
    if float(peak) > MAX_AMPLITUDE:
        raise ValueError(f"Samples must not exceed {MAX_AMPLITUDE:.0e}; full scale is 1.")
    if channels.dtype.kind == "f":
        return channels.astype(np.float32, copy=False)
    converted = channels.astype(np.float32)  # rounds int32 once; the rest is exact
    converted -= np.float32(128 if channels.dtype.kind == "u" else 0)
    converted /= np.float32(INTEGER_SCALES[channels.dtype.name])
    return converted


def _as_array(samples: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return an array of numbers that can be samples; raises ValueError for anything else."""
    if np.ma.is_masked(samples):
        raise ValueError("Some of the samples are masked. Fill them first, as with filled(0).")
    array = np.asarray(samples)
    if array.dtype.kind != "f" and array.dtype.name not in INTEGER_SCALES:
        raise ValueError(
            f"Samples of the type {array.dtype} are not supported. Pass floating point numbers, "
            f"full scale 1, or integers as audio files have them: {', '.join(INTEGER_SCALES)}."
        )
    return array


def _check_shape(array: npt.NDArray[Any], n_channels: int | None) -> None:
    """Raise ValueError for a shape that is not that of a recording."""
    if n_channels is not None:
        if array.ndim != 2 or array.shape[1] != n_channels:
            is_turned = array.ndim == 2 and array.shape[0] == n_channels
            advice = " Transpose the array." if is_turned else ""
            if array.ndim == 1 and n_channels == 1:
                advice = " Pass samples[:, None]."
            raise ValueError(f"The shape {array.shape} is not [n_samples, {n_channels}].{advice}")
    elif array.ndim not in (1, 2):
        raise ValueError(f"The shape {array.shape} is not [n_samples] or [n_samples, n_channels].")
    elif array.ndim == 2 and MAX_CHANNELS < array.shape[1] > array.shape[0]:
        raise ValueError(
            f"{array.shape[1]} channels are not supported, only 1 to {MAX_CHANNELS}. If the array "
            f"of shape {array.shape} is [n_channels, n_samples], transpose it: it must be "
            "[n_samples, n_channels]."
        )


def to_number(value: object, name: str) -> float:
    """Return a number; raises ValueError, with the number's name, for anything else."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ValueError(f"The {name} must be a number, not {value!r}.")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"The {name} is too large a number.") from error


def to_whole_number(value: object, name: str) -> int:
    """Return a whole number; raises ValueError, with the number's name, for anything else."""
    number = to_number(value, name)
    if not number.is_integer():  # NaN and infinity are not whole either
        raise ValueError(f"The {name} must be a whole number, not {value!r}.")
    return int(number)
