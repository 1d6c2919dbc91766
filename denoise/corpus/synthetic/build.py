"""Build the synthetic corpus, spoken by eSpeak NG: digits, or sentences in many languages.

The ten English digit words are a small vocabulary. A network trained on them alone overfits them
and denoises other people's speech less well. So a corpus of digits also has out-of-vocabulary (OOV)
speech: numbers in other languages, each by a speaker of its own. In a corpus of sentences, each
speaker uses all languages in turn, and speaks in different styles.

Each clip depends only on the seed and its own id. Its bytes therefore do not depend on the order of
the clips or on the numbers of speakers, repetitions and OOV utterances.
"""

import io
import os
import sys
import wave
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from tqdm import tqdm

from denoise.corpus.archive import ArchiveWriter, OovUtterance, Utterance, create_archive
from denoise.corpus.filename_parser import DIGIT_WORDS
from denoise.corpus.synthetic.acoustics import (
    SAMPLE_RATE,
    RecordingConditions,
    simulate_recording,
    vary_speed,
)
from denoise.corpus.synthetic.delivery import Narrator, speak_phrases
from denoise.corpus.synthetic.espeak import Espeak
from denoise.corpus.synthetic.planning import (
    PlannedClip,
    Script,
    Speaker,
    draw_speakers,
    make_rng,
    name_voice,
    plan_digits,
    plan_oov,
    plan_sentences,
)
from denoise.corpus.synthetic.sentences import SENTENCES, Phrase, draw_phrases, read_grammars
from denoise.corpus.synthetic.voices import ACCENTS, Voice, voice_text
from denoise.errors import CorpusError
from denoise.params import SyntheticParams

MAX_OOV_NUMBER = 99
MAX_LOADED_VOICES = 100  # eSpeak NG's list of voices has 350 entries
INTONATIONS = ("", "", "", ".", ".", ",", "!", "?")
SILENCE_SECONDS = (0.05, 0.35)
MAX_SPEED_CHANGE = 0.03


def synthesise_corpus(
    params: SyntheticParams,
    path: str | os.PathLike[str],
    sentences: str | os.PathLike[str] = SENTENCES,
) -> dict[str, str | int]:
    """Write the corpus archive to `path` and return its provenance.

    `sentences` is the file of grammars. Raises CorpusError if eSpeak NG does not run, or if that
    file is needed and cannot be used.
    """
    speakers = draw_speakers(params)
    provenance: dict[str, str | int] = {}
    if params.content == "digits":
        spoken, oov = plan_digits(params, speakers), plan_oov(params)
    else:
        grammars = read_grammars(sentences)
        spoken, oov = plan_sentences(params, speakers, grammars), []
        provenance = {"content": params.content, "languages": len(grammars)}
    n_clips = len(spoken) + len(oov)
    with (
        create_archive(path) as archive,
        tqdm(total=n_clips, unit="clip", disable=not sys.stderr.isatty()) as progress,
    ):
        for batch in (*_batches(spoken), *_batches(oov)):
            version = _write_clips(batch, params.seed, archive, progress)
        entries = {who: describe(*speaker, params.content) for who, speaker in speakers.items()}
        archive.add_speakers(entries)
    return provenance | {
        "source": "synthetic",
        "version": f"eSpeak NG {version}",
        "sample_rate": SAMPLE_RATE,
        "speakers": params.speakers,
        "repetitions": params.repetitions,
        "files": len(spoken),
        "oov_utterances": len(oov),
        "seed": params.seed,
    }


def _batches(clips: Sequence[PlannedClip]) -> Iterator[Sequence[PlannedClip]]:
    """Yield the clips, in order, in groups of at most MAX_LOADED_VOICES voices."""
    start, names = 0, set[str]()
    for end, planned in enumerate(clips):
        name = name_voice(planned.speaker.voice)
        if len(names | {name}) > MAX_LOADED_VOICES:
            yield clips[start:end]
            start, names = end, set()
        names.add(name)
    if clips:
        yield clips[start:]


def _write_clips(
    clips: Sequence[PlannedClip], seed: int, archive: ArchiveWriter, progress: "tqdm[object]"
) -> str:
    """Synthesise clips into the archive; return eSpeak NG's version."""
    voices = {name_voice(planned.speaker.voice): planned.speaker.voice for planned in clips}
    with open_espeak(voices.values()) as espeak:
        for clip, speaker, script in clips:
            samples = synthesise_clip(espeak, clip, speaker, seed, script)
            archive.add(clip, encode_int16_wav(samples))
            progress.update()
        return espeak.version


@contextmanager
def open_espeak(voices: Iterable[Voice]) -> Iterator[Espeak]:
    """Yield eSpeak NG with these voices; raises CorpusError if it does not run as expected."""
    with Espeak({name_voice(voice): voice_text(voice) for voice in voices}) as espeak:
        if espeak.sample_rate != SAMPLE_RATE:
            raise CorpusError(
                f"eSpeak NG's sample rate is {espeak.sample_rate} Hz, not {SAMPLE_RATE}."
            )
        yield espeak


def synthesise_clip(
    espeak: Espeak,
    clip: Utterance | OovUtterance,
    speaker: Speaker,
    seed: int,
    script: Script | None = None,
) -> npt.NDArray[np.int16]:
    """Return one clip, int16 [n_samples] at SAMPLE_RATE, different from all others.

    OOV speech is a number in the voice's language. An utterance without a digit needs a script.
    """
    if isinstance(clip, OovUtterance):
        rng = make_rng(seed, f"oov {clip.number}")
        text = str(rng.integers(MAX_OOV_NUMBER + 1))
        speech = _speak(espeak, text + str(rng.choice(INTONATIONS)), speaker.voice, rng)
    elif clip.digit is not None:
        rng = make_rng(seed, clip.utterance_id)
        text = DIGIT_WORDS[clip.digit]
        speech = _speak(espeak, text + str(rng.choice(INTONATIONS)), speaker.voice, rng)
    elif script is not None:
        rng = make_rng(seed, clip.utterance_id)
        speech = _speak_script(espeak, script, speaker.voice, rng)
    else:
        raise ValueError(f"{clip.utterance_id} has neither a digit nor a script.")
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
    return _trim(samples, text, voice)


def _speak_script(
    espeak: Espeak, script: Script, voice: Voice, rng: Generator
) -> npt.NDArray[np.float32]:
    """Return running text, float32 [n_samples], without silence at the ends."""
    narrator = Narrator(espeak, name_voice(voice), voice, script.style, rng)

    def say(phrase: Phrase) -> npt.NDArray[np.float32]:
        return _trim(narrator.say(phrase), " ".join(phrase.words), voice)

    return speak_phrases(say, draw_phrases(script.grammar, rng), script.style.pauses, rng)


def _trim(samples: npt.NDArray[np.int16], text: str, voice: Voice) -> npt.NDArray[np.float32]:
    """Return speech as float32, without silence at the ends; raises CorpusError for silence."""
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


def describe(voice: Voice, conditions: RecordingConditions, content: str) -> dict[str, str]:
    """Return a speaker's entry in the meta file, with AudioMNIST's keys and the voice variant.

    The speaker of a corpus of sentences uses many languages, and so has no accent.
    """
    has_accent = content == "digits"
    return {
        "accent": ACCENTS[voice.accent] if has_accent else "",
        "age": "",
        "gender": voice.gender,
        "native speaker": "yes" if has_accent else "",
        "origin": "synthetic, eSpeak NG",
        "recordingdate": "",
        "recordingroom": f"synthetic, reverberation {conditions.reverberation_seconds:.2f} s",
        "voice": f"{voice.accent.split('/')[-1] if has_accent else ''}+{voice.variant}",
    }
