"""Batches from banks: mixed anew at the drawn SNR, determined by seed, epoch and number."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from denoise.dsp.audio import rms
from denoise.dsp.stft import istft, stft
from denoise.features.bank import Bank, BankWriter
from denoise.params import NOISE_TYPES, NoiseWeights, Params, SpectrogramParams
from denoise.params_file import load_params
from denoise.training import waveform_data
from denoise.training.augmentation import Augmentation
from denoise.training.waveform_data import WaveformSource, active_rms
from tests.closures import ROOT

SPECTROGRAM = SpectrogramParams(128, 64, 128)
RATE = 8000
LENGTHS = (3000, 5000, 9000, 12_000, 2000, 7000, 1500)


def make_params(weights: dict[str, float] | None = None, **train: object) -> Params:
    committed = load_params(ROOT / "params.yaml")
    changes = {"batch_size": 3, "crop_seconds": 0.5, "seed": 7, **train}
    every = {**dict.fromkeys(NOISE_TYPES, 0.0), **(weights or {"white": 1.0})}
    return dataclasses.replace(
        committed,
        audio=dataclasses.replace(committed.audio, sample_rate=RATE, duration_seconds=2.0),
        spectrogram=SPECTROGRAM,
        features=dataclasses.replace(committed.features, cache="waveforms"),
        noise=dataclasses.replace(
            committed.noise, weights=NoiseWeights(**every), snr_db=(-5.0, 15.0)
        ),
        train=dataclasses.replace(committed.train, **changes),  # type: ignore[arg-type]
    )


def tone(hertz: float, n_samples: int) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(n_samples) / RATE).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write banks whose row r is a tone of 200 + 100 r Hz; OOV is 3 kHz, noise 3.5 and 3.7 kHz."""
    folder = tmp_path_factory.mktemp("banks")
    for name, rows in (
        ("train", [(tone(200 + 100 * r, n), r // 2) for r, n in enumerate(LENGTHS)]),
        ("validation", [(tone(250, 4000), 0), (tone(350, 4000), 1)]),
        ("oov", [(tone(3000, 4000), 0)]),
        ("noise", [(tone(3500, 900), 0), (tone(3700, 20_000), 1)]),
    ):
        writer = BankWriter(folder, name)
        for waveform, group in rows:
            writer.append(waveform, group)
        writer.close()
    return folder


def source(folder: Path, params: Params, split: str = "train") -> WaveformSource:
    return WaveformSource.open(folder, split, params)


def augmentation(**changes: object) -> Augmentation:
    return dataclasses.replace(
        Augmentation((-5.0, 15.0), clean_probability=0.0, random_eq_db=0.0), **changes
    )


def pitches(spectra: np.ndarray) -> list[int]:
    """Return the strongest frequency of each spectrogram, in Hz, a multiple of the bins' width."""
    power = (np.abs(spectra) ** 2).sum(axis=1)
    return [round(int(bin_) * RATE / 128) for bin_ in power.argmax(axis=1)]


def bytes_of(batch: tuple[np.ndarray, np.ndarray]) -> bytes:
    return batch[0].tobytes() + batch[1].tobytes()


def test_an_epoch_has_each_row_as_often_as_a_crop_fits_and_the_last_batch_may_be_smaller(
    folder: Path,
) -> None:
    batches = source(folder, make_params(time_reversal_probability=0.0))
    n_crop = 0.5 * RATE - 64
    counts = [max(1, round(n / n_crop)) for n in LENGTHS]
    assert counts == [1, 1, 2, 3, 1, 2, 1]
    sizes = [len(batches.shuffled(0, number, None)[0]) for number in range(len(batches))]
    assert sizes == [3, 3, 3, 2]
    found = [p for number in range(4) for p in pitches(batches.shuffled(4, number, None)[1])]
    expected = np.repeat([round((200 + 100 * r) / 62.5) * 62.5 for r in range(7)], counts)
    assert np.allclose(sorted(found), sorted(expected), atol=63)


def test_all_clips_of_a_batch_have_the_length_of_the_crop(folder: Path) -> None:
    noisy, clean = source(folder, make_params()).shuffled(0, 0, augmentation())
    n_frames = round(0.5 * RATE / 64)
    assert noisy.shape == clean.shape == (3, n_frames, 65)
    assert noisy.dtype == clean.dtype == np.complex64


def test_a_crop_is_not_longer_than_the_longest_utterance_may_be(folder: Path) -> None:
    longest, whole = (make_params(crop_seconds=seconds) for seconds in (3600.0, 2.0))
    found, expected = (source(folder, p).shuffled(0, 0, augmentation()) for p in (longest, whole))
    assert found[0].shape == (3, round(2.0 * RATE / 64), 65)
    assert bytes_of(found) == bytes_of(expected)


def test_the_snr_is_within_its_range_or_that_of_clean_pairs(folder: Path) -> None:
    batches = source(folder, make_params())
    for share, low, high in ((0.0, -5.0, 15.0), (1.0, 40.0, 40.0)):
        for epoch in range(10):
            changes = augmentation(clean_probability=share)
            for noisy, clean in zip(*batches.shuffled(epoch, 0, changes), strict=True):
                n_samples = (len(clean) - 1) * 64
                waveforms = [istft(s, SPECTROGRAM, n_samples) for s in (clean, noisy - clean)]
                level = active_rms(waveforms[0], RATE) / rms(waveforms[1])
                assert low - 0.3 <= 20 * np.log10(level) <= high + 0.3


def test_pauses_do_not_count_towards_the_level_of_speech() -> None:
    speech = tone(440, 4096)
    level = active_rms(speech, RATE)
    assert level == pytest.approx(0.5**0.5, rel=0.01)
    assert active_rms(np.pad(speech, 20_480), RATE) == pytest.approx(level, rel=1e-6)
    with_quiet_noise = np.concatenate([speech, 0.03 * speech])  # 30 dB below
    assert active_rms(with_quiet_noise, RATE) == pytest.approx(level, rel=1e-6)


def test_a_second_noise_is_added_to_its_share_of_the_pairs(folder: Path) -> None:
    batches = source(folder, make_params({"recordings": 1.0}))
    count = 0
    for epoch in range(40):
        noisy, clean = batches.shuffled(epoch, 0, augmentation(second_noise_probability=0.5))
        power = (np.abs(noisy - clean) ** 2).sum(axis=1)
        by_pitch = np.stack([power[:, bin_ - 2 : bin_ + 2].sum(axis=1) for bin_ in (56, 60)])
        count += np.sum(by_pitch.min(axis=0) > 0.02 * by_pitch.max(axis=0))
    # Half of the second recordings are another one than the first; 3.5 and 3.7 kHz then sound.
    assert count / (40 * 3) == pytest.approx(0.25, abs=0.1)


def test_background_voices_sound_from_one_room_where_rooms_are_in_use(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delay = np.array([0, 0, 1], np.float32)  # a room that draws no random numbers
    monkeypatch.setattr(waveform_data, "draw_room_response", lambda rng, rate: delay)

    def draw(share: float, room_probability: float) -> np.ndarray:
        monkeypatch.setattr(waveform_data, "SHARED_ROOM_PROBABILITY", share)
        batches = source(folder, make_params({"babble": 1.0}))
        changes = augmentation(room_probability=room_probability)
        noisy, clean = batches.shuffled(0, 0, changes)
        noise = istft((noisy - clean)[0], SPECTROGRAM, (noisy.shape[1] - 1) * 64)
        return noise / rms(noise)

    dry, shared = draw(0.0, 1e-9), draw(1.0, 1e-9)
    np.testing.assert_allclose(shared[2:], dry[:-2], atol=0.01)
    np.testing.assert_array_equal(draw(1.0, 0.0), draw(0.0, 0.0))


@pytest.mark.parametrize("changes", [None, augmentation(random_eq_db=6.0, room_probability=0.5)])
def test_a_batch_depends_on_seed_epoch_and_number_alone(
    folder: Path, changes: Augmentation | None
) -> None:
    def batch(seed: int, epoch: int, number: int) -> bytes:
        params = make_params({"white": 1.0, "babble": 1.0, "recordings": 1.0}, seed=seed)
        return bytes_of(source(folder, params).shuffled(epoch, number, changes))

    first = batch(1, 3, 1)
    assert batch(1, 3, 1) == first
    assert all(batch(*other) != first for other in ((2, 3, 1), (1, 4, 1), (1, 3, 0)))


def test_validation_batches_are_the_same_every_time(folder: Path) -> None:
    batches = source(folder, make_params(), "validation")
    assert bytes_of(batches.cached(0)) == bytes_of(batches.cached(0))
    np.testing.assert_array_equal(batches.noisy(0), batches.cached(0)[0])
    assert np.allclose(pitches(batches.cached(0)[1]), [250, 350], atol=63)


def test_oov_speech_takes_its_share(folder: Path) -> None:
    batches = source(folder, make_params())
    changes = augmentation(oov_probability=0.4)
    found = [p for epoch in range(40) for p in pitches(batches.shuffled(epoch, 0, changes)[1])]
    assert np.mean(np.array(found) > 2000) == pytest.approx(0.4, abs=0.12)  # at any speed


def test_a_clip_among_other_voices_keeps_its_speed_and_the_voices_are_other_speakers(
    folder: Path,
) -> None:
    batches = source(folder, make_params({"speech": 1.0}))
    rows = {round(200 + 100 * row): row // 2 for row in range(7)}
    for epoch in range(20):
        noisy, clean = batches.shuffled(epoch, 0, augmentation())
        for one, other in zip(pitches(clean), pitches(noisy - clean), strict=True):
            speakers = [rows[min(rows, key=lambda hz: abs(hz - p))] for p in (one, other)]
            assert speakers[0] != speakers[1]


def test_clips_are_played_at_every_speed(folder: Path) -> None:
    params = make_params()
    batches = source(folder, params)
    found = {
        p for epoch in range(60) for p in pitches(batches.shuffled(epoch, 0, augmentation())[1])
    }
    assert max(found) > 820 and min(found) < 190  # 800 Hz * 1.12 and 200 Hz * 0.89


def test_recordings_are_drawn_equally_often_and_short_ones_repeat(folder: Path) -> None:
    batches = source(folder, make_params({"recordings": 1.0}))
    found = []
    for epoch in range(40):
        noisy, clean = batches.shuffled(epoch, 0, augmentation())
        found += pitches(noisy - clean)
    assert np.mean(np.isclose(found, 3500, atol=63)) == pytest.approx(0.5, abs=0.15)
    assert set(found) <= {3500, 3438, 3562, 3688, 3750}


def test_the_target_has_the_echoes_of_its_first_seconds_alone(tmp_path: Path) -> None:
    writer = BankWriter(tmp_path, "train")
    for speaker in range(2):  # a click in silence: what follows it is the room's response
        click = np.zeros(int(1.5 * RATE), np.float32)
        click[4000] = 1
        writer.append(click, speaker)
    writer.close()
    for name in ("oov", "noise"):
        BankWriter(tmp_path, name).close()
    params = make_params(batch_size=2, crop_seconds=1.5, time_reversal_probability=0.0)
    own_speed = dataclasses.replace(params.features, speed_perturbation=(1.0,))
    params = dataclasses.replace(params, features=own_speed)
    batches = source(tmp_path, params)
    for seconds in (0.0, 0.05, 1.0):  # no response is longer than 1 s
        changes = augmentation(
            clean_probability=1.0, room_probability=1.0, room_target_seconds=seconds
        )
        for noisy, clean in zip(*batches.shuffled(0, 0, changes), strict=True):
            n_samples = (len(clean) - 1) * 64
            heard, target = (istft(each, SPECTROGRAM, n_samples) for each in (noisy, clean))
            start = int(np.abs(target).argmax())
            late = slice(start + int(seconds * RATE) + 2, None)
            assert np.abs(target[late]).max(initial=0) < 1e-5
            assert seconds == 1.0 or rms(heard[late]) > 1e-4
            # The noise is 40 dB below the speech; the early part is the same in both.
            early = slice(start, start + int(seconds * RATE) + 1)
            assert np.abs(heard[early] - target[early]).max() < 0.1


def test_a_nearly_silent_noise_recording_gives_its_loudest_place(tmp_path: Path) -> None:
    sparse = np.zeros(60 * RATE, np.float32)
    sparse[300_000:300_400] = tone(3500, 400)
    for name, row in (("train", tone(440, 9000)), ("oov", None), ("noise", sparse)):
        writer = BankWriter(tmp_path, name)
        if row is not None:
            writer.append(row, 0)
        writer.close()
    batches = source(tmp_path, make_params({"recordings": 1.0}))
    noisy, clean = batches.shuffled(0, 0, augmentation(second_noise_probability=1.0))
    assert np.isfinite(noisy).all()
    assert (np.abs(noisy - clean).max(axis=(1, 2)) > 0.01).all()


def test_crops_hold_speech_and_start_anywhere_in_it(tmp_path: Path) -> None:
    writer = BankWriter(tmp_path, "train")
    waveform = np.zeros(40_000, np.float32)
    waveform[10_000:25_000] = tone(440, 15_000)
    writer.append(waveform, 0)
    writer.append(tone(440, 40_000), 1)
    writer.close()
    for name in ("oov", "noise"):
        BankWriter(tmp_path, name).close()
    batches = WaveformSource(
        Bank(tmp_path, "train"), Bank(tmp_path, "oov"), Bank(tmp_path, "noise"), make_params()
    )
    starts = set()
    for epoch in range(40):
        _, clean = batches.shuffled(epoch, 0, augmentation())
        power = (np.abs(clean) ** 2).sum(axis=(1, 2))
        assert power.min() > 0.05 * power.max()
        starts.add(clean.tobytes())
    assert len(starts) == 40


def test_the_stft_of_a_crop_is_that_of_the_cache(folder: Path) -> None:
    params = make_params()
    _, clean = source(folder, params).shuffled(0, 0, None)
    waveform = istft(clean[0], SPECTROGRAM, (clean.shape[1] - 1) * 64)
    np.testing.assert_allclose(stft(waveform, SPECTROGRAM), clean[0], atol=1e-3)


def write_banks(folder: Path, **banks: np.ndarray) -> None:
    """Write banks of one row each; those that are not named are empty."""
    for name in ("train", "oov", "noise"):
        writer = BankWriter(folder, name)
        if name in banks:
            writer.append(banks[name], 0)
        writer.close()


def level_difference_db(spectra: np.ndarray) -> np.ndarray:
    """Return by how much the tone of 3 kHz is louder than that of 1 kHz in each spectrogram."""
    power = (np.abs(spectra) ** 2).sum(axis=1)
    at_1_khz, at_3_khz = (power[:, bin_ - 3 : bin_ + 4].sum(axis=1) for bin_ in (16, 48))
    return 10 * np.log10(at_3_khz / at_1_khz)


def test_speech_and_noise_recordings_are_equalised_each_by_itself(tmp_path: Path) -> None:
    both = tone(1000, 6000) + tone(3000, 6000)
    write_banks(tmp_path, train=both, noise=both)
    params = make_params({"recordings": 1.0}, time_reversal_probability=0.0)
    own_speed = dataclasses.replace(params.features, speed_perturbation=(1.0,))
    batches = source(tmp_path, dataclasses.replace(params, features=own_speed))
    for depth_db in (0.0, 12.0):
        found = []
        for epoch in range(20):
            noisy, clean = batches.shuffled(epoch, 0, augmentation(random_eq_db=depth_db))
            found += list(zip(*map(level_difference_db, (clean, noisy - clean)), strict=True))
        speech_db, noise_db = np.array(found).T
        if depth_db == 0:
            np.testing.assert_allclose([speech_db, noise_db], 0, atol=0.5)
        else:
            assert speech_db.std() > 4 and noise_db.std() > 4
            assert (speech_db - noise_db).std() > 4


def test_a_second_noise_is_up_to_15_db_weaker_than_the_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    types = itertools.cycle(["white", "pink"])
    monkeypatch.setattr(waveform_data, "draw_noise_type", lambda *_: next(types))
    hertz = {"white": 1000, "pink": 3000}
    monkeypatch.setattr(waveform_data, "draw_noise", lambda rng, kind, n, *_: tone(hertz[kind], n))
    batches, found = source(folder, make_params()), []
    for epoch in range(20):
        noisy, clean = batches.shuffled(epoch, 0, augmentation(second_noise_probability=1.0))
        found += level_difference_db(noisy - clean).tolist()
    assert -15.2 < min(found) < -13 and -2 < max(found) < 0.2
