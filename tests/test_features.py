"""From manifest to caches: what cannot be used is counted, and order decides nothing."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoise.corpus.archive import CorpusArchive, OovUtterance, Utterance
from denoise.corpus.loader import Rejections, load_clips
from denoise.corpus.manifest import COLUMNS
from denoise.errors import CorpusError
from denoise.features.bank import Bank
from denoise.features.build import (
    INDEX_COLUMNS,
    noise_distribution,
    write_banks,
    write_features,
)
from denoise.features.cache import SpectrogramCache
from denoise.noise.archive import NoiseArchive, create_noise_archive
from denoise.noise.mixing import NoiseSources, draw_noise_type, draw_noisy_versions
from denoise.noise.sources import open_noise_sources
from denoise.params import NOISE_TYPES, NoiseParams, NoiseWeights, Params
from tests.corpora import encode, noise_waveform, wav, write_recordings

SPLIT_OF = {"01": "train", "02": "train", "03": "validation", "04": "test"}
BAD = {
    "silent": encode(0 * noise_waveform(0)),
    "empty": b"",
    "no audio": b"<html>404 Not Found</html>",
    "cut short": encode(noise_waveform(0), "FLAC")[:700],
    "not finite": encode(np.full((800, 1), np.nan), subtype="FLOAT"),
}

Recordings = dict[Utterance | OovUtterance, bytes]


def recordings(repetitions: int = 3) -> Recordings:
    """Return recordings of four speakers; each clip is noise of its own, 0.1 to 0.3 s long."""
    return {
        Utterance(who, digit, repetition): wav(100 * int(who) + 10 * digit + repetition, seconds)
        for who in SPLIT_OF
        for digit, seconds in enumerate((0.1, 0.3))
        for repetition in range(repetitions)
    }


def manifest_of(utterances: Recordings) -> pd.DataFrame:
    rows = [
        (u.utterance_id, u.speaker_id, u.digit, "female", SPLIT_OF[u.speaker_id])
        for u in utterances
        if isinstance(u, Utterance)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def features_of(
    folder: Path, content: Recordings, manifest: pd.DataFrame, params: Params
) -> Rejections:
    """Write `content` as an archive, in its order, and the features of `manifest` from it."""
    folder.mkdir()
    path = write_recordings(folder.parent / f"{folder.name}.zip", content, {})
    noise = folder.parent / "noise.zip"
    with create_noise_archive(noise) as writer:
        for number in range(5):
            writer.add(number, 0, wav(1000 + number))
    with CorpusArchive(path) as corpus, NoiseArchive(noise) as opened:
        rate = params.audio.sample_rate
        sources = open_noise_sources(corpus, manifest, opened, opened.training, rate)
        return write_features(corpus, manifest, sources, params, folder)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_clips_and_noisy_versions_are_cached_in_manifest_order(
    tmp_path: Path, tiny_params: Params
) -> None:
    content = recordings()
    manifest = manifest_of(content).sample(frac=1, random_state=1)
    rejections = features_of(tmp_path / "features", content, manifest, tiny_params)
    assert rejections.report() == "no recording was rejected"
    index = pd.read_csv(tmp_path / "features" / "index.csv")
    assert list(index.columns) == INDEX_COLUMNS
    for split, clips in (("train", 12), ("validation", 6)):
        cache = SpectrogramCache(tmp_path / "features", split)
        assert (len(cache), cache.noisy_versions) == (2 * clips, 2)
        rows = index[index.split == split]
        named = manifest.utterance_id[manifest.split == split]
        assert rows.utterance_id.tolist() == named.repeat(2).tolist()
        assert rows["version"].tolist() == [0, 1] * clips
        assert_snr_is_the_indexs(cache, rows.snr_db.to_numpy())
    assert set(index.noise) == {"white", "babble"}
    assert index.snr_db.between(-5, 5).all() and index.snr_db.nunique() == 36


def test_only_training_clips_are_cached_at_other_speeds(
    tmp_path: Path, tiny_params: Params
) -> None:
    content = recordings()
    features_of(tmp_path / "features", content, manifest_of(content), tiny_params)
    caches = [SpectrogramCache(tmp_path / "features", split) for split in ("train", "validation")]
    assert [cache.n_speeds for cache in caches] == [len(tiny_params.features.other_speeds), 0]
    assert tiny_params.features.other_speeds
    faster = {
        speed: number for number, speed in enumerate(tiny_params.features.other_speeds, start=1)
    }
    rows = np.array([0, 2])  # clips of .1 and .3 s, padded on both sides
    at_speeds = [
        caches[0].clean_at_speed(rows, np.full(2, speed))
        for speed in (0, faster[max(faster)], faster[min(faster)])
    ]
    # The same energy in less and in more time.
    peaks = [np.max(np.sum(np.abs(s) ** 2, axis=2), axis=1) for s in at_speeds]
    assert (peaks[1] > peaks[0]).all() and (peaks[2] < peaks[0]).all()


def test_oov_speech_is_cached_for_training_only(tmp_path: Path, tiny_params: Params) -> None:
    content = recordings() | {OovUtterance(number): wav(number) for number in range(6)}
    features_of(tmp_path / "features", content, manifest_of(content), tiny_params)
    train, validation = (
        SpectrogramCache(tmp_path / "features", split) for split in ("train", "validation")
    )
    assert (train.n_oov, validation.n_oov) == (6, 0)
    clips = train.oov(np.arange(6))
    assert len({clip.tobytes() for clip in clips}) == 6


def test_a_bad_oov_clip_is_counted_and_left_out(tmp_path: Path, tiny_params: Params) -> None:
    content = recordings() | {OovUtterance(0): wav(5), OovUtterance(4): BAD["no audio"]}
    manifest = manifest_of(content)
    rejections = features_of(tmp_path / "features", content, manifest, tiny_params)
    assert list(rejections.reasons) == ["oov/4.wav"]
    assert SpectrogramCache(tmp_path / "features", "train").n_oov == 1


def assert_snr_is_the_indexs(cache: SpectrogramCache, snr_db: np.ndarray) -> None:
    rows = np.arange(len(cache))
    clean, noisy = cache.clean(rows), cache.noisy(rows)
    energies = [(np.abs(s.astype(complex)) ** 2).sum(axis=(1, 2)) for s in (clean, noisy - clean)]
    # the frames at both ends are windows cut in half, so the energies are not quite the waveforms'
    np.testing.assert_allclose(10 * np.log10(energies[0] / energies[1]), snr_db, atol=0.7)


def test_the_test_speakers_are_not_in_the_features(tmp_path: Path, tiny_params: Params) -> None:
    features_of(tmp_path / "features", recordings(), manifest_of(recordings()), tiny_params)
    splits, roles = ("train", "validation"), ("clean", "noisy", "speed", "oov")
    names = {f"{split}.{role}.npy" for split in splits for role in roles}
    assert set(bytes_of(tmp_path / "features")) == names | {"index.csv", "rejected.csv"}
    index = pd.read_csv(tmp_path / "features" / "index.csv")
    assert not index.utterance_id.str.contains("_04_").any()


def test_the_order_in_the_archive_does_not_change_the_features(
    tmp_path: Path, tiny_params: Params
) -> None:
    content = recordings()
    manifest = manifest_of(content)
    reordered = dict(reversed(content.items()))
    features_of(tmp_path / "first", content, manifest, tiny_params)
    features_of(tmp_path / "second", reordered, manifest, tiny_params)
    assert bytes_of(tmp_path / "first") == bytes_of(tmp_path / "second")


def test_the_order_of_the_manifest_does_not_change_a_clips_noise(
    tmp_path: Path, tiny_params: Params
) -> None:
    weights = NoiseWeights(**{**dict.fromkeys(NOISE_TYPES, 0.0), "white": 1.0, "pink": 1.0})
    noise = dataclasses.replace(tiny_params.noise, weights=weights)
    params = dataclasses.replace(tiny_params, noise=noise)
    content, found = recordings(), []
    for name, manifest in (("first", manifest_of(content)), ("second", manifest_of(content)[::-1])):
        features_of(tmp_path / name, content, manifest, params)
        index = pd.read_csv(tmp_path / name / "index.csv")
        cache = SpectrogramCache(tmp_path / name, "train")
        keys = index[index.split == "train"][["utterance_id", "version"]].itertuples(index=False)
        rows = map(np.ndarray.tobytes, cache.noisy(np.arange(len(cache))))
        found.append(dict(zip(map(tuple, keys), rows, strict=True)))
    assert found[0] == found[1]


@pytest.mark.parametrize(("name", "bad"), BAD.items())
def test_a_bad_clip_is_reported_counted_and_left_out(
    tmp_path: Path, tiny_params: Params, name: str, bad: bytes
) -> None:
    content = recordings()
    broken = [Utterance("01", 0, 1), Utterance("03", 1, 2)]
    content |= dict.fromkeys(broken, bad)
    rejections = features_of(tmp_path / "features", content, manifest_of(content), tiny_params)
    identities = [u.utterance_id for u in broken]
    assert sorted(rejections.reasons) == sorted(identities)
    assert rejections.report().startswith("2 recordings were rejected: ")
    assert all(identity in rejections.report() for identity in identities)
    table = pd.read_csv(tmp_path / "features" / "rejected.csv")
    assert dict(table.itertuples(index=False)) == rejections.reasons
    index = pd.read_csv(tmp_path / "features" / "index.csv")
    assert not index.utterance_id.isin(identities).any()
    for split, clips in (("train", 11), ("validation", 5)):
        cache = SpectrogramCache(tmp_path / "features", split)
        assert len(cache) == 2 * clips == (index.split == split).sum()
        rows = np.arange(len(cache))
        assert np.isfinite(cache.noisy(rows)).all() and np.isfinite(cache.clean(rows)).all()


def test_a_long_list_of_rejections_is_cut() -> None:
    rejections = Rejections()
    rejections.reasons = {f"0_01_{number}": "It is silent." for number in range(40)}
    assert rejections.report().startswith(
        "40 recordings were rejected: 0_01_0: It is silent.; 0_01_1"
    )
    assert rejections.report().count("silent") == 5


@pytest.mark.parametrize(("speakers", "split"), [(("01", "02"), "train"), (("03",), "validation")])
def test_a_split_without_a_usable_clip_is_an_error(
    tmp_path: Path, tiny_params: Params, speakers: tuple[str, ...], split: str
) -> None:
    content = recordings()
    content |= {u: BAD["silent"] for u in content if u.speaker_id in speakers}
    count = sum(u.speaker_id in speakers for u in content)
    with pytest.raises(CorpusError, match=f"None of the {count} {split} recordings is usable"):
        features_of(tmp_path / "features", content, manifest_of(content), tiny_params)


def test_clips_come_with_their_rows(tmp_path: Path, tiny_params: Params) -> None:
    content = recordings()
    content[Utterance("02", 1, 0)] = b""
    path = write_recordings(tmp_path / "corpus.zip", content, {})
    rejections = Rejections()
    with CorpusArchive(path) as corpus:
        clips = list(load_clips(corpus, manifest_of(content), tiny_params.audio, rejections))
    assert len(clips) == len(content) - 1
    assert list(rejections.reasons) == ["1_02_0"]
    for row, clip in clips:
        assert row["utterance_id"] != "1_02_0"
        assert clip.shape == (2000,)


def test_noisy_versions_depend_on_seed_and_utterance() -> None:
    clean = noise_waveform(1)[:, 0].astype(np.float32)
    weights = NoiseWeights(**dict.fromkeys(NOISE_TYPES, 1.0))
    params = NoiseParams(weights, snr_db=(-5.0, 5.0), noisy_versions=8, seed=1)

    def noisy_versions(utterance_id: str, params: NoiseParams) -> list[tuple[str, float, bytes]]:
        sources = NoiseSources(lambda rng, n: clean, lambda rng, n: clean)
        distribution = noise_distribution(params)
        versions = draw_noisy_versions(clean, utterance_id, 8000, distribution, sources)
        return [(v.noise_type, v.snr_db, v.waveform.tobytes()) for v in versions]

    first = noisy_versions("0_01_0", params)
    assert len(set(first)) == 8 and len({noise_type for noise_type, *_ in first}) > 1
    assert noisy_versions("0_01_0", dataclasses.replace(params, noisy_versions=3)) == first[:3]
    assert not set(noisy_versions("0_01_1", params)) & set(first)
    assert not set(noisy_versions("0_01_0", dataclasses.replace(params, seed=2))) & set(first)


def test_noise_recordings_are_drawn_beside_the_other_noise_types(
    tmp_path: Path, tiny_params: Params
) -> None:
    weights = dataclasses.replace(tiny_params.noise.weights, recordings=2.0)
    noise = dataclasses.replace(tiny_params.noise, weights=weights)
    params = dataclasses.replace(tiny_params, noise=noise)
    features_of(tmp_path / "features", recordings(), manifest_of(recordings()), params)
    index = pd.read_csv(tmp_path / "features" / "index.csv")
    assert set(index.noise) == {"white", "babble", "recordings"}
    cache = SpectrogramCache(tmp_path / "features", "train")
    assert_snr_is_the_indexs(cache, index[index.split == "train"].snr_db.to_numpy())


def test_noise_types_are_drawn_in_proportion_to_their_weights() -> None:
    weights = NoiseWeights(**{**dict.fromkeys(NOISE_TYPES, 0.0), "pink": 3.0, "speech": 1.0})
    rng = np.random.default_rng(0)
    drawn = Counter(draw_noise_type(weights.by_type(), rng) for _ in range(2000))
    assert set(drawn) == {"pink", "speech"}
    assert drawn["pink"] == pytest.approx(1500, abs=80)


@given(
    weights=st.lists(st.floats(0, 1000), min_size=9, max_size=9).filter(any),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_noise_type_of_weight_0_does_not_change_the_draws(
    weights: list[float], seed: int
) -> None:
    former = NOISE_TYPES[: NOISE_TYPES.index("recordings")]
    asked = NoiseWeights(**dict(zip(former, weights, strict=True)), recordings=0.0)
    one, other = np.random.default_rng(seed), np.random.default_rng(seed)
    shares = np.array(weights) / np.sum(weights)
    drawn = [draw_noise_type(asked.by_type(), one) for _ in range(20)]
    assert drawn == [former[other.choice(len(former), p=shares)] for _ in range(20)]
    assert one.integers(2**60) == other.integers(2**60)


def test_the_bank_of_noise_holds_no_recording_of_the_evaluation(
    tmp_path: Path, tiny_params: Params
) -> None:
    content = recordings()
    path = write_recordings(tmp_path / "corpus.zip", content, {})
    with create_noise_archive(tmp_path / "noise.zip") as writer:
        for number in range(11):  # recordings of 0.1 s, of two pieces each
            writer.add(number, 0, wav(1000 + number))
            writer.add(number, 1, wav(2000 + number))
    with CorpusArchive(path) as corpus, NoiseArchive(tmp_path / "noise.zip") as noise:
        write_banks(corpus, manifest_of(content), noise, tiny_params, tmp_path)
    bank = Bank(tmp_path, "noise")
    assert list(bank.groups) == [group for group in range(9) for _ in range(2)]
    trained = [number for number in range(11) if number not in (4, 9)]  # every fifth is held out
    expected = [noise_waveform(first + n)[:, 0] for n in trained for first in (1000, 2000)]
    for row, waveform in enumerate(expected):
        scaled = waveform / np.abs(waveform).max()
        np.testing.assert_allclose(bank.read(row), scaled, atol=1e-3)
