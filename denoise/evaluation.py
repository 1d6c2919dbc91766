"""Denoising the test split under every condition, and measuring what came of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from denoise import metrics
from denoise.audio import Waveform
from denoise.classical import wiener
from denoise.inference import Denoiser
from denoise.noise import make_noisy, utterance_rng
from denoise.params import EvaluateParams


@dataclass(frozen=True)
class Condition:
    """One way of disturbing a clip."""

    noise: str
    snr_db: float

    def disturb(self, clean: Waveform, utterance_id: str, sample_rate: int, seed: int) -> Waveform:
        """Return the clip's noisy twin; the noise is its own in each condition."""
        rng = utterance_rng(seed, f"{utterance_id} {self.noise} {self.snr_db}")
        return make_noisy(clean, sample_rate, self.noise, self.snr_db, rng)


def conditions(params: EvaluateParams) -> list[Condition]:
    """List every noise kind at every SNR."""
    return [Condition(kind, snr_db) for kind in params.kinds for snr_db in params.snr_db]


def evaluate(
    clips: "Iterable[tuple[pd.Series[object], Waveform]]",
    denoiser: Denoiser,
    params: EvaluateParams,
) -> pd.DataFrame:
    """Measure every clip in every condition; a row has each metric for each of METHODS."""
    with_pesq = params.pesq == "auto" and metrics.has_pesq()
    rows = [r for row, clean in clips for r in _rows(row, clean, denoiser, params, with_pesq)]
    return pd.DataFrame(rows)


def _rows(
    row: "pd.Series[object]",
    clean: Waveform,
    denoiser: Denoiser,
    params: EvaluateParams,
    with_pesq: bool,
) -> Iterator[dict[str, object]]:
    every, rate = conditions(params), denoiser.sample_rate
    identity = str(row["utterance_id"])
    noisy = np.stack([c.disturb(clean, identity, rate, params.seed) for c in every])
    denoised = denoiser.denoise_clips(noisy)
    for number, condition in enumerate(every):
        heard = {
            "noisy": noisy[number],
            "wiener": wiener(noisy[number], rate),
            "denoised": denoised[number],
        }
        yield {
            **row[["utterance_id", "speaker_id", "digit", "gender"]].to_dict(),
            "noise": condition.noise,
            "snr_db": condition.snr_db,
            **measure(clean, heard, rate, with_pesq),
        }


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
