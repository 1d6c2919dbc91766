"""Find recordings in folders, and read them: who speaks, which noise it is, utterances, music."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.real.levels import active_level_db, find_pauses
from denoise.dsp.audio import Waveform, decode_blocks, is_silent, remove_dc, resample
from denoise.errors import AudioError, CorpusError

EXTENSIONS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".sph"}
MIN_SECONDS, MAX_SECONDS = 2.0, 10.0  # of an utterance
EARLIEST_CUT_SECONDS = 5.0  # longer recordings are cut at the quietest place after it
MAX_READ_SECONDS = 30.0  # of a speech recording
EDGE_SECONDS = 0.3  # of silence before and after an utterance
SPEECH_LEVEL_DB = -26.0  # active level, relative to full scale: usual in codec tests
MAX_PEAK = 0.99


@dataclass(frozen=True)
class Recording:
    """A file; `name` is its path below the folder, `group` its speaker or its noise type."""

    path: Path
    name: str
    group: str


def find_recordings(
    folders: Sequence[Path], group_of: Callable[[Path], str], what: str
) -> list[Recording]:
    """List the recordings below the folders, sorted by name.

    Raises CorpusError where there is none, and for two folders of the same name: names and groups
    begin with it if there are several folders, so their recordings could not be told apart.
    """
    names = [folder.resolve().name for folder in folders]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise CorpusError(f"Two folders with {what} have the name {repeated[0]}. Rename one.")
    found = []
    for folder, name in zip(folders, names, strict=True):
        if not folder.is_dir():
            raise CorpusError(f"There is no folder {folder} with {what}.")
        prefix = f"{name}/" if len(folders) > 1 else ""
        for path in folder.rglob("*"):
            if path.suffix.lower() in EXTENSIONS and path.is_file():
                below = path.relative_to(folder)
                found.append(Recording(path, prefix + below.as_posix(), prefix + group_of(below)))
    if not found:
        raise CorpusError(
            f"There is no recording ({', '.join(sorted(EXTENSIONS))}) with {what} in "
            f"{', '.join(map(str, folders))}."
        )
    return sorted(found, key=lambda recording: recording.name)


def speaker_of(below: Path, depth: int = 1) -> str:
    """Return the first `depth` folders of a path; without folders each recording is a speaker."""
    folders = below.parent.parts[:depth]
    return "/".join(folders) or below.name


def noise_type_of(below: Path) -> str:
    """Return the first folder of a path, or else the first word of the file's name."""
    if len(below.parts) > 1:
        return below.parts[0].lower()
    word = re.match(r"[^\W\d_]+", below.stem)
    return (word.group() if word else below.stem).lower()


def in_turns(recordings: Sequence[Recording]) -> list[Recording]:
    """Order the recordings so that every speaker has one before any has a second one.

    The order within a speaker and the order of the speakers are random, by the hash of the name.
    """
    by_group: dict[str, list[Recording]] = {}
    for recording in sorted(recordings, key=lambda each: _hash(each.name)):
        by_group.setdefault(recording.group, []).append(recording)
    ranked = [
        (turn, _hash(group), recording)
        for group, members in by_group.items()
        for turn, recording in enumerate(members)
    ]
    return [recording for *_, recording in sorted(ranked, key=lambda each: each[:2])]


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def read_speech(path: Path, sample_rate: int) -> Waveform:
    """Read an utterance of 2 to 10 s, float32 [n_samples], with an active level of -26 dB.

    Only 0.3 s of the silence before and after it remain. A longer recording is cut in its quietest
    place between 5 and 10 s. Raises AudioError for a damaged, a shorter and a silent recording.
    """
    waveform = remove_dc(read_mono(path, sample_rate, MAX_READ_SECONDS))
    if is_silent(waveform):
        raise AudioError("It is silent.")
    _check_length(waveform, sample_rate)
    utterance = _cut_in_pause(_trim(waveform, sample_rate), sample_rate)
    _check_length(utterance, sample_rate)
    return scale_to_level(utterance, sample_rate)


def _check_length(speech: Waveform, sample_rate: int) -> None:
    seconds = len(speech) / sample_rate
    if seconds < MIN_SECONDS:
        raise AudioError(f"{seconds:.1f} s of speech; at least {MIN_SECONDS:g} s are needed.")


def read_music(path: Path, sample_rate: int) -> Waveform:
    """Read the first 10 s of a recording, float32 [n_samples], at a level of -26 dB.

    Raises AudioError for a damaged, a shorter than 2 s and a silent recording.
    """
    waveform = remove_dc(read_mono(path, sample_rate, MAX_SECONDS))
    if is_silent(waveform) or len(waveform) < MIN_SECONDS * sample_rate:
        raise AudioError(f"It is silent or shorter than {MIN_SECONDS:g} s.")
    return scale_to_level(waveform, sample_rate)


def scale_to_level(speech: Waveform, sample_rate: int) -> Waveform:
    """Scale speech to an active level of -26 dB, or lower where its peak would be over 0.99."""
    gain = 10 ** ((SPEECH_LEVEL_DB - active_level_db(speech, sample_rate)) / 20)
    return speech * np.float32(min(gain, MAX_PEAK / np.abs(speech).max()))


def _trim(speech: Waveform, sample_rate: int) -> Waveform:
    """Remove the silence before and after the speech, but 0.3 s of it."""
    (loud,) = np.nonzero(~find_pauses(speech, sample_rate))
    margin = round(EDGE_SECONDS * sample_rate)
    return speech[max(0, loud[0] - margin) : loud[-1] + margin]


def _cut_in_pause(waveform: Waveform, sample_rate: int) -> Waveform:
    if len(waveform) <= MAX_SECONDS * sample_rate:
        return waveform
    size = round(0.1 * sample_rate)
    first, last = (round(s * sample_rate) for s in (EARLIEST_CUT_SECONDS, MAX_SECONDS))
    energy = np.convolve(np.square(waveform[first:last], dtype=np.float64), np.ones(size), "valid")
    return waveform[: first + int(np.argmin(energy)) + size // 2]


def read_mono(path: Path, sample_rate: int, max_seconds: float) -> Waveform:
    """Read at most `max_seconds`, float32 [n_samples].

    Raises AudioError for a file that cannot be opened, and where the resampled recording has no
    sample: one sample at 48 kHz gives none at 16 kHz.
    """
    blocks: list[Waveform] = []
    n_samples, source_rate = 0, sample_rate
    for block, source_rate in decode_blocks(path):
        blocks.append(block.mean(axis=1, dtype=np.float32))
        n_samples += len(block)
        if n_samples >= max_seconds * source_rate:
            break
    waveform = np.concatenate(blocks)[: round(max_seconds * source_rate)]
    resampled = resample(waveform, source_rate, sample_rate)
    if not len(resampled):
        raise AudioError("It has no samples.")
    return resampled


def read_usable(
    recordings: Iterable[Recording],
    sample_rate: int,
    rejected: dict[str, str],
    read: Callable[[Path, int], Waveform] = read_speech,
) -> Iterator[tuple[Recording, Waveform]]:
    """Read one recording after the other; note the reasons for those that cannot be used."""
    for recording in recordings:
        try:
            clean = read(recording.path, sample_rate)
        except AudioError as error:
            rejected[recording.name] = str(error)
        else:
            yield recording, clean
