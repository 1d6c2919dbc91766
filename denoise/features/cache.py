"""The spectrogram cache: a few large files per split, written and read row by row.

Each file is float16 [n_rows, n_frames, n_bins, 2], the real and imaginary parts of an STFT:

- `<split>.clean.npy`: the clean clips;
- `<split>.noisy.npy`: `noisy_versions` rows for each clean one;
- `<split>.speed.npy`: each clean clip at the other speeds, `n_speeds` rows for each clean one;
- `<split>.oov.npy`: out-of-vocabulary speech, `n_oov` rows.

Every clip is scaled to one RMS before it is stored, so float16's rounding error lies 66 dB below
each bin.
"""

import csv
import math
import os
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from denoise.dsp.audio import Waveform, rms
from denoise.dsp.stft import Stft, stft, to_real_imag
from denoise.errors import CorpusError, ParamsError
from denoise.params import SpectrogramParams

Rows = npt.NDArray[np.int64]
StoredRow = npt.NDArray[np.float16]
"""A spectrogram as it is stored, float16 [n_frames, n_bins, 2]."""

STORED = np.dtype("<f2")
MAX_STORED = 65504.0
STORED_RMS = 0.1
ROLES = ("clean", "noisy", "speed", "oov")
# Every float16 as a float32, indexed by its bits: five times as fast as NumPy's own conversion.
FLOAT32_OF_BITS = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


def to_stored(spectrogram: Stft) -> StoredRow:
    """Return a spectrogram, complex64 [n_frames, n_bins], as it is stored.

    Raises ParamsError for values that float16 cannot hold.
    """
    row = to_real_imag(spectrogram)
    if (peak := np.abs(row).max()) > MAX_STORED:
        raise ParamsError(
            f"noise.snr_db: noise this loud reaches {peak:.0f} in a spectrogram; the cache "
            f"holds up to {MAX_STORED:.0f}. Raise noise.snr_db, or lower spectrogram.n_fft."
        )
    return row.astype(STORED)


class SpectrogramWriter:
    """Writes one .npy file row by row; the header is rewritten once the number of rows is known."""

    def __init__(self, path: Path, row_shape: tuple[int, ...]) -> None:
        """Open `path` for rows of `row_shape`."""
        self._file: BinaryIO = path.open("wb")
        self._row_shape = row_shape
        self.n_rows = 0
        self._write_header()

    def _write_header(self) -> None:
        # NumPy pads the header so that the first axis can grow, and it can be rewritten in place.
        shape = (self.n_rows, *self._row_shape)
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": STORED.str, "fortran_order": False, "shape": shape}
        )

    def append(self, row: StoredRow) -> None:
        """Add one row, which `to_stored` returned."""
        if row.shape != self._row_shape:
            raise ValueError(f"A row of shape {row.shape} among rows of shape {self._row_shape}.")
        self._file.write(row.tobytes())
        self.n_rows += 1

    def close(self) -> None:
        """Complete the header and close the file."""
        self._file.seek(0)
        self._write_header()
        self._file.close()


@dataclass(frozen=True)
class ClipRows:
    """All rows of a clip."""

    clean: StoredRow
    noisy: list[StoredRow]
    speed: list[StoredRow]


def make_clip_rows(
    clean: Waveform,
    noisy_versions: Sequence[Waveform],
    other_speeds: Sequence[Waveform],
    params: SpectrogramParams,
) -> ClipRows:
    """Return the rows of a clip, float32 [n_samples], its noisy versions, and it at other speeds.

    Noisy versions keep their level relative to the clean clip. Raises ParamsError for values that
    float16 cannot hold.
    """
    gain = _storage_gain(clean)
    return ClipRows(
        to_stored(stft(clean * gain, params)),
        [to_stored(stft(noisy * gain, params)) for noisy in noisy_versions],
        [make_row(clip, params) for clip in other_speeds],
    )


def make_row(clip: Waveform, params: SpectrogramParams) -> StoredRow:
    """Return the row of a clip on its own, float32 [n_samples]."""
    return to_stored(stft(clip * _storage_gain(clip), params))


class SplitWriter:
    """Writes the four files of one split."""

    def __init__(self, folder: Path, split: str, params: SpectrogramParams, n_frames: int) -> None:
        """Open the files in `folder`."""
        shape = (n_frames, params.n_bins, 2)
        self._clean, self._noisy, self._speed, self._oov = (
            SpectrogramWriter(_path(folder, split, role), shape) for role in ROLES
        )

    def append(self, rows: ClipRows) -> None:
        """Add a clip."""
        self._clean.append(rows.clean)
        for noisy in rows.noisy:
            self._noisy.append(noisy)
        for clip in rows.speed:
            self._speed.append(clip)

    def append_oov(self, row: StoredRow) -> None:
        """Add a clip of out-of-vocabulary speech."""
        self._oov.append(row)

    def close(self) -> None:
        """Complete the files."""
        for writer in (self._clean, self._noisy, self._speed, self._oov):
            writer.close()


def _storage_gain(waveform: Waveform) -> np.float32:
    return np.float32(STORED_RMS / rms(waveform))


def _path(folder: str | os.PathLike[str], split: str, role: str) -> Path:
    return Path(folder) / f"{split}.{role}.npy"


def read_noise_types(folder: str | os.PathLike[str], split: str) -> list[str]:
    """Return the noise type of each noisy row of a split, from the features' `index.csv`."""
    path = Path(folder) / "index.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [row["noise"] for row in csv.DictReader(file) if row["split"] == split]
    except FileNotFoundError:
        raise CorpusError(f"No index at {path}. Run dvc repro features.") from None


class _RowFile:
    """One .npy file of which only the rows that are needed are read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb", buffering=0) as file:
                np.lib.format.read_magic(file)
                self.shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                self._start = file.tell()
        except FileNotFoundError:
            raise CorpusError(f"No spectrograms at {path}. Run dvc repro features.") from None
        except (ValueError, tokenize.TokenError) as error:
            raise CorpusError(f"{path} is no spectrogram cache: {error}") from error
        self._row_bytes = math.prod(self.shape[1:]) * STORED.itemsize
        expected = self._start + math.prod(self.shape) * STORED.itemsize
        if dtype != STORED or len(self.shape) != 4 or path.stat().st_size != expected:
            raise CorpusError(
                f"{path} is truncated or not a spectrogram cache. Run dvc repro --force features."
            )

    def read(self, rows: Rows) -> Stft:
        """Return complex64 [len(rows), n_frames, n_bins]."""
        stored = np.empty((len(rows), *self.shape[1:]), STORED)
        with self._path.open("rb", buffering=0) as file:
            for row, buffer in zip(rows, stored, strict=True):
                file.seek(self._start + int(row) * self._row_bytes)
                if file.readinto(buffer.reshape(-1).view(np.uint8)) != self._row_bytes:
                    raise CorpusError(f"{self._path} has no row {row}. Run dvc repro -f features.")
        return FLOAT32_OF_BITS[stored.view(np.uint16)].view(np.complex64)[..., 0]


class SpectrogramCache:
    """The spectrograms of one split, read by row; `rows` below are noisy rows."""

    def __init__(self, folder: str | os.PathLike[str], split: str) -> None:
        """Open a split; raises CorpusError for files that are missing, cut short or foreign."""
        self._clean, self._noisy, self._speed, self._oov = (
            _RowFile(_path(folder, split, role)) for role in ROLES
        )
        n_clips, *row_shape = self._clean.shape
        self.noisy_versions = self._noisy.shape[0] // max(1, n_clips)
        self.n_speeds = self._speed.shape[0] // max(1, n_clips)
        self.n_oov = self._oov.shape[0]
        self.n_frames, self.n_bins = row_shape[:2]
        expected = [
            (n_rows, *row_shape)
            for n_rows in (n_clips * self.noisy_versions, n_clips * self.n_speeds, self.n_oov)
        ]
        found = [file.shape for file in (self._noisy, self._speed, self._oov)]
        if found != expected or not self.noisy_versions:
            raise CorpusError(f"{folder}: {split} has unpaired rows. Run dvc repro -f features.")

    def __len__(self) -> int:
        """Return the number of noisy rows."""
        return int(self._noisy.shape[0])

    def noisy(self, rows: Rows) -> Stft:
        """Return the noisy spectrograms, complex64 [len(rows), n_frames, n_bins]."""
        return self._noisy.read(rows)

    def clean(self, rows: Rows) -> Stft:
        """Return the clean spectrograms of noisy rows, complex64 [len(rows), n_frames, n_bins]."""
        return self._clean.read(rows // self.noisy_versions)

    def clean_at_speed(self, rows: Rows, speeds: Rows) -> Stft:
        """Return `clean(rows)`, each at a speed: 0 is the recording, 1 to `n_speeds` the others."""
        spectrograms = np.empty((len(rows), self.n_frames, self.n_bins), np.complex64)
        is_original, clips = speeds == 0, rows // self.noisy_versions
        spectrograms[is_original] = self._clean.read(clips[is_original])
        speed_rows = clips * self.n_speeds + speeds - 1
        spectrograms[~is_original] = self._speed.read(speed_rows[~is_original])
        return spectrograms

    def oov(self, rows: Rows) -> Stft:
        """Return OOV clips by row, below `n_oov`: complex64 [len(rows), n_frames, n_bins]."""
        return self._oov.read(rows)
