"""Make the test set: clean speech from any folder, mixed with noise from any folder.

Everything random is seeded by the names of the files below their folder, so the same files give
the same mixtures on every machine, in any order and wherever the folders are.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator

from benchmarks.real.levels import active_level_db
from benchmarks.real.recordings import (
    MAX_PEAK,
    Recording,
    in_turns,
    read_mono,
    read_music,
    read_usable,
)
from benchmarks.real.rooms import put_in_room
from denoise.dsp.audio import (
    Waveform,
    is_silent,
)
from denoise.errors import AudioError, CorpusError
from denoise.noise.mixing import utterance_rng

MAX_NOISE_SECONDS = 600.0  # of a noise recording that is used
SNRS_DB = (0.0, 5.0, 10.0, 15.0)
LIGHT_SNRS_DB = (20.0, 30.0)
MAX_DRAWS = 20  # of a place in a noise recording, until one is not silent
SEED = 0


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


@functools.lru_cache(maxsize=8)
def _read_noise(path: Path, sample_rate: int) -> Waveform:
    return read_mono(path, sample_rate, MAX_NOISE_SECONDS)


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
