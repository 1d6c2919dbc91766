"""A spectrogram of at most a few hundred frames and bins, computed in constant memory."""

from typing import Any

import numpy as np

from denoise.dsp.audio import Waveform
from denoise.dsp.stft import stft_uncentred, window
from denoise.params import SpectrogramParams

STFT = SpectrogramParams(n_fft=512, hop_length=256, win_length=512)
MAX_COLUMNS = 400
BINS_PER_ROW = 2
N_ROWS = STFT.n_fft // 2 // BINS_PER_ROW  # without the bin at half the sample rate
MIN_POWER = 1e-12  # -120 dB
CHUNK_FRAMES = 1024


class SpectrogramPreview:
    """Average the power of frames into columns; merge columns in pairs when there are too many."""

    def __init__(self, sample_rate: int) -> None:
        """Start an empty spectrogram of audio at `sample_rate` Hz."""
        self._sample_rate = sample_rate
        self._n_samples = 0
        self._samples = np.zeros(STFT.n_fft // 2, np.float32)  # not yet in a frame
        self._frames_per_column = 1
        self._powers = np.zeros((0, N_ROWS))  # frames that do not fill a column yet
        self._columns = np.zeros((0, N_ROWS))

    def feed(self, samples: Waveform) -> None:
        """Add the next samples, float32 [n_samples]."""
        self._n_samples += len(samples)
        self._add_samples(samples)

    def flush(self) -> dict[str, Any]:
        """Return the spectrogram in dB of full scale, [n_frames, n_bins], and both axes."""
        self._add_samples(np.zeros(STFT.n_fft, np.float32))  # the last frame reaches past the end
        if len(self._powers):
            self._columns = np.vstack([self._columns, self._powers.mean(axis=0)])
        column_seconds = self._frames_per_column * STFT.hop_length / self._sample_rate
        seconds = np.arange(len(self._columns)) * column_seconds
        duration = self._n_samples / self._sample_rate
        n_columns = max(1, int(np.count_nonzero(seconds <= duration)))
        row_hz = BINS_PER_ROW * self._sample_rate / STFT.n_fft
        hz = (np.arange(N_ROWS) + 0.5 - 0.5 / BINS_PER_ROW) * row_hz
        db = 10 * np.log10(np.maximum(self._columns[:n_columns], MIN_POWER))
        return {
            "db": np.round(db, 1).tolist(),
            "seconds": np.round(seconds[:n_columns], 6).tolist(),
            "hz": np.round(hz, 3).tolist(),
            "sample_rate": self._sample_rate,
            "duration_seconds": duration,
        }

    def _add_samples(self, samples: Waveform) -> None:
        self._samples = np.concatenate([self._samples, samples])
        while (count := (len(self._samples) - STFT.n_fft) // STFT.hop_length + 1) > 0:
            count = min(count, CHUNK_FRAMES)
            self._add_frames(self._samples[: (count - 1) * STFT.hop_length + STFT.n_fft])
            self._samples = self._samples[count * STFT.hop_length :]

    def _add_frames(self, samples: Waveform) -> None:
        stft = stft_uncentred(samples, STFT)[:, :-1]
        full_scale = float(window(STFT).sum()) / 2  # the magnitude of a full-scale sine
        powers = np.square(np.abs(stft) / full_scale).reshape(len(stft), N_ROWS, BINS_PER_ROW)
        self._powers = np.vstack([self._powers, powers.max(axis=2)])
        self._fill_columns()

    def _fill_columns(self) -> None:
        """Average frames into columns, and merge columns while there are too many."""
        n_used = len(self._powers) // self._frames_per_column * self._frames_per_column
        columns = self._powers[:n_used].reshape(-1, self._frames_per_column, N_ROWS).mean(axis=1)
        self._powers = self._powers[n_used:]
        self._columns = np.vstack([self._columns, columns])
        while len(self._columns) >= MAX_COLUMNS:
            self._merge_pairs()

    def _merge_pairs(self) -> None:
        if len(self._columns) % 2:  # the last column has no partner: turn it back into frames
            frames = np.repeat(self._columns[-1:], self._frames_per_column, axis=0)
            self._powers = np.vstack([frames, self._powers])
            self._columns = self._columns[:-1]
        self._columns = self._columns.reshape(-1, 2, N_ROWS).mean(axis=1)
        self._frames_per_column *= 2
