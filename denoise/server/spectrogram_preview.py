"""A spectrogram of any length, of at most a few hundred frames and bins, in flat memory."""

from typing import Any

import numpy as np

from denoise.dsp.audio import Waveform
from denoise.dsp.stft import stft_uncentred, window
from denoise.params import SpectrogramParams

FORM = SpectrogramParams(n_fft=512, hop_length=256, win_length=512)
MAX_COLUMNS = 400
BINS_A_ROW = 2
N_ROWS = FORM.n_fft // 2 // BINS_A_ROW  # the bin at half the rate is left out
FLOOR = 1e-12  # -120 dB
CHUNK_FRAMES = 1024


class SpectrogramPreview:
    """Adds up power by column; when there are too many columns, two become one."""

    def __init__(self, sample_rate: int) -> None:
        """Start before the first sample."""
        self._sample_rate = sample_rate
        self._n_samples = 0
        self._samples = np.zeros(FORM.n_fft // 2, np.float32)
        self._a_column = 1  # frames
        self._powers = np.zeros((0, N_ROWS))  # by frame, until they fill a column
        self._columns = np.zeros((0, N_ROWS))

    def feed(self, samples: Waveform) -> None:
        """Take float32 [n_samples]."""
        self._n_samples += len(samples)
        self._take(samples)

    def flush(self) -> dict[str, Any]:
        """Return the spectrogram: dB of full scale, [n_frames, n_bins], and both axes."""
        self._take(np.zeros(FORM.n_fft, np.float32))  # the last frame reaches beyond the end
        if len(self._powers):
            self._columns = np.vstack([self._columns, self._powers.mean(axis=0)])
        spacing = self._a_column * FORM.hop_length / self._sample_rate
        seconds = np.arange(len(self._columns)) * spacing
        duration = self._n_samples / self._sample_rate
        shown = max(1, int(np.count_nonzero(seconds <= duration)))
        width = BINS_A_ROW * self._sample_rate / FORM.n_fft
        hz = (np.arange(N_ROWS) + 0.5 - 0.5 / BINS_A_ROW) * width
        db = 10 * np.log10(np.maximum(self._columns[:shown], FLOOR))
        return {
            "db": np.round(db, 1).tolist(),
            "seconds": np.round(seconds[:shown], 6).tolist(),
            "hz": np.round(hz, 3).tolist(),
            "sample_rate": self._sample_rate,
            "duration_seconds": duration,
        }

    def _take(self, samples: Waveform) -> None:
        self._samples = np.concatenate([self._samples, samples])
        while (count := (len(self._samples) - FORM.n_fft) // FORM.hop_length + 1) > 0:
            count = min(count, CHUNK_FRAMES)
            self._add(self._samples[: (count - 1) * FORM.hop_length + FORM.n_fft])
            self._samples = self._samples[count * FORM.hop_length :]

    def _add(self, samples: Waveform) -> None:
        stft = stft_uncentred(samples, FORM)[:, :-1]
        full_scale = float(window(FORM).sum()) / 2  # what a full-scale sine gives
        powers = np.square(np.abs(stft) / full_scale).reshape(len(stft), N_ROWS, BINS_A_ROW)
        self._powers = np.vstack([self._powers, powers.max(axis=2)])
        self._gather()

    def _gather(self) -> None:
        """Make columns out of the frames so far, and fewer of them where there are too many."""
        whole = len(self._powers) // self._a_column * self._a_column
        ready = self._powers[:whole].reshape(-1, self._a_column, N_ROWS).mean(axis=1)
        self._powers = self._powers[whole:]
        self._columns = np.vstack([self._columns, ready])
        while len(self._columns) >= MAX_COLUMNS:
            self._merge()

    def _merge(self) -> None:
        if len(self._columns) % 2:  # an odd one goes back among the frames
            again = np.repeat(self._columns[-1:], self._a_column, axis=0)
            self._powers = np.vstack([again, self._powers])
            self._columns = self._columns[:-1]
        self._columns = self._columns.reshape(-1, 2, N_ROWS).mean(axis=1)
        self._a_column *= 2
