"""What speech is judged by: arrays in, numbers out, computed in float64.

Each metric compares float waveforms [n_samples] of equal length with the clean one first. All of
them raise ValueError for shapes that differ, samples that are not finite, and a silent reference.
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
LSD_FLOOR = 1e-6  # 60 dB under the clean utterance's strongest bin
ESTOI_RATE = 10_000
ESTOI_SAMPLES = 256 + 30 * 128  # at 10 kHz; pystoi needs more than these for 30 frames
ESTOI_UNDEFINED = 1e-5  # what pystoi returns where it has too few frames
PESQ_RATE = 16_000
ROUNDING_DUST = 1e-9  # what is left of a constant when its mean is removed, relative to it


def si_sdr_db(reference: Samples, estimate: Samples) -> float:
    """Return the scale-invariant signal-to-distortion ratio, in dB within +-100.

    Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, with the mean of both removed:
    the part of the estimate that is the reference at some gain, over the rest. An identical
    estimate scores 100; a silent one, or one that holds none of the reference, -100.
    """
    target, other = (_centred(waveform) for waveform in _pair(reference, estimate))
    if not target.any():
        raise ValueError("The reference is silent: nothing can be compared with it.")
    if not other.any():
        return -SI_SDR_LIMIT_DB
    kept = _product(other, target) / _product(target, target) * target
    rest = other - kept
    return _ratio_db(_product(kept, kept), _product(rest, rest))


def _product(one: Float64, other: Float64) -> float:
    """Return the scalar product without BLAS, whose sums differ with the number of cores.

    Nor do its threads wait for each other here, a thousand times as long on a busy machine.
    """
    return float(np.sum(one * other))


def _ratio_db(signal: float, distortion: float) -> float:
    """Return 10 log10(signal / distortion) within the limits; zeros on either side are allowed."""
    limit = 10 ** (SI_SDR_LIMIT_DB / 10)
    if signal >= limit * distortion:
        return SI_SDR_LIMIT_DB
    if distortion >= limit * signal:
        return -SI_SDR_LIMIT_DB
    return 10 * math.log10(signal / distortion)


def si_sdr_improvement_db(clean: Samples, noisy: Samples, denoised: Samples) -> float:
    """Return how many dB of SI-SDR the denoised utterance has won over the noisy one."""
    return si_sdr_db(clean, denoised) - si_sdr_db(clean, noisy)


def estoi(clean: Samples, estimate: Samples, sample_rate: int) -> float:
    """Return the extended short-time objective intelligibility, at most 1 (higher is better).

    Jensen & Taal, IEEE/ACM TASLP 24(11), 2016, by pystoi. nan where less than 0.4 s are left once
    frames 40 dB under the loudest are removed: the measure is not defined there. A silent
    estimate correlates with nothing and scores 0.
    """
    from pystoi import stoi  # here: it costs 1.5 s, and SI-SDR needs none of it

    pair = _peak_normalised_pair(clean, estimate)
    if not pair[1].any():
        return 0.0
    # soxr agrees with pystoi's own resampler within 3e-5 and takes a third of the time.
    at_10_khz = [audio.resample(waveform, sample_rate, ESTOI_RATE) for waveform in pair]
    if len(at_10_khz[0]) <= ESTOI_SAMPLES:
        return math.nan
    with _pystoi_repeatable():
        score = float(stoi(*at_10_khz, ESTOI_RATE, extended=True))
    return math.nan if score == ESTOI_UNDEFINED else score


@contextmanager
def _pystoi_repeatable() -> Iterator[None]:
    """Fix pystoi's dither, drawn from NumPy's global generator, and mute its too-short warning."""
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

    The mean over frames t of sqrt(mean over bins f of (10 log10(C[t, f] / E[t, f]))^2), with C and
    E the power spectra in Hann windows of 32 ms, half overlapped, both raised to no less than
    60 dB under the largest C. A gain of the estimate counts as distance.
    """
    powers = [_power(waveform, sample_rate) for waveform in _pair(clean, estimate)]
    floor = LSD_FLOOR * powers[0].max()
    if floor == 0:
        raise ValueError("The reference is silent: nothing can be compared with it.")
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
    """Return wide-band PESQ, about 1 (bad) to 4.64, of both waveforms brought to 16 kHz.

    ITU-T P.862.2, by the package `pesq`. nan where PESQ finds no utterance: a clip under 0.25 s, a
    silent estimate, no speech. Raises DenoiseError where the package is missing.
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


def _pair(reference: Samples, estimate: Samples) -> tuple[Float64, Float64]:
    """Return both waveforms in float64, checked."""
    first, second = (np.asarray(waveform, np.float64) for waveform in (reference, estimate))
    if first.ndim != 1 or first.shape != second.shape or first.size == 0:
        raise ValueError(
            f"Shapes {first.shape} and {second.shape}: two waveforms [n_samples] of one length, "
            "not empty, can be compared."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("A waveform holds samples that are not finite numbers.")
    return first, second


def _peak_normalised_pair(
    clean: Samples, estimate: Samples
) -> tuple[audio.Waveform, audio.Waveform]:
    """Return both at a peak of 1 in float32, for metrics that are blind to scale."""
    reference, other = (_peak_normalise(waveform) for waveform in _pair(clean, estimate))
    if not reference.any():
        raise ValueError("The reference is silent: nothing can be compared with it.")
    return reference, other


def _peak_normalise(waveform: Float64) -> audio.Waveform:
    peak = np.abs(waveform).max()
    return (waveform / peak if peak > 0 else waveform).astype(np.float32)


def _centred(waveform: Float64) -> Float64:
    """Remove the mean; a constant becomes exact zeros, not rounding dust."""
    centred = waveform - waveform.mean()
    dust = ROUNDING_DUST * np.abs(waveform).max()
    return centred if np.abs(centred).max() > dust else np.zeros_like(centred)
