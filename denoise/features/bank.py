"""The waveform bank: utterances of any length as one int16 array, read row by row.

A bank `NAME` has two files: `NAME.samples.npy`, int16 [n_samples], with all rows one after another,
and `NAME.rows.npy`, int64 [n_rows, 3], with the first sample, the end and the group of each row.
The group is the speaker or the recording that a row belongs to, by number. Each row is scaled to
full scale, so levels are not kept, and its rounding error lies about 98 dB below its peak.

A spectrogram cache holds every clip at one length, with the noise it was mixed with. A bank holds
each sample once, in a tenth of the space for a second of speech, and noise is mixed in training.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from denoise.dsp.audio import Waveform
from denoise.errors import CorpusError

STORED = np.dtype("<i2")
FULL_SCALE = np.float32(32767)


class BankWriter:
    """Writes a bank row by row; the header is rewritten once the number of samples is known."""

    def __init__(self, folder: Path, name: str) -> None:
        """Open the bank `name` in `folder`."""
        self._paths = _paths(folder, name)
        self._file: BinaryIO = self._paths[0].open("wb")
        self._rows: list[tuple[int, int, int]] = []
        self._write_header()

    def _write_header(self) -> None:
        # NumPy pads the header so that the axis can grow, and it can be rewritten in place.
        shape = (self._rows[-1][1] if self._rows else 0,)
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": STORED.str, "fortran_order": False, "shape": shape}
        )

    @property
    def n_rows(self) -> int:
        """The number of rows so far."""
        return len(self._rows)

    def append(self, waveform: Waveform, group: int) -> None:
        """Add a row, float32 [n_samples]; raises ValueError where it is silent or empty."""
        peak = np.abs(waveform).max(initial=0)
        if not peak > 0:
            raise ValueError("A row of a bank must not be silent.")
        start = self._rows[-1][1] if self._rows else 0
        scaled = np.rint(waveform * (FULL_SCALE / peak)).astype(STORED)
        self._file.write(scaled.tobytes())
        self._rows.append((start, start + len(waveform), group))

    def close(self) -> None:
        """Complete the header and write the rows."""
        self._file.seek(0)
        self._write_header()
        self._file.close()
        np.save(self._paths[1], np.array(self._rows, np.int64).reshape(-1, 3))


class Bank:
    """A bank opened for reading; rows are read from disk when they are asked for."""

    def __init__(self, folder: str | os.PathLike[str], name: str) -> None:
        """Open the bank; raises CorpusError for files that are missing, cut short or foreign."""
        paths = _paths(Path(folder), name)
        try:
            self._samples = np.load(paths[0], mmap_mode="r")
            self._rows = np.load(paths[1])
        except FileNotFoundError as error:
            raise CorpusError(f"No bank at {error.filename}. Run dvc repro features.") from None
        except (ValueError, EOFError, OSError) as error:
            raise CorpusError(
                f"{paths[0]} is no waveform bank ({error}). Run dvc repro --force features."
            ) from error
        ends = self._rows[:, 1] if self._rows.ndim == 2 else np.array([-1])
        expected = int(ends[-1]) if len(ends) else 0
        if self._samples.dtype != STORED or self._samples.shape != (expected,):
            raise CorpusError(
                f"{paths[0]} does not fit {paths[1].name}. Run dvc repro --force features."
            )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def n_samples(self, row: int) -> int:
        """Return the length of a row."""
        start, end, _ = self._rows[row]
        return int(end - start)

    @property
    def groups(self) -> Sequence[int]:
        """The group of each row."""
        groups: list[int] = self._rows[:, 2].tolist()
        return groups

    def read(self, row: int, offset: int = 0, n_samples: int | None = None) -> Waveform:
        """Return a row, or `n_samples` of it from `offset` on: float32, full scale is 1."""
        start, end, _ = self._rows[row]
        first = start + offset
        last = end if n_samples is None else min(end, first + n_samples)
        return self._samples[first:last].astype(np.float32) / FULL_SCALE


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.samples.npy", folder / f"{name}.rows.npy"
