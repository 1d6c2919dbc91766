"""Waveforms to the bytes of WAV files."""

import io

import numpy as np
import soundfile

from denoise.dsp.audio import Waveform


def encode_wav(waveform: Waveform, sample_rate: int, bits: int) -> bytes:
    """Return float32 [n_samples] or [n_samples, n_channels] as PCM WAV of 16 or 24 bits a sample.

    What lies beyond full scale is clipped.
    """
    # libsndfile would scale by 2**15 - 1, where it divides by 2**15 on reading: not the same sound.
    full = 2.0 ** (bits - 1)
    samples = np.clip(np.rint(waveform * full), -full, full - 1).astype(np.int32) << (32 - bits)
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, f"PCM_{bits}", format="WAV")
    return file.getvalue()
