"""Make the test set: clean speech from any folder, mixed with noise from any folder.

Everything random is seeded by the names of the files below their folder, so the same files give
the same mixtures on every machine, in any order and wherever the folders are.
"""

import functools
from collections.abc import Iterator, Sequence
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
from denoise.dsp.audio import Waveform, is_silent
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
    raise AudioError(f"{MAX_DRAWS} random places in it are silent.")


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
    """What to make the test set of; `rejected` fills with the names and reasons of bad files.

    `limit` is the number of utterances, and `rounds` how often each of them is mixed.
    """

    speech: Sequence[Recording]
    noise: Sequence[Recording]
    music: Sequence[Recording]
    sample_rate: int
    limit: int
    has_rooms: bool
    rounds: int = 1
    rejected: dict[str, str] = field(default_factory=dict)

    @property
    def n_extra(self) -> int:
        """Return how many utterances each further part has: a quarter of `limit`, at least 4."""
        return max(4, self.limit // 4)


def make_test_set(plan: Plan) -> Iterator[Mixture]:
    """Make the mixtures, and then the further parts, one by one; raises CorpusError."""
    types = sorted({recording.group for recording in plan.noise})
    used = 0
    for recording, clean in read_usable(in_turns(plan.speech), plan.sample_rate, plan.rejected):
        cells = [_cell(used + turn, types) for turn in range(plan.rounds)]
        for noise_type, snr_db in cells:
            yield _with_noise(plan, recording, clean, noise_type, snr_db)
        if used < plan.n_extra:
            yield from _further_parts(plan, recording, clean, cells[0][0])
        used += 1
        if used == plan.limit:
            break
    if not used:
        raise CorpusError(f"No recording of speech is usable: {_first_reasons(plan)}")
    yield from _music(plan)


def _cell(index: int, types: Sequence[str]) -> tuple[str, float]:
    """Return the noise type and the SNR of a mixture.

    Types and SNRs take turns; with n types, each of 4 n successive mixtures has another type or
    another SNR.
    """
    turn, place = divmod(index, len(types))
    return types[place], SNRS_DB[(turn + place) % len(SNRS_DB)]


def _first_reasons(plan: Plan) -> str:
    reasons = [f"{name}: {reason}" for name, reason in list(plan.rejected.items())[:3]]
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
    noise = _draw_noise_of_type(plan, noise_type, len(clean), rng)
    reference, noisy = mix_at_active_level(clean, noise, snr_db, plan.sample_rate)
    return Mixture(part, recording.name, recording.group, noise_type, snr_db, reference, noisy)


def _draw_noise_of_type(plan: Plan, noise_type: str, n_samples: int, rng: Generator) -> Waveform:
    """Draw noise from a random recording of the type, and from another one if it is unusable."""
    files = [each for each in plan.noise if each.group == noise_type]
    for index in rng.permutation(len(files)):
        try:
            return draw_noise(files[index], n_samples, plan.sample_rate, rng)
        except AudioError as error:
            plan.rejected[files[index].name] = str(error)
    raise CorpusError(f"No recording of the noise {noise_type} is usable: {_first_reasons(plan)}")


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


def _music(plan: Plan) -> Iterator[Mixture]:
    excerpts = read_usable(in_turns(plan.music), plan.sample_rate, plan.rejected, read_music)
    for _, (recording, music) in zip(range(plan.n_extra), excerpts, strict=False):
        yield Mixture("music", recording.name, recording.name, "", np.nan, music, music)
