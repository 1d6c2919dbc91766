"""How bad a disturbance sounds, as a loss can see it: PESQ's model of hearing on power spectra.

ITU-T P.862 (2001) with the bandwidth of P.862.2 (2007). Both spectra become loudness in Bark bands,
after what a listener forgives is taken out: a colouring of the whole and a gain of each frame. What
is left apart counts, and what was added counts more than what was lost.

What differs: the spectra are those of training, the bands are spaced by Traunmüller's formula
(1990), the threshold in quiet is Terhardt's (1979), nothing is aligned in time and no frame is left
out. So it costs next to nothing and has gradients.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from denoise.dsp.filterbank import rectangular_filterbank

N_BANDS = 42
MIN_HZ, MAX_HZ = 60.0, 8000.0
HIGH_PASS_HZ = 100.0  # the slope of the wide-band input filter: under it little is heard
LEVEL_BAND_HZ = (350.0, 3250.0)  # where the level is taken
LEVEL = 10**8.5  # power there at playback, over that of 0 dB SPL
SONES = 0.187  # P.862's scale of loudness
LOUDNESS_POWER = 0.23
UNHEARD = 0.25  # of the lesser loudness: a difference that small is masked
ADDED_FLOOR = 50.0  # power under which a ratio of powers says little
ADDED_POWER = 1.2
ADDED_RANGE = (3.0, 12.0)  # a ratio under it does not count, one above it counts as this
ACTIVE = 1e7  # power of a frame of speech
CLEARLY_HEARD = 100.0  # over the threshold
COLOUR_FLOOR, COLOUR_RANGE = 1e3, (0.01, 100.0)
GAIN_FLOOR, GAIN_RANGE = 5e3, (3e-4, 5.0)
GAIN_INERTIA = 0.2  # of the frame before
LOUD_FRAME, LOUD_FRAME_POWER = 1e7, 0.04  # in loud frames a little less is noticed
QUIETEST_FRAME = 0.01  # of a loud one
WORST_FRAME = 45.0
SPAN_SECONDS = 0.32
SPAN_POWER = 6.0  # over the frames of a span, whose worst ones are remembered
SYMMETRIC_WEIGHT, ADDED_WEIGHT = 0.1, 0.0309  # P.862's
LEAST = 1e-3  # disturbance of a frame: its sixth power must not vanish in float32
EPSILON = 1e-8
Tensor = Any


@dataclass(frozen=True)
class HearingModel:
    """What hearing brings to a spectrum: bands and what each is sensitive to.

    `shares` is [n_bins, n_bands], `level_shares` is [n_bins, 1]; `threshold` in quiet (over 0 dB
    SPL) and `exponent` of loudness are [n_bands]. A band is `bark` wide; a span has `n_frames`.
    """

    split_shards: npt.NDArray[np.float32]
    level_shares: npt.NDArray[np.float32]
    threshold: npt.NDArray[np.float32]
    exponent: npt.NDArray[np.float32]
    bark: float
    n_frames: int


def make_hearing_model(n_bins: int, sample_rate: int, frame_rate: float) -> HearingModel:
    """Return the ear for spectra of `n_bins` bins up to the Nyquist frequency."""
    highest = min(MAX_HZ, sample_rate / 2)
    edges = np.linspace(bark_of(MIN_HZ), bark_of(highest), N_BANDS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    khz = hz_of(centres) / 1000
    in_quiet_db = 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
    # P.862 lets loudness grow faster with power in the lowest bands
    steeper = np.minimum(np.where(centres < 4, 6 / (centres + 2), 1), 2) ** 0.15
    hz = np.linspace(0, sample_rate / 2, n_bins)[:, None]
    passed = np.square(np.square(hz) / (np.square(hz) + HIGH_PASS_HZ**2))
    return HearingModel(
        split_shards=(rectangular_filterbank(hz_of(edges), n_bins, sample_rate) * passed).astype(
            np.float32
        ),
        level_shares=rectangular_filterbank(LEVEL_BAND_HZ, n_bins, sample_rate),
        threshold=(10 ** (in_quiet_db / 10)).astype(np.float32),
        exponent=(LOUDNESS_POWER * steeper).astype(np.float32),
        bark=float(edges[1] - edges[0]),
        n_frames=max(2, round(SPAN_SECONDS * frame_rate)),
    )


def bark_of(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return critical-band rates in Bark."""
    frequency = np.asarray(hz, np.float64)
    return 26.81 * frequency / (1960 + frequency) - 0.53


def hz_of(bark: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Undo `bark_of`."""
    rate = np.asarray(bark, np.float64) + 0.53
    return 1960 * rate / (26.81 - rate)


def pesq_disturbance(
    clean_power: Tensor, denoised_power: Tensor, hearing_model: HearingModel
) -> Tensor:
    """Return by how much clips sound worse than their clean twins, [batch].

    Powers are [batch, n_frames, n_bins]; their levels do not matter. 4.5 minus this is close to
    what PESQ finds before its last step, which maps it to a mean opinion.
    """
    clean = at_playback(clean_power, hearing_model)
    denoised = at_playback(denoised_power, hearing_model)
    power = heard(clean, hearing_model, 1.0)[..., 0]
    weight = ops.power(power / LOUD_FRAME + QUIETEST_FRAME, -LOUD_FRAME_POWER)
    clean = clean * _colour(clean, denoised, hearing_model)
    denoised = denoised * _frame_gain(clean, denoised, hearing_model)
    apart = (
        _apart(loudness(clean, hearing_model), loudness(denoised, hearing_model))
        * hearing_model.bark
    )
    mean_square = ops.mean(ops.square(apart), axis=-1)
    symmetric = ops.sqrt(mean_square + EPSILON) * len(hearing_model.threshold)
    added = ops.sum(ops.relu(apart) * _added_weight(clean, denoised), axis=-1)
    weighed = (SYMMETRIC_WEIGHT, symmetric), (ADDED_WEIGHT, added)
    return sum(share * _over_time(frames * weight, hearing_model) for share, frames in weighed)


def at_playback(power: Tensor, hearing_model: HearingModel) -> Tensor:
    """Return the power in each band, [batch, n_frames, n_bands], every clip as loud as another."""
    level = ops.mean(ops.matmul(power, hearing_model.level_shares), axis=(1, 2), keepdims=True)
    return ops.matmul(power * (LEVEL / (level + EPSILON)), hearing_model.split_shards)


def heard(power: Tensor, hearing_model: HearingModel, times_threshold: float) -> Tensor:
    """Sum the power of the bands that are above the threshold, [batch, n_frames, 1]."""
    return ops.sum(_above(power, hearing_model, times_threshold), axis=-1, keepdims=True)


def loudness(power: Tensor, hearing_model: HearingModel) -> Tensor:
    """Return Zwicker's specific loudness, in P.862's sones a Bark; 0 under the threshold."""
    over = ops.maximum(power / hearing_model.threshold, 1.0)
    in_quiet = SONES * (hearing_model.threshold / 0.5) ** hearing_model.exponent
    return in_quiet * (ops.power(0.5 + 0.5 * over, hearing_model.exponent) - 1)


def _above(power: Tensor, hearing_model: HearingModel, times_threshold: float) -> Tensor:
    return ops.where(
        power > times_threshold * hearing_model.threshold, power, ops.zeros_like(power)
    )


def _colour(clean: Tensor, denoised: Tensor, hearing_model: HearingModel) -> Tensor:
    """Return what colours the clean clip as the denoised one is on the whole, [batch, 1, bands]."""
    is_active = ops.cast(heard(clean, hearing_model, CLEARLY_HEARD) > ACTIVE, "float32")
    count = ops.sum(is_active, axis=1, keepdims=True) + EPSILON
    sums = [
        ops.sum(_above(power, hearing_model, CLEARLY_HEARD) * is_active, axis=1, keepdims=True)
        / count
        for power in (denoised, clean)
    ]
    return ops.clip((sums[0] + COLOUR_FLOOR) / (sums[1] + COLOUR_FLOOR), *COLOUR_RANGE)


def _frame_gain(clean: Tensor, denoised: Tensor, hearing_model: HearingModel) -> Tensor:
    """Return what brings each denoised frame to the level of the clean one, [batch, frames, 1]."""
    gain = (heard(clean, hearing_model, 1.0) + GAIN_FLOOR) / (
        heard(denoised, hearing_model, 1.0) + GAIN_FLOOR
    )
    before = ops.concatenate([gain[:, :1], gain[:, :-1]], axis=1)
    return ops.clip(GAIN_INERTIA * before + (1 - GAIN_INERTIA) * gain, *GAIN_RANGE)


def _apart(clean: Tensor, denoised: Tensor) -> Tensor:
    """Return the difference of loudness beyond what is masked; above 0 where some was added."""
    difference = denoised - clean
    masked = UNHEARD * ops.minimum(clean, denoised)
    return ops.relu(difference - masked) - ops.relu(-difference - masked)


def _added_weight(clean: Tensor, denoised: Tensor) -> Tensor:
    ratio = ops.power((denoised + ADDED_FLOOR) / (clean + ADDED_FLOOR), ADDED_POWER)
    lowest, highest = ADDED_RANGE
    return ops.where(ratio < lowest, ops.zeros_like(ratio), ops.minimum(ratio, highest))


def _over_time(frames: Tensor, hearing_model: HearingModel) -> Tensor:
    """Return the mean of [batch, n_frames] to which bad spans add most, and in each its worst."""
    frames = ops.minimum(frames, WORST_FRAME)
    n_frames = frames.shape[1]
    length = min(hearing_model.n_frames, n_frames)
    starts = range(0, max(1, n_frames - length // 2), max(1, length // 2))
    spans = ops.stack(
        [
            ops.mean((frames[:, start : start + length] + LEAST) ** SPAN_POWER, axis=1)
            for start in starts
        ],
        axis=1,
    )
    return ops.sqrt(ops.mean(spans ** (2 / SPAN_POWER), axis=1))
