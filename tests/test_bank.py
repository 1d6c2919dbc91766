"""Waveform banks: what is written is read back, by row and by part."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.errors import CorpusError
from denoise.features.bank import Bank, BankWriter

LENGTHS = (400, 1, 777)


def waveform(seed: int, n_samples: int, level: float = 0.1) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal(n_samples)
    return (level * drawn).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a bank of three rows of two groups."""
    writer = BankWriter(tmp_path, "train")
    for row, n_samples in enumerate(LENGTHS):
        writer.append(waveform(row, n_samples), group=row // 2)
    writer.close()
    return tmp_path


def test_rows_are_read_at_full_scale(folder: Path) -> None:
    bank = Bank(folder, "train")
    assert len(bank) == 3 and list(bank.groups) == [0, 0, 1]
    for row, n_samples in enumerate(LENGTHS):
        original = waveform(row, n_samples)
        read = bank.read(row)
        assert read.dtype == np.float32 and bank.n_samples(row) == n_samples
        np.testing.assert_allclose(read, original / np.abs(original).max(), atol=0.51 / 32767)


@given(offset=st.integers(0, 776), n_samples=st.integers(1, 2000))
def test_a_part_of_a_row_ends_with_the_row(offset: int, n_samples: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        writer = BankWriter(Path(name), "x")
        for row, length in enumerate(LENGTHS):
            writer.append(waveform(row, length), 0)
        writer.close()
        bank = Bank(name, "x")
        expected = bank.read(2)[offset : offset + n_samples]
        np.testing.assert_array_equal(bank.read(2, offset, n_samples), expected)


def test_a_bank_may_be_empty(tmp_path: Path) -> None:
    BankWriter(tmp_path, "noise").close()
    bank = Bank(tmp_path, "noise")
    assert len(bank) == 0 and list(bank.groups) == []


def test_a_silent_row_is_refused(tmp_path: Path) -> None:
    writer = BankWriter(tmp_path, "x")
    for silent in (np.zeros(9, np.float32), np.zeros(0, np.float32)):
        with pytest.raises(ValueError, match="must not be silent"):
            writer.append(silent, 0)


def test_the_same_rows_give_the_same_bytes(folder: Path, tmp_path_factory) -> None:
    again = tmp_path_factory.mktemp("again")
    writer = BankWriter(again, "train")
    for row, n_samples in enumerate(LENGTHS):
        writer.append(waveform(row, n_samples), row // 2)
    writer.close()
    for name in ("train.samples.npy", "train.rows.npy"):
        assert (folder / name).read_bytes() == (again / name).read_bytes()


def test_a_missing_bank_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"No bank at .*x\.samples\.npy\. Run dvc repro features"):
        Bank(tmp_path, "x")


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
@pytest.mark.parametrize("name", ["train.samples.npy", "train.rows.npy"])
def test_a_foreign_file_is_an_error(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(CorpusError, match="Run dvc repro --force features"):
        Bank(folder, "train")


def test_a_bank_that_is_cut_short_is_an_error(folder: Path) -> None:
    path = folder / "train.samples.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorpusError, match="Run dvc repro --force features"):
        Bank(folder, "train")


def test_samples_of_another_bank_are_an_error(folder: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("other")
    writer = BankWriter(other, "train")
    writer.append(waveform(5, 99), 0)
    writer.close()
    (folder / "train.rows.npy").write_bytes((other / "train.rows.npy").read_bytes())
    with pytest.raises(CorpusError, match=r"does not fit train\.rows\.npy"):
        Bank(folder, "train")
