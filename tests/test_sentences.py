"""Built-in running speech: the grammars, the styles, and a corpus that is the same each time."""

import collections
import dataclasses
import hashlib
import io
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from denoise.corpus.archive import CorpusArchive, Utterance
from denoise.corpus.synthetic.acoustics import SAMPLE_RATE
from denoise.corpus.synthetic.build import (
    encode_int16_wav,
    open_espeak,
    synthesise_clip,
    synthesise_corpus,
)
from denoise.corpus.synthetic.delivery import (
    MAX_SECONDS,
    MIN_SECONDS,
    STYLES,
    Narrator,
    draw_style,
    mark_emphasis,
    speak_phrases,
)
from denoise.corpus.synthetic.espeak import installed_file
from denoise.corpus.synthetic.planning import PlannedClip, draw_speakers, name_voice, plan_sentences
from denoise.corpus.synthetic.sentences import (
    NUMBER,
    PLACEHOLDER,
    START,
    Grammar,
    Phrase,
    draw_phrases,
    read_grammars,
)
from denoise.corpus.synthetic.voices import VARIANTS, draw_voice
from denoise.errors import CorpusError
from denoise.params import SyntheticParams
from tests.synthesised import SynthesisedCorpus, synthesised

PARAMS = SyntheticParams("sentences", speakers=4, repetitions=24, oov_utterances=5, seed=20)
GRAMMARS = read_grammars()
LANGUAGES = [grammar.language for grammar in GRAMMARS]
in_each_language = pytest.mark.parametrize("grammar", GRAMMARS, ids=LANGUAGES)


def draw(grammar: Grammar, n_phrases: int, seed: int = 0) -> list[Phrase]:
    return list(itertools.islice(draw_phrases(grammar, np.random.default_rng(seed)), n_phrases))


def plan(params: SyntheticParams = PARAMS) -> list[PlannedClip]:
    return plan_sentences(params, draw_speakers(params), GRAMMARS)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SynthesisedCorpus]:
    with synthesised(PARAMS, tmp_path_factory.mktemp("corpus")) as built:
        yield built


@pytest.fixture(scope="module")
def clips(corpus: SynthesisedCorpus) -> dict[Utterance, npt.NDArray[np.float32]]:
    archive, _ = corpus
    content = {utterance: io.BytesIO(archive.read(utterance)) for utterance in archive.utterances}
    return {u: soundfile.read(wav, dtype="float32")[0] for u, wav in content.items()}


def test_there_are_many_languages_and_none_is_turkic() -> None:
    assert len(set(LANGUAGES)) == len(LANGUAGES) >= 20
    assert not [grammar for grammar in GRAMMARS for v in grammar.voices if v.startswith("trk/")]


@in_each_language
def test_the_voices_are_installed(grammar: Grammar) -> None:
    for voice in grammar.voices:
        assert installed_file("lang", *voice.split("/")).is_file()


@in_each_language
def test_a_language_has_dozens_of_words_and_uses_every_rule(grammar: Grammar) -> None:
    text = " ".join(itertools.chain(*grammar.rules.values()))
    words = re.findall(r"\w+", PLACEHOLDER.sub(" ", text))
    assert len(set(words)) > 50
    used = set(PLACEHOLDER.findall(text))
    assert grammar.rules.keys() == used - {NUMBER} | {START}
    for rule, alternatives in grammar.rules.items():
        assert len(set(alternatives)) == len(alternatives) > 1, rule


@in_each_language
def test_text_has_pauses_questions_exclamations_and_numbers(grammar: Grammar) -> None:
    phrases = draw(grammar, 300)
    assert {phrase.mark for phrase in phrases} == {",", ".", "?", "!"}
    assert len(set(phrases)) > 150
    text = " ".join(" ".join(phrase.words) for phrase in phrases)
    assert re.search(r"\d", text) and not re.search(r"[{}|]", text)
    assert draw(grammar, 300) == phrases != draw(grammar, 300, seed=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- x", "it is not a mapping of languages"),
        ("X: [a", "while parsing"),
        ("X: 3", "X: 3 is not a mapping of rules"),
        ("X: {voices: de}", "X: it has no sentence"),
        ("X: {sentence: a.}", "X: it has no voices"),
        ("X: {voices: de, sentence: 3}", "X.sentence: 3 is not text"),
        ("X: {voices: de, sentence: a. | }", "X.sentence: '' is empty or has markup"),
        ("X: {voices: de, sentence: <b>.}", "X.sentence: '<b>.' is empty or has markup"),
        ("X: {voices: de, sentence: 'a {b.'}", "X.sentence: 'a {b.' is empty or has markup"),
        ("X: {voices: de, sentence: a}", "X.sentence: 'a' does not end with one of"),
        ("X: {voices: de, sentence: '{b}.'}", "X.sentence: there is no rule 'b'"),
        ("X: {voices: de, sentence: '{b}.', b: '{c}', c: '{b}'}", "X: rules use each other: "),
    ],
)
def test_a_wrong_grammar_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sentences.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        read_grammars(path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


def test_a_missing_file_of_grammars_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"No grammars of sentences at .*none\.yaml"):
        synthesise_corpus(PARAMS, tmp_path / "corpus.zip", tmp_path / "none.yaml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("longest", [0.3, 4.0, 20.0])
def test_an_utterance_is_within_the_limits_whatever_the_phrases(longest: float) -> None:
    durations = []
    for seed in range(100):
        rng = np.random.default_rng(seed)

        def say(_: Phrase, rng: np.random.Generator = rng) -> npt.NDArray[np.float32]:
            return np.ones(int(SAMPLE_RATE * rng.uniform(0.1, longest)), np.float32)

        phrases = itertools.cycle([Phrase(("a",), ","), Phrase(("b",), ".")])
        durations.append(len(speak_phrases(say, phrases, 1.5, rng)) / SAMPLE_RATE)
    assert min(durations) >= MIN_SECONDS and max(durations) <= MAX_SECONDS
    assert np.ptp(durations) > 4


def test_emphasis_marks_one_word() -> None:
    phrase, rng = Phrase(("so", "it", "is"), "!"), np.random.default_rng(1)
    assert mark_emphasis(phrase, 0.0, rng) == "so it is!"
    marked = {mark_emphasis(phrase, 1.0, rng) for _ in range(50)}
    assert len(marked) > 40
    assert all(text.count("<prosody rate='") == text.count("</prosody>") == 1 for text in marked)
    assert {re.sub("<.*?>", "", text) for text in marked} == {"so it is!"}


def test_emphasis_makes_a_word_longer_and_louder_and_a_gap_makes_a_pause() -> None:
    voice = draw_voice(np.random.default_rng(0), "1", "female", "linda", "gmw/en")
    settings: dict[str, Any] = dict(rate=150, pitch=50, pitch_range=50, seed=7, is_ssml=True)
    stressed = "the <prosody rate='75%' volume='+60%'>old</prosody> man"
    with open_espeak([voice]) as engine:
        name = name_voice(voice)
        plain = engine.say("the old man", name, **settings).astype(float)
        emphasised = engine.say(stressed, name, **settings).astype(float)
        with_gaps = engine.say("the old man", name, **settings, word_gap=10)
        assert np.array_equal(engine.say("the old man", name, **settings), plain)
    assert len(emphasised) > 1.05 * len(plain) and len(with_gaps) > 1.2 * len(plain)
    assert 1.3 * np.abs(plain).max() < np.abs(emphasised).max() < 30_000


def test_all_styles_are_drawn_by_their_weights() -> None:
    rng = np.random.default_rng(1)
    drawn = collections.Counter(draw_style(rng).name for _ in range(4000))
    total = sum(style.weight for style in STYLES)
    for style in STYLES:
        assert 0.7 < drawn[style.name] / 4000 / (style.weight / total) < 1.3, style.name


def harmonicity(samples: npt.NDArray[np.int16]) -> float:
    """Return the median over frames of the highest autocorrelation at a pitch of 75 to 400 Hz."""
    frames = samples.astype(float)[: len(samples) // 1323 * 1323].reshape(-1, 1323)
    loud = frames[np.std(frames, axis=1) > np.std(samples)]
    spectrum = np.abs(np.fft.rfft(loud, 4096)) ** 2
    correlation = np.fft.irfft(spectrum)
    return float(np.median(correlation[:, 55:294].max(axis=1) / correlation[:, 0]))


def test_whispering_has_hardly_any_voice() -> None:
    rng = np.random.default_rng(0)
    voices = {
        (variant, whispers): draw_voice(rng, f"{n}{whispers:d}", "male", variant, "gmw/de")
        for n, variant in enumerate(("adam", "klatt4", "m3"))
        for whispers in (False, True)
    }
    voices = {key: dataclasses.replace(v, whispers=key[1]) for key, v in voices.items()}
    settings = {"rate": 150, "pitch": 50, "pitch_range": 50, "seed": 7}
    text = "Ich mag den alten Baum"
    with open_espeak(voices.values()) as engine:
        said = {key: engine.say(text, name_voice(v), **settings) for key, v in voices.items()}
    for variant in ("adam", "klatt4", "m3"):
        assert harmonicity(said[variant, True]) < 0.8 * harmonicity(said[variant, False]), variant


def test_every_speaker_uses_every_language_in_an_order_of_its_own() -> None:
    orders: dict[str, list[str]] = {}
    for clip, speaker, script in plan():
        assert isinstance(clip, Utterance) and script is not None
        assert speaker.voice.accent in script.grammar.voices
        assert speaker.voice.whispers == script.style.whispers
        orders.setdefault(clip.speaker_id, []).append(script.grammar.language)
    assert list(orders) == ["01", "02", "03", "04"]
    assert all(sorted(order) == sorted(LANGUAGES) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 4


def test_the_corpus_is_speech_without_digits(corpus: SynthesisedCorpus) -> None:
    archive, provenance = corpus
    parts = itertools.product(["01", "02", "03", "04"], range(24))
    assert archive.utterances == [Utterance(who, None, number) for who, number in parts]
    assert archive.oov_utterances == []
    assert (provenance["content"], provenance["languages"]) == ("sentences", len(LANGUAGES))
    assert (provenance["files"], provenance["oov_utterances"]) == (96, 0)
    speakers = archive.speakers()
    assert sorted(speakers) == ["01", "02", "03", "04"]
    assert [info["gender"] for info in speakers.values()] == ["female", "male"] * 2
    assert {info["accent"] for info in speakers.values()} == {""}


def test_utterances_last_one_to_eight_seconds(
    clips: dict[Utterance, npt.NDArray[np.float32]],
) -> None:
    seconds = np.array([len(clip) / SAMPLE_RATE for clip in clips.values()])
    assert seconds.min() > 1 and seconds.max() < 8.1
    assert 3 < np.median(seconds) < 6.5 and np.std(seconds) > 0.8


def test_utterances_are_neither_clipped_nor_silent(
    clips: dict[Utterance, npt.NDArray[np.float32]],
) -> None:
    assert len({clip.tobytes() for clip in clips.values()}) == len(clips)
    for utterance, clip in clips.items():
        assert 0.01 < np.max(np.abs(clip)) < 0.95, utterance
        assert 10 * np.log10(np.mean(np.square(clip))) > -60, utterance


def test_an_utterance_does_not_depend_on_earlier_ones(corpus: SynthesisedCorpus) -> None:
    archive, _ = corpus
    planned = plan()
    order = np.random.default_rng(1).permutation(len(planned))
    voices = {name_voice(p.speaker.voice): p.speaker.voice for p in planned}
    with open_espeak(voices.values()) as engine:
        for clip, speaker, script in (planned[n] for n in order):
            assert isinstance(clip, Utterance)
            samples = synthesise_clip(engine, clip, speaker, PARAMS.seed, script)
            assert encode_int16_wav(samples) == archive.read(clip), clip


def test_no_variant_carries_anything_over_in_any_style() -> None:
    variants = [(gender, variant) for gender in VARIANTS for variant in VARIANTS[gender]]
    cases = list(itertools.product(variants, ("angry", "whispered")))
    styles = {style.name: style for style in STYLES}
    voices = [
        draw_voice(
            np.random.default_rng(n), f"{n}", gender, variant, GRAMMARS[n % len(GRAMMARS)].voices[0]
        )
        for n, ((gender, variant), _) in enumerate(cases)
    ]
    voices = [
        dataclasses.replace(voice, whispers=styles[style].whispers)
        for voice, (_, style) in zip(voices, cases, strict=True)
    ]
    said: dict[int, bytes] = {}
    rng = np.random.default_rng(1)
    for start in range(0, len(cases), 100):
        part = range(start, min(start + 100, len(cases)))
        with open_espeak([voices[n] for n in part]) as engine:
            for n in (*part, *rng.permutation(part).tolist()):
                manner = styles[cases[n][1]]
                own = np.random.default_rng(n)
                narrator = Narrator(engine, name_voice(voices[n]), voices[n], manner, own)
                (phrase,) = draw(GRAMMARS[n % len(GRAMMARS)], 1, seed=n)
                samples = narrator.say(phrase).tobytes()
                assert said.setdefault(n, samples) == samples, cases[n]


def test_another_process_without_simd_extensions_gives_the_same_bytes(tmp_path: Path) -> None:
    params = "SyntheticParams('sentences', 4, 3, 0, 7)"
    program = (
        "import sys; from denoise.corpus.synthetic.build import synthesise_corpus;"
        f"from denoise.params import SyntheticParams; synthesise_corpus({params}, sys.argv[1])"
    )
    features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "second.zip")]
    subprocess.run(command, check=True, env=environment)
    synthesise_corpus(SyntheticParams("sentences", 4, 3, 0, 7), tmp_path / "first.zip")
    first, second = (
        hashlib.sha256((tmp_path / f"{name}.zip").read_bytes()).hexdigest()
        for name in ("first", "second")
    )
    assert first == second


def test_the_utterances_of_a_smaller_corpus_are_also_in_a_larger_one(
    corpus: SynthesisedCorpus, tmp_path: Path
) -> None:
    archive, _ = corpus
    synthesise_corpus(SyntheticParams("sentences", 4, 2, 0, seed=20), tmp_path / "small.zip")
    with CorpusArchive(tmp_path / "small.zip") as small:
        assert len(small.utterances) == 8
        assert all(small.read(u) == archive.read(u) for u in small.utterances)
    synthesise_corpus(SyntheticParams("sentences", 4, 2, 0, seed=21), tmp_path / "other.zip")
    with CorpusArchive(tmp_path / "other.zip") as other:
        assert not any(other.read(u) == archive.read(u) for u in other.utterances)


def test_a_speaker_who_uses_a_language_again_says_something_else() -> None:
    (clip, speaker, script), *_ = plan()
    assert isinstance(clip, Utterance)
    again = dataclasses.replace(clip, repetition=24)
    with open_espeak([speaker.voice]) as engine:
        first, second = (
            synthesise_clip(engine, utterance, speaker, PARAMS.seed, script)
            for utterance in (clip, again)
        )
    assert len(first) != len(second)


def test_an_utterance_without_a_script_is_an_error() -> None:
    (clip, speaker, _), *_ = plan()
    with (
        open_espeak([speaker.voice]) as engine,
        pytest.raises(ValueError, match="speech_01_0 has neither a digit nor a script"),
    ):
        synthesise_clip(engine, clip, speaker, 1)
