"""How intelligible speech stays, as a loss can see it: ESTOI's measure on power spectra.

Jensen & Taal (2016), "An algorithm for predicting the intelligibility of speech masked by modulated
noise maskers". What differs: the spectra are those of training, not of 10 kHz audio, and nothing is
resynthesised, so that it costs next to nothing and has gradients.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from denoise.dsp.filterbank import Filterbank, rectangular_filterbank

FIRST_BAND_HZ = 150.0
BANDS = 15
SEGMENT_SECONDS = 0.384
SEGMENT_STRIDE = 4  # frames; neighbouring segments say nearly the same
SPEECH_RANGE = 1e-4  # 40 dB under the loudest frame there is no speech
EPSILON = 1e-7
Tensor = Any


def third_octave_filterbank(n_bins: int, sample_rate: int) -> Filterbank:
    """Return each bin's share in each third-octave band, float32 [n_bins, BANDS]."""
    edges_hz = FIRST_BAND_HZ * 2.0 ** (np.arange(-1, 2 * BANDS, 2) / 6)
    return rectangular_filterbank(edges_hz, n_bins, sample_rate)


def envelope_correlation(
    clean_power: Tensor, denoised_power: Tensor, bands: Tensor, frame_rate: float
) -> Tensor:
    """Return how alike the envelopes of clips are, from -1 to 1, [batch].

    Powers are [batch, n_frames, n_bins], those of clean speech about 1 on average; `bands` is what
    `third_octaves` gives. Frames where `clean_power` holds no speech are left out, as ESTOI does.
    """
    is_speech, into = _speech_frames(clean_power)
    n_frames = clean_power.shape[1]
    length = min(n_frames, round(SEGMENT_SECONDS * frame_rate))
    starts = np.arange(0, n_frames - length + 1, SEGMENT_STRIDE)
    n_speech = ops.sum(is_speech, axis=1, keepdims=True)
    # A clip with less speech than a segment still has one, the rest of it silence.
    counts = ops.cast((starts[None] + length <= n_speech) | (starts[None] == 0), "float32")
    parts = []
    for power in (clean_power, denoised_power):
        envelopes = ops.matmul(into, ops.sqrt(ops.matmul(power, bands) + EPSILON))
        segments = ops.stack([envelopes[:, s : s + length] for s in starts.tolist()], axis=1)
        parts.append(_normalise(_normalise(segments, axis=2), axis=3))
    correlations = ops.sum(parts[0] * parts[1], axis=(2, 3)) / length
    return ops.sum(correlations * counts, axis=1) / ops.sum(counts, axis=1)


def _speech_frames(clean_power: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1 for frames with speech, [batch, n_frames], and the matrix that moves them together.

    A product moves frames with the same bytes each time, which a gather's gradient might not.
    """
    loudness = ops.sum(clean_power, axis=-1)
    loudest = ops.max(loudness, axis=1, keepdims=True)
    is_speech = ops.cast(loudness > SPEECH_RANGE * loudest, "float32")
    position = ops.cast(ops.cumsum(is_speech, axis=1) - 1, "int32")
    into = tf.one_hot(position, clean_power.shape[1], axis=1) * is_speech[:, None, :]
    return is_speech, into


def _normalise(segments: Tensor, axis: int) -> Tensor:
    centred = segments - ops.mean(segments, axis=axis, keepdims=True)
    return centred / ops.sqrt(ops.sum(ops.square(centred), axis=axis, keepdims=True) + EPSILON)
