"""Spectrogram caches: what is written is read, in memory that does not grow."""

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.dsp.audio import rms
from denoise.dsp.stft import count_frames, stft
from denoise.errors import CorpusError, ParamsError
from denoise.features.cache import (
    STORED_RMS,
    SpectrogramCache,
    SpectrogramWriter,
    SplitWriter,
    make_clip_rows,
    make_row,
    to_stored,
)
from denoise.params import SpectrogramParams

PARAMS = SpectrogramParams(n_fft=64, hop_length=32, win_length=64)
N_SAMPLES = 333
VERSIONS = 3
OPEN_FILES = Path("/proc/self/fd")


def waveform(seed: int, level: float = 0.1, n_samples: int = N_SAMPLES) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal(n_samples)
    return (level * drawn).astype(np.float32)


def write_split(folder: Path, clips: int, count: int = VERSIONS, level: float = 0.1) -> Path:
    """Write the `train` split, whose noisy row r has the seed 1000 + r and whose clean row c, c."""
    writer = SplitWriter(folder, "train", PARAMS, count_frames(N_SAMPLES, PARAMS))
    for clip in range(clips):
        noisy_versions = [waveform(1000 + clip * count + version) for version in range(count)]
        writer.append(make_clip_rows(waveform(clip, level), noisy_versions, [], PARAMS))
    writer.close()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_split(tmp_path, 4)


def within_float16(read: np.ndarray, exact: np.ndarray) -> bool:
    pairs = [(read.real, exact.real), (read.imag, exact.imag)]
    return all((np.abs(r - e) <= 2**-11 * np.abs(e) + 2**-25).all() for r, e in pairs)


@pytest.mark.parametrize("level", [1e-4, 0.1, 30])
def test_what_is_written_is_read_at_one_level(tmp_path: Path, level: float) -> None:
    cache = SpectrogramCache(write_split(tmp_path, 4, level=level), "train")
    rows = np.array([7, 0, 11, 7])
    noisy, clean = cache.noisy(rows), cache.clean(rows)
    assert noisy.dtype == clean.dtype == np.complex64
    assert noisy.shape == clean.shape == (4, cache.n_frames, cache.n_bins) == (4, 12, 33)
    for row, noisy_row, clean_row in zip(rows, noisy, clean, strict=True):
        original = waveform(row // VERSIONS, level)
        gain = np.float32(STORED_RMS / rms(original))
        assert within_float16(clean_row, stft(gain * original, PARAMS))
        assert within_float16(noisy_row, stft(gain * waveform(1000 + row), PARAMS))


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="needs Linux' list of open files")
def test_no_file_stays_open(tmp_path: Path) -> None:
    folder = write_split(tmp_path, 4)
    before = set(OPEN_FILES.iterdir())
    cache = SpectrogramCache(folder, "train")
    cache.noisy(np.array([1, 0]))
    assert set(OPEN_FILES.iterdir()) <= before


def test_a_clip_is_read_at_the_requested_speed(tmp_path: Path) -> None:
    writer = SplitWriter(tmp_path, "train", PARAMS, count_frames(N_SAMPLES, PARAMS))
    for clip in range(3):
        others = [waveform(100 * (voice + 1) + clip, level=3.0) for voice in range(2)]
        noisy = [waveform(50 + clip)] * VERSIONS
        writer.append(make_clip_rows(waveform(clip), noisy, others, PARAMS))
    writer.close()
    cache = SpectrogramCache(tmp_path, "train")
    assert (len(cache), cache.noisy_versions, cache.n_speeds) == (9, VERSIONS, 2)
    rows, voices = np.array([8, 0, 4, 5]), np.array([2, 1, 0, 2])
    read = cache.clean_at_speed(rows, voices)
    for row, voice, spectrogram in zip(rows, voices, read, strict=True):
        original = waveform(100 * voice + row // VERSIONS)
        gain = np.float32(STORED_RMS / rms(original))
        np.testing.assert_allclose(spectrogram, stft(gain * original, PARAMS), atol=1e-3)
    np.testing.assert_array_equal(cache.clean_at_speed(rows, 0 * voices), cache.clean(rows))


def test_oov_clips_are_read_by_their_rows(tmp_path: Path) -> None:
    writer = SplitWriter(tmp_path, "train", PARAMS, count_frames(N_SAMPLES, PARAMS))
    for number in range(4):
        writer.append_oov(make_row(waveform(number, level=3.0), PARAMS))
    writer.append(make_clip_rows(waveform(9), [waveform(8)], [], PARAMS))
    writer.close()
    cache = SpectrogramCache(tmp_path, "train")
    assert (len(cache), cache.n_oov) == (1, 4)
    for number, read in zip((3, 0, 3), cache.oov(np.array([3, 0, 3])), strict=True):
        gain = np.float32(STORED_RMS / rms(waveform(number)))
        np.testing.assert_allclose(read, stft(gain * waveform(number), PARAMS), atol=1e-3)


def test_the_size_is_the_number_of_noisy_rows(folder: Path) -> None:
    cache = SpectrogramCache(folder, "train")
    assert (len(cache), cache.noisy_versions) == (12, 3)


def test_the_same_clips_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    for path in (first, second):
        path.mkdir()
        write_split(path, 3)
    assert len(list(first.iterdir())) == 4
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


@pytest.mark.parametrize("n_rows", [0, 1, 9, 10, 99, 100, 9999, 10_000])
def test_numpy_reads_the_file_whatever_the_number_of_rows(tmp_path: Path, n_rows: int) -> None:
    path = tmp_path / "rows.npy"
    writer = SpectrogramWriter(path, (1, 1, 2))
    for row in range(n_rows):
        writer.append(to_stored(np.full((1, 1), row % 2000 - 1j, np.complex64)))
    writer.close()
    read = np.load(path)
    assert (read.dtype, read.shape) == (np.float16, (n_rows, 1, 1, 2))
    np.testing.assert_array_equal(read[:, 0, 0, 0], np.arange(n_rows) % 2000)
    assert (read[..., 1] == -1).all()


@given(part=st.floats(0, 1, exclude_max=True))
@pytest.mark.parametrize("role", ["clean", "noisy"])
def test_a_file_cut_short_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, role: str, part: float
) -> None:
    folder = write_split(tmp_path_factory.getbasetemp(), 1)
    path = folder / f"train.{role}.npy"
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(CorpusError, match=rf"train\.{role}\.npy is (truncated|no spectrogram)"):
        SpectrogramCache(folder, "train")


@given(place=st.integers(0, 127), value=st.integers(0, 255))
def test_a_damaged_header_is_an_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    folder = write_split(tmp_path_factory.getbasetemp(), 1)
    path = folder / "train.noisy.npy"
    content = bytearray(path.read_bytes())
    content[place] = value
    path.write_bytes(content)
    try:
        cache = SpectrogramCache(folder, "train")
    except CorpusError:
        return
    assert cache.noisy(np.arange(3)).shape == (3, 12, 33)


def test_a_file_that_was_never_finished_is_an_error(tmp_path: Path) -> None:
    row = stft(waveform(0), PARAMS)
    for role in ("clean", "noisy"):
        writer = SpectrogramWriter(tmp_path / f"train.{role}.npy", (*row.shape, 2))
        writer.append(to_stored(row))
        writer._file.flush()
    with pytest.raises(CorpusError, match="truncated"):
        SpectrogramCache(tmp_path, "train")


def saved(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs",
        saved(np.zeros((12, 12, 33, 2), np.float32)),
        saved(np.zeros((12, 12, 33, 2), ">f2")),
        saved(np.zeros(12, np.float16)),
        saved(np.zeros((), np.float16)),
        saved(np.zeros((12, 12, 33, 2), np.float16), (2, 0)),
        saved(np.zeros((11, 12, 33, 2), np.float16)),
        saved(np.zeros((0, 12, 33, 2), np.float16)),
        saved(np.zeros((2, 12, 33, 2), np.float16)),
        saved(np.zeros((12, 11, 33, 2), np.float16)),
    ],
)
def test_a_foreign_file_is_an_error(folder: Path, content: bytes) -> None:
    (folder / "train.noisy.npy").write_bytes(content)
    with pytest.raises(CorpusError, match=str(folder)):
        SpectrogramCache(folder, "train")


def test_a_split_without_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="unpaired"):
        SpectrogramCache(write_split(tmp_path, 0), "train")


def test_missing_spectrograms_say_what_to_run(folder: Path) -> None:
    with pytest.raises(CorpusError, match=r"validation\.clean\.npy\. Run dvc repro features"):
        SpectrogramCache(folder, "validation")


def test_a_row_that_is_not_there_is_an_error(folder: Path) -> None:
    cache = SpectrogramCache(folder, "train")
    for read in (cache.noisy, cache.clean):
        with pytest.raises(CorpusError, match="has no row"):
            read(np.array([0, 12]))


def test_a_row_of_another_shape_is_an_error(tmp_path: Path) -> None:
    writer = SplitWriter(tmp_path, "train", PARAMS, count_frames(N_SAMPLES, PARAMS))
    with pytest.raises(ValueError, match=r"shape \(14, 33, 2\) among rows of shape \(12, 33, 2\)"):
        writer.append(make_clip_rows(waveform(0, n_samples=400), [], [], PARAMS))
    writer.close()


def test_more_noise_than_the_cache_can_hold_is_an_error_that_names_the_key() -> None:
    hum = np.sin(np.arange(N_SAMPLES) * 2 * np.pi / 8).astype(np.float32)
    rows = make_clip_rows(waveform(0), [4e3 * hum], [], PARAMS)
    assert np.isfinite(rows.noisy[0]).all()
    with pytest.raises(ParamsError, match=r"noise\.snr_db: .* holds up to 65504"):
        make_clip_rows(waveform(0), [5e3 * hum], [], PARAMS)


def peak_of(action: Callable[[], object]) -> int:
    tracemalloc.start()
    action()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path: Path) -> None:
    write_split(tmp_path, 2)  # what is made once, such as the window
    few = peak_of(lambda: write_split(tmp_path, 40))
    many = peak_of(lambda: write_split(tmp_path, 400))
    assert (tmp_path / "train.noisy.npy").stat().st_size > 1_500_000
    assert many < few + 20_000

    def read() -> None:
        cache = SpectrogramCache(tmp_path, "train")
        for start in range(0, len(cache), 4):
            cache.noisy(np.arange(start, start + 4))

    assert peak_of(read) < 200_000
