"""Score every method on every test clip in every condition; the result is one table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.methods import BatchDenoiser
from denoise.dsp.audio import Waveform
from denoise.evaluation.run import Condition, Corrupter, Recognise, score_waveform


@dataclass(frozen=True)
class Clip:
    """One clean test recording, float32 [n_samples]."""

    utterance_id: str
    speaker_id: str
    digit: int | None
    clean: Waveform
    sample_rate: int


@dataclass(frozen=True)
class Metric:
    """How the report shows a metric."""

    label: str
    higher_is_better: bool = True
    decimals: int = 2


Scorer = Callable[[Clip, Waveform], Sequence[Mapping[str, float]]]
"""(a clip, its denoised versions [batch, n_samples]) -> {metric: score} of each; nan where a metric
is undefined."""

METRICS = {
    "si_sdr_db": Metric("SI-SDR (dB)", decimals=1),
    "estoi": Metric("ESTOI", decimals=3),
    "pesq": Metric("PESQ"),
    "lsd_db": Metric("log-spectral distance (dB)", higher_is_better=False, decimals=1),
    "digits_clean_trained": Metric("digit accuracy, recogniser trained on clean speech"),
    "digits_noise_trained": Metric("digit accuracy, recogniser trained on noisy speech"),
}

# White noise with a gain of 0.5, 1 and 2 relative to the clip's RMS, and two harder noise types.
CONDITIONS = {
    "white 6 dB": Condition("white", 6.0206),
    "white 0 dB": Condition("white", 0.0),
    "white -6 dB": Condition("white", -6.0206),
    "pink 0 dB": Condition("pink", 0.0),
    "babble 0 dB": Condition("babble", 0.0),
}


def make_scorer(with_pesq: bool, recognise: Recognise | None) -> Scorer:
    """Return a function that computes every metric, and whether each recogniser is right.

    PESQ is left out without `with_pesq`, the digits without `recognise`.
    """

    def score(clip: Clip, denoised: Waveform) -> list[dict[str, float]]:
        scores = [
            score_waveform(clip.clean, waveform, clip.sample_rate, with_pesq)
            for waveform in denoised
        ]
        recognised = recognise(denoised) if recognise and clip.digit is not None else {}
        for name, digits in recognised.items():
            for row, digit in zip(scores, digits, strict=True):
                row[name] = float(digit == clip.digit)
        return scores

    return score


def score_all(
    clips: Iterable[Clip],
    denoisers: Mapping[str, BatchDenoiser],
    corrupter: Corrupter,
    score: Scorer,
    conditions: Mapping[str, Condition] = CONDITIONS,
) -> pd.DataFrame:
    """Return utterance_id, speaker_id, condition, method, and one column per metric.

    Every method processes the same noisy clips.
    """
    rows: list[dict[str, object]] = []
    for clip in clips:
        utterance = {"utterance_id": clip.utterance_id, "speaker_id": clip.speaker_id}
        noisy = np.stack(
            [corrupter.corrupt(clip.clean, clip.utterance_id, c) for c in conditions.values()]
        )
        for method, denoise in denoisers.items():
            scores = score(clip, denoise(noisy, clip.clean))
            rows += [
                {**utterance, "condition": condition, "method": method, **row}
                for condition, row in zip(conditions, scores, strict=True)
            ]
    return pd.DataFrame(rows)
