"""A differentiable model of ESTOI, the extended short-time objective intelligibility.

Jensen & Taal (2016), "An algorithm for predicting the intelligibility of speech masked by modulated
noise maskers". Unlike the published measure, it takes the training's own power spectra, not
spectra of 10 kHz audio, and reconstructs no waveform. It costs little for that reason.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from denoise.dsp.filterbank import Filterbank, rectangular_filterbank
from denoise.params_file import ESTOI_SEGMENT_SECONDS

FIRST_BAND_HZ = 150.0
N_BANDS = 15
SEGMENT_STRIDE = 4  # frames between segments; neighbouring segments are nearly the same
SPEECH_RANGE = 1e-4  # frames more than 40 dB below the loudest hold no speech
EPSILON = 1e-7
Tensor = Any


def third_octave_filterbank(n_bins: int, sample_rate: int) -> Filterbank:
    """Return ESTOI's third-octave bands, float32 [n_bins, N_BANDS]."""
    edges_hz = FIRST_BAND_HZ * 2.0 ** (np.arange(-1, 2 * N_BANDS, 2) / 6)
    return rectangular_filterbank(edges_hz, n_bins, sample_rate)


def envelope_correlation(
    clean_power: Tensor, denoised_power: Tensor, filterbank: Tensor, frame_rate: float
) -> Tensor:
    """Return the correlation of the band envelopes of clips, from -1 to 1, [batch].

    Powers are [batch, n_frames, n_bins], about 1 on average for clean speech; `filterbank` comes
    from `third_octave_filterbank`. Frames without speech in `clean_power` are removed, as in ESTOI.
    """
    is_speech, compaction = _speech_frames(clean_power)
    n_frames = clean_power.shape[1]
    length = min(n_frames, round(ESTOI_SEGMENT_SECONDS * frame_rate))
    starts = np.arange(0, n_frames - length + 1, SEGMENT_STRIDE)
    n_speech = ops.sum(is_speech, axis=1, keepdims=True)
    # A clip with less speech than one segment keeps its first segment, padded with silence.
    is_used = ops.cast((starts[None] + length <= n_speech) | (starts[None] == 0), "float32")
    normalised = []
    for power in (clean_power, denoised_power):
        envelopes = ops.matmul(compaction, ops.sqrt(ops.matmul(power, filterbank) + EPSILON))
        segments = ops.stack([envelopes[:, s : s + length] for s in starts.tolist()], axis=1)
        normalised.append(_normalise(_normalise(segments, axis=2), axis=3))
    correlations = ops.sum(normalised[0] * normalised[1], axis=(2, 3)) / length
    return ops.sum(correlations * is_used, axis=1) / ops.sum(is_used, axis=1)


def _speech_frames(clean_power: Tensor) -> tuple[Tensor, Tensor]:
    """Return which frames hold speech, 1 or 0, [batch, n_frames], and a matrix.

    The matrix is [batch, n_frames, n_frames]; its product with [batch, n_frames, n_bands] moves
    these frames to the front and sets the others to 0. A matrix product gives the same bytes every
    time, which the gradient of a gather might not.
    """
    frame_power = ops.sum(clean_power, axis=-1)
    loudest = ops.max(frame_power, axis=1, keepdims=True)
    is_speech = ops.cast(frame_power > SPEECH_RANGE * loudest, "float32")
    position = ops.cast(ops.cumsum(is_speech, axis=1) - 1, "int32")
    compaction = tf.one_hot(position, clean_power.shape[1], axis=1) * is_speech[:, None, :]
    return is_speech, compaction


def _normalise(segments: Tensor, axis: int) -> Tensor:
    """Remove the mean along an axis and scale to a norm of 1."""
    centred = segments - ops.mean(segments, axis=axis, keepdims=True)
    return centred / ops.sqrt(ops.sum(ops.square(centred), axis=axis, keepdims=True) + EPSILON)
