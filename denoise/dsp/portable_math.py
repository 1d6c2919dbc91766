"""Exponential, logarithm, sine and convolution, with the same bits on every processor.

NumPy chooses among implementations by the processor's instruction set, and their results differ in
the last bits. The functions here use only products, sums, comparisons, rounding and the real FFT,
which give the same bits everywhere. The exponential, the logarithm and the sine are in float32 and
have about six correct digits.
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complexfloating]

LOG_OF_2 = np.float32(math.log(2))
LOG2_OF_E = np.float32(1 / math.log(2))
MIN_EXPONENT, MAX_EXPONENT = -126, 127  # of normal numbers in float32
EXP2_SERIES = tuple(np.float32(math.log(2) ** n / math.factorial(n)) for n in range(8))
LOG2_SERIES = tuple(np.float32(2 / math.log(2) / n) for n in (1, 3, 5, 7, 9))
SINE_SERIES = tuple(
    np.float32((-1) ** k * (2 * math.pi) ** (2 * k + 1) / math.factorial(2 * k + 1))
    for k in range(7)
)


def _evaluate(series: tuple[np.float32, ...], variable: Floats) -> Floats:
    """Evaluate a polynomial, constant first, by Horner's rule."""
    value = variable * series[-1]
    for coefficient in series[-2:0:-1]:
        value += coefficient
        value *= variable
    value += series[0]
    return value


def exp2(exponents: npt.ArrayLike) -> Floats:
    """Return 2 to the power of `exponents`, which are clipped to those of normal numbers."""
    x = np.clip(np.asarray(exponents, np.float32), MIN_EXPONENT, MAX_EXPONENT)
    whole = np.rint(x)
    power = ((whole.astype(np.int32) + 127) << 23).view(np.float32)
    return power * _evaluate(EXP2_SERIES, x - whole)


def exp(exponents: npt.ArrayLike) -> Floats:
    """Return e to the power of `exponents`."""
    return exp2(np.asarray(exponents, np.float32) * LOG2_OF_E)


def log2(values: npt.ArrayLike) -> Floats:
    """Return the logarithm to base 2 of positive values."""
    mantissa, exponent = np.frexp(np.asarray(values, np.float32))  # mantissa in [0.5, 1)
    is_small = mantissa < np.float32(math.sqrt(0.5))
    mantissa = np.where(is_small, 2 * mantissa, mantissa)
    ratio = np.divide(mantissa - 1, mantissa + 1, dtype=np.float32)
    fraction = ratio * _evaluate(LOG2_SERIES, ratio * ratio)
    return (exponent - is_small).astype(np.float32) + fraction


def log(values: npt.ArrayLike) -> Floats:
    """Return the natural logarithm of positive values."""
    return log2(values) * LOG_OF_2


def sine(cycles: npt.ArrayLike) -> Floats:
    """Return sines of phases in cycles, which may be float64."""
    phase = np.asarray(cycles)
    phase = (phase - np.rint(phase)).astype(np.float32)  # in [-0.5, 0.5]
    quarter = np.float32(0.25)
    folded = quarter - np.abs(np.abs(phase) - quarter)  # the same sine, in [0, 0.25]
    value = folded * _evaluate(SINE_SERIES, folded * folded)
    return np.copysign(value, phase)


def multiply(one: Spectrum, other: Spectrum) -> Spectrum:
    """Multiply two spectra; NumPy's own complex product differs between processors."""
    product = np.empty_like(one)
    product.real = one.real * other.real - one.imag * other.imag
    product.imag = one.real * other.imag + one.imag * other.real
    return product


def convolve_circularly(first: Floats, second: Floats, n_fft: int) -> Floats:
    """Convolve circularly over `n_fft` samples, float32 [n_fft]."""
    product = multiply(np.fft.rfft(first, n_fft), np.fft.rfft(second, n_fft))
    return np.fft.irfft(product, n_fft).astype(np.float32)
