"""A differentiable model of PESQ: how disturbing is the difference between two power spectra?

ITU-T P.862 (2001) with the bandwidth of P.862.2 (2007). Both spectra are converted to loudness in
Bark bands, after compensating for what listeners tolerate: a constant frequency response, and a
gain in each frame. The remaining difference counts; added sound counts more than missing sound.

It differs from P.862 in these points:

- it takes the training's own spectra, without aligning them in time;
- the bands are spaced by Traunmüller's formula (1990), the hearing threshold is Terhardt's (1979);
- the gain of a frame is smoothed with that of the frame before; P.862 smooths recursively;
- no frame is left out of the mean over time, silent or not.

So it is cheap and has gradients.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from denoise.dsp.filterbank import Filterbank, rectangular_filterbank
from denoise.network.exact_ops import power_of_constants

N_BANDS = 42
MIN_HZ, MAX_HZ = 60.0, 8000.0
HIGH_PASS_HZ = 100.0  # of the wide-band input filter
LEVEL_BAND_HZ = (350.0, 3250.0)  # in which the level is measured
PLAYBACK_POWER = 10**8.5  # power in that band at playback, relative to 0 dB SPL
SONE_SCALE = 0.187  # P.862's scale of loudness
LOUDNESS_EXPONENT = 0.23  # Zwicker's
MASKED_FRACTION = 0.25  # of the smaller loudness: smaller differences are masked
ASYMMETRY_FLOOR = 50.0  # keeps ratios of small powers near 1
ASYMMETRY_EXPONENT = 1.2
ASYMMETRY_RANGE = (3.0, 12.0)  # smaller ratios do not count, larger ones count as 12
ACTIVE_POWER = 1e7  # of a frame with speech
ACTIVE_THRESHOLD_RATIO = 100.0  # only bands this far above the threshold count as active
RESPONSE_FLOOR, RESPONSE_RANGE = 1e3, (0.01, 100.0)
GAIN_FLOOR, GAIN_RANGE = 5e3, (3e-4, 5.0)
GAIN_SMOOTHING = 0.2  # the weight of the frame before
LOUD_FRAME_POWER, LOUD_FRAME_EXPONENT = 1e7, 0.04  # differences count less in loud frames
MIN_RELATIVE_POWER = 0.01  # of a frame, relative to a loud one
MAX_DISTURBANCE = 45.0  # of a frame
INTERVAL_SECONDS = 0.32
INTERVAL_EXPONENT = 6.0  # within an interval, the worst frames dominate
SYMMETRIC_WEIGHT, ASYMMETRIC_WEIGHT = 0.1, 0.0309  # P.862's
MIN_DISTURBANCE = 1e-3  # of a frame: its sixth power must not underflow in float32
EPSILON = 1e-8
Tensor = Any


@dataclass(frozen=True)
class HearingModel:
    """The bands of the hearing model, for spectra of one form.

    `filterbank` is [n_bins, n_bands], `level_filterbank` is [n_bins, 1]; the `threshold` in quiet
    (power relative to 0 dB SPL) and the loudness `exponent` are [n_bands]. A band is `bark` wide;
    an interval has `interval_frames`.
    """

    filterbank: Filterbank
    level_filterbank: Filterbank
    threshold: npt.NDArray[np.float32]
    exponent: npt.NDArray[np.float32]
    bark: float
    interval_frames: int


def make_hearing_model(n_bins: int, sample_rate: int, frame_rate: float) -> HearingModel:
    """Return the model for spectra of `n_bins` bins up to the Nyquist frequency."""
    max_hz = min(MAX_HZ, sample_rate / 2)
    edges = np.linspace(hz_to_bark(MIN_HZ), hz_to_bark(max_hz), N_BANDS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    khz = bark_to_hz(centres) / 1000
    threshold_db = 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
    # In P.862, loudness grows faster with power in the lowest bands.
    steepness = np.minimum(np.where(centres < 4, 6 / (centres + 2), 1), 2) ** 0.15
    hz = np.linspace(0, sample_rate / 2, n_bins)[:, None]
    high_pass = np.square(np.square(hz) / (np.square(hz) + HIGH_PASS_HZ**2))
    filterbank = rectangular_filterbank(bark_to_hz(edges), n_bins, sample_rate)
    return HearingModel(
        filterbank=(filterbank * high_pass).astype(np.float32),
        level_filterbank=rectangular_filterbank(LEVEL_BAND_HZ, n_bins, sample_rate),
        threshold=(10 ** (threshold_db / 10)).astype(np.float32),
        exponent=(LOUDNESS_EXPONENT * steepness).astype(np.float32),
        bark=float(edges[1] - edges[0]),
        interval_frames=max(2, round(INTERVAL_SECONDS * frame_rate)),
    )


def hz_to_bark(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return critical-band rates in Bark, by Traunmüller's formula."""
    frequency = np.asarray(hz, np.float64)
    return 26.81 * frequency / (1960 + frequency) - 0.53


def bark_to_hz(bark: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return frequencies in Hz; the inverse of `hz_to_bark`."""
    rate = np.asarray(bark, np.float64) + 0.53
    return 1960 * rate / (26.81 - rate)


def pesq_disturbance(clean_power: Tensor, denoised_power: Tensor, model: HearingModel) -> Tensor:
    """Return the disturbance of each clip, [batch]: 0 for equal spectra, larger is worse.

    Powers are [batch, n_frames, n_bins], at any level. 4.5 minus the disturbance is close to the
    raw PESQ score, before it is mapped to a mean opinion score.
    """
    clean = scale_to_playback(clean_power, model)
    denoised = scale_to_playback(denoised_power, model)
    frame_power = audible_power(clean, model, 1.0)[..., 0]
    frame_weight = ops.power(
        frame_power / LOUD_FRAME_POWER + MIN_RELATIVE_POWER, -LOUD_FRAME_EXPONENT
    )
    clean = clean * _frequency_response(clean, denoised, model)
    denoised = denoised * _frame_gain(clean, denoised, model)
    difference = _unmasked_difference(loudness(clean, model), loudness(denoised, model))
    difference = difference * model.bark
    mean_square = ops.mean(ops.square(difference), axis=-1)
    symmetric = ops.sqrt(mean_square + EPSILON) * len(model.threshold)
    asymmetric = ops.sum(ops.relu(difference) * _asymmetry_factor(clean, denoised), axis=-1)
    return sum(
        weight * _mean_over_time(frames * frame_weight, model)
        for weight, frames in ((SYMMETRIC_WEIGHT, symmetric), (ASYMMETRIC_WEIGHT, asymmetric))
    )


def scale_to_playback(power: Tensor, model: HearingModel) -> Tensor:
    """Return the power in each band, [batch, n_frames, n_bands], each clip at playback level."""
    level = ops.mean(ops.matmul(power, model.level_filterbank), axis=(1, 2), keepdims=True)
    return ops.matmul(power * (PLAYBACK_POWER / (level + EPSILON)), model.filterbank)


def audible_power(power: Tensor, model: HearingModel, threshold_ratio: float) -> Tensor:
    """Sum the power of the bands above `threshold_ratio` thresholds, [batch, n_frames, 1]."""
    return ops.sum(_above_threshold(power, model, threshold_ratio), axis=-1, keepdims=True)


def loudness(power: Tensor, model: HearingModel) -> Tensor:
    """Return Zwicker's specific loudness, in P.862's sones per Bark; 0 below the threshold."""
    ratio = ops.maximum(power / model.threshold, 1.0)
    scale = SONE_SCALE * power_of_constants(model.threshold / 0.5, model.exponent)
    return scale * (ops.power(0.5 + 0.5 * ratio, model.exponent) - 1)


def _above_threshold(power: Tensor, model: HearingModel, threshold_ratio: float) -> Tensor:
    return ops.where(power > threshold_ratio * model.threshold, power, ops.zeros_like(power))


def _frequency_response(clean: Tensor, denoised: Tensor, model: HearingModel) -> Tensor:
    """Return the constant response from clean to denoised speech, as power, [batch, 1, n_bands]."""
    is_active = ops.cast(
        audible_power(clean, model, ACTIVE_THRESHOLD_RATIO) > ACTIVE_POWER, "float32"
    )
    n_active = ops.sum(is_active, axis=1, keepdims=True) + EPSILON
    denoised_mean, clean_mean = (
        ops.sum(
            _above_threshold(power, model, ACTIVE_THRESHOLD_RATIO) * is_active,
            axis=1,
            keepdims=True,
        )
        / n_active
        for power in (denoised, clean)
    )
    response = (denoised_mean + RESPONSE_FLOOR) / (clean_mean + RESPONSE_FLOOR)
    return ops.clip(response, *RESPONSE_RANGE)


def _frame_gain(clean: Tensor, denoised: Tensor, model: HearingModel) -> Tensor:
    """Return the gain that brings each denoised frame to the clean level, [batch, n_frames, 1]."""
    clean_audible, denoised_audible = (audible_power(x, model, 1.0) for x in (clean, denoised))
    gain = (clean_audible + GAIN_FLOOR) / (denoised_audible + GAIN_FLOOR)
    previous = ops.concatenate([gain[:, :1], gain[:, :-1]], axis=1)
    return ops.clip(GAIN_SMOOTHING * previous + (1 - GAIN_SMOOTHING) * gain, *GAIN_RANGE)


def _unmasked_difference(clean: Tensor, denoised: Tensor) -> Tensor:
    """Return the difference of loudness beyond what is masked; positive where sound was added."""
    difference = denoised - clean
    masked = MASKED_FRACTION * ops.minimum(clean, denoised)
    return ops.relu(difference - masked) - ops.relu(-difference - masked)


def _asymmetry_factor(clean: Tensor, denoised: Tensor) -> Tensor:
    """Return P.862's asymmetry factor of each band, for sound that was added."""
    ratio = ops.power((denoised + ASYMMETRY_FLOOR) / (clean + ASYMMETRY_FLOOR), ASYMMETRY_EXPONENT)
    lowest, highest = ASYMMETRY_RANGE
    return ops.where(ratio < lowest, ops.zeros_like(ratio), ops.minimum(ratio, highest))


def _mean_over_time(frames: Tensor, model: HearingModel) -> Tensor:
    """Average [batch, n_frames] over time, [batch].

    Within overlapping intervals of 0.32 s the mean is an L6 norm, over the intervals an L2 norm.
    """
    frames = ops.minimum(frames, MAX_DISTURBANCE)
    n_frames = frames.shape[1]
    length = min(model.interval_frames, n_frames)
    starts = range(0, max(1, n_frames - length // 2), max(1, length // 2))
    intervals = ops.stack(
        [
            ops.mean(
                (frames[:, start : start + length] + MIN_DISTURBANCE) ** INTERVAL_EXPONENT, axis=1
            )
            for start in starts
        ],
        axis=1,
    )
    return ops.sqrt(ops.mean(intervals ** (2 / INTERVAL_EXPONENT), axis=1))
