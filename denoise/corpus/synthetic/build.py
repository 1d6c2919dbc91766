"""Build the synthetic corpus: digits, and out-of-vocabulary (OOV) speech, by eSpeak NG.

The ten English digit words are a small vocabulary. A network trained on them alone overfits them
and denoises other people's speech less well. So the corpus also has numbers in other languages,
each by a speaker of its own.

Each clip depends only on the seed and its own id. Its bytes therefore do not depend on the order of
the clips or on the numbers of speakers, repetitions and OOV utterances.
"""

import hashlib
import io
import itertools
import os
import sys
import wave
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from tqdm import tqdm

from denoise.corpus.archive import ArchiveWriter, OovUtterance, Utterance, create_archive
from denoise.corpus.filename_parser import DIGIT_WORDS
from denoise.corpus.synthetic.acoustics import (
    SAMPLE_RATE,
    RecordingConditions,
    draw_recording_conditions,
    simulate_recording,
    vary_speed,
)
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

MAX_OOV_NUMBER = 99
MAX_LOADED_VOICES = 100  # eSpeak NG's list of voices has 350 entries
INTONATIONS = ("", "", "", ".", ".", ",", "!", "?")
SILENCE_SECONDS = (0.05, 0.35)
MAX_SPEED_CHANGE = 0.03


class Speaker(NamedTuple):
    """A synthetic speaker: the voice, and how it is recorded."""

    voice: Voice
    conditions: RecordingConditions


PlannedClip = tuple[Utterance | OovUtterance, Speaker]


def synthesise_corpus(
    params: SyntheticParams, path: str | os.PathLike[str]
) -> dict[str, str | int]:
    """Write the corpus archive to `path` and return its provenance.

    Raises CorpusError if eSpeak NG does not run.
    """
    speakers = draw_speakers(params)
    digits: list[PlannedClip] = [
        (utterance, speakers[utterance.speaker_id]) for utterance in _utterances(params, speakers)
    ]
    oov: list[PlannedClip] = [
        (utterance, draw_oov_speaker(utterance, params.seed))
        for utterance in map(OovUtterance, range(params.oov_utterances))
    ]
    batches = [digits, *_split(oov, MAX_LOADED_VOICES)]
    n_clips = len(digits) + len(oov)
    with (
        create_archive(path) as archive,
        tqdm(total=n_clips, unit="clip", disable=not sys.stderr.isatty()) as progress,
    ):
        for batch in batches:
            version = _write_clips(batch, params.seed, archive, progress)
        archive.add_speakers({who: describe(*speaker) for who, speaker in speakers.items()})
    return {
        "source": "synthetic",
        "version": f"eSpeak NG {version}",
        "sample_rate": SAMPLE_RATE,
        "speakers": params.speakers,
        "repetitions": params.repetitions,
        "files": len(digits),
        "oov_utterances": len(oov),
        "seed": params.seed,
    }


def _split(clips: Sequence[PlannedClip], size: int) -> list[Sequence[PlannedClip]]:
    return [clips[start : start + size] for start in range(0, len(clips), size)]


def _write_clips(
    clips: Sequence[PlannedClip], seed: int, archive: ArchiveWriter, progress: "tqdm[object]"
) -> str:
    """Synthesise clips into the archive; return eSpeak NG's version."""
    with open_espeak({name_voice(s.voice): s.voice for _, s in clips}.values()) as espeak:
        for clip, speaker in clips:
            samples = synthesise_clip(espeak, clip, speaker, seed)
            archive.add(clip, encode_int16_wav(samples))
            progress.update()
        return espeak.version


def _make_rng(seed: int, name: str) -> Generator:
    """Return a generator that depends on nothing but `seed` and `name`."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def draw_speakers(params: SyntheticParams) -> dict[str, Speaker]:
    """Draw the speakers of the digits, by speaker_id; women and men alternate."""
    order = _make_rng(params.seed, "variants")
    variants = {gender: order.permutation(VARIANTS[gender]).tolist() for gender in VARIANTS}
    accents = order.permutation(list(ACCENTS)).tolist()
    speakers = {}
    for index in range(params.speakers):
        speaker_id = f"{index + 1:02d}"
        gender, turn = tuple(VARIANTS)[index % 2], index // 2
        variant = variants[gender][turn % len(variants[gender])]
        accent = accents[(turn + index % 2) % len(accents)]
        rng = _make_rng(params.seed, f"speaker {speaker_id}")
        voice = draw_voice(rng, speaker_id, gender, variant, accent)
        speakers[speaker_id] = Speaker(voice, draw_recording_conditions(rng))
    return speakers


def draw_oov_speaker(oov: OovUtterance, seed: int) -> Speaker:
    """Draw the speaker of one OOV utterance, who says nothing else."""
    rng = _make_rng(seed, f"oov speaker {oov.number}")
    gender = tuple(VARIANTS)[oov.number % 2]
    variant, language = (str(rng.choice(choices)) for choices in (VARIANTS[gender], [*LANGUAGES]))
    voice = draw_voice(rng, f"x{oov.number}", gender, variant, language)
    return Speaker(voice, draw_recording_conditions(rng))


def name_voice(voice: Voice) -> str:
    """Return the name by which eSpeak NG loads a voice."""
    return f"speaker{voice.speaker_id}"


@contextmanager
def open_espeak(voices: Iterable[Voice]) -> Iterator[Espeak]:
    """Yield eSpeak NG with these voices; raises CorpusError if it does not run as expected."""
    with Espeak({name_voice(voice): voice_text(voice) for voice in voices}) as espeak:
        if espeak.sample_rate != SAMPLE_RATE:
            raise CorpusError(
                f"eSpeak NG's sample rate is {espeak.sample_rate} Hz, not {SAMPLE_RATE}."
            )
        yield espeak


def _utterances(params: SyntheticParams, speaker_ids: Iterable[str]) -> Iterator[Utterance]:
    parts = itertools.product(speaker_ids, range(len(DIGIT_WORDS)), range(params.repetitions))
    return itertools.starmap(Utterance, parts)


def synthesise_clip(
    espeak: Espeak, clip: Utterance | OovUtterance, speaker: Speaker, seed: int
) -> npt.NDArray[np.int16]:
    """Return one clip, int16 [n_samples] at SAMPLE_RATE, different from all others.

    OOV speech is a number in the voice's language.
    """
    if isinstance(clip, Utterance):
        if clip.digit is None:
            raise ValueError(f"{clip.utterance_id} is no digit.")
        rng = _make_rng(seed, clip.utterance_id)
        text = DIGIT_WORDS[clip.digit]
    else:
        rng = _make_rng(seed, f"oov {clip.number}")
        text = str(rng.integers(MAX_OOV_NUMBER + 1))
    speech = _speak(espeak, text + str(rng.choice(INTONATIONS)), speaker.voice, rng)
    speed = 1 + rng.uniform(-MAX_SPEED_CHANGE, MAX_SPEED_CHANGE)
    varied = vary_speed(speech, speed, rng)
    before, after = (int(SAMPLE_RATE * rng.uniform(*SILENCE_SECONDS)) for _ in range(2))
    offset_db = 2 * rng.standard_normal()
    return simulate_recording(varied, speaker.conditions, (before, after), offset_db, rng)


def _speak(espeak: Espeak, text: str, voice: Voice, rng: Generator) -> npt.NDArray[np.float32]:
    """Return `text` in a random manner, float32 [n_samples], without silence at the ends."""
    samples = espeak.say(
        text,
        name_voice(voice),
        rate=round(voice.rate * rng.uniform(0.88, 1.12)),
        pitch=round(50 + 6 * max(-2.5, min(2.5, rng.standard_normal()))),
        pitch_range=int(rng.integers(20, 99)),
        seed=int(rng.integers(2**31)),
    )
    nonzero = np.flatnonzero(samples)
    if len(nonzero) == 0:
        raise CorpusError(f"eSpeak NG returned silence for {text!r} by speaker {voice.speaker_id}.")
    return samples[nonzero[0] : nonzero[-1] + 1].astype(np.float32)


def encode_int16_wav(samples: npt.NDArray[np.int16]) -> bytes:
    """Return int16 [n_samples] as a mono 16-bit WAV file at SAMPLE_RATE."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()


def describe(voice: Voice, conditions: RecordingConditions) -> dict[str, str]:
    """Return a speaker's entry in the meta file, with AudioMNIST's keys and the voice variant."""
    return {
        "accent": ACCENTS[voice.accent],
        "age": "",
        "gender": voice.gender,
        "native speaker": "yes",
        "origin": "synthetic, eSpeak NG",
        "recordingdate": "",
        "recordingroom": f"synthetic, reverberation {conditions.reverberation_seconds:.2f} s",
        "voice": f"{voice.accent.split('/')[-1]}+{voice.variant}",
    }
