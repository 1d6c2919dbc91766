"""The synthetic corpus: it is reproducible byte by byte, and as varied as human recordings."""

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

import espeakng_loader
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from denoise.corpus.archive import META_NAME, CorpusArchive, OovUtterance, Utterance
from denoise.corpus.synthetic import espeak
from denoise.corpus.synthetic.acoustics import (
    SAMPLE_RATE,
    draw_air_noise,
    draw_recording_conditions,
)
from denoise.corpus.synthetic.build import open_espeak, synthesise_clip, synthesise_corpus
from denoise.corpus.synthetic.espeak import Espeak, installed_file
from denoise.corpus.synthetic.planning import draw_oov_speaker, draw_speakers, name_voice
from denoise.corpus.synthetic.voices import ACCENTS, LANGUAGES, VARIANTS, Voice, draw_voice
from denoise.errors import CorpusError
from denoise.params import SyntheticParams
from tests.synthesised import SynthesisedCorpus, synthesised

PARAMS = SyntheticParams("digits", speakers=8, repetitions=2, oov_utterances=3, seed=20)
Clips = dict[Utterance | OovUtterance, npt.NDArray[np.float32]]
VOICE_FILE = {"someone": "name someone\nlanguage en-us\n"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SynthesisedCorpus]:
    with synthesised(PARAMS, tmp_path_factory.mktemp("corpus")) as built:
        yield built


@pytest.fixture(scope="module")
def clips(corpus: SynthesisedCorpus) -> Clips:
    archive, _ = corpus
    recordings = {utterance: archive.read(utterance) for utterance in archive.utterances}
    recordings |= {oov: archive.read_oov(oov) for oov in archive.oov_utterances}
    return {
        clip: soundfile.read(io.BytesIO(content), dtype="float32")[0]
        for clip, content in recordings.items()
    }


def level_db(clip: npt.NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(np.square(clip))))


def test_every_speaker_says_every_digit_every_time(corpus: SynthesisedCorpus) -> None:
    archive, _ = corpus
    expected = itertools.product([f"{n:02d}" for n in range(1, 9)], range(10), range(2))
    assert archive.utterances == sorted(Utterance(*parts) for parts in expected)


def test_the_number_of_oov_utterances_is_that_of_the_params(corpus: SynthesisedCorpus) -> None:
    archive, _ = corpus
    assert archive.oov_utterances == [OovUtterance(0), OovUtterance(1), OovUtterance(2)]


def test_the_archive_has_no_other_members(corpus: SynthesisedCorpus) -> None:
    archive, _ = corpus
    members = [clip.member for clip in (*archive.utterances, *archive.oov_utterances)]
    assert sorted(archive._zip.namelist()) == sorted([*members, META_NAME])


def test_the_recordings_are_mono_16_bit_wav(corpus: SynthesisedCorpus) -> None:
    archive, _ = corpus
    info = soundfile.info(io.BytesIO(archive.read(archive.utterances[0])))
    assert (info.format, info.subtype, info.channels, info.samplerate) == (
        "WAV",
        "PCM_16",
        1,
        SAMPLE_RATE,
    )


def test_the_meta_file_describes_each_speaker_as_audiomnist_does(corpus: SynthesisedCorpus) -> None:
    archive, _ = corpus
    speakers = archive.speakers()
    assert sorted(speakers) == sorted({utterance.speaker_id for utterance in archive.utterances})
    keys = {"accent", "age", "gender", "native speaker", "origin", "recordingdate", "recordingroom"}
    assert all(keys <= set(info) for info in speakers.values())
    assert len({info["voice"] for info in speakers.values()}) == len(speakers)


def test_the_provenance_has_the_right_counts(corpus: SynthesisedCorpus) -> None:
    archive, provenance = corpus
    assert provenance["source"] == "synthetic"
    assert provenance["version"].startswith("eSpeak NG 1.")
    assert provenance["files"] == len(archive.utterances) == 160
    assert provenance["oov_utterances"] == len(archive.oov_utterances) == 3
    assert (provenance["speakers"], provenance["seed"], provenance["sample_rate"]) == (8, 20, 22050)
    json.dumps(provenance)


@pytest.mark.parametrize("n_speakers", [4, 61, 100])
def test_the_genders_are_balanced(n_speakers: int) -> None:
    speakers = draw_speakers(SyntheticParams("digits", n_speakers, 1, 0, 3))
    genders = Counter(voice.gender for voice, _ in speakers.values())
    assert len(speakers) == n_speakers
    assert abs(genders["female"] - genders["male"]) <= 1


def test_the_voices_of_women_are_higher_than_those_of_men() -> None:
    voices = [voice for voice, _ in draw_speakers(SyntheticParams("digits", 100, 1, 0, 3)).values()]
    pitches = {
        gender: np.median([voice.pitch_hz for voice in voices if voice.gender == gender])
        for gender in VARIANTS
    }
    assert 1.5 < pitches["female"] / pitches["male"] < 2.2


def test_accents_are_equally_frequent() -> None:
    speakers = draw_speakers(SyntheticParams("digits", 60, 1, 0, 3))
    accents = Counter(voice.accent for voice, _ in speakers.values())
    assert set(accents) == set(ACCENTS)
    assert max(accents.values()) <= 2 * min(accents.values())


def test_oov_utterances_have_many_speakers_and_languages() -> None:
    speakers = [draw_oov_speaker(OovUtterance(number), 3) for number in range(400)]
    languages = Counter(voice.accent for voice, _ in speakers)
    assert set(languages) == set(LANGUAGES) and max(languages.values()) < 30
    variants = {voice.variant for voice, _ in speakers}
    assert len(variants) > 0.9 * sum(map(len, VARIANTS.values()))
    assert sum(voice.gender == "female" for voice, _ in speakers) == 200
    assert len({voice.formants for voice, _ in speakers}) == 400
    assert len({conditions.gains for _, conditions in speakers}) == 400


def test_all_clips_are_different(clips: Clips) -> None:
    assert len({clip.tobytes() for clip in clips.values()}) == len(clips)


def test_clips_are_neither_clipped_nor_silent(clips: Clips) -> None:
    for utterance, clip in clips.items():
        assert np.isfinite(clip).all()
        assert np.max(np.abs(clip)) < 0.95, utterance
        assert level_db(clip) > -65, utterance


def test_speech_is_much_louder_than_the_room_noise(clips: Clips) -> None:
    for utterance, clip in clips.items():
        without_wind = np.diff(clip)  # attenuates 50 Hz by 37 dB, 500 Hz by 17 dB
        blocks = without_wind[: len(without_wind) // 441 * 441].reshape(-1, 441)
        power = np.mean(np.square(blocks, dtype=np.float64), axis=1) + 1e-12
        assert 10 * np.log10(power.max() / power[:2].mean()) > 30, utterance


def test_wind_noise_starts_and_ends_without_a_click() -> None:
    voice = np.pad(np.ones(4000, np.float32), 6000)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        conditions = dataclasses.replace(draw_recording_conditions(rng), wind_db=-12.0)
        air = draw_air_noise(voice, conditions, rng)
        assert np.max(np.abs(air)) > 0.2
        assert max(np.max(np.abs(air[:10])), np.max(np.abs(air[-10:]))) < 0.02


def test_durations_are_those_of_spoken_digits(clips: Clips) -> None:
    digits = [samples for clip, samples in clips.items() if isinstance(clip, Utterance)]
    seconds = np.array([len(samples) / SAMPLE_RATE for samples in digits])
    assert seconds.min() > 0.35 and seconds.max() < 1.7
    assert 0.6 < np.median(seconds) < 1.0
    assert np.std(seconds) > 0.08


def test_the_levels_of_speakers_differ_as_in_recordings() -> None:
    speakers = draw_speakers(SyntheticParams("digits", 60, 1, 0, 3)).values()
    levels = np.array([speaker.conditions.level_db for speaker in speakers])
    assert 15 < levels.max() - levels.min() < 26
    assert 4 < levels.std() < 8


def test_a_clip_has_the_level_of_its_speaker(clips: Clips) -> None:
    speakers = draw_speakers(PARAMS)
    utterances = [clip for clip in clips if isinstance(clip, Utterance)]
    for speaker_id, speaker in speakers.items():
        levels = [level_db(clips[u]) for u in utterances if u.speaker_id == speaker_id]
        # The silence around the speech and the limit on peaks can only lower the level.
        assert -5 < np.mean(levels) - speaker.conditions.level_db < 1, speaker_id


def test_another_process_without_simd_extensions_gives_the_same_bytes(
    corpus: SynthesisedCorpus, tmp_path: Path
) -> None:
    archive, _ = corpus
    second_path = tmp_path / "second.zip"
    program = (
        "import sys; from denoise.corpus.synthetic.build import synthesise_corpus;"
        "from denoise.params import SyntheticParams;"
        "synthesise_corpus(SyntheticParams('digits', 8, 2, 3, 20), sys.argv[1])"
    )
    features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(second_path)],
        check=True,
        env=environment,
    )
    first, second = (hashlib.sha256(path.read_bytes()) for path in (archive.path, second_path))
    assert first.hexdigest() == second.hexdigest()


def test_the_clips_of_a_smaller_corpus_are_also_in_a_larger_one(
    corpus: SynthesisedCorpus, tmp_path: Path
) -> None:
    archive, _ = corpus
    synthesise_corpus(
        SyntheticParams("digits", 4, 1, oov_utterances=1, seed=20), tmp_path / "small.zip"
    )
    with CorpusArchive(tmp_path / "small.zip") as small:
        assert (len(small.utterances), len(small.oov_utterances)) == (40, 1)
        assert all(small.read(u) == archive.read(u) for u in small.utterances)
        assert all(small.read_oov(oov) == archive.read_oov(oov) for oov in small.oov_utterances)
        speakers = archive.speakers()
        assert all(info == speakers[who] for who, info in small.speakers().items())


def test_another_seed_gives_another_corpus(corpus: SynthesisedCorpus, tmp_path: Path) -> None:
    archive, _ = corpus
    synthesise_corpus(
        SyntheticParams("digits", 4, 1, oov_utterances=1, seed=21), tmp_path / "other.zip"
    )
    with CorpusArchive(tmp_path / "other.zip") as other:
        assert not any(other.read(u) == archive.read(u) for u in other.utterances)
        assert not any(other.read_oov(oov) == archive.read_oov(oov) for oov in other.oov_utterances)


def make_variant_voices() -> list[Voice]:
    """Return one voice per variant, with alternating accents."""
    accents = itertools.cycle(ACCENTS)
    pairs = [(gender, variant) for gender in VARIANTS for variant in VARIANTS[gender]]
    return [
        draw_voice(np.random.default_rng(n), f"{n}", gender, variant, next(accents))
        for n, (gender, variant) in enumerate(pairs)
    ]


def make_language_voices() -> list[Voice]:
    """Return one voice per language."""
    return [
        draw_voice(np.random.default_rng(n), f"x{n}", "female", "linda", language)
        for n, language in enumerate(LANGUAGES)
    ]


def test_every_variant_and_accent_is_installed() -> None:
    for variant in itertools.chain(*VARIANTS.values()):
        assert installed_file("voices", "!v", variant).is_file()
    for accent in (*ACCENTS, *LANGUAGES):
        assert installed_file("lang", *accent.split("/")).is_file()


def test_numbers_sound_different_in_every_language() -> None:
    english = draw_voice(np.random.default_rng(0), "1", "female", "linda", "gmw/en")
    voices = [english, *make_language_voices()]
    settings = {"rate": 150, "pitch": 50, "pitch_range": 50, "seed": 7}
    with open_espeak(voices) as engine:
        speech = {
            (voice.accent, number): engine.say(str(number), name_voice(voice), **settings)
            for voice in voices
            for number in (*range(10), 38)
        }
    assert len({samples.tobytes() for samples in speech.values()}) > 0.97 * len(speech)
    for key, samples in speech.items():
        assert 0.1 < np.count_nonzero(samples) / SAMPLE_RATE < 2.5, key


def test_an_utterance_does_not_depend_on_earlier_ones() -> None:
    texts = dict.fromkeys(make_variant_voices(), ("one", "three", "zero", "nine"))
    texts |= dict.fromkeys(make_language_voices(), ("1", "3", "0", "49"))
    voices = list(texts)
    settings = {"rate": 150, "pitch": 50, "pitch_range": 50, "seed": 7}
    rng = np.random.default_rng(1)
    with open_espeak(voices) as engine:
        pairs = [(v, text) for v, texts_of_voice in texts.items() for text in texts_of_voice]
        before = [engine.say(text, name_voice(voice), **settings) for voice, text in pairs]
        for number in rng.permutation(len(pairs)):
            voice, text = pairs[number]
            other = voice if number % 2 else voices[rng.integers(len(voices))]
            engine.say("five", name_voice(other), **settings | {"seed": 3})
            after = engine.say(text, name_voice(voice), **settings)
            assert np.array_equal(before[number], after), (voice.variant, voice.accent, text)


def test_no_variant_is_clipped_or_silent() -> None:
    voices = make_variant_voices()
    with open_espeak(voices) as engine:
        for voice in voices:
            samples = engine.say(
                "nine", name_voice(voice), rate=150, pitch=60, pitch_range=50, seed=7
            )
            assert 300 < np.max(np.abs(samples.astype(np.int32))) < 32_000, voice.variant
            assert 0.2 < np.count_nonzero(samples) / engine.sample_rate < 1.2, voice.variant


def test_a_clip_synthesised_alone_is_that_of_the_corpus(corpus: SynthesisedCorpus) -> None:
    archive, _ = corpus
    utterance, oov = Utterance("05", 7, 1), OovUtterance(2)
    speaker, oov_speaker = draw_speakers(PARAMS)["05"], draw_oov_speaker(oov, PARAMS.seed)
    with open_espeak([speaker.voice, oov_speaker.voice]) as engine:
        for samples, content in (
            (synthesise_clip(engine, oov, oov_speaker, PARAMS.seed), archive.read_oov(oov)),
            (synthesise_clip(engine, utterance, speaker, PARAMS.seed), archive.read(utterance)),
        ):
            assert np.array_equal(samples, soundfile.read(io.BytesIO(content), dtype="int16")[0])


def test_the_error_without_the_library_names_the_other_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "none.so"))
    with pytest.raises(CorpusError, match=r"does not load.*download\.source to kaggle or local"):
        synthesise_corpus(PARAMS, tmp_path / "corpus.zip")
    assert list(tmp_path.iterdir()) == []


def test_the_error_without_the_package_names_the_other_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(CorpusError, match=r"not installed.*download\.source to kaggle or local"):
        synthesise_corpus(PARAMS, tmp_path / "corpus.zip")


def test_the_error_for_a_missing_data_file_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(CorpusError, match=r"no file lang/gmw/en\S* among its data"):
        synthesise_corpus(PARAMS, tmp_path / "corpus.zip")


def test_a_data_folder_that_the_library_cannot_use_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deep = tmp_path / ("x" * 200)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(CorpusError, match="does not start"), Espeak(VOICE_FILE):
        pass
    assert list(deep.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", None)
    with Espeak(VOICE_FILE) as engine:  # the lock was released
        assert engine.sample_rate == SAMPLE_RATE


def test_the_engine_can_be_in_use_only_once() -> None:
    with Espeak(VOICE_FILE):
        with pytest.raises(CorpusError, match="in use"), Espeak(VOICE_FILE):
            pass
        assert espeak._engine_lock.locked()
    assert not espeak._engine_lock.locked()


def test_an_unknown_voice_is_an_error() -> None:
    with Espeak(VOICE_FILE) as engine, pytest.raises(CorpusError, match="no voice 'nobody'"):
        engine.say("one", "nobody", rate=150, pitch=50, pitch_range=50, seed=1)


def test_an_error_during_synthesis_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Espeak, "say", lambda *_, **__: np.zeros(100, np.int16))
    with pytest.raises(CorpusError, match="returned silence"):
        synthesise_corpus(PARAMS, tmp_path / "corpus.zip")
    assert list(tmp_path.iterdir()) == []


def test_the_data_folder_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Espeak(VOICE_FILE):
        assert len(list(Path(tmp_path).iterdir())) == 1
    assert list(Path(tmp_path).iterdir()) == []
