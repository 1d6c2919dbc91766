"""Small corpora for tests, with noise as recordings: quick to write, and hardly compressible."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from denoise.corpus.archive import CorpusArchive, Utterance, create_archive


def noise_waveform(seed: int, seconds: float = 0.1, channels: int = 1) -> npt.NDArray[np.float64]:
    """Return noise [n_samples, channels] at 8 kHz, never silent, never clipped."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, (round(8000 * seconds), channels))


def encode(
    waveform: npt.NDArray[np.floating],
    file_format: str = "WAV",
    subtype: str = "PCM_16",
    sample_rate: int = 8000,
) -> bytes:
    """Return [n_samples, channels] as the bytes of an audio file."""
    file = io.BytesIO()
    soundfile.write(file, waveform, sample_rate, subtype, format=file_format)
    return file.getvalue()


def wav(seed: int, seconds: float = 0.1) -> bytes:
    """Return the bytes of a WAV file of noise."""
    return encode(noise_waveform(seed, seconds))


def write_corpus(path: Path, speakers: int = 3, digits: int = 2, seconds: float = 0.1) -> Path:
    """Write an archive in which each speaker says each of the first digits once."""
    with create_archive(path) as archive:
        names = [f"{number:02d}" for number in range(1, speakers + 1)]
        for name in names:
            for digit in range(digits):
                archive.add(Utterance(name, digit, 0), wav(int(name) * 10 + digit, seconds))
        archive.add_speakers({name: {"gender": "female"} for name in names})
    return path


def write_recordings(
    path: Path, recordings: Mapping[Utterance, bytes], genders: Mapping[str, str]
) -> Path:
    """Write an archive of `recordings`, in their order, with the speakers' genders."""
    with create_archive(path) as archive:
        for utterance, content in recordings.items():
            archive.add(utterance, content)
        archive.add_speakers({name: {"gender": gender} for name, gender in genders.items()})
    return path


def write_tree(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write `files`, from path relative to `folder` to content; return `folder`."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def speech_waveform(
    seed: int, *parts: tuple[str, float], sample_rate: int = 8000
) -> npt.NDArray[np.float64]:
    """Return [n_samples] made of `(what, seconds)` parts: `speech`, `pause` or `click`.

    Speech is noise in syllables of 0.2 s, 40 dB above the background noise of the pauses. A click
    is a pause that begins with a loud sound of 20 ms.
    """
    rng = np.random.default_rng(seed)
    waveforms = []
    for what, seconds in parts:
        n_samples = round(seconds * sample_rate)
        time = np.arange(n_samples) / sample_rate
        gain = np.full(n_samples, 0.002)
        if what == "speech":
            gain = 0.2 * np.abs(np.cos(np.pi * time / 0.2)) + 0.02
        elif what == "click":
            gain[: round(0.02 * sample_rate)] = 0.9
        waveforms.append(gain * rng.uniform(-1, 1, n_samples))
    return np.concatenate(waveforms)


def speech(seed: int, *parts: tuple[str, float], file_format: str = "WAV") -> bytes:
    """Return the bytes of a file of `speech_waveform`; by default, two seconds of speech."""
    waveform = speech_waveform(seed, *(parts or [("speech", 2.0)]))
    return encode(waveform[:, None], file_format)


class LocalImport:
    """The local source's import of a test, and what it wrote."""

    provenance: dict[str, Any]

    def __init__(self, folder: Path) -> None:
        self.source = folder / "mine"
        self.archive = folder / "out" / "corpus.zip"

    def read(self) -> dict[Utterance, bytes]:
        """Return the utterances of the archive."""
        with CorpusArchive(self.archive) as archive:
            archive.verify()
            self.speakers = archive.speakers()
            return {utterance: archive.read(utterance) for utterance in archive.utterances}

    @property
    def left_out(self) -> dict[str, Any]:
        left_out: dict[str, Any] = self.provenance["left_out"]
        return left_out
