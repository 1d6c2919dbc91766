"""Make the test set: clean speech from any folder, mixed with noise from any folder.

Everything random is seeded by the names of the files below their folder, so the same files give
the same mixtures on every machine, in any order and wherever the folders are.
"""

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator

from benchmarks.real.levels import active_level_db, find_pauses
from benchmarks.real.rooms import put_in_room
from denoise.dsp.audio import (
    Waveform,
    decode_blocks,
    is_silent,
    remove_dc,
    resample,
)
from denoise.errors import AudioError, CorpusError
from denoise.noise.mixing import utterance_rng

EXTENSIONS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".sph"}
MIN_SECONDS, MAX_SECONDS = 2.0, 10.0  # of an utterance
EARLIEST_CUT_SECONDS = 5.0  # longer recordings are cut at the quietest place after it
MAX_READ_SECONDS = 30.0  # of a speech recording
EDGE_SECONDS = 0.3  # of silence before and after an utterance
MAX_NOISE_SECONDS = 600.0  # of a noise recording that is used
SNRS_DB = (0.0, 5.0, 10.0, 15.0)
LIGHT_SNRS_DB = (20.0, 30.0)
SPEECH_LEVEL_DB = -26.0  # active level, relative to full scale: usual in codec tests
MAX_PEAK = 0.99
MAX_DRAWS = 20  # of a place in a noise recording, until one is not silent
SEED = 0


@dataclass(frozen=True)
class Recording:
    """A file; `name` is its path below the folder, `group` its speaker or its noise type."""

    path: Path
    name: str
    group: str


@dataclass(frozen=True)
class Mixture:
    """What the methods get, and what the metrics compare it with; both float32 [n_samples].

    `part` is mixtures, light, clean, rooms or music.
    """

    part: str
    utterance_id: str
    speaker_id: str
    noise: str
    snr_db: float
    reference: Waveform
    noisy: Waveform

    @property
    def condition(self) -> str:
        """Return the noise level, or the part where there is no noise."""
        return f"{self.snr_db:g} dB" if np.isfinite(self.snr_db) else self.part


@dataclass(frozen=True)
class TestSet:
    """The mixtures, the names of those recordings that cannot be used, and the reasons."""

    __test__ = False  # pytest takes it for a test otherwise

    mixtures: Callable[[], Iterator[Mixture]]
    rejected: dict[str, str] = field(default_factory=dict)


def find_recordings(
    folders: Sequence[Path], group_of: Callable[[Path], str], what: str
) -> list[Recording]:
    """List the recordings below the folders, sorted; raises CorpusError where there is none."""
    found = []
    for folder in folders:
        if not folder.is_dir():
            raise CorpusError(f"There is no folder {folder} with {what}.")
        prefix = f"{folder.resolve().name}/" if len(folders) > 1 else ""
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
    waveform = remove_dc(_read_mono(path, sample_rate, MAX_READ_SECONDS))
    if is_silent(waveform):
        raise AudioError("It is silent.")
    utterance = _cut_in_pause(_trim(waveform, sample_rate), sample_rate)
    seconds = len(utterance) / sample_rate
    if seconds < MIN_SECONDS:
        raise AudioError(f"{seconds:.1f} s of speech; at least {MIN_SECONDS:g} s are needed.")
    return scale_to_level(utterance, sample_rate)


def read_music(path: Path, sample_rate: int) -> Waveform:
    """Read the first 10 s of a recording, float32 [n_samples], at a level of -26 dB.

    Raises AudioError for a damaged, a shorter than 2 s and a silent recording.
    """
    waveform = remove_dc(_read_mono(path, sample_rate, MAX_SECONDS))
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


def _read_mono(path: Path, sample_rate: int, max_seconds: float) -> Waveform:
    """Read at most `max_seconds`; raises AudioError, also for a file that cannot be opened."""
    blocks: list[Waveform] = []
    n_samples, source_rate = 0, sample_rate
    for block, source_rate in decode_blocks(path):
        blocks.append(block.mean(axis=1, dtype=np.float32))
        n_samples += len(block)
        if n_samples >= max_seconds * source_rate:
            break
    waveform = np.concatenate(blocks)[: round(max_seconds * source_rate)]
    return resample(waveform, source_rate, sample_rate)


@functools.lru_cache(maxsize=8)
def _read_noise(path: Path, sample_rate: int) -> Waveform:
    return _read_mono(path, sample_rate, MAX_NOISE_SECONDS)


def draw_noise(recording: Recording, n_samples: int, sample_rate: int, rng: Generator) -> Waveform:
    """Draw a place in a noise recording; a short recording is repeated. Raises AudioError."""
    waveform = _read_noise(recording.path, sample_rate)
    for _ in range(MAX_DRAWS):
        start = int(rng.integers(max(1, len(waveform) - n_samples)))
        drawn = np.take(waveform, range(start, start + n_samples), mode="wrap")
        if not is_silent(drawn):
            return drawn
    raise AudioError(f"{recording.name}: {MAX_DRAWS} places in it are silent.")


def mix_at_active_level(
    clean: Waveform, noise: Waveform, snr_db: float, sample_rate: int
) -> tuple[Waveform, Waveform]:
    """Return clean and noisy speech at an SNR of `snr_db`; both quieter where they would clip.

    The level of the speech is its active level, that of the noise its RMS over the whole clip.
    """
    noise_db = 10 * np.log10(np.mean(np.square(noise, dtype=np.float64)))
    gain = 10 ** ((active_level_db(clean, sample_rate) - noise_db - snr_db) / 20)
    noisy = clean + np.float32(gain) * noise
    scale = np.float32(min(1.0, MAX_PEAK / np.abs(noisy).max()))
    return scale * clean, scale * noisy


@dataclass(frozen=True)
class Plan:
    """What to make the test set of."""

    speech: Sequence[Recording]
    noise: Sequence[Recording]
    music: Sequence[Recording]
    sample_rate: int
    limit: int
    has_rooms: bool

    @property
    def n_extra(self) -> int:
        """Return how many utterances each further part has: a quarter, four at least."""
        return max(4, self.limit // 4)


def make_test_set(plan: Plan) -> TestSet:
    """Return the test set; its mixtures are made one by one, while they are iterated over."""
    rejected: dict[str, str] = {}
    return TestSet(lambda: _iterate(plan, rejected), rejected)


def _iterate(plan: Plan, rejected: dict[str, str]) -> Iterator[Mixture]:
    types = sorted({recording.group for recording in plan.noise})
    used = 0
    for recording, clean in read_usable(in_turns(plan.speech), plan.sample_rate, rejected):
        noise_type, snr_db = _cell(used, types)
        yield _with_noise(plan, recording, clean, noise_type, snr_db)
        if used < plan.n_extra:
            yield from _further_parts(plan, recording, clean, noise_type)
        used += 1
        if used == plan.limit:
            break
    if not used:
        raise CorpusError(f"No recording of speech is usable: {_first_reasons(rejected)}")
    yield from _music(plan, rejected)


def _cell(index: int, types: Sequence[str]) -> tuple[str, float]:
    """Return the noise type and the SNR of a mixture: all types, then the next SNR."""
    return types[index % len(types)], SNRS_DB[index // len(types) % len(SNRS_DB)]


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


def _first_reasons(rejected: dict[str, str]) -> str:
    reasons = [f"{name}: {reason}" for name, reason in list(rejected.items())[:3]]
    return " ".join(reasons)


def _with_noise(
    plan: Plan,
    recording: Recording,
    clean: Waveform,
    noise_type: str,
    snr_db: float,
    part: str = "mixtures",
) -> Mixture:
    rng = utterance_rng(SEED, f"{recording.name}|{noise_type}")
    files = [each for each in plan.noise if each.group == noise_type]
    file = files[int(rng.integers(len(files)))]
    noise = draw_noise(file, len(clean), plan.sample_rate, rng)
    reference, noisy = mix_at_active_level(clean, noise, snr_db, plan.sample_rate)
    return Mixture(part, recording.name, recording.group, noise_type, snr_db, reference, noisy)


def _further_parts(
    plan: Plan, recording: Recording, clean: Waveform, noise_type: str
) -> Iterator[Mixture]:
    for snr_db in LIGHT_SNRS_DB:
        yield _with_noise(plan, recording, clean, noise_type, snr_db, "light")
    name, speaker = recording.name, recording.group
    yield Mixture("clean", name, speaker, "", np.nan, clean, clean)
    if plan.has_rooms:
        rng = utterance_rng(SEED, f"{name}|room")
        early, wet = put_in_room(clean, plan.sample_rate, rng)
        scale = np.float32(min(1.0, MAX_PEAK / np.abs(wet).max()))
        yield Mixture("rooms", name, speaker, "", np.nan, scale * early, scale * wet)


def _music(plan: Plan, rejected: dict[str, str]) -> Iterator[Mixture]:
    excerpts = read_usable(in_turns(plan.music), plan.sample_rate, rejected, read_music)
    for _, (recording, music) in zip(range(plan.n_extra), excerpts, strict=False):
        yield Mixture("music", recording.name, recording.name, "", np.nan, music, music)
