"""Every method on every test clip in every condition, by every measure: a table, a row each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.methods import Cleaner
from denoise.dsp.audio import Waveform
from denoise.evaluation.run import Condition, Corrupter, Recognise, measure


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
    """What a column of scores is called, and how it is read."""

    label: str
    higher_is_better: bool = True
    decimals: int = 2


Judge = Callable[[Clip, Waveform], Sequence[Mapping[str, float]]]
"""(a clip, what is heard of it [batch, n_samples]) -> the scores of each, by measure; nan stands
for what is not defined."""

MEASURES = {
    "si_sdr_db": Measure("SI-SDR, dB", decimals=1),
    "estoi": Measure("ESTOI", decimals=3),
    "pesq": Measure("PESQ"),
    "lsd_db": Measure("log-spectral distance, dB", higher_is_better=False, decimals=1),
    "digits_clean_trained": Measure("digits understood by a recogniser trained on clean speech"),
    "digits_noise_trained": Measure("digits understood by a recogniser trained in noise"),
}

# Gains 1, 2 and 0.5 of white noise at the clip's own RMS, and two kinds that are harder.
CONDITIONS = {
    "white 6 dB": Condition("white", 6.0206),
    "white 0 dB": Condition("white", 0.0),
    "white -6 dB": Condition("white", -6.0206),
    "pink 0 dB": Condition("pink", 0.0),
    "babble 0 dB": Condition("babble", 0.0),
}


def make_judge(with_pesq: bool, recognise: Recognise | None) -> Judge:
    """Judge by every metric, and by whether each recogniser hears the digit that was said.

    PESQ and digits are left out where they cannot be had.
    """

    def judge(clip: Clip, heard: Waveform) -> list[dict[str, float]]:
        scores = [measure(clip.clean, each, clip.sample_rate, with_pesq) for each in heard]
        for name, digits in (recognise(heard) if recognise else {}).items():
            for score, digit in zip(scores, digits, strict=True):
                score[name] = float(digit == clip.digit)
        return scores

    return judge


def measure_all(
    clips: Iterable[Clip],
    cleaners: Mapping[str, Cleaner],
    corrupter: Corrupter,
    judge: Judge,
    conditions: Mapping[str, Condition] = CONDITIONS,
) -> pd.DataFrame:
    """Return utterance_id, speaker_id, condition, method and a column a measure.

    Every method hears the same noisy twins.
    """
    rows: list[dict[str, object]] = []
    for clip in clips:
        about = {"utterance_id": clip.utterance_id, "speaker_id": clip.speaker_id}
        noisy_versions = [
            corrupter.corrupt(clip.clean, clip.utterance_id, c) for c in conditions.values()
        ]
        for method, cleaner in cleaners.items():
            scores = judge(clip, cleaner(np.stack(noisy_versions), clip.clean))
            rows += [
                {**about, "condition": condition, "method": method, **score}
                for condition, score in zip(conditions, scores, strict=True)
            ]
    return pd.DataFrame(rows)
