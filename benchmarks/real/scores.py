"""Score every method on the test set; the result is one table with a row per mixture and method."""

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.methods import BatchDenoiser
from benchmarks.quality import Metric
from benchmarks.real.levels import level_change_db, pause_attenuation_db
from benchmarks.real.mixtures import Mixture
from benchmarks.real.onnx_peers import open_session
from denoise.dsp.audio import Waveform, resample
from denoise.errors import DenoiseError
from denoise.evaluation import metrics

DNSMOS_RATE = 16_000
DNSMOS_SECONDS = 9.01  # that the network rates at once
DNSMOS_FILE = Path("dnsmos_models/sig_bak_ovr.onnx")

METRICS = {
    "pesq": Metric("PESQ"),
    "estoi": Metric("ESTOI", decimals=3),
    "si_sdr_db": Metric("SI-SDR (dB)", decimals=1),
    "ovrl": Metric("DNSMOS OVRL"),
    "sig": Metric("DNSMOS SIG"),
    "bak": Metric("DNSMOS BAK"),
    "pause_db": Metric("attenuation in pauses (dB)", decimals=1),
    "kept_db": Metric("level of the output over the input (dB)", decimals=1),
}
DNSMOS_METRICS = ("ovrl", "sig", "bak")
PART_METRICS = {
    "mixtures": ("pesq", "estoi", "si_sdr_db", *DNSMOS_METRICS, "pause_db"),
    "light": ("pesq", "estoi", "si_sdr_db"),
    "clean": ("pesq", "estoi", "si_sdr_db"),
    "rooms": ("pesq", "estoi"),
    "music": ("kept_db", "si_sdr_db"),
}

Dnsmos = Callable[[Waveform], tuple[float, float, float]]
"""Float32 [n_samples] at 16 kHz -> OVRL, SIG and BAK"""


def load_dnsmos() -> Dnsmos:
    """Load DNSMOS P.835 (Reddy, Gopal & Cutler, ICASSP 2022) from the package speechmos.

    The network and the polynomials that map its outputs are the package's. The network for P.808,
    which takes most of the package's time, is left out. Raises DenoiseError without the package.
    """
    package = importlib.util.find_spec("speechmos")
    folders = (package and package.submodule_search_locations) or []
    file = next((path for f in folders if (path := Path(f) / DNSMOS_FILE).is_file()), None)
    if file is None:
        raise DenoiseError("the package speechmos is not installed. Run make bench.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("speechmos.dnsmos")
    session = open_session(file)
    polynomials = module.DNSMOS.get_polyfit_val

    def rate(waveform: Waveform) -> tuple[float, float, float]:
        raw = [session.run(None, {"input_1": part[None]})[0][0] for part in dnsmos_parts(waveform)]
        ratings = np.mean([polynomials(None, *each, False) for each in raw], axis=0)
        sig, bak, ovrl = (float(rating) for rating in ratings)
        return ovrl, sig, bak

    return rate


def dnsmos_parts(waveform: Waveform) -> list[Waveform]:
    """Return the stretches of 9.01 s that DNSMOS rates, a second apart; short clips are doubled."""
    size = int(DNSMOS_SECONDS * DNSMOS_RATE)
    clipped = np.clip(waveform, -1, 1).astype(np.float32)
    while len(clipped) < size:
        clipped = np.concatenate([clipped, clipped])
    n_parts = int(len(clipped) // DNSMOS_RATE - DNSMOS_SECONDS) + 1
    starts = range(0, n_parts * DNSMOS_RATE, DNSMOS_RATE)
    return [part for s in starts if len(part := clipped[s : s + size]) == size]


def score_one(
    mixture: Mixture,
    denoised: Waveform,
    sample_rate: int,
    with_pesq: bool = True,
    dnsmos: Dnsmos | None = None,
) -> dict[str, float]:
    """Return the metrics of the mixture's part; those that are not available are left out."""
    wanted = PART_METRICS[mixture.part]
    scores: dict[str, float] = {}
    if "pesq" in wanted and with_pesq:
        scores["pesq"] = metrics.pesq_wide_band(mixture.reference, denoised, sample_rate)
    if "estoi" in wanted:
        scores["estoi"] = metrics.estoi(mixture.reference, denoised, sample_rate)
    if "si_sdr_db" in wanted:
        scores["si_sdr_db"] = metrics.si_sdr_db(mixture.reference, denoised)
    if "ovrl" in wanted and dnsmos:
        ratings = dnsmos(resample(denoised, sample_rate, DNSMOS_RATE))
        scores |= dict(zip(DNSMOS_METRICS, ratings, strict=True))
    if "pause_db" in wanted:
        scores["pause_db"] = pause_attenuation_db(
            mixture.reference, mixture.noisy, denoised, sample_rate
        )
    if "kept_db" in wanted:
        scores["kept_db"] = level_change_db(mixture.noisy, denoised)
    return scores


def score_all(
    mixtures: Iterable[Mixture],
    denoisers: Mapping[str, BatchDenoiser],
    score: Callable[[Mixture, Waveform], Mapping[str, float]],
) -> pd.DataFrame:
    """Return part, utterance_id, speaker_id, noise, snr_db, condition, method, and the metrics.

    Every method gets the same input. A result that is not finite is an error, DenoiseError.
    """
    rows: list[dict[str, object]] = []
    for mixture in mixtures:
        for method, denoise in denoisers.items():
            (denoised,) = denoise(mixture.noisy[None], mixture.reference)
            if not np.isfinite(denoised).all():
                raise DenoiseError(f"{method} returns samples that are not finite numbers.")
            rows.append(
                {
                    "part": mixture.part,
                    "utterance_id": mixture.utterance_id,
                    "speaker_id": mixture.speaker_id,
                    "noise": mixture.noise,
                    "snr_db": mixture.snr_db,
                    "condition": mixture.condition,
                    "method": method,
                    **score(mixture, denoised),
                }
            )
    return pd.DataFrame(rows)
