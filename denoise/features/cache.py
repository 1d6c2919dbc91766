"""Spectrogram caches on disk: a few large files, written and read as a stream.

A split has `<split>.clean.npy` and `<split>.noisy.npy`, float16 [n, n_frames, n_bins, 2] (real,
imaginary), with `copies` noisy rows for each clean one; `<split>.other.npy`, with each clean clip
in `n_others` other voices; and `<split>.words.npy`, with words that others say. Clips are
brought to one RMS first, so that float16 holds them with an error 66 dB below each bin.
"""

import csv
import math
import os
import tokenize
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import Waveform, rms
from denoise.dsp.stft import Stft, stft, to_real_imag
from denoise.errors import CorpusError, ParamsError
from denoise.params import SpectrogramParams

STORED = np.dtype("<f2")
MAX_STORED = 65504.0
STORED_RMS = 0.1
ROLES = ("clean", "noisy", "other", "words")
# each float16 as float32, by its bits: NumPy converts them one by one, five times as slowly
EXPANDED = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


class SpectrogramWriter:
    """Writes one .npy file row by row; the header is completed when the number is known."""

    def __init__(self, path: Path, row_shape: tuple[int, ...]) -> None:
        """Open `path` for rows of `row_shape`."""
        self._file: BinaryIO = path.open("wb")
        self._row_shape = row_shape
        self.n_rows = 0
        self._write_header()

    def _write_header(self) -> None:
        # NumPy leaves room in the header for the first axis to grow, so that it can be rewritten.
        shape = (self.n_rows, *self._row_shape)
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": STORED.str, "fortran_order": False, "shape": shape}
        )

    def append(self, spectrogram: Stft) -> None:
        """Add one row, complex64 [n_frames, n_bins]."""
        row = to_real_imag(spectrogram)
        if row.shape != self._row_shape:
            raise ValueError(f"A row of shape {row.shape} among rows of shape {self._row_shape}.")
        if (peak := np.abs(row).max()) > MAX_STORED:
            raise ParamsError(
                f"noise.snr_db: noise this loud reaches {peak:.0f} in a spectrogram; the cache "
                f"holds up to {MAX_STORED:.0f}. Raise it, or lower spectrogram.n_fft."
            )
        self._file.write(row.astype(STORED).tobytes())
        self.n_rows += 1

    def close(self) -> None:
        """Complete the header and close the file."""
        self._file.seek(0)
        self._write_header()
        self._file.close()


class SplitWriter:
    """Writes the spectrograms of one split: clean, noisy, in other voices, of other words."""

    def __init__(self, folder: Path, split: str, params: SpectrogramParams, n_frames: int) -> None:
        """Open the files in `folder`."""
        shape = (n_frames, params.n_bins, 2)
        self._params = params
        self._clean, self._noisy, self._other, self._oov = (
            SpectrogramWriter(_path(folder, split, role), shape) for role in ROLES
        )

    def append(
        self,
        clean: Waveform,
        noisy_versions: Sequence[Waveform],
        speed_perturbed: Sequence[Waveform] = (),
    ) -> None:
        """Add a clip, float32 [n_samples], its noisy twins at its gain, and it in other voices."""
        gain = _stored_gain(clean)
        self._clean.append(stft(clean * gain, self._params))
        for noisy in noisy_versions:
            self._noisy.append(stft(noisy * gain, self._params))
        for other in speed_perturbed:
            self._other.append(stft(other * _stored_gain(other), self._params))

    def append_oov(self, word: Waveform) -> None:
        """Add a word that is no clip of the manifest, float32 [n_samples]."""
        self._oov.append(stft(word * _stored_gain(word), self._params))

    def close(self) -> None:
        """Complete the files."""
        for writer in (self._clean, self._noisy, self._other, self._oov):
            writer.close()


def _stored_gain(waveform: Waveform) -> np.float32:
    return np.float32(STORED_RMS / rms(waveform))


def _path(folder: str | os.PathLike[str], split: str, role: str) -> Path:
    return Path(folder) / f"{split}.{role}.npy"


def read_noise_types(folder: str | os.PathLike[str], split: str) -> list[str]:
    """Return the kind of noise in each noisy row of a split, from the features' `index.csv`."""
    path = Path(folder) / "index.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [row["noise"] for row in csv.DictReader(file) if row["split"] == split]
    except FileNotFoundError:
        raise CorpusError(f"No index at {path}. Run dvc repro features.") from None


class _Rows:
    """One .npy file read by row, with no more memory than the rows asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb", buffering=0)
            np.lib.format.read_magic(self._file)
            self.shape, _, dtype = np.lib.format.read_array_header_1_0(self._file)
        except FileNotFoundError:
            raise CorpusError(f"No spectrograms at {path}. Run dvc repro features.") from None
        except (ValueError, tokenize.TokenError) as error:
            raise CorpusError(f"{path} is no spectrogram cache: {error}") from error
        self._start = self._file.tell()
        self._row_bytes = math.prod(self.shape[1:]) * STORED.itemsize
        expected = self._start + math.prod(self.shape) * STORED.itemsize
        if dtype != STORED or len(self.shape) != 4 or path.stat().st_size != expected:
            raise CorpusError(f"{path} is cut short or foreign. Run dvc repro --force features.")

    def read(self, rows: npt.NDArray[np.int64]) -> Stft:
        """Return complex64 [len(rows), n_frames, n_bins]."""
        stored = np.empty((len(rows), *self.shape[1:]), STORED)
        for row, into in zip(rows, stored, strict=True):
            self._file.seek(self._start + int(row) * self._row_bytes)
            if self._file.readinto(into.reshape(-1).view(np.uint8)) != self._row_bytes:
                raise CorpusError(f"{self._path} has no row {row}. Run dvc repro -f features.")
        return EXPANDED[stored.view(np.uint16)].view(np.complex64)[..., 0]

    def close(self) -> None:
        self._file.close()


class SpectrogramCache:
    """The spectrograms of one split, read by row."""

    def __init__(self, folder: str | os.PathLike[str], split: str) -> None:
        """Open a split; raises CorpusError for files that are missing, cut short or foreign."""
        self._clean, self._noisy, self._other, self._oov = (
            _Rows(_path(folder, split, role)) for role in ROLES
        )
        n_clips, *row_shape = self._clean.shape
        self.noisy_versions = self._noisy.shape[0] // max(1, n_clips)
        self.n_speeds = self._other.shape[0] // max(1, n_clips)
        self.n_oov = self._oov.shape[0]
        self.n_frames, self.n_bins = row_shape[:2]
        paired = [(n_clips * count, *row_shape) for count in (self.noisy_versions, self.n_speeds)]
        oov = (self.n_oov, *row_shape)
        found = [file.shape for file in (self._noisy, self._other, self._oov)]
        if found != [*paired, oov] or not self.noisy_versions:
            raise CorpusError(f"{folder}: {split} has unpaired rows. Run dvc repro -f features.")

    def __len__(self) -> int:
        """Count the noisy rows."""
        return int(self._noisy.shape[0])

    def noisy(self, rows: npt.NDArray[np.int64]) -> Stft:
        """Return the noisy spectrograms, complex64 [len(rows), n_frames, n_bins]."""
        return self._noisy.read(rows)

    def clean(self, rows: npt.NDArray[np.int64]) -> Stft:
        """Return the clean twins of noisy `rows`, complex64 [len(rows), n_frames, n_bins]."""
        return self._clean.read(rows // self.noisy_versions)

    def clean_at_speed(self, rows: npt.NDArray[np.int64], speeds: npt.NDArray[np.int64]) -> Stft:
        """Return `clean(rows)`, each in a voice: 0 is as recorded, 1 to `n_others` another."""
        spectrograms = np.empty((len(rows), self.n_frames, self.n_bins), np.complex64)
        is_own, clips = speeds == 0, rows // self.noisy_versions
        spectrograms[is_own] = self._clean.read(clips[is_own])
        speed_perturbed = clips * self.n_speeds + speeds - 1
        spectrograms[~is_own] = self._other.read(speed_perturbed[~is_own])
        return spectrograms

    def oov(self, numbers: npt.NDArray[np.int64]) -> Stft:
        """Return words by number, below `n_words`: complex64 [len(numbers), n_frames, n_bins]."""
        return self._oov.read(numbers)

    def close(self) -> None:
        """Close the files."""
        for file in (self._clean, self._noisy, self._other, self._oov):
            file.close()
