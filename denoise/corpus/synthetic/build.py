"""The built-in corpus: eSpeak NG says the digits in the voices of many people, and more words.

Digits of one language are ten words: a network that hears nothing else knows them by heart, and
other people's speech less well. So there are also numbers in other languages, each said by someone
who says nothing else.

Each clip comes from the seed and its own id alone, so neither the order nor the number of speakers,
repetitions and words changes a byte of it.
"""

import hashlib
import io
import os
import sys
import wave
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from tqdm import tqdm

from denoise.corpus.archive import OovUtterance, Utterance, create_archive
from denoise.corpus.synthetic.acoustics import SAMPLE_RATE, Recording, draw_recording, play, record
from denoise.corpus.synthetic.espeak import Espeak
from denoise.corpus.synthetic.voices import (
    ACCENTS,
    LANGUAGES,
    VARIANTS,
    Voice,
    draw_voice,
    voice_text,
)
from denoise.errors import CorpusError
from denoise.params import SyntheticParams

Said = tuple[Utterance | OovUtterance, Voice, Recording]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMBERS = 100  # words are numbers below it
VOICES_AT_ONCE = 100  # eSpeak NG keeps a list of 350
INTONATIONS = ("", "", "", ".", ".", ",", "!", "?")
SILENCE_SECONDS = (0.05, 0.35)
VOICE_SPEED = 0.03  # how far a clip is played fast or slow, at most


def synthesize_corpus(
    params: SyntheticParams, path: str | os.PathLike[str]
) -> dict[str, str | int]:
    """Write the corpus archive to `path` and return its provenance.

    Raises CorpusError where eSpeak NG does not run.
    """
    speakers = draw_speakers(params)
    said: list[Said] = [(u, *speakers[u.speaker_id]) for u in _utterances(params, speakers)]
    oov_utterances: list[Said] = [
        (w, *draw_oov_speaker(w, params.seed))
        for w in map(OovUtterance, range(params.oov_utterances))
    ]
    groups = [
        said,
        *(
            oov_utterances[i : i + VOICES_AT_ONCE]
            for i in range(0, len(oov_utterances), VOICES_AT_ONCE)
        ),
    ]
    with (
        create_archive(path) as archive,
        tqdm(
            total=len(said) + len(oov_utterances), unit="clip", disable=not sys.stderr.isatty()
        ) as bar,
    ):
        for group in groups:
            with speaking({name(voice): voice for _, voice, _ in group}.values()) as espeak:
                for clip, voice, recording in group:
                    samples = synthesize(espeak, clip, voice, recording, params.seed)
                    archive.add(clip, wav_bytes(samples))
                    bar.update()
                version = espeak.version
        archive.add_speakers({who: describe(*about) for who, about in speakers.items()})
    return {
        "source": "synthetic",
        "version": f"eSpeak NG {version}",
        "sample_rate": SAMPLE_RATE,
        "speakers": params.speakers,
        "repetitions": params.repetitions,
        "files": len(said),
        "words": len(oov_utterances),
        "seed": params.seed,
    }


def _generator(seed: int, what: str) -> Generator:
    digest = hashlib.sha256(what.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def draw_speakers(params: SyntheticParams) -> dict[str, tuple[Voice, Recording]]:
    """Draw each speaker's voice and recording, by id; women and men take turns."""
    order = _generator(params.seed, "variants")
    variants = {gender: order.permutation(VARIANTS[gender]).tolist() for gender in VARIANTS}
    accents = order.permutation(list(ACCENTS)).tolist()
    speakers = {}
    for index in range(params.speakers):
        speaker_id = f"{index + 1:02d}"
        gender, turn = tuple(VARIANTS)[index % 2], index // 2
        variant = variants[gender][turn % len(variants[gender])]
        accent = accents[(turn + index % 2) % len(accents)]
        rng = _generator(params.seed, f"speaker {speaker_id}")
        voice = draw_voice(rng, speaker_id, gender, variant, accent)
        speakers[speaker_id] = voice, draw_recording(rng)
    return speakers


def draw_oov_speaker(word: OovUtterance, seed: int) -> tuple[Voice, Recording]:
    """Draw who says a word: a voice and a recording of their own."""
    rng = _generator(seed, f"stranger {word.number}")
    gender = tuple(VARIANTS)[word.number % 2]
    variant, language = (str(rng.choice(choices)) for choices in (VARIANTS[gender], [*LANGUAGES]))
    return draw_voice(rng, f"x{word.number}", gender, variant, language), draw_recording(rng)


def name(voice: Voice) -> str:
    """Name a voice as eSpeak NG is to know it."""
    return f"speaker{voice.speaker_id}"


@contextmanager
def speaking(voices: Iterable[Voice]) -> Iterator[Espeak]:
    """Yield eSpeak NG with these voices; raises CorpusError where it does not run as it should."""
    with Espeak({name(voice): voice_text(voice) for voice in voices}) as espeak:
        if espeak.sample_rate != SAMPLE_RATE:
            raise CorpusError(f"eSpeak NG speaks at {espeak.sample_rate} Hz, not {SAMPLE_RATE}.")
        yield espeak


def _utterances(params: SyntheticParams, speaker_ids: Iterable[str]) -> Iterator[Utterance]:
    for speaker_id in speaker_ids:
        for digit in range(len(DIGITS)):
            for repetition in range(params.repetitions):
                yield Utterance(speaker_id, digit, repetition)


def synthesize(
    espeak: Espeak, clip: Utterance | OovUtterance, voice: Voice, recording: Recording, seed: int
) -> npt.NDArray[np.int16]:
    """Return one clip, int16 [n_samples] at SAMPLE_RATE, like no other of the corpus.

    A word is a number, in the voice's language.
    """
    if isinstance(clip, Utterance):
        rng = _generator(seed, clip.utterance_id)
        said = DIGITS[clip.digit]
    else:
        rng = _generator(seed, f"word {clip.number}")
        said = str(rng.integers(NUMBERS))
    text = said + str(rng.choice(INTONATIONS))
    spoken = espeak.say(
        text,
        name(voice),
        rate=round(voice.rate * rng.uniform(0.88, 1.12)),
        pitch=round(50 + 6 * max(-2.5, min(2.5, rng.standard_normal()))),
        pitch_range=int(rng.integers(20, 99)),
        seed=int(rng.integers(2**31)),
    )
    sounding = np.flatnonzero(spoken)
    if len(sounding) == 0:
        raise CorpusError(f"eSpeak NG said nothing for {text!r} by speaker {voice.speaker_id}.")
    trimmed = spoken[sounding[0] : sounding[-1] + 1].astype(np.float32)
    played = play(trimmed, 1 + rng.uniform(-VOICE_SPEED, VOICE_SPEED), rng)
    before, after = (int(SAMPLE_RATE * rng.uniform(*SILENCE_SECONDS)) for _ in range(2))
    return record(played, recording, (before, after), 2 * rng.standard_normal(), rng)


def wav_bytes(samples: npt.NDArray[np.int16]) -> bytes:
    """Wrap samples in a WAV header, 16 bits, mono, SAMPLE_RATE."""
    content = io.BytesIO()
    with wave.open(content, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE)
        sound.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()


def describe(voice: Voice, recording: Recording) -> dict[str, str]:
    """Return a speaker's entry in the meta file, with AudioMNIST's keys and the voice variant."""
    return {
        "accent": ACCENTS[voice.accent],
        "age": "",
        "gender": voice.gender,
        "native speaker": "yes",
        "origin": "synthetic, eSpeak NG",
        "recordingdate": "",
        "recordingroom": f"synthetic, reverberation {recording.reverberation_seconds:.2f} s",
        "voice": f"{voice.accent.split('/')[-1]}+{voice.variant}",
    }
