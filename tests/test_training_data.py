"""Batches: fresh pairs at the SNR that is asked for, the same for the same seed, epoch, number."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.dsp.stft import count_frames, stft
from denoise.features.cache import SpectrogramCache, SplitWriter
from denoise.params import SpectrogramParams
from denoise.params_file import parse_params
from denoise.training.augmentation import (
    CLEAN_SNR_DB,
    Augmentation,
    band_limit,
    draw_snr_db,
    energy,
    mix_at_snr,
    random_crop,
    random_eq,
    reverse_time,
    roll_time,
)
from denoise.training.data import BatchSource, to_network_input

PARAMS = SpectrogramParams(n_fft=32, hop_length=16, win_length=32)
N_SAMPLES = 100
SNR_DB = (-5.0, 15.0)
REMIXING = Augmentation(SNR_DB, clean_probability=0.0, random_eq_db=0.0)
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
    """Return seven clips with two noisy twins each."""
    folder = tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(0)
    writer = SplitWriter(folder, "train", PARAMS, count_frames(N_SAMPLES, PARAMS))
    for _ in range(7):
        clean, *noise = rng.standard_normal((3, N_SAMPLES), dtype=np.float32)
        writer.append(clean, [clean + n for n in noise])
    writer.close()
    return SpectrogramCache(folder, "train")


@given(
    seed=st.integers(0, 999),
    wanted=st.lists(st.floats(-30, 30, width=32), min_size=6, max_size=6),
    level=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_remixing_gives_the_snr_asked_for(seed: int, wanted: list[float], level: float) -> None:
    clean, noise = spectrograms(seed), spectrograms(seed + 1, level=level)
    noisy = mix_at_snr(clean, noise, np.array(wanted, np.float32))
    assert (noisy.dtype, noisy.shape) == (np.complex64, clean.shape)
    np.testing.assert_allclose(snr_db_of(clean, noisy), wanted, atol=0.01)


def test_every_snr_of_the_range_is_drawn_alike() -> None:
    snr_db = draw_snr_db(np.random.default_rng(0), 2000, REMIXING)
    assert SNR_DB[0] <= snr_db.min() and snr_db.max() <= SNR_DB[1]
    np.testing.assert_allclose(np.histogram(snr_db, 10, SNR_DB)[0], 200, atol=60)


def test_a_share_is_left_next_to_untouched() -> None:
    snr_db = draw_snr_db(
        np.random.default_rng(0),
        2000,
        Augmentation(SNR_DB, clean_probability=0.25, random_eq_db=0.0),
    )
    assert np.mean(snr_db == CLEAN_SNR_DB) == pytest.approx(0.25, abs=0.04)


def test_remixing_with_silence_leaves_the_clean() -> None:
    clean = spectrograms(0)
    noisy = mix_at_snr(clean, np.zeros_like(clean), np.zeros(len(clean), np.float32))
    np.testing.assert_array_equal(noisy, clean)


def test_silence_stays_silent() -> None:
    silent = np.zeros_like(spectrograms(0))
    assert not mix_at_snr(silent, spectrograms(1), np.zeros(len(silent), np.float32)).any()


def spoken_at(starts: list[int], length: int = 20, spoken: int = 6) -> np.ndarray:
    """Return clips that are faint but for `spoken` frames from each start, around their ends."""
    clean = np.full((len(starts), length, 3), 1e-3, np.complex64)
    for clip, start in zip(clean, starts, strict=True):
        clip[(start + np.arange(spoken)) % length] = 1
    return clean


def test_an_excerpt_holds_what_is_said_and_the_same_frames_of_both() -> None:
    clean = spoken_at([0, 7, 17])
    noisy = clean + 1j * np.arange(20, dtype=np.float32)[None, :, None]
    kept = set()
    for seed in range(40):
        some_noisy, some_clean = random_crop(noisy, clean, 10, np.random.default_rng(seed))
        assert some_noisy.shape == some_clean.shape == (3, 10, 3)
        np.testing.assert_array_equal(some_noisy.real, some_clean.real)
        frames = some_noisy.imag[..., 0].astype(int)
        assert (np.diff(frames, axis=1) % 20 == 1).all()
        assert ((some_clean[..., 0].real > 0.5).sum(axis=1) >= 4).all()  # two may be cut off
        kept |= {int(number) for number in frames[1]}
    assert kept >= set(range(5, 15))


@pytest.mark.parametrize("n_frames", [20, 21, 10**6])
def test_an_excerpt_as_long_as_the_clip_is_the_clip(n_frames: int) -> None:
    clean = spoken_at([3])
    assert random_crop(clean, clean, n_frames, np.random.default_rng(0)) == (clean, clean)


def test_params_say_how_many_frames_are_kept(tree: dict) -> None:
    tree["train"]["crop_seconds"] = 0.5
    found = Augmentation.of(parse_params(tree))
    assert found is not None and found.n_frames == round(0.5 * 22050 / 384)
    tree["train"]["dynamic_mixing"] = False
    assert Augmentation.of(parse_params(tree)) is None


def test_a_share_of_the_pairs_is_narrowed_both_of_a_pair_alike() -> None:
    noisy, clean = np.ones((400, 3, 200), np.complex64), np.full((400, 3, 200), 2j, np.complex64)
    narrow_noisy, narrow_clean = band_limit(noisy, clean, 0.25, np.random.default_rng(0))
    gains = narrow_noisy.real
    assert gains.dtype == np.float32
    np.testing.assert_array_equal(narrow_clean, 2j * gains)
    np.testing.assert_array_equal(gains, np.broadcast_to(gains[:, :1], gains.shape))
    lasts = (gains[:, 0] == 1).sum(axis=1) - 1  # the last bin that is left as it was
    is_narrow = lasts < 199
    assert is_narrow.mean() == pytest.approx(0.25, abs=0.06)
    assert lasts.min() < 70 and lasts[is_narrow].max() > 180
    for gain, last in zip(gains[is_narrow, 0], lasts[is_narrow], strict=True):
        assert (gain[: last + 1] == 1).all() and (np.diff(gain) <= 0).all()
        assert not gain[round(1.05 * last) + 1 :].any()


def test_energy_is_the_sum_of_the_squares() -> None:
    batch = spectrograms(3)
    assert energy(batch).shape == (6, 1, 1)
    np.testing.assert_allclose(energy(batch)[:, 0, 0], (np.abs(batch) ** 2).sum((1, 2)), rtol=1e-5)


@given(seed=st.integers(0, 999))
def test_rolling_only_turns_each_spectrogram_around(seed: int) -> None:
    before = spectrograms(seed)
    after = roll_time(before, np.random.default_rng(seed))
    assert all(is_rolled(a, b) for a, b in zip(after, before, strict=True))


def test_rolling_turns_by_every_number_of_frames() -> None:
    before = np.tile(np.arange(7, dtype=np.complex64)[:, None], (700, 1, 1))
    firsts = Counter(roll_time(before, np.random.default_rng(0))[:, 0, 0].real.tolist())
    assert set(firsts) == set(range(7))
    assert min(firsts.values()) > 60


@given(seed=st.integers(0, 999), up_to_db=st.sampled_from([0.0, 6.0, 20.0]))
def test_equalising_turns_each_bin_up_or_down_alike_in_all_frames(
    seed: int, up_to_db: float
) -> None:
    before = spectrograms(seed)
    gain = random_eq(before, up_to_db, np.random.default_rng(seed)) / before
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:, :1], gain.shape), rtol=1e-4)
    gain_db = 20 * np.log10(np.abs(gain))
    assert np.abs(gain_db).max() <= 2.5 * up_to_db + 1e-4
    if up_to_db:
        assert gain_db.std(axis=0).max() > up_to_db / 3  # no two clips alike
        assert np.ptp(gain_db, axis=2).max() > up_to_db / 2


def test_training_hears_equalised_speech_and_learns_it_as_clean(cache: SpectrogramCache) -> None:
    source = BatchSource(cache, WHITE, 14, seed=5)
    plain, coloured = (
        source.shuffled(0, 0, Augmentation(SNR_DB, 0.0, random_eq_db))
        for random_eq_db in (0.0, 12.0)
    )
    gain = coloured[1] / plain[1]
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:, :1], gain.shape), rtol=1e-3)
    assert np.ptp(np.abs(gain), axis=2).min() > 0.1
    snr_db = snr_db_of(coloured[1], coloured[0])
    np.testing.assert_allclose(snr_db, snr_db_of(plain[1], plain[0]), atol=0.01)


def test_a_lesson_holds_real_and_imaginary_parts() -> None:
    noisy, clean = spectrograms(0), spectrograms(1)
    stft, pair = to_network_input(noisy, clean)
    for parts, whole in ((stft, noisy), (pair[0], noisy), (pair[1], clean)):
        assert parts.dtype == np.float32
        np.testing.assert_array_equal(parts, np.stack([whole.real, whole.imag], -1))


@pytest.mark.parametrize("batch_size", [1, 4, 5, 14, 100])
def test_an_epoch_has_each_row_once_the_last_batch_smaller(
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


def test_the_noisy_half_is_had_without_the_clean_one(
    cache: SpectrogramCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = BatchSource(cache, WHITE, 4, seed=3)
    both = [source.cached(number) for number in range(len(source))]
    monkeypatch.delattr(SpectrogramCache, "clean")
    for number, (noisy, _) in enumerate(both):
        np.testing.assert_array_equal(source.noisy(number), noisy)


@pytest.mark.parametrize("augmentation", [None, REMIXING])
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


def test_remixed_batches_have_the_snr_and_another_clips_noise(cache: SpectrogramCache) -> None:
    rows = np.arange(14)
    noises, cleans = cache.noisy(rows) - cache.clean(rows), cache.clean(rows)
    own = others = 0
    source = BatchSource(cache, WHITE, 7, seed=5)
    for noisy, clean in (source.shuffled(epoch, 0, REMIXING) for epoch in range(12)):
        snr_db = snr_db_of(clean, noisy)
        assert (snr_db > SNR_DB[0] - 0.01).all() and (snr_db < SNR_DB[1] + 0.01).all()
        for one_noisy, one_clean in zip(noisy, clean, strict=True):
            spoken = [row for row in rows if is_rolled(one_clean, cleans[row])]
            assert len(spoken) == 2  # the two copies of one clip
            unit = (one_noisy - one_clean) / np.sqrt(energy((one_noisy - one_clean)[None])[0])
            units = noises / np.sqrt(energy(noises))
            heard = [row for row in rows if is_rolled(unit, units[row], 1e-5)]
            assert len(heard) == 1
            own, others = own + (heard[0] in spoken), others + (heard[0] not in spoken)
    assert others > 3 * own


@pytest.mark.parametrize(("kind", "n_voices"), [("white", 3), ("babble", 1), ("speech", 1)])
def test_a_clip_is_heard_in_all_voices_but_as_recorded_among_other_people(
    tmp_path: Path, kind: str, n_voices: int
) -> None:
    rng = np.random.default_rng(0)
    writer = SplitWriter(tmp_path, "train", PARAMS, count_frames(N_SAMPLES, PARAMS))
    clean, *others = rng.standard_normal((3, N_SAMPLES), dtype=np.float32)
    for _ in range(2):
        writer.append(clean, [clean + others[0]], others)
    writer.close()
    cache = SpectrogramCache(tmp_path, "train")
    voices = [cache.clean_at_speed(np.array([0]), np.array([voice]))[0] for voice in range(3)]
    source = BatchSource(cache, [kind] * 2, 2, seed=1)
    spoken = [s for epoch in range(8) for s in source.shuffled(epoch, 0, REMIXING)[1]]
    heard = [[is_rolled(s, voice, 1e-6) for voice in voices] for s in spoken]
    assert [sum(row) for row in heard] == [1] * 16
    assert np.any(heard, axis=0).tolist() == [voice < n_voices for voice in range(3)]


def test_what_is_turned_back_is_the_spectrogram_of_the_reversed_waveform() -> None:
    waveforms = np.random.default_rng(0).standard_normal((40, 6 * 16 - 1), dtype=np.float32)
    forward, back = (  # with a 0 before it, the middle is the middle of a frame
        np.stack([stft(np.append(np.float32(0), samples), PARAMS) for samples in some])
        for some in (waveforms, waveforms[:, ::-1])
    )
    turned = reverse_time(forward, 0.4, np.random.default_rng(1))
    is_back = np.array([np.allclose(t, b, atol=1e-5) for t, b in zip(turned, back, strict=True)])
    assert 0.2 < is_back.mean() < 0.6
    np.testing.assert_array_equal(turned[~is_back], forward[~is_back])


@pytest.mark.parametrize("kind", ["white", "babble", "speech"])
def test_other_words_take_their_share_before_and_behind(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    writer = SplitWriter(tmp_path, "train", PARAMS, count_frames(N_SAMPLES, PARAMS))
    for _ in range(6):
        clean, noise, word = rng.standard_normal((3, N_SAMPLES), dtype=np.float32)
        writer.append(clean, [clean + noise])
        writer.append_oov(word)
    writer.close()
    cache = SpectrogramCache(tmp_path, "train")
    oov = cache.oov(np.arange(6))
    forward = cache.clean(np.arange(6)), oov
    pools = *forward, *(np.conj(pool[:, ::-1]) for pool in forward)
    source = BatchSource(cache, [kind] * 6, 6, seed=1)
    augmentation = replace(REMIXING, oov_probability=0.4, time_reversal_probability=0.5)

    def shares(heard: list[np.ndarray]) -> np.ndarray:
        said = [[any(is_rolled(s, one, 1e-6) for one in pool) for pool in pools] for s in heard]
        assert [sum(row) for row in said] == [1] * len(heard)
        return np.mean(said, axis=0)

    pairs = [source.shuffled(epoch, 0, augmentation) for epoch in range(30)]
    before = shares([s for _, clean in pairs for s in clean])
    np.testing.assert_allclose(before, [0.3, 0.2, 0.3, 0.2], atol=0.1)
    if kind == "speech":
        monkeypatch.setattr("denoise.training.data.energy", lambda spectrograms: np.float32(1))
        monkeypatch.setattr("denoise.training.data.mix_at_snr", lambda clean, noise, snr_db: noise)
        behind = shares(
            [s for epoch in range(30) for s in source.shuffled(epoch, 0, augmentation)[0]]
        )
        np.testing.assert_allclose(behind, [0.3, 0.2, 0.3, 0.2], atol=0.1)


@pytest.mark.parametrize("kind", ["white", "babble"])
def test_speech_of_a_corpus_without_other_words_is_heard_as_it_is(
    cache: SpectrogramCache, kind: str
) -> None:
    source = BatchSource(cache, [kind] * 14, 7, seed=1)
    turned = source.shuffled(
        2, 1, replace(REMIXING, oov_probability=0.5, time_reversal_probability=0.9)
    )
    assert pair_bytes(*turned) == pair_bytes(*source.shuffled(2, 1, REMIXING))


@pytest.fixture
def heard_noise(cache: SpectrogramCache, monkeypatch: pytest.MonkeyPatch):
    """Return the noise that three epochs mix in, for a kind of noise."""

    def recognise(kind: str, augmentation: Augmentation = REMIXING) -> list[np.ndarray]:
        monkeypatch.setattr("denoise.training.data.mix_at_snr", lambda clean, noise, snr_db: noise)
        source = BatchSource(cache, [kind] * 14, 14, seed=5)
        return [noise for epoch in range(3) for noise in source.shuffled(epoch, 0, augmentation)[0]]

    return recognise


def test_speech_is_drawn_anew_from_the_clean_clips(cache: SpectrogramCache, heard_noise) -> None:
    clean = cache.clean(np.arange(14))
    units = clean / np.sqrt(energy(clean))
    heard = heard_noise("speech")
    assert all(any(is_rolled(noise, unit, 1e-5) for unit in units) for noise in heard)
    assert len({noise.tobytes() for noise in heard}) > 20


def test_babble_is_four_to_eight_clips_at_once(heard_noise) -> None:
    heard = np.stack(heard_noise("babble"))
    assert len({noise.tobytes() for noise in heard}) == len(heard)
    assert 4 < energy(heard).mean() < 8  # clips of noise hardly resemble each other: energies add


def test_each_voice_behind_a_clip_has_a_colour_of_its_own(
    cache: SpectrogramCache, heard_noise
) -> None:
    clips = [np.roll(clip, shift, 0) for clip in cache.clean(np.arange(14)) for shift in range(8)]
    gains = []
    for noise in heard_noise("speech", Augmentation(SNR_DB, 0.0, random_eq_db=12.0)):
        ratios = [np.abs(noise / clip) for clip in clips]
        steady = [r[0] for r in ratios if np.ptp(r, axis=0).max() < 1e-3 * r.max()]
        gains.append(steady[0])  # there is one: every voice is some clip, coloured alike throughout
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
            source.shuffled(epoch, number, REMIXING)
    streams = {tuple(np.random.SeedSequence(s).generate_state(4)) for s in seeds}
    assert len(streams) == 3 + 3 * 3  # an order an epoch, the draws of a batch
