"""Tests of the mixtures of the comparison on real recordings."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.real import mixtures
from benchmarks.real.levels import active_level_db
from benchmarks.real.mixtures import Mixture, Plan, make_test_set
from benchmarks.real.recordings import (
    find_recordings,
    in_turns,
    noise_type_of,
    read_music,
    read_speech,
    speaker_of,
)
from denoise.errors import AudioError, CorpusError
from tests.speechlike import voice

RATE = 16_000


def write(path: Path, waveform: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, rate, subtype="PCM_16")


def noise(seed: int, seconds: float = 3.0) -> np.ndarray:
    return 0.05 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Write speech of four speakers, three recordings each, and two types of noise."""
    for speaker in range(4):
        for number in range(3):
            path = tmp_path / "speech" / f"p{speaker}" / f"{number}.wav"
            write(path, voice(10 * speaker + number, 5.0, RATE))
    for name in ("rain-1", "rain-2", "fan"):
        write(tmp_path / "noise" / f"{name}.flac", noise(len(name)))
    return tmp_path


def make_plan(folder: Path, limit: int = 8, has_rooms: bool = False, rounds: int = 1) -> Plan:
    return Plan(
        find_recordings([folder / "speech"], speaker_of, "speech"),
        find_recordings([folder / "noise"], noise_type_of, "noise"),
        [],
        RATE,
        limit,
        has_rooms,
        rounds,
    )


def mixed(folder: Path, **options: int) -> list[Mixture]:
    return list(make_test_set(make_plan(folder, **options)))


@pytest.mark.parametrize(
    ("path", "depth", "speaker"),
    [
        ("1688/142285/0.flac", 1, "1688"),
        ("test-other/1688/0.flac", 2, "test-other/1688"),
        ("a.wav", 1, "a.wav"),
    ],
)
def test_speaker_is_read_from_the_path(path: str, depth: int, speaker: str) -> None:
    assert speaker_of(Path(path), depth) == speaker


@pytest.mark.parametrize(
    ("path", "noise_type"),
    [
        ("Fan/one.wav", "fan"),
        ("coffee-shop.ogg", "coffee"),
        ("Rain2.wav", "rain"),
        ("007.wav", "007"),
    ],
)
def test_noise_type_is_the_folder_or_the_first_word(path: str, noise_type: str) -> None:
    assert noise_type_of(Path(path)) == noise_type


def test_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"There is no folder .*absent with noise"):
        find_recordings([tmp_path / "absent"], noise_type_of, "noise")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(CorpusError, match=r"no recording \(.*\.wav.*\) with speech in"):
        find_recordings([tmp_path], speaker_of, "speech")


def test_recordings_of_two_folders_do_not_get_the_same_name(folders: Path) -> None:
    shutil.copytree(folders / "speech", folders / "other")
    found = find_recordings([folders / "speech", folders / "other"], speaker_of, "speech")
    assert len({each.name for each in found}) == len(found) == 24
    assert len({each.group for each in found}) == 8


def test_two_folders_of_the_same_name_are_an_error(folders: Path) -> None:
    shutil.copytree(folders / "speech", folders / "more" / "speech")
    both = [folders / "speech", folders / "more" / "speech"]
    message = r"^Two folders with music have the name speech\. Rename one\.$"
    with pytest.raises(CorpusError, match=message):
        find_recordings(both, speaker_of, "music")


def test_every_speaker_has_a_turn_before_any_has_a_second(folders: Path) -> None:
    ordered = in_turns(make_plan(folders).speech)
    for turn in range(3):
        assert len({each.group for each in ordered[4 * turn : 4 * turn + 4]}) == 4
    assert [each.name for each in ordered] != sorted(each.name for each in ordered)


def test_mixtures_depend_on_the_names_below_the_folder_only(folders: Path, tmp_path: Path) -> None:
    before = mixed(folders)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(folders / "speech", moved / "speech")
    shutil.move(folders / "noise", moved / "noise")
    mixtures._read_noise.cache_clear()
    after = mixed(moved)
    assert [each.utterance_id for each in before] == [each.utterance_id for each in after]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.noisy, other.noisy)


def test_small_test_set_has_several_snrs(folders: Path) -> None:
    snrs = {m.snr_db for m in mixed(folders, limit=3) if m.part == "mixtures"}
    assert len(snrs) > 1


def test_every_noise_type_meets_every_snr(folders: Path) -> None:
    cells = {(m.noise, m.snr_db) for m in mixed(folders) if m.part == "mixtures"}
    assert cells == {(n, s) for n in ("fan", "rain") for s in mixtures.SNRS_DB}


def test_further_rounds_mix_each_utterance_with_other_types_and_snrs(folders: Path) -> None:
    once, often = mixed(folders, limit=5), mixed(folders, limit=5, rounds=8)
    others = [[m.part for m in each if m.part != "mixtures"] for each in (once, often)]
    assert others[0] == others[1]
    once, often = ([m for m in each if m.part == "mixtures"] for each in (once, often))
    for number, one in enumerate(once):
        of_utterance = often[8 * number : 8 * (number + 1)]
        assert {m.utterance_id for m in of_utterance} == {one.utterance_id}
        assert len({(m.noise, m.snr_db) for m in of_utterance}) == 8  # two types at four SNRs
        np.testing.assert_array_equal(of_utterance[0].noisy, one.noisy)


def test_parts_of_the_test_set(folders: Path) -> None:
    made = mixed(folders, has_rooms=True)
    counts = {part: sum(m.part == part for m in made) for part in ("light", "clean", "rooms")}
    assert counts == {"light": 8, "clean": 4, "rooms": 4}
    assert {m.condition for m in made if m.part == "light"} == {"20 dB", "30 dB"}
    for m in made:
        assert m.reference.shape == m.noisy.shape and m.noisy.dtype == np.float32
        assert np.abs(m.noisy).max() <= 0.991
        is_same = np.array_equal(m.reference, m.noisy)
        assert is_same == (m.part == "clean")
        if np.isfinite(m.snr_db):
            noise_db = 10 * np.log10(np.mean(np.square(m.noisy - m.reference)))
            snr_db = active_level_db(m.reference, RATE) - noise_db
            assert snr_db == pytest.approx(m.snr_db, abs=0.01)


def test_unusable_recordings_are_named_and_replaced(folders: Path) -> None:
    plan = make_plan(folders)
    first, second = in_turns(plan.speech)[:2]
    first.path.write_bytes(b"RIFF, but damaged")
    write(second.path, noise(0, 0.5))
    made = [m for m in make_test_set(plan) if m.part == "mixtures"]
    assert len(made) == 8
    assert plan.rejected.keys() == {first.name, second.name}
    assert "no audio that can be read" in plan.rejected[first.name]
    assert "0.5 s of speech; at least 2 s are needed" in plan.rejected[second.name]


def test_unusable_noise_is_named_and_replaced(folders: Path) -> None:
    (folders / "noise" / "rain-1.flac").write_bytes(b"fLaC, but damaged")
    plan = make_plan(folders)
    made = [m for m in make_test_set(plan) if m.part == "mixtures"]
    assert sum(m.noise == "rain" for m in made) == 4
    assert list(plan.rejected) == ["rain-1.flac"]
    mixtures._read_noise.cache_clear()
    (folders / "noise" / "fan.flac").write_bytes(b"fLaC, but damaged")
    with pytest.raises(CorpusError, match=r"noise fan is usable: fan\.flac: This is no audio"):
        mixed(folders)


@pytest.mark.parametrize("kind", ["noise", "speech"])
def test_recording_of_one_sample_is_unusable(folders: Path, kind: str) -> None:
    plan = make_plan(folders)
    chosen = {"noise": plan.noise[1], "speech": in_turns(plan.speech)[0]}[kind]
    write(chosen.path, np.full(1, 0.5), 48_000)
    mixtures._read_noise.cache_clear()
    made = [m for m in make_test_set(plan) if m.part == "mixtures"]
    assert len(made) == 8
    assert plan.rejected == {chosen.name: "It has no samples."}


def test_test_set_without_usable_speech_is_an_error(folders: Path) -> None:
    for path in (folders / "speech").rglob("*.wav"):
        write(path, np.zeros(3 * RATE))
    with pytest.raises(CorpusError, match=r"No recording of speech is usable: p\d/.*silent"):
        mixed(folders)


def test_long_recording_is_cut_in_its_quietest_place(tmp_path: Path) -> None:
    speech = noise(0, 20.0)
    speech[7 * RATE : int(7.3 * RATE)] = 0
    write(tmp_path / "long.wav", speech)
    utterance = read_speech(tmp_path / "long.wav", RATE)
    assert 7.0 < len(utterance) / RATE < 7.3


def test_silence_around_the_speech_is_removed_but_for_a_margin(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.pad(noise(0, 3.0), 2 * RATE))
    assert len(read_speech(tmp_path / "a.wav", RATE)) / RATE == pytest.approx(3.6, abs=0.2)


def test_speech_gets_one_level_and_rate(tmp_path: Path) -> None:
    stereo = np.stack([voice(1, 4.0, 44_100), np.zeros(4 * 44_100)], axis=1)
    write(tmp_path / "a.wav", stereo, 44_100)
    speech = read_speech(tmp_path / "a.wav", RATE)
    assert active_level_db(speech, RATE) == pytest.approx(-26, abs=0.01)


@pytest.mark.parametrize("n_samples", [100, RATE])
def test_speech_that_is_too_short_is_refused(tmp_path: Path, n_samples: int) -> None:
    write(tmp_path / "a.wav", noise(0, 1.0)[:n_samples])
    with pytest.raises(AudioError, match="at least 2 s are needed"):
        read_speech(tmp_path / "a.wav", RATE)


def test_music_is_the_beginning_of_a_recording(tmp_path: Path) -> None:
    write(tmp_path / "long.wav", noise(0, 14.0))
    assert len(read_music(tmp_path / "long.wav", RATE)) == 10 * RATE
    write(tmp_path / "short.wav", noise(0, 1.0))
    with pytest.raises(AudioError, match="shorter than 2 s"):
        read_music(tmp_path / "short.wav", RATE)


def test_short_noise_is_repeated_and_silent_places_are_not_drawn(tmp_path: Path) -> None:
    write(tmp_path / "noise" / "short.wav", noise(3, 0.5))
    (short,) = find_recordings([tmp_path / "noise"], noise_type_of, "noise")
    drawn = mixtures.draw_noise(short, 2 * RATE, RATE, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[: RATE // 2], drawn[RATE // 2 : RATE])
    write(tmp_path / "gap" / "gap.wav", np.concatenate([np.zeros(20 * RATE), noise(3, 5.0)]))
    (gap,) = find_recordings([tmp_path / "gap"], noise_type_of, "noise")
    for seed in range(5):
        assert mixtures.draw_noise(gap, RATE, RATE, np.random.default_rng(seed)).any()
