"""Speak running text in different styles: pitch, range, rate, pauses and emphasis are drawn.

A style roughly imitates how an emotion sounds, within the limits of eSpeak NG. Each phrase is
synthesised by itself with settings near those of its utterance, so melody and tempo vary within it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from denoise.corpus.synthetic.acoustics import SAMPLE_RATE, db_to_amplitude
from denoise.corpus.synthetic.espeak import Espeak
from denoise.corpus.synthetic.sentences import Phrase
from denoise.corpus.synthetic.voices import Voice

MIN_SECONDS, MAX_SECONDS = 1.0, 7.0  # of speech; silence at both ends is added later
FLUENCY = 1.15  # running speech is faster than single digits
PITCH_DEVIATION, PHRASE_PITCH_DEVIATION = 7.0, 4.0  # on eSpeak NG's scale from 0 to 99
PHRASE_LEVEL_DEVIATION_DB = 1.5
COMMA_SECONDS, SENTENCE_SECONDS = (0.08, 0.4), (0.25, 0.8)
RATES, PITCHES = (80, 450), (5, 95)


@dataclass(frozen=True)
class Style:
    """How an utterance is spoken, in relation to the speaker's own way.

    `rate` and `pauses` are factors. `pitch` is added to eSpeak NG's pitch, and `pitch_range` is the
    lowest and highest range, both on its scale from 0 to 99. `word_gap` is the longest pause
    between words, in 10 ms, and `emphasis` the probability that a phrase stresses one word.
    """

    name: str
    weight: float
    rate: float
    pitch: int
    pitch_range: tuple[int, int]
    pauses: float
    word_gap: int
    emphasis: float
    whispers: bool = False


STYLES = (
    Style("neutral", 8, 1.0, 0, (25, 75), 1.0, 0, 0.25),
    Style("joyful", 3, 1.12, 14, (70, 99), 0.8, 0, 0.6),
    Style("angry", 3, 1.08, 6, (65, 99), 0.6, 2, 0.8),
    Style("sad", 3, 0.82, -14, (3, 25), 1.5, 2, 0.1),
    Style("hesitant", 2, 0.8, 0, (20, 60), 1.6, 12, 0.3),
    Style("hurried", 2, 1.45, 4, (20, 70), 0.5, 0, 0.2),
    Style("monotonous", 1, 1.0, -4, (0, 6), 1.0, 0, 0.0),
    Style("whispered", 1, 0.9, 0, (10, 50), 1.2, 2, 0.2, whispers=True),
)


def draw_style(rng: Generator) -> Style:
    """Draw one of STYLES by weight."""
    weights = np.array([style.weight for style in STYLES])
    return STYLES[rng.choice(len(STYLES), p=weights / weights.sum())]


def speak_phrases(
    say: Callable[[Phrase], npt.NDArray[np.float32]],
    phrases: Iterator[Phrase],
    pauses: float,
    rng: Generator,
) -> npt.NDArray[np.float32]:
    """Return phrases with pauses between them, float32 [n_samples], MIN to MAX_SECONDS long.

    `say` synthesises one phrase without silence at its ends. Phrases come until a random duration
    is reached. One that would exceed the longest duration ends the utterance, or is left out if the
    utterance is too short without it.
    """
    target = SAMPLE_RATE * rng.uniform(MIN_SECONDS, MAX_SECONDS)
    parts: list[npt.NDArray[np.float32]] = []
    n_samples = n_pause = 0
    for phrase in phrases:
        spoken = say(phrase)
        if n_samples + n_pause + len(spoken) > SAMPLE_RATE * MAX_SECONDS:
            if n_samples >= SAMPLE_RATE * MIN_SECONDS:
                break
            continue
        gain = db_to_amplitude(PHRASE_LEVEL_DEVIATION_DB * _draw_normal(rng))
        parts += [np.zeros(n_pause, np.float32), np.float32(gain) * spoken]
        n_samples += n_pause + len(spoken)
        if n_samples >= target:
            break
        seconds = rng.uniform(*(SENTENCE_SECONDS if phrase.ends_sentence else COMMA_SECONDS))
        n_pause = round(SAMPLE_RATE * seconds * pauses)
    return np.concatenate(parts)


class Narrator:
    """Says the phrases of one utterance with the settings that were drawn for it."""

    def __init__(
        self, espeak: Espeak, name: str, voice: Voice, style: Style, rng: Generator
    ) -> None:
        """Draw the utterance's settings; `name` is that by which `espeak` knows the voice."""
        self._espeak, self._name, self._rng, self._style = espeak, name, rng, style
        self._rate = FLUENCY * voice.rate * style.rate * rng.uniform(0.85, 1.15)
        self._pitch = 50 + style.pitch + PITCH_DEVIATION * _draw_normal(rng)
        self._pitch_range = int(rng.integers(*style.pitch_range, endpoint=True))
        self._word_gap = int(rng.integers(style.word_gap, endpoint=True))

    def say(self, phrase: Phrase) -> npt.NDArray[np.int16]:
        """Return one phrase, int16 [n_samples]."""
        rng = self._rng
        pitch = self._pitch + PHRASE_PITCH_DEVIATION * _draw_normal(rng)
        return self._espeak.say(
            mark_emphasis(phrase, self._style.emphasis, rng),
            self._name,
            rate=round(min(max(self._rate * rng.uniform(0.93, 1.07), RATES[0]), RATES[1])),
            pitch=round(min(max(pitch, PITCHES[0]), PITCHES[1])),
            pitch_range=self._pitch_range,
            seed=int(rng.integers(2**31)),
            word_gap=self._word_gap,
            is_ssml=True,
        )


def mark_emphasis(phrase: Phrase, probability: float, rng: Generator) -> str:
    """Return the phrase as SSML, in which one word may be slower, higher and louder.

    SSML's own `emphasis` is not used: it sets the loudness to a fixed, clipping level.
    """
    words = list(phrase.words)
    if rng.random() < probability:
        chosen = rng.integers(len(words))
        rate, pitch, volume = rng.integers((70, 5, 10), (95, 35, 70))
        words[chosen] = (
            f"<prosody rate='{rate}%' pitch='+{pitch}%' volume='+{volume}%'>"
            f"{words[chosen]}</prosody>"
        )
    return " ".join(words) + phrase.mark


def _draw_normal(rng: Generator) -> float:
    """Draw from the normal distribution, cut off at two standard deviations."""
    return max(-2.0, min(2.0, rng.standard_normal()))
