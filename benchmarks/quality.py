"""Every method on every test clip in every condition, by every measure: a table, a row each.

A measure is a name with a function over the twins of one clip.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from benchmarks.methods import Cleaner
from denoise import metrics
from denoise.audio import Waveform
from denoise.evaluation import Condition, Disturber, Listen


@dataclass(frozen=True)
class Clip:
    """One clean test recording, float32 [n_samples]."""

    utterance_id: str
    speaker_id: str
    digit: int
    clean: Waveform
    sample_rate: int


@dataclass(frozen=True)
class Measure:
    """How what is heard of a clip is judged: `score(clip, heard [batch, n_samples])`, [batch].

    nan stands for what is not defined.
    """

    label: str
    score: Callable[[Clip, Waveform], Sequence[float]]
    higher_is_better: bool = True
    decimals: int = 2


# Gains 1, 2 and 0.5 of white noise at the clip's own RMS, and two kinds that are harder.
CONDITIONS = {
    "white 6 dB": Condition("white", 6.0206),
    "white 0 dB": Condition("white", 0.0),
    "white -6 dB": Condition("white", -6.0206),
    "pink 0 dB": Condition("pink", 0.0),
    "babble 0 dB": Condition("babble", 0.0),
}


def each(
    score: Callable[[Waveform, Waveform, int], float],
) -> Callable[[Clip, Waveform], Sequence[float]]:
    """Lift a metric of denoise.metrics to the twins of a clip."""

    def score_each(clip: Clip, heard: Waveform) -> Sequence[float]:
        return [score(clip.clean, waveform, clip.sample_rate) for waveform in heard]

    return score_each


def list_measures(with_pesq: bool) -> dict[str, Measure]:
    """Return the measures, by name; PESQ only where it can be had."""
    pesq = {"pesq": Measure("PESQ", each(metrics.pesq_wide_band))}
    return {
        "si_sdr_db": Measure(
            "SI-SDR, dB", each(lambda c, h, rate: metrics.si_sdr_db(c, h)), True, 1
        ),
        "estoi": Measure("ESTOI", each(metrics.estoi), True, 3),
        **(pesq if with_pesq else {}),
        "lsd_db": Measure(
            "log-spectral distance, dB", each(metrics.log_spectral_distance_db), False, 1
        ),
    }


def list_listeners(listen: Listen | None) -> dict[str, Measure]:
    """Return whether each recogniser of the machine listener hears the digit that was said."""
    if listen is None:
        return {}

    def score(recogniser: str, clip: Clip, heard: Waveform) -> Sequence[float]:
        return [float(digit == clip.digit) for digit in listen(heard)[recogniser]]

    label = "digits understood by a recogniser trained "
    return {
        "digits_clean_trained": Measure(
            label + "on clean speech", partial(score, "digits_clean_trained")
        ),
        "digits_noise_trained": Measure(label + "in noise", partial(score, "digits_noise_trained")),
    }


def measure_all(
    clips: Iterable[Clip],
    cleaners: Mapping[str, Cleaner],
    disturber: Disturber,
    measures: Mapping[str, Measure],
    conditions: Mapping[str, Condition] = CONDITIONS,
) -> pd.DataFrame:
    """Return utterance_id, speaker_id, condition, method and a column a measure.

    Every method hears the same noisy twins.
    """
    rows: list[dict[str, object]] = []
    for clip in clips:
        about = {"utterance_id": clip.utterance_id, "speaker_id": clip.speaker_id}
        twins = [disturber.disturb(clip.clean, clip.utterance_id, c) for c in conditions.values()]
        for method, cleaner in cleaners.items():
            heard = cleaner(np.stack(twins), clip.clean)
            scores = {name: measure.score(clip, heard) for name, measure in measures.items()}
            rows += [
                {**about, "condition": condition, "method": method}
                | {name: float(score[index]) for name, score in scores.items()}
                for index, condition in enumerate(conditions)
            ]
    return pd.DataFrame(rows)
