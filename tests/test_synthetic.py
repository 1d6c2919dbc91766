"""The built-in corpus: the same bytes wherever and in whatever order it is made, human variety."""

import dataclasses
import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from denoise.corpus.archive import META_NAME, CorpusArchive, OovUtterance, Utterance
from denoise.corpus.synthetic import espeak
from denoise.corpus.synthetic.acoustics import SAMPLE_RATE, draw_air, draw_recording
from denoise.corpus.synthetic.build import (
    draw_oov_speaker,
    draw_speakers,
    name,
    speaking,
    synthesize,
    synthesize_corpus,
)
from denoise.corpus.synthetic.espeak import Espeak, installed_file
from denoise.corpus.synthetic.voices import ACCENTS, LANGUAGES, VARIANTS, Voice, draw_voice
from denoise.errors import CorpusError
from denoise.params import SyntheticParams

PARAMS = SyntheticParams(speakers=8, repetitions=2, oov_utterances=3, seed=20)
Clips = dict[Utterance | OovUtterance, npt.NDArray[np.float32]]
Made = tuple[CorpusArchive, dict[str, Any]]
VOICE_FILE = {"someone": "name someone\nlanguage en-us\n"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    path = tmp_path_factory.mktemp("corpus") / "corpus.zip"
    provenance = synthesize_corpus(PARAMS, path)
    with CorpusArchive(path) as archive:
        yield archive, provenance


@pytest.fixture(scope="module")
def clips(corpus: Made) -> Clips:
    archive, _ = corpus
    recordings = {utterance: archive.read(utterance) for utterance in archive.utterances}
    recordings |= {word: archive.read_oov(word) for word in archive.oov_utterances}
    return {
        clip: soundfile.read(io.BytesIO(content), dtype="float32")[0]
        for clip, content in recordings.items()
    }


def level_db(clip: npt.NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(np.square(clip))))


def test_every_speaker_says_every_digit_every_time(corpus: Made) -> None:
    archive, _ = corpus
    expected = itertools.product([f"{n:02d}" for n in range(1, 9)], range(10), range(2))
    assert archive.utterances == sorted(Utterance(*parts) for parts in expected)


def test_there_are_as_many_words_as_asked_for(corpus: Made) -> None:
    archive, _ = corpus
    assert archive.oov_utterances == [OovUtterance(0), OovUtterance(1), OovUtterance(2)]


def test_the_archive_holds_nothing_else(corpus: Made) -> None:
    archive, _ = corpus
    members = [clip.member for clip in (*archive.utterances, *archive.oov_utterances)]
    assert sorted(archive._zip.namelist()) == sorted([*members, META_NAME])


def test_the_recordings_are_mono_16_bit_wav(corpus: Made) -> None:
    archive, _ = corpus
    info = soundfile.info(io.BytesIO(archive.read(archive.utterances[0])))
    form = (info.format, info.subtype, info.channels, info.samplerate)
    assert form == ("WAV", "PCM_16", 1, SAMPLE_RATE)


def test_the_meta_file_describes_each_speaker_as_audiomnist_does(corpus: Made) -> None:
    archive, _ = corpus
    speakers = archive.speakers()
    assert sorted(speakers) == sorted({utterance.speaker_id for utterance in archive.utterances})
    keys = {"accent", "age", "gender", "native speaker", "origin", "recordingdate", "recordingroom"}
    assert all(keys <= set(about) for about in speakers.values())
    assert len({about["voice"] for about in speakers.values()}) == len(speakers)


def test_the_provenance_counts_what_is_there(corpus: Made) -> None:
    archive, provenance = corpus
    assert provenance["source"] == "synthetic"
    assert provenance["version"].startswith("eSpeak NG 1.")
    assert provenance["files"] == len(archive.utterances) == 160
    assert provenance["words"] == len(archive.oov_utterances) == 3
    assert (provenance["speakers"], provenance["seed"], provenance["sample_rate"]) == (8, 20, 22050)
    json.dumps(provenance)


@pytest.mark.parametrize("count", [4, 61, 100])
def test_the_genders_are_balanced(count: int) -> None:
    speakers = draw_speakers(SyntheticParams(count, 1, 0, 3))
    genders = Counter(voice.gender for voice, _ in speakers.values())
    assert len(speakers) == count
    assert abs(genders["female"] - genders["male"]) <= 1


def test_women_speak_higher_than_men() -> None:
    voices = [voice for voice, _ in draw_speakers(SyntheticParams(100, 1, 0, 3)).values()]
    pitches = {
        gender: np.median([voice.pitch_hz for voice in voices if voice.gender == gender])
        for gender in VARIANTS
    }
    assert 1.5 < pitches["female"] / pitches["male"] < 2.2


def test_accents_are_spread() -> None:
    speakers = draw_speakers(SyntheticParams(60, 1, 0, 3))
    accents = Counter(voice.accent for voice, _ in speakers.values())
    assert set(accents) == set(ACCENTS)
    assert max(accents.values()) <= 2 * min(accents.values())


def test_words_are_said_by_many_people_in_many_languages() -> None:
    strangers = [draw_oov_speaker(OovUtterance(number), 3) for number in range(400)]
    languages = Counter(voice.accent for voice, _ in strangers)
    assert set(languages) == set(LANGUAGES) and max(languages.values()) < 30
    variants = {voice.variant for voice, _ in strangers}
    assert len(variants) > 0.9 * sum(map(len, VARIANTS.values()))
    assert sum(voice.gender == "female" for voice, _ in strangers) == 200
    assert len({voice.formants for voice, _ in strangers}) == 400
    assert len({recording.gains for _, recording in strangers}) == 400


def test_no_two_clips_are_equal(clips: Clips) -> None:
    assert len({clip.tobytes() for clip in clips.values()}) == len(clips)


def test_clips_are_neither_clipped_nor_silent(clips: Clips) -> None:
    for utterance, clip in clips.items():
        assert np.isfinite(clip).all()
        assert np.max(np.abs(clip)) < 0.95, utterance
        assert level_db(clip) > -65, utterance


def test_speech_stands_well_above_the_room(clips: Clips) -> None:
    for utterance, clip in clips.items():
        without_draught = np.diff(clip)  # 50 Hz falls by 37 dB, 500 Hz by 17
        blocks = without_draught[: len(without_draught) // 441 * 441].reshape(-1, 441)
        power = np.mean(np.square(blocks, dtype=np.float64), axis=1) + 1e-12
        assert 10 * np.log10(power.max() / power[:2].mean()) > 30, utterance


def test_a_draught_sets_in_without_a_click() -> None:
    voice = np.pad(np.ones(4000, np.float32), 6000)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        air = draw_air(voice, dataclasses.replace(draw_recording(rng), draught_db=-12.0), rng)
        assert np.max(np.abs(air)) > 0.2
        assert max(np.max(np.abs(air[:10])), np.max(np.abs(air[-10:]))) < 0.02


def test_durations_are_those_of_spoken_digits(clips: Clips) -> None:
    digits = [samples for clip, samples in clips.items() if isinstance(clip, Utterance)]
    seconds = np.array([len(samples) / SAMPLE_RATE for samples in digits])
    assert seconds.min() > 0.35 and seconds.max() < 1.7
    assert 0.6 < np.median(seconds) < 1.0
    assert np.std(seconds) > 0.08


def test_levels_are_spread_as_recordings_are() -> None:
    recordings = [about[1] for about in draw_speakers(SyntheticParams(60, 1, 0, 3)).values()]
    levels = np.array([recording.level_db for recording in recordings])
    assert 15 < levels.max() - levels.min() < 26
    assert 4 < levels.std() < 8


def test_a_clip_has_the_level_of_its_speaker(clips: Clips) -> None:
    speakers = draw_speakers(PARAMS)
    for speaker_id, (_, recording) in speakers.items():
        said = [clip for clip in clips if isinstance(clip, Utterance)]
        own = [level_db(clips[clip]) for clip in said if clip.speaker_id == speaker_id]
        # The silence around the speech, and the limit on peaks, only take away.
        assert -5 < np.mean(own) - recording.level_db < 1, speaker_id


def test_the_same_bytes_again_and_in_another_process_on_a_lesser_processor(
    corpus: Made, tmp_path: Path
) -> None:
    archive, _ = corpus
    again = tmp_path / "again.zip"
    program = (
        "import sys; from denoise.corpus.synthetic.build import synthesize_corpus;"
        "from denoise.params import SyntheticParams;"
        "synthesize_corpus(SyntheticParams(8, 2, 3, 20), sys.argv[1])"
    )
    features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(again)], check=True, env=environment
    )
    first, second = (hashlib.sha256(path.read_bytes()) for path in (archive.path, again))
    assert first.hexdigest() == second.hexdigest()


def test_a_smaller_corpus_is_a_part_of_a_larger_one(corpus: Made, tmp_path: Path) -> None:
    archive, _ = corpus
    synthesize_corpus(SyntheticParams(4, 1, oov_utterances=1, seed=20), tmp_path / "small.zip")
    with CorpusArchive(tmp_path / "small.zip") as small:
        assert (len(small.utterances), len(small.oov_utterances)) == (40, 1)
        assert all(small.read(u) == archive.read(u) for u in small.utterances)
        assert all(small.read_oov(word) == archive.read_oov(word) for word in small.oov_utterances)
        speakers = archive.speakers()
        assert all(about == speakers[who] for who, about in small.speakers().items())


def test_another_seed_gives_another_corpus(corpus: Made, tmp_path: Path) -> None:
    archive, _ = corpus
    synthesize_corpus(SyntheticParams(4, 1, oov_utterances=1, seed=21), tmp_path / "other.zip")
    with CorpusArchive(tmp_path / "other.zip") as other:
        assert not any(other.read(u) == archive.read(u) for u in other.utterances)
        assert not any(
            other.read_oov(word) == archive.read_oov(word) for word in other.oov_utterances
        )


def every_variant() -> list[Voice]:
    """Return one voice of each variant, with the accents in turn."""
    accents = itertools.cycle(ACCENTS)
    pairs = [(gender, variant) for gender in VARIANTS for variant in VARIANTS[gender]]
    return [
        draw_voice(np.random.default_rng(n), f"{n}", gender, variant, next(accents))
        for n, (gender, variant) in enumerate(pairs)
    ]


def every_language() -> list[Voice]:
    """Return one voice a language."""
    return [
        draw_voice(np.random.default_rng(n), f"x{n}", "female", "linda", language)
        for n, language in enumerate(LANGUAGES)
    ]


def test_every_variant_and_accent_is_installed() -> None:
    for variant in itertools.chain(*VARIANTS.values()):
        assert installed_file("voices", "!v", variant).is_file()
    for accent in (*ACCENTS, *LANGUAGES):
        assert installed_file("lang", *accent.split("/")).is_file()


def test_every_language_has_words_of_its_own_for_numbers() -> None:
    english = draw_voice(np.random.default_rng(0), "1", "female", "linda", "gmw/en")
    voices = [english, *every_language()]
    manner = {"rate": 150, "pitch": 50, "pitch_range": 50, "seed": 7}
    with speaking(voices) as engine:
        heard = {
            (voice.accent, number): engine.say(str(number), name(voice), **manner)
            for voice in voices
            for number in (*range(10), 38)
        }
    assert len({said.tobytes() for said in heard.values()}) > 0.97 * len(heard)
    for what, said in heard.items():
        assert 0.1 < np.count_nonzero(said) / SAMPLE_RATE < 2.5, what


def test_an_utterance_does_not_depend_on_those_before_it() -> None:
    texts = dict.fromkeys(every_variant(), ("one", "three", "zero", "nine"))
    texts |= dict.fromkeys(every_language(), ("1", "3", "0", "49"))
    voices = list(texts)
    manner = {"rate": 150, "pitch": 50, "pitch_range": 50, "seed": 7}
    rng = np.random.default_rng(1)
    with speaking(voices) as engine:
        pairs = [(voice, text) for voice, said in texts.items() for text in said]
        before = [engine.say(text, name(voice), **manner) for voice, text in pairs]
        for number in rng.permutation(len(pairs)):
            voice, text = pairs[number]
            other = voice if number % 2 else voices[rng.integers(len(voices))]
            engine.say("five", name(other), **manner | {"seed": 3})
            after = engine.say(text, name(voice), **manner)
            assert np.array_equal(before[number], after), (voice.variant, voice.accent, text)


def test_no_variant_overloads_or_is_silent() -> None:
    voices = every_variant()
    with speaking(voices) as engine:
        for voice in voices:
            said = engine.say("nine", name(voice), rate=150, pitch=60, pitch_range=50, seed=7)
            assert 300 < np.max(np.abs(said.astype(np.int32))) < 32_000, voice.variant
            assert 0.2 < np.count_nonzero(said) / engine.sample_rate < 1.2, voice.variant


def test_one_clip_alone_is_the_clip_of_the_corpus(corpus: Made) -> None:
    archive, _ = corpus
    utterance, word = Utterance("05", 7, 1), OovUtterance(2)
    speaker, stranger = draw_speakers(PARAMS)["05"], draw_oov_speaker(word, PARAMS.seed)
    with speaking([speaker[0], stranger[0]]) as engine:
        for alone, content in (
            (synthesize(engine, word, *stranger, PARAMS.seed), archive.read_oov(word)),
            (synthesize(engine, utterance, *speaker, PARAMS.seed), archive.read(utterance)),
        ):
            assert np.array_equal(alone, soundfile.read(io.BytesIO(content), dtype="int16")[0])


def test_a_platform_without_the_library_is_told_of_the_other_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "none.so"))
    with pytest.raises(CorpusError, match=r"does not load.*download\.source to kaggle or local"):
        synthesize_corpus(PARAMS, tmp_path / "corpus.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_told_of_the_other_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(CorpusError, match=r"not installed.*download\.source to kaggle or local"):
        synthesize_corpus(PARAMS, tmp_path / "corpus.zip")


def test_data_without_a_variant_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(CorpusError, match=r"no lang/gmw/en\S* among its data"):
        synthesize_corpus(PARAMS, tmp_path / "corpus.zip")


def test_a_data_folder_that_the_library_does_not_take_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deep = tmp_path / ("x" * 200)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(CorpusError, match="does not start"), Espeak(VOICE_FILE):
        pass
    assert list(deep.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", None)
    with Espeak(VOICE_FILE) as engine:  # and the engine is free again
        assert engine.sample_rate == SAMPLE_RATE


def test_the_engine_serves_one_at_a_time() -> None:
    with Espeak(VOICE_FILE):
        with pytest.raises(CorpusError, match="in use"), Espeak(VOICE_FILE):
            pass
        assert espeak._one_at_a_time.locked()
    assert not espeak._one_at_a_time.locked()


def test_an_unknown_voice_is_an_error() -> None:
    with Espeak(VOICE_FILE) as engine, pytest.raises(CorpusError, match="no voice 'nobody'"):
        engine.say("one", "nobody", rate=150, pitch=50, pitch_range=50, seed=1)


def test_a_corpus_that_fails_midway_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Espeak, "say", lambda *_, **__: np.zeros(100, np.int16))
    with pytest.raises(CorpusError, match="said nothing"):
        synthesize_corpus(PARAMS, tmp_path / "corpus.zip")
    assert list(tmp_path.iterdir()) == []


def test_no_data_folder_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Espeak(VOICE_FILE):
        assert len(list(Path(tmp_path).iterdir())) == 1
    assert list(Path(tmp_path).iterdir()) == []
