"""Denoising the test split under every condition, and measuring what came of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from denoise import metrics
from denoise.audio import Waveform
from denoise.classical import wiener
from denoise.inference import Denoiser
from denoise.noise import Recorded, make_noisy, utterance_rng
from denoise.params import EvaluateParams


@dataclass(frozen=True)
class Condition:
    """One way of disturbing a clip."""

    noise: str
    snr_db: float


@dataclass(frozen=True)
class Disturber:
    """Makes the noisy twins of test clips."""

    sample_rate: int
    seed: int
    recorded: Recorded

    def disturb(self, clean: Waveform, utterance_id: str, condition: Condition) -> Waveform:
        """Return the clip's noisy twin, float32 [n_samples]; each condition has its own noise."""
        kind, snr_db = condition.noise, condition.snr_db
        rng = utterance_rng(self.seed, f"{utterance_id} {kind} {snr_db}")
        return make_noisy(clean, self.sample_rate, kind, snr_db, rng, self.recorded)


def conditions(params: EvaluateParams) -> list[Condition]:
    """List every noise kind at every SNR."""
    return [Condition(kind, snr_db) for kind in params.kinds for snr_db in params.snr_db]


def evaluate(
    clips: "Iterable[tuple[pd.Series[object], Waveform]]",
    denoiser: Denoiser,
    disturber: Disturber,
    params: EvaluateParams,
) -> pd.DataFrame:
    """Measure every clip in every condition, noisy, Wiener-filtered and denoised, a row each."""
    every = conditions(params)
    with_pesq = params.pesq == "auto" and metrics.has_pesq()
    rows: list[dict[str, object]] = []
    for row, clean in clips:
        identity = str(row["utterance_id"])
        noisy = np.stack([disturber.disturb(clean, identity, c) for c in every])
        about = row[["utterance_id", "speaker_id", "digit", "gender"]].to_dict()
        measured = _measure_all(clean, noisy, denoiser, with_pesq)
        for condition, figures in zip(every, measured, strict=True):
            rows.append({**about, **vars(condition), **figures})
    return pd.DataFrame(rows)


def _measure_all(
    clean: Waveform, noisy: Waveform, denoiser: Denoiser, with_pesq: bool
) -> Iterator[dict[str, float]]:
    """Yield the figures of each noisy twin of a clip, [n_conditions, n_samples]."""
    rate = denoiser.sample_rate
    for before, after in zip(noisy, denoiser.denoise_clips(noisy), strict=True):
        heard = {"noisy": before, "wiener": wiener(before, rate), "denoised": after}
        yield measure(clean, heard, rate, with_pesq)


def measure(
    clean: Waveform, heard: Mapping[str, Waveform], sample_rate: int, with_pesq: bool
) -> dict[str, float]:
    """Return `<metric>_<method>` for each waveform of `heard`, all float32 [n_samples]."""
    figures: dict[str, float] = {}
    for method, waveform in heard.items():
        figures[f"si_sdr_db_{method}"] = metrics.si_sdr_db(clean, waveform)
        figures[f"estoi_{method}"] = metrics.estoi(clean, waveform, sample_rate)
        figures[f"lsd_db_{method}"] = metrics.log_spectral_distance_db(clean, waveform, sample_rate)
        if with_pesq:
            figures[f"pesq_{method}"] = metrics.pesq_wide_band(clean, waveform, sample_rate)
    return figures
