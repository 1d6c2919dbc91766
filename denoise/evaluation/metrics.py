"""Speech quality and intelligibility metrics.

Each metric takes two float waveforms [n_samples] of equal length, the clean reference first, and
computes in float64. All of them raise ValueError for different shapes, for samples that are not
finite and for a silent reference.
"""

import importlib
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from denoise.dsp import audio
from denoise.dsp.stft import stft
from denoise.errors import DenoiseError
from denoise.params import SpectrogramParams

Samples = npt.NDArray[np.floating]
Float64 = npt.NDArray[np.float64]

SI_SDR_LIMIT_DB = 100.0
LSD_FLOOR = 1e-6  # power relative to the clean utterance's strongest bin: -60 dB
ESTOI_RATE = 10_000
ESTOI_SAMPLES = 256 + 30 * 128  # at 10 kHz; for 30 frames pystoi needs more samples than this
ESTOI_UNDEFINED = 1e-5  # pystoi's result for too few frames
PESQ_RATE = 16_000
ROUNDING_ERROR = 1e-9  # relative; bounds what remains of a constant without its mean


def si_sdr_db(reference: Samples, estimate: Samples) -> float:
    """Return the scale-invariant signal-to-distortion ratio in dB, limited to -100 and 100.

    Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019. The means of both waveforms are
    removed first. The estimate's projection on the reference is the signal; the remainder is the
    distortion. An identical estimate scores 100. A silent estimate, or one that is orthogonal to
    the reference, scores -100.
    """
    target, centred = (_remove_mean(waveform) for waveform in _checked_pair(reference, estimate))
    if not target.any():
        raise ValueError("The reference is silent, so nothing can be compared with it.")
    if not centred.any():
        return -SI_SDR_LIMIT_DB
    signal = _dot(centred, target) / _dot(target, target) * target
    distortion = centred - signal
    return _ratio_db(_dot(signal, signal), _dot(distortion, distortion))


def _dot(a: Float64, b: Float64) -> float:
    """Return the dot product, computed without BLAS.

    The sums of BLAS depend on the number of cores, and on a busy machine its threads wait for each
    other: the call can take a thousand times as long.
    """
    return float(np.sum(a * b))


def _ratio_db(signal: float, distortion: float) -> float:
    """Return 10 log10(signal / distortion) within the limits; either power may be zero."""
    limit = 10 ** (SI_SDR_LIMIT_DB / 10)
    if signal >= limit * distortion:
        return SI_SDR_LIMIT_DB
    if distortion >= limit * signal:
        return -SI_SDR_LIMIT_DB
    return 10 * math.log10(signal / distortion)


def estoi(clean: Samples, estimate: Samples, sample_rate: int) -> float:
    """Return the extended short-time objective intelligibility, at most 1 (higher is better).

    Jensen & Taal, IEEE/ACM TASLP 24(11), 2016, computed by pystoi. Frames more than 40 dB below the
    loudest one are removed first. The result is nan where less than 0.4 s remains, since the
    metric is not defined there. A silent estimate scores 0.
    """
    from pystoi import stoi  # here: the import takes 1.5 s, and SI-SDR does not need it

    pair = _peak_normalised_pair(clean, estimate)
    if not pair[1].any():
        return 0.0
    # soxr's result agrees with pystoi's own resampler within 3e-5, in a third of the time.
    at_10_khz = [audio.resample(waveform, sample_rate, ESTOI_RATE) for waveform in pair]
    if len(at_10_khz[0]) <= ESTOI_SAMPLES:
        return math.nan
    with _pystoi_repeatable():
        score = float(stoi(*at_10_khz, ESTOI_RATE, extended=True))
    return math.nan if score == ESTOI_UNDEFINED else score


@contextmanager
def _pystoi_repeatable() -> Iterator[None]:
    """Seed pystoi's dither, which uses NumPy's global generator, and hide its length warning.

    The state of the global generator is restored afterwards.
    """
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Not enough STFT frames", RuntimeWarning)
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def log_spectral_distance_db(clean: Samples, estimate: Samples, sample_rate: int) -> float:
    """Return the log-spectral distance in dB, 0 for equal waveforms (lower is better).

    It is the mean over frames t of sqrt(mean over bins f of (10 log10(C[t, f] / E[t, f]))^2). C and
    E are the power spectra of the clean and the estimated waveform, in Hann windows of 32 ms with
    50 % overlap. Values more than 60 dB below the largest C are raised to that floor. The distance
    is not scale-invariant: a gain of the estimate counts.
    """
    powers = [_power(waveform, sample_rate) for waveform in _checked_pair(clean, estimate)]
    floor = LSD_FLOOR * powers[0].max()
    if floor == 0:
        raise ValueError("The reference is silent, so nothing can be compared with it.")
    levels = [10 * np.log10(np.maximum(power, floor)) for power in powers]
    return float(np.mean(np.sqrt(np.mean(np.square(levels[0] - levels[1]), axis=1))))


def _power(waveform: Float64, sample_rate: int) -> Float64:
    hop_length = 8 * max(1, round(0.016 * sample_rate / 8))
    params = SpectrogramParams(2 * hop_length, hop_length, 2 * hop_length)
    spectrum = stft(waveform.astype(np.float32), params).astype(np.complex128)
    return np.square(spectrum.real) + np.square(spectrum.imag)


def has_pesq() -> bool:
    """Tell whether the optional package `pesq` can be imported."""
    try:
        importlib.import_module("pesq")
    except ImportError:
        return False
    return True


def pesq_wide_band(clean: Samples, estimate: Samples, sample_rate: int) -> float:
    """Return wide-band PESQ, about 1 (bad) to 4.64; both waveforms are resampled to 16 kHz.

    ITU-T P.862.2, computed by the package `pesq`. The result is nan where PESQ finds no utterance:
    in a clip under 0.25 s, in a silent estimate and in a clip without speech. Raises DenoiseError
    where the package is missing.
    """
    if not has_pesq():
        raise DenoiseError("PESQ needs the package pesq. Run pip install pesq.")
    pesq = importlib.import_module("pesq")
    pair = _peak_normalised_pair(clean, estimate)
    if not pair[1].any():
        return math.nan
    at_16_khz = [audio.resample(waveform, sample_rate, PESQ_RATE) for waveform in pair]
    try:
        return float(pesq.pesq(PESQ_RATE, *at_16_khz, "wb"))
    except (pesq.NoUtterancesError, pesq.BufferTooShortError):
        return math.nan


def _checked_pair(reference: Samples, estimate: Samples) -> tuple[Float64, Float64]:
    """Return both waveforms as float64; raise ValueError for bad shapes or values."""
    first, second = (np.asarray(waveform, np.float64) for waveform in (reference, estimate))
    if first.ndim != 1 or first.shape != second.shape or first.size == 0:
        raise ValueError(
            f"Shapes {first.shape} and {second.shape}: a metric needs two waveforms [n_samples] of "
            "the same length, not empty."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("A waveform has samples that are not finite numbers.")
    return first, second


def _peak_normalised_pair(
    clean: Samples, estimate: Samples
) -> tuple[audio.Waveform, audio.Waveform]:
    """Return both as float32 with a peak of 1, for metrics that do not depend on the scale."""
    reference, normalised = (
        _peak_normalise(waveform) for waveform in _checked_pair(clean, estimate)
    )
    if not reference.any():
        raise ValueError("The reference is silent, so nothing can be compared with it.")
    return reference, normalised


def _peak_normalise(waveform: Float64) -> audio.Waveform:
    peak = np.abs(waveform).max()
    return (waveform / peak if peak > 0 else waveform).astype(np.float32)


def _remove_mean(waveform: Float64) -> Float64:
    """Subtract the mean; a constant becomes exactly zero, without rounding errors."""
    centred = waveform - waveform.mean()
    tolerance = ROUNDING_ERROR * np.abs(waveform).max()
    return centred if np.abs(centred).max() > tolerance else np.zeros_like(centred)
