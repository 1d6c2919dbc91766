"""Batches: mixed anew at the SNR that was drawn, and determined by seed, epoch and number."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.dsp.stft import count_frames, stft
from denoise.features.cache import SpectrogramCache, SplitWriter, make_clip_rows, make_row
from denoise.noise.mixing import energy, roll_time
from denoise.params import SpectrogramParams
from denoise.params_file import parse_params
from denoise.training.augmentation import (
    CLEAN_SNR_DB,
    Augmentation,
    band_limit,
    draw_snr_db,
    mix_at_snr,
    random_crop,
    random_eq,
    reverse_time,
)
from denoise.training.data import BatchSource, to_network_input

PARAMS = SpectrogramParams(n_fft=32, hop_length=16, win_length=32)
N_SAMPLES = 100
SNR_DB = (-5.0, 15.0)
AUGMENTATION = Augmentation(SNR_DB, clean_probability=0.0, random_eq_db=0.0)
WHITE = ["white"] * 14


def spectrograms(seed: int, batch: int = 6, level: float = 1.0) -> np.ndarray:
    parts = np.random.default_rng(seed).standard_normal((batch, 7, 9, 2), dtype=np.float32)
    return level * parts.view(np.complex64)[..., 0]


def snr_db_of(clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    squares = [np.sum(np.abs(s.astype(complex)) ** 2, axis=(1, 2)) for s in (clean, noisy - clean)]
    return 10 * np.log10(squares[0] / squares[1])


def is_rolled(candidate: np.ndarray, original: np.ndarray, atol: float = 0) -> bool:
    shifts = range(len(original))
    return any(np.allclose(np.roll(original, s, 0), candidate, 0, atol) for s in shifts)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> SpectrogramCache:
    """Return seven clips with two noisy versions each."""
    folder = tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(0)
    writer = SplitWriter(folder, "train", PARAMS, count_frames(N_SAMPLES, PARAMS))
    for _ in range(7):
        clean, *noise = rng.standard_normal((3, N_SAMPLES), dtype=np.float32)
        writer.append(make_clip_rows(clean, [clean + n for n in noise], [], PARAMS))
    writer.close()
    return SpectrogramCache(folder, "train")


@given(
    seed=st.integers(0, 999),
    wanted=st.lists(st.floats(-30, 30, width=32), min_size=6, max_size=6),
    level=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_mixing_gives_the_requested_snr(seed: int, wanted: list[float], level: float) -> None:
    clean, noise = spectrograms(seed), spectrograms(seed + 1, level=level)
    noisy = mix_at_snr(clean, noise, np.array(wanted, np.float32))
    assert (noisy.dtype, noisy.shape) == (np.complex64, clean.shape)
    np.testing.assert_allclose(snr_db_of(clean, noisy), wanted, atol=0.01)


def test_snrs_are_uniform_in_their_range() -> None:
    snr_db = draw_snr_db(np.random.default_rng(0), 2000, AUGMENTATION)
    assert SNR_DB[0] <= snr_db.min() and snr_db.max() <= SNR_DB[1]
    np.testing.assert_allclose(np.histogram(snr_db, 10, SNR_DB)[0], 200, atol=60)


def test_a_share_of_the_pairs_is_nearly_clean() -> None:
    snr_db = draw_snr_db(
        np.random.default_rng(0),
        2000,
        Augmentation(SNR_DB, clean_probability=0.25, random_eq_db=0.0),
    )
    assert np.mean(snr_db == CLEAN_SNR_DB) == pytest.approx(0.25, abs=0.04)


def test_mixing_with_silence_returns_the_clean_speech() -> None:
    clean = spectrograms(0)
    noisy = mix_at_snr(clean, np.zeros_like(clean), np.zeros(len(clean), np.float32))
    np.testing.assert_array_equal(noisy, clean)


def test_silence_stays_silent() -> None:
    silent = np.zeros_like(spectrograms(0))
    assert not mix_at_snr(silent, spectrograms(1), np.zeros(len(silent), np.float32)).any()


def loud_at(starts: list[int], length: int = 20, n_loud: int = 6) -> np.ndarray:
    """Return circular clips that are quiet except for `n_loud` frames from each start."""
    clean = np.full((len(starts), length, 3), 1e-3, np.complex64)
    for clip, start in zip(clean, starts, strict=True):
        clip[(start + np.arange(n_loud)) % length] = 1
    return clean


def test_a_crop_holds_the_loudest_part_and_the_same_frames_of_both() -> None:
    clean = loud_at([0, 7, 17])
    noisy = clean + 1j * np.arange(20, dtype=np.float32)[None, :, None]
    kept = set()
    for seed in range(40):
        noisy_crop, clean_crop = random_crop(noisy, clean, 10, np.random.default_rng(seed))
        assert noisy_crop.shape == clean_crop.shape == (3, 10, 3)
        np.testing.assert_array_equal(noisy_crop.real, clean_crop.real)
        frames = noisy_crop.imag[..., 0].astype(int)
        assert (np.diff(frames, axis=1) % 20 == 1).all()
        assert (
            (clean_crop[..., 0].real > 0.5).sum(axis=1) >= 4
        ).all()  # the jitter may cut off two
        kept |= {int(number) for number in frames[1]}
    assert kept >= set(range(5, 15))


@pytest.mark.parametrize("n_frames", [20, 21, 10**6])
def test_a_crop_as_long_as_the_clip_is_the_clip(n_frames: int) -> None:
    clean = loud_at([3])
    assert random_crop(clean, clean, n_frames, np.random.default_rng(0)) == (clean, clean)


def test_crop_seconds_and_dynamic_mixing_come_from_the_params(tree: dict) -> None:
    tree["train"]["crop_seconds"] = 0.5
    found = Augmentation.from_params(parse_params(tree))
    assert found is not None and found.n_frames == round(0.5 * 22050 / 384)
    tree["train"]["dynamic_mixing"] = False
    assert Augmentation.from_params(parse_params(tree)) is None


def test_a_share_of_the_pairs_is_band_limited_noisy_and_clean_alike() -> None:
    noisy, clean = np.ones((400, 3, 200), np.complex64), np.full((400, 3, 200), 2j, np.complex64)
    limited_noisy, limited_clean = band_limit(noisy, clean, 0.25, np.random.default_rng(0))
    gains = limited_noisy.real
    assert gains.dtype == np.float32
    np.testing.assert_array_equal(limited_clean, 2j * gains)
    np.testing.assert_array_equal(gains, np.broadcast_to(gains[:, :1], gains.shape))
    cutoffs = (gains[:, 0] == 1).sum(axis=1) - 1  # the last bin that is unchanged
    is_limited = cutoffs < 199
    assert is_limited.mean() == pytest.approx(0.25, abs=0.06)
    assert cutoffs.min() < 70 and cutoffs[is_limited].max() > 180
    for gain, last in zip(gains[is_limited, 0], cutoffs[is_limited], strict=True):
        assert (gain[: last + 1] == 1).all() and (np.diff(gain) <= 0).all()
        assert not gain[round(1.05 * last) + 1 :].any()


def test_energy_is_the_sum_of_the_squares() -> None:
    batch = spectrograms(3)
    assert energy(batch).shape == (6, 1, 1)
    np.testing.assert_allclose(energy(batch)[:, 0, 0], (np.abs(batch) ** 2).sum((1, 2)), rtol=1e-5)


@given(seed=st.integers(0, 999))
def test_rolling_only_rotates_each_spectrogram_in_time(seed: int) -> None:
    before = spectrograms(seed)
    after = roll_time(before, np.random.default_rng(seed))
    assert all(is_rolled(a, b) for a, b in zip(after, before, strict=True))


def test_rolling_uses_every_offset() -> None:
    before = np.tile(np.arange(7, dtype=np.complex64)[:, None], (700, 1, 1))
    firsts = Counter(roll_time(before, np.random.default_rng(0))[:, 0, 0].real.tolist())
    assert set(firsts) == set(range(7))
    assert min(firsts.values()) > 60


@given(seed=st.integers(0, 999), depth_db=st.sampled_from([0.0, 6.0, 20.0]))
def test_random_eq_applies_one_gain_to_a_bin_in_all_frames(seed: int, depth_db: float) -> None:
    before = spectrograms(seed)
    gain = random_eq(before, depth_db, np.random.default_rng(seed)) / before
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:, :1], gain.shape), rtol=1e-4)
    gain_db = 20 * np.log10(np.abs(gain))
    assert np.abs(gain_db).max() <= 2.5 * depth_db + 1e-4
    if depth_db:
        assert gain_db.std(axis=0).max() > depth_db / 3  # the clips differ
        assert np.ptp(gain_db, axis=2).max() > depth_db / 2


def test_random_eq_applies_to_the_clean_target_too(cache: SpectrogramCache) -> None:
    source = BatchSource(cache, WHITE, 14, seed=5)
    plain, equalised = (
        source.shuffled(0, 0, Augmentation(SNR_DB, 0.0, depth_db)) for depth_db in (0.0, 12.0)
    )
    gain = equalised[1] / plain[1]
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:, :1], gain.shape), rtol=1e-3)
    assert np.ptp(np.abs(gain), axis=2).min() > 0.1
    snr_db = snr_db_of(equalised[1], equalised[0])
    np.testing.assert_allclose(snr_db, snr_db_of(plain[1], plain[0]), atol=0.01)


def test_network_input_holds_real_and_imaginary_parts() -> None:
    noisy, clean = spectrograms(0), spectrograms(1)
    stft, pair = to_network_input(noisy, clean)
    for parts, whole in ((stft, noisy), (pair[0], noisy), (pair[1], clean)):
        assert parts.dtype == np.float32
        np.testing.assert_array_equal(parts, np.stack([whole.real, whole.imag], -1))


@pytest.mark.parametrize("batch_size", [1, 4, 5, 14, 100])
def test_an_epoch_has_each_row_once_and_the_last_batch_may_be_smaller(
    cache: SpectrogramCache, batch_size: int
) -> None:
    source = BatchSource(cache, WHITE, batch_size, seed=3)
    rows = np.arange(14)
    expected = Counter(pair_bytes(cache.noisy(rows), cache.clean(rows)))
    for batches in (
        [source.cached(number) for number in range(len(source))],
        [source.shuffled(2, number, None) for number in range(len(source))],
    ):
        assert [len(noisy) for noisy, _ in batches[:-1]] == [batch_size] * (len(source) - 1)
        assert 0 < len(batches[-1][0]) <= batch_size
        assert Counter(b for noisy, clean in batches for b in pair_bytes(noisy, clean)) == expected


def pair_bytes(noisy: np.ndarray, clean: np.ndarray) -> list[bytes]:
    return [n.tobytes() + c.tobytes() for n, c in zip(noisy, clean, strict=True)]


def test_cached_batches_are_in_cached_order(cache: SpectrogramCache) -> None:
    noisy, clean = BatchSource(cache, WHITE, 4, seed=3).cached(2)
    np.testing.assert_array_equal(noisy, cache.noisy(np.arange(8, 12)))
    np.testing.assert_array_equal(clean, cache.clean(np.arange(8, 12)))


def test_the_noisy_half_is_read_without_the_clean_one(
    cache: SpectrogramCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = BatchSource(cache, WHITE, 4, seed=3)
    both = [source.cached(number) for number in range(len(source))]
    monkeypatch.delattr(SpectrogramCache, "clean")
    for number, (noisy, _) in enumerate(both):
        np.testing.assert_array_equal(source.noisy(number), noisy)


@pytest.mark.parametrize("augmentation", [None, AUGMENTATION])
def test_a_batch_depends_on_seed_epoch_and_number_alone(
    cache: SpectrogramCache, augmentation: Augmentation | None
) -> None:
    def batch(seed: int, epoch: int, number: int) -> list[bytes]:
        return pair_bytes(*BatchSource(cache, WHITE, 5, seed).shuffled(epoch, number, augmentation))

    source = BatchSource(cache, WHITE, 5, 1)
    later = source.shuffled(3, 2, augmentation)
    first = pair_bytes(*source.shuffled(3, 1, augmentation))
    assert pair_bytes(*later) == batch(1, 3, 2)
    assert first == batch(1, 3, 1)
    assert all(batch(*other) != first for other in ((2, 3, 1), (1, 4, 1), (1, 3, 2)))


def test_dynamic_mixing_uses_the_noise_of_another_clip_at_the_right_snr(
    cache: SpectrogramCache,
) -> None:
    rows = np.arange(14)
    noises, cleans = cache.noisy(rows) - cache.clean(rows), cache.clean(rows)
    own = others = 0
    source = BatchSource(cache, WHITE, 7, seed=5)
    for noisy, clean in (source.shuffled(epoch, 0, AUGMENTATION) for epoch in range(12)):
        snr_db = snr_db_of(clean, noisy)
        assert (snr_db > SNR_DB[0] - 0.01).all() and (snr_db < SNR_DB[1] + 0.01).all()
        for one_noisy, one_clean in zip(noisy, clean, strict=True):
            clean_rows = [row for row in rows if is_rolled(one_clean, cleans[row])]
            assert len(clean_rows) == 2  # both noisy versions of one clip
            unit = (one_noisy - one_clean) / np.sqrt(energy((one_noisy - one_clean)[None])[0])
            units = noises / np.sqrt(energy(noises))
            noise_rows = [row for row in rows if is_rolled(unit, units[row], 1e-5)]
            assert len(noise_rows) == 1
            is_own = noise_rows[0] in clean_rows
            own, others = own + is_own, others + (not is_own)
    assert others > 3 * own


@pytest.mark.parametrize(("noise_type", "n_speeds"), [("white", 3), ("babble", 1), ("speech", 1)])
def test_a_clip_has_all_speeds_but_its_own_among_other_voices(
    tmp_path: Path, noise_type: str, n_speeds: int
) -> None:
    rng = np.random.default_rng(0)
    writer = SplitWriter(tmp_path, "train", PARAMS, count_frames(N_SAMPLES, PARAMS))
    clean, *others = rng.standard_normal((3, N_SAMPLES), dtype=np.float32)
    for _ in range(2):
        writer.append(make_clip_rows(clean, [clean + others[0]], others, PARAMS))
    writer.close()
    cache = SpectrogramCache(tmp_path, "train")
    speeds = [cache.clean_at_speed(np.array([0]), np.array([speed]))[0] for speed in range(3)]
    source = BatchSource(cache, [noise_type] * 2, 2, seed=1)
    drawn = [s for epoch in range(8) for s in source.shuffled(epoch, 0, AUGMENTATION)[1]]
    matches = [[is_rolled(s, speed, 1e-6) for speed in speeds] for s in drawn]
    assert [sum(row) for row in matches] == [1] * 16
    assert np.any(matches, axis=0).tolist() == [speed < n_speeds for speed in range(3)]


def test_time_reversal_gives_the_spectrogram_of_the_reversed_waveform() -> None:
    waveforms = np.random.default_rng(0).standard_normal((40, 6 * 16 - 1), dtype=np.float32)
    forward, backward = (  # a leading 0 puts the middle of the waveform in the middle of a frame
        np.stack([stft(np.append(np.float32(0), samples), PARAMS) for samples in some])
        for some in (waveforms, waveforms[:, ::-1])
    )
    result = reverse_time(forward, 0.4, np.random.default_rng(1))
    pairs = zip(result, backward, strict=True)
    is_reversed = np.array([np.allclose(one, other, atol=1e-5) for one, other in pairs])
    assert 0.2 < is_reversed.mean() < 0.6
    np.testing.assert_array_equal(result[~is_reversed], forward[~is_reversed])


@pytest.mark.parametrize("noise_type", ["white", "babble", "speech"])
def test_oov_speech_takes_its_share_of_target_and_noise(
    tmp_path: Path, noise_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    writer = SplitWriter(tmp_path, "train", PARAMS, count_frames(N_SAMPLES, PARAMS))
    for _ in range(6):
        clean, noise, oov_clip = rng.standard_normal((3, N_SAMPLES), dtype=np.float32)
        writer.append(make_clip_rows(clean, [clean + noise], [], PARAMS))
        writer.append_oov(make_row(oov_clip, PARAMS))
    writer.close()
    cache = SpectrogramCache(tmp_path, "train")
    oov = cache.oov(np.arange(6))
    forward = cache.clean(np.arange(6)), oov
    pools = *forward, *(np.conj(pool[:, ::-1]) for pool in forward)
    source = BatchSource(cache, [noise_type] * 6, 6, seed=1)
    augmentation = replace(AUGMENTATION, oov_probability=0.4, time_reversal_probability=0.5)

    def shares(drawn: list[np.ndarray]) -> np.ndarray:
        found = [[any(is_rolled(s, one, 1e-6) for one in pool) for pool in pools] for s in drawn]
        assert [sum(row) for row in found] == [1] * len(drawn)
        return np.mean(found, axis=0)

    pairs = [source.shuffled(epoch, 0, augmentation) for epoch in range(30)]
    of_target = shares([s for _, clean in pairs for s in clean])
    np.testing.assert_allclose(of_target, [0.3, 0.2, 0.3, 0.2], atol=0.1)
    if noise_type == "speech":
        monkeypatch.setattr("denoise.noise.mixing.energy", lambda spectrograms: np.float32(1))
        monkeypatch.setattr("denoise.training.data.mix_at_snr", lambda clean, noise, snr_db: noise)
        of_noise = shares(
            [s for epoch in range(30) for s in source.shuffled(epoch, 0, augmentation)[0]]
        )
        np.testing.assert_allclose(of_noise, [0.3, 0.2, 0.3, 0.2], atol=0.1)


@pytest.mark.parametrize("noise_type", ["white", "babble"])
def test_speech_of_a_corpus_without_oov_speech_is_never_reversed(
    cache: SpectrogramCache, noise_type: str
) -> None:
    source = BatchSource(cache, [noise_type] * 14, 7, seed=1)
    reversed_ = source.shuffled(
        2, 1, replace(AUGMENTATION, oov_probability=0.5, time_reversal_probability=0.9)
    )
    assert pair_bytes(*reversed_) == pair_bytes(*source.shuffled(2, 1, AUGMENTATION))


@pytest.fixture
def drawn_noise(cache: SpectrogramCache, monkeypatch: pytest.MonkeyPatch):
    """Return a function that returns the noise of three epochs, for a noise type."""

    def draw(noise_type: str, augmentation: Augmentation = AUGMENTATION) -> list[np.ndarray]:
        monkeypatch.setattr("denoise.training.data.mix_at_snr", lambda clean, noise, snr_db: noise)
        source = BatchSource(cache, [noise_type] * 14, 14, seed=5)
        return [noise for epoch in range(3) for noise in source.shuffled(epoch, 0, augmentation)[0]]

    return draw


def test_speech_noise_is_drawn_from_the_clean_clips(cache: SpectrogramCache, drawn_noise) -> None:
    clean = cache.clean(np.arange(14))
    units = clean / np.sqrt(energy(clean))
    noises = drawn_noise("speech")
    assert all(any(is_rolled(noise, unit, 1e-5) for unit in units) for noise in noises)
    assert len({noise.tobytes() for noise in noises}) > 20


def test_babble_is_four_to_eight_clips_at_once(drawn_noise) -> None:
    noises = np.stack(drawn_noise("babble"))
    assert len({noise.tobytes() for noise in noises}) == len(noises)
    assert 4 < energy(noises).mean() < 8  # the clips are uncorrelated: their energies add up


def test_each_voice_of_the_noise_has_its_own_frequency_response(
    cache: SpectrogramCache, drawn_noise
) -> None:
    clips = [np.roll(clip, shift, 0) for clip in cache.clean(np.arange(14)) for shift in range(8)]
    gains = []
    for noise in drawn_noise("speech", Augmentation(SNR_DB, 0.0, random_eq_db=12.0)):
        ratios = [np.abs(noise / clip) for clip in clips]
        steady = [r[0] for r in ratios if np.ptp(r, axis=0).max() < 1e-3 * r.max()]
        gains.append(
            steady[0]
        )  # there is one: every voice is some clip, equalised alike throughout
    assert np.ptp(gains, axis=1).min() > 0.1
    assert np.ptp(np.array(gains) / np.mean(gains, axis=1)[:, None], axis=0).max() > 0.5


def test_no_two_draws_share_a_generator(
    cache: SpectrogramCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seeds = np.random.default_rng, []

    def collect(seed: list[int]) -> np.random.Generator:
        seeds.append(seed)
        return real(seed)

    monkeypatch.setattr(np.random, "default_rng", collect)
    source = BatchSource(cache, WHITE[:7] + ["babble"] * 7, 5, seed=7)
    for epoch in range(3):
        for number in range(len(source)):
            source.shuffled(epoch, number, AUGMENTATION)
    streams = {tuple(np.random.SeedSequence(s).generate_state(4)) for s in seeds}
    assert len(streams) == 3 + 3 * 3  # an order an epoch, the draws of a batch
