"""Who speaks the built-in corpus: people made from eSpeak NG's voice variants and accents.

The tables were chosen by synthesising the digits with each of the 104 variants and looking at
spectrograms, pitch, voicing and balance. Left out: whispers and creaks, robots and monsters, a
child, novelties, near copies, and variants with formants missing or far from any speaker's. Of the
others only the timbre is taken; pitch, pace and throat are drawn anew for each speaker.
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
"""What others speak, by eSpeak NG's files. No Turkic language is among them: the
real recordings on which the README judges are of one, and so of a family that is never heard."""
PITCH_HZ = {"female": (198.0, 1.13, 150.0, 260.0), "male": (112.0, 1.16, 78.0, 165.0)}
"""Median, spread as a factor, lowest and highest of the base, which lies 12 % under the mean."""

# The Klatt synthesiser's vowels are quieter against the same consonants.
KLATT_CONSONANTS = 0.4

# eSpeak NG's own strength and width of formants 0 to 8, in percent, where a variant names none.
_STRENGTHS = (102, 100, 94, 91, 78, 78, 100, 100, 100)
_WIDTHS = (109, 100, 100, 125, 134, 134, 100, 100, 100)
# What is taken over from a variant besides its formants; the rest is drawn for each speaker.
_KEPT = {"tone", "breath", "breathw", "klatt"}


@dataclass(frozen=True)
class Voice:
    """One speaker's voice and manner, in English with an accent or in another language.

    Formants 1 to 8 are moved by `formants`; 1 to 5 widened by `width`, since eSpeak NG leaves gaps
    between them that no throat does; 6 to 8 strengthened by `brilliance`, all factors.
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


def draw_voice(rng: Generator, speaker_id: str, gender: str, variant: str, accent: str) -> Voice:
    """Draw what makes this speaker differ from another of the same variant and accent."""
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
    """Draw a throat, long or short; 4 and 5 move up to where eSpeak NG has nothing of its own."""
    throat = 1 + 0.05 * max(-2.0, min(2.0, rng.standard_normal()))
    upward = rng.uniform(0.05, 0.15)
    raised = (1, 1, 1, 1 + upward, 1 + 2 * upward, 1, 1, 1)
    return tuple(throat * warmup_factor * rng.uniform(0.96, 1.04) for warmup_factor in raised)


def voice_text(voice: Voice) -> str:
    """Write eSpeak NG's voice file: accent or language, then the variant as this speaker has it."""
    accent = installed_file("lang", *voice.accent.split("/")).read_text(encoding="utf-8")
    variant = installed_file("voices", "!v", voice.variant).read_text(encoding="latin-1")
    lines = [line for line in variant.splitlines() if line.split(" ")[0] in _KEPT]
    lines += [_formant_line(voice, number, variant) for number in range(9)]
    consonants = round(voice.consonants * (KLATT_CONSONANTS if "\nklatt" in variant else 1))
    lines.append(f"consonants {consonants} {consonants}")
    lines.append(f"pitch {voice.pitch_hz} {voice.pitch_hz + voice.pitch_span_hz}")
    return "\n".join([accent.strip(), *lines, ""])


def _formant_line(voice: Voice, number: int, variant: str) -> str:
    frequency, strength, width, shift_hz = 100, _STRENGTHS[number], _WIDTHS[number], 0
    given = re.search(rf"^formant +{number} +(.*)", variant, re.MULTILINE)
    if given:
        values = [int(value) for value in given[1].split()]
        frequency, strength, width, shift_hz = (values + [100, 100, 100, 0][len(values) :])[:4]
    if number > 0:
        frequency = round(frequency * voice.formants[number - 1])
    if 1 <= number <= 5:
        width = round(width * voice.width)
    if number > 5:
        strength = round(strength * voice.brilliance)
    return f"formant {number} {frequency} {strength} {width} {shift_hz}"
