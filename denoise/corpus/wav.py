"""Encode waveforms as the bytes of WAV files."""

import io

import numpy as np
import soundfile

from denoise.dsp.audio import Waveform


def encode_wav(waveform: Waveform, sample_rate: int, bits: int) -> bytes:
    """Return float32 [n_samples] or [n_samples, n_channels] as PCM WAV.

    `bits` is 16 or 24 per sample. Samples outside [-1, 1) are clipped.
    """
    # Decoding divides by 2**(bits - 1), but libsndfile would multiply by 2**(bits - 1) - 1 here,
    # and the samples would change. So they are scaled and rounded before they are passed on.
    full_scale = 2.0 ** (bits - 1)
    samples = np.clip(np.rint(waveform * full_scale), -full_scale, full_scale - 1)
    shifted = samples.astype(np.int32) << (32 - bits)
    file = io.BytesIO()
    soundfile.write(file, shifted, sample_rate, f"PCM_{bits}", format="WAV")
    return file.getvalue()
