"""Plan the synthetic corpus: who says what, and in which voice.

Each speaker and clip depends only on the seed and its own id.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from denoise.corpus.archive import OovUtterance, Utterance
from denoise.corpus.filename_parser import DIGIT_WORDS
from denoise.corpus.synthetic.acoustics import RecordingConditions, draw_recording_conditions
from denoise.corpus.synthetic.delivery import Style, draw_style
from denoise.corpus.synthetic.sentences import Grammar
from denoise.corpus.synthetic.voices import ACCENTS, LANGUAGES, VARIANTS, Voice, draw_voice
from denoise.dsp.seeding import make_rng
from denoise.params import SyntheticParams


class Speaker(NamedTuple):
    """A synthetic speaker: the voice, and how it is recorded."""

    voice: Voice
    conditions: RecordingConditions


class Script(NamedTuple):
    """What an utterance of a corpus of sentences says, and how."""

    grammar: Grammar
    style: Style


class PlannedClip(NamedTuple):
    """A clip, who speaks it, and the script if it is one of sentences."""

    clip: Utterance | OovUtterance
    speaker: Speaker
    script: Script | None = None


def draw_speakers(params: SyntheticParams) -> dict[str, Speaker]:
    """Draw the speakers of digits or sentences, by speaker_id; women and men alternate."""
    order = make_rng(params.seed, "variants")
    variants = {gender: order.permutation(VARIANTS[gender]).tolist() for gender in VARIANTS}
    accents = order.permutation(list(ACCENTS)).tolist()
    speakers = {}
    for index in range(params.speakers):
        speaker_id = f"{index + 1:02d}"
        gender, turn = tuple(VARIANTS)[index % 2], index // 2
        variant = variants[gender][turn % len(variants[gender])]
        accent = accents[(turn + index % 2) % len(accents)]
        rng = make_rng(params.seed, f"speaker {speaker_id}")
        voice = draw_voice(rng, speaker_id, gender, variant, accent)
        speakers[speaker_id] = Speaker(voice, draw_recording_conditions(rng))
    return speakers


def draw_oov_speaker(oov: OovUtterance, seed: int) -> Speaker:
    """Draw the speaker of one OOV utterance, who says nothing else."""
    rng = make_rng(seed, f"oov speaker {oov.number}")
    gender = tuple(VARIANTS)[oov.number % 2]
    variant, language = (str(rng.choice(choices)) for choices in (VARIANTS[gender], [*LANGUAGES]))
    voice = draw_voice(rng, f"x{oov.number}", gender, variant, language)
    return Speaker(voice, draw_recording_conditions(rng))


def name_voice(voice: Voice) -> str:
    """Return the name by which eSpeak NG loads a voice."""
    return f"speaker{voice.speaker_id}"


def plan_digits(params: SyntheticParams, speakers: Mapping[str, Speaker]) -> list[PlannedClip]:
    """Plan the digits: every speaker says each of them `params.repetitions` times."""
    parts = itertools.product(speakers, range(len(DIGIT_WORDS)), range(params.repetitions))
    utterances = itertools.starmap(Utterance, parts)
    return [PlannedClip(utterance, speakers[utterance.speaker_id]) for utterance in utterances]


def plan_oov(params: SyntheticParams) -> list[PlannedClip]:
    """Plan the OOV utterances, each by a speaker of its own."""
    utterances = map(OovUtterance, range(params.oov_utterances))
    return [PlannedClip(oov, draw_oov_speaker(oov, params.seed)) for oov in utterances]


def plan_sentences(
    params: SyntheticParams, speakers: Mapping[str, Speaker], grammars: Sequence[Grammar]
) -> list[PlannedClip]:
    """Plan the utterances of each speaker, who uses the languages in turn, in an order of its own.

    Each language of a speaker, and whispering in it, is a voice of its own to eSpeak NG.
    """
    planned = []
    for speaker_id, speaker in speakers.items():
        order = make_rng(params.seed, f"languages of {speaker_id}").permutation(len(grammars))
        for repetition in range(params.repetitions):
            utterance = Utterance(speaker_id, None, repetition)
            rng = make_rng(params.seed, f"script of {utterance.utterance_id}")
            number = int(order[repetition % len(grammars)])
            script = Script(grammars[number], draw_style(rng))
            choice = int(rng.integers(len(script.grammar.voices)))
            manner = "w" if script.style.whispers else "v"
            voice = dataclasses.replace(
                speaker.voice,
                speaker_id=f"{speaker_id}{manner}{number}-{choice}",
                accent=script.grammar.voices[choice],
                whispers=script.style.whispers,
            )
            planned.append(PlannedClip(utterance, speaker._replace(voice=voice), script))
    return planned
