"""Levels of speech: the active speech level of ITU-T P.56, and the pauses of a recording."""

import math

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from denoise.dsp.audio import Waveform, rms

SMOOTHING_SECONDS = 0.03  # of the envelope
HANGOVER_SECONDS = 0.2  # shorter gaps count as active
MARGIN_DB = 15.9  # of the activity threshold below the active level
N_THRESHOLDS = 20  # the peak and its halves

PAUSE_FRAME_SECONDS = 0.02
PAUSE_DB = -35.0  # relative to the active level; a pause of the clean speech is below it
GUARD_FRAMES = 3  # a pause is this far from any louder frame, so that echo is not measured
MIN_PAUSE_SECONDS = 0.2  # in all; the attenuation is undefined for recordings with less
LIMIT_DB = 100.0  # of the attenuation, for methods that write digital silence


def active_level_db(speech: Waveform, sample_rate: int) -> float:
    """Return the level in dB, relative to full scale, of the parts in which somebody speaks.

    ITU-T P.56, method B: the energy is divided by the time for which the envelope exceeds a
    threshold 15.9 dB below the result. -inf for silence.
    """
    peak = float(np.abs(speech).max(initial=0))
    if peak == 0:
        return -math.inf
    waveform = np.asarray(speech, np.float64) / peak
    levels, thresholds = _levels_by_threshold(waveform, sample_rate)
    excess = levels - thresholds - MARGIN_DB  # falls as the threshold rises
    above = np.flatnonzero(excess <= 0)
    level = levels[-1] if len(above) == 0 else _interpolate(levels, excess, int(above[0]))
    return float(level) + 20 * math.log10(peak)


def _levels_by_threshold(
    waveform: npt.NDArray[np.float64], sample_rate: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the level of the parts above each threshold, and the thresholds, in dB and rising."""
    decay = math.exp(-1 / (SMOOTHING_SECONDS * sample_rate))
    envelope = np.abs(waveform)
    for _ in range(2):
        envelope = lfilter([1 - decay], [1, -decay], envelope)
    energy = float(np.sum(np.square(waveform)))
    thresholds = 2.0 ** np.arange(-N_THRESHOLDS, 0)
    hangover = math.ceil(HANGOVER_SECONDS * sample_rate)
    counts = [_count_active(envelope >= threshold, hangover) for threshold in thresholds]
    used = np.flatnonzero(counts)
    active = np.array(counts)[used]
    return 10 * np.log10(energy / active), 20 * np.log10(thresholds[used])


def _count_active(is_above: npt.NDArray[np.bool_], hangover: int) -> int:
    """Count the samples that are above the threshold, or no more than the hangover after one."""
    positions = np.arange(len(is_above))
    latest = np.maximum.accumulate(np.where(is_above, positions, -len(is_above) - hangover))
    return int(np.count_nonzero(positions - latest <= hangover))


def _interpolate(
    levels: npt.NDArray[np.float64], excess: npt.NDArray[np.float64], index: int
) -> float:
    """Return the level at which the excess is 0, between `index` and the threshold below it."""
    if index == 0:
        return float(levels[0])
    share = excess[index - 1] / (excess[index - 1] - excess[index])
    return float(levels[index - 1] + share * (levels[index] - levels[index - 1]))


def find_pauses(clean: Waveform, sample_rate: int) -> npt.NDArray[np.bool_]:
    """Return where nobody speaks, bool [n_samples]: 35 dB below the active level, or lower."""
    size = round(PAUSE_FRAME_SECONDS * sample_rate)
    n_frames = len(clean) // size
    frames = np.asarray(clean[: n_frames * size], np.float64).reshape(n_frames, size)
    limit = 10 ** ((active_level_db(clean, sample_rate) + PAUSE_DB) / 10)
    is_loud = np.mean(np.square(frames), axis=1) > limit
    near = np.convolve(is_loud, np.ones(2 * GUARD_FRAMES + 1), "same")[:n_frames]
    is_pause = np.zeros(len(clean), bool)
    is_pause[: n_frames * size] = np.repeat(near < 0.5, size)
    return is_pause


def pause_attenuation_db(
    clean: Waveform, noisy: Waveform, denoised: Waveform, sample_rate: int
) -> float:
    """Return by how many dB the output is below the input in the pauses of the clean speech.

    nan where the pauses are shorter than 0.2 s in all, and where the input is silent in them.
    """
    is_pause = find_pauses(clean, sample_rate)
    if is_pause.sum() < MIN_PAUSE_SECONDS * sample_rate:
        return math.nan
    return -level_change_db(noisy[is_pause], denoised[is_pause])


def level_change_db(before: Waveform, after: Waveform) -> float:
    """Return the level of `after` relative to `before` in dB, -100 at least; nan for silence."""
    if rms(before) == 0:
        return math.nan
    ratio = rms(after) / rms(before)
    return max(-LIMIT_DB, 20 * math.log10(ratio)) if ratio > 0 else -LIMIT_DB
