"""Draw the voices of the synthetic corpus from eSpeak NG's variants, accents and languages.

The variants were chosen by synthesising the digits with each of the 104 variants and inspecting
spectrograms, pitch, voicing and spectral balance. These are excluded: whispering and creaky voices,
robots and monsters, a child, novelties, near duplicates, and variants whose formants are missing or
far from those of any speaker. Of the others only the timbre is used. Pitch, speaking rate and vocal
tract length are drawn for each speaker.
"""

import re
from dataclasses import dataclass

from numpy.random import Generator

from denoise.corpus.synthetic.espeak import installed_file

VARIANTS = {
    "female": (
        "Alicia", "Andrea", "Annie", "anika", "aunty", "belinda", "f1", "f2", "f3", "f4", "f5",
        "grandma", "linda", "steph",
    ),
    "male": (
        "Alex", "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Mario", "Michael", "Mike",
        "Mr serious", "Nguyen", "RicishayMax", "adam", "antonio", "benjamin", "boris",
        "david", "ed", "edward", "grandpa", "iven3", "john", "klatt3", "klatt4", "klatt5",
        "klatt6", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max",
        "michel", "miguel", "mike2", "norbert", "pablo", "paul", "pedro", "quincy", "rob",
        "robert", "victor",
    ),
}  # fmt: skip
ACCENTS = {
    "gmw/en": "British",
    "gmw/en-US": "American",
    "gmw/en-US-nyc": "New York",
    "gmw/en-GB-scotland": "Scottish",
    "gmw/en-GB-x-rp": "Received Pronunciation",
    "gmw/en-GB-x-gbclan": "Lancastrian",
    "gmw/en-GB-x-gbcwmd": "West Midlands",
    "gmw/en-029": "Caribbean",
}
LANGUAGES = {
    "aav/vi": "Vietnamese",
    "bat/lt": "Lithuanian",
    "bat/lv": "Latvian",
    "bnt/sw": "Swahili",
    "cel/cy": "Welsh",
    "dra/ta": "Tamil",
    "eu": "Basque",
    "gmq/da": "Danish",
    "gmq/nb": "Norwegian",
    "gmq/sv": "Swedish",
    "gmw/de": "German",
    "gmw/nl": "Dutch",
    "grk/el": "Greek",
    "inc/bn": "Bengali",
    "inc/hi": "Hindi",
    "ine/hy": "Armenian",
    "ine/sq": "Albanian",
    "ira/fa": "Persian",
    "ko": "Korean",
    "poz/id": "Indonesian",
    "roa/ca": "Catalan",
    "roa/es": "Spanish",
    "roa/fr": "French",
    "roa/it": "Italian",
    "roa/pt": "Portuguese",
    "roa/pt-BR": "Brazilian Portuguese",
    "roa/ro": "Romanian",
    "sem/ar": "Arabic",
    "urj/et": "Estonian",
    "urj/fi": "Finnish",
    "urj/hu": "Hungarian",
    "zle/uk": "Ukrainian",
    "zls/bg": "Bulgarian",
    "zls/hr": "Croatian",
    "zlw/cs": "Czech",
    "zlw/pl": "Polish",
}
"""The languages of OOV speech, by eSpeak NG's file names. Turkic languages are excluded: the real
recordings on which the README evaluates the model are in a Turkic language, and so the model is
tested on a language family that is not in its training data."""
PITCH_HZ = {"female": (198.0, 1.13, 150.0, 260.0), "male": (112.0, 1.16, 78.0, 165.0)}
"""Median, spread (a factor), minimum and maximum of the base pitch, 12 % below the mean pitch."""

# The Klatt synthesiser's vowels are quieter, so its consonants are made quieter too.
KLATT_CONSONANT_FACTOR = 0.4

# eSpeak NG's default strength and width of formants 0 to 8, in percent.
_STRENGTHS = (102, 100, 94, 91, 78, 78, 100, 100, 100)
_WIDTHS = (109, 100, 100, 125, 134, 134, 100, 100, 100)
# Breath in place of most of the voice, as in eSpeak NG's variant `whisper`. With the Klatt
# synthesiser, a whispered clip would depend on the clips before it.
WHISPER_SETTINGS = ("voicing 17", "breath 75 75 50 40 15 10", "breathw 150 150 200 200 400 400")
# The settings of a variant that are kept besides its formants; the rest is drawn for each speaker.
_KEPT_SETTINGS = {"tone", "breath", "breathw", "klatt"}


@dataclass(frozen=True)
class Voice:
    """One speaker's voice, in English with an accent or in another language.

    `pitch_hz` and `pitch_span_hz` are the base pitch and its range, `rate` is in words per minute
    and `consonants` in percent. The others are factors: `formants` of the frequencies of formants 1
    to 8, `width` of the bandwidths of 1 to 5, because eSpeak NG leaves gaps between them that human
    speech does not have, and `brilliance` of the strengths of 6 to 8. A voice that `whispers` is
    mostly breath.
    """

    speaker_id: str
    gender: str
    accent: str
    variant: str
    pitch_hz: int
    pitch_span_hz: int
    rate: int
    consonants: int
    formants: tuple[float, ...]
    width: float
    brilliance: float
    whispers: bool = False


def draw_voice(rng: Generator, speaker_id: str, gender: str, variant: str, accent: str) -> Voice:
    """Draw a speaker's voice, so that speakers of the same variant and accent differ."""
    median, spread, lowest, highest = PITCH_HZ[gender]
    pitch = min(max(median * spread ** rng.standard_normal(), lowest), highest)
    return Voice(
        speaker_id,
        gender,
        accent,
        variant,
        pitch_hz=round(pitch),
        pitch_span_hz=round(pitch * rng.uniform(0.2, 0.6)),
        rate=round(min(max(140 + 30 * rng.standard_normal(), 90), 210)),
        consonants=round(rng.uniform(90, 200)),
        formants=_draw_formants(rng),
        width=rng.uniform(1.2, 2.4),
        brilliance=rng.uniform(1.0, 3.0),
    )


def _draw_formants(rng: Generator) -> tuple[float, ...]:
    """Draw formant factors for a long or short vocal tract.

    Formants 4 and 5 are moved up, to frequencies where eSpeak NG has no formant.
    """
    tract = 1 + 0.05 * max(-2.0, min(2.0, rng.standard_normal()))
    rise = rng.uniform(0.05, 0.15)
    rises = (1, 1, 1, 1 + rise, 1 + 2 * rise, 1, 1, 1)
    return tuple(tract * factor * rng.uniform(0.96, 1.04) for factor in rises)


def voice_text(voice: Voice) -> str:
    """Return the text of eSpeak NG's voice file: accent or language, then the speaker's variant."""
    accent = installed_file("lang", *voice.accent.split("/")).read_text(encoding="utf-8")
    variant = installed_file("voices", "!v", voice.variant).read_text(encoding="latin-1")
    lines = [line for line in variant.splitlines() if line.split(" ")[0] in _KEPT_SETTINGS]
    lines += [_formant_line(voice, number, variant) for number in range(9)]
    consonants = round(voice.consonants * (KLATT_CONSONANT_FACTOR if "\nklatt" in variant else 1))
    lines.append(f"consonants {consonants} {consonants}")
    lines.append(f"pitch {voice.pitch_hz} {voice.pitch_hz + voice.pitch_span_hz}")
    if voice.whispers:
        lines = [line for line in lines if not line.startswith("klatt")]
        lines += WHISPER_SETTINGS
    return "\n".join([accent.strip(), *lines, ""])


def _formant_line(voice: Voice, number: int, variant: str) -> str:
    """Return the line of one formant: the variant's values or the defaults, with the factors."""
    frequency, strength, width, shift_hz = 100, _STRENGTHS[number], _WIDTHS[number], 0
    line = re.search(rf"^formant +{number} +(.*)", variant, re.MULTILINE)
    if line:
        values = [int(value) for value in line[1].split()]
        frequency, strength, width, shift_hz = (values + [100, 100, 100, 0][len(values) :])[:4]
    if number > 0:
        frequency = round(frequency * voice.formants[number - 1])
    if 1 <= number <= 5:
        width = round(width * voice.width)
    if number > 5:
        strength = round(strength * voice.brilliance)
    return f"formant {number} {frequency} {strength} {width} {shift_hz}"
