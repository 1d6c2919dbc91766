"""Tests of the evaluation: every clip in every condition, and the recognisers' results."""

import numpy as np
import pandas as pd

from denoise.evaluation.run import Corrupter, evaluate, score_digits
from denoise.evaluation.tables import table_csv
from denoise.noise.mixing import NoiseSources, no_recordings
from denoise.params import EvaluateParams
from tests.speechlike import SAMPLE_RATE, voice

PARAMS = EvaluateParams(
    noise_types=("white", "babble"), snr_db=(0.0, 60.0), pesq="never", threads=1, seed=1
)


class FakeRecogniser:
    """Return digit 3 for a clip that is at most a tenth louder than the clean one, else 4."""

    def __init__(self, clean: np.ndarray) -> None:
        self.threshold = 1.1 * np.abs(clean).sum()
        self.n_calls = 0

    def __call__(self, clips: np.ndarray) -> dict[str, list[int]]:
        self.n_calls += 1
        digits = np.where(np.abs(clips).sum(axis=1) <= self.threshold, 3, 4)
        return {"digits_a": digits.tolist(), "digits_b": (7 - digits).tolist()}


def test_rows_contain_the_recognisers_results_for_each_method() -> None:
    clean = voice()
    recogniser = FakeRecogniser(clean)
    utterance = pd.Series(
        {"utterance_id": "3_01_0", "speaker_id": "01", "digit": 3, "gender": "male"}
    )
    sources = NoiseSources(lambda rng, n: voice(9), no_recordings)
    corrupter = Corrupter(SAMPLE_RATE, PARAMS.seed, sources)
    rows = evaluate([(utterance, clean)], np.zeros_like, recogniser, corrupter, PARAMS)
    assert list(zip(rows["noise"], rows["snr_db"], strict=True)) == [
        ("white", 0.0),
        ("white", 60.0),
        ("babble", 0.0),
        ("babble", 60.0),
    ]
    assert rows["digits_a_noisy"].tolist() == [0, 1, 0, 1]
    assert rows["digits_b_noisy"].tolist() == [1, 0, 1, 0]
    for method in ("clean", "denoised"):
        assert rows[f"digits_a_{method}"].tolist() == [1] * 4
        assert rows[f"digits_b_{method}"].tolist() == [0] * 4
    assert recogniser.n_calls == 1  # all methods and conditions in one batch
    assert rows["si_sdr_db_noisy"].round().tolist() == [0, 60, 0, 60]


def test_digit_scores_keep_methods_and_conditions_apart() -> None:
    by_method = {"noisy": np.array([[1.0], [2.0]]), "denoised": np.array([[3.0], [2.0]])}

    def recognise(clips: np.ndarray) -> dict[str, list[int]]:
        return {"digits": clips[:, 0].astype(int).tolist()}

    assert score_digits(np.array([2.0]), by_method, recognise, 2) == [
        {"digits_clean": 1, "digits_noisy": 0, "digits_denoised": 0},
        {"digits_clean": 1, "digits_noisy": 1, "digits_denoised": 1},
    ]


def test_speech_without_a_digit_is_scored_without_the_recognisers() -> None:
    clean = voice()
    recogniser = FakeRecogniser(clean)
    utterances = [
        pd.Series({"utterance_id": name, "speaker_id": "01", "digit": digit, "gender": "male"})
        for name, digit in (("speech_01_0", pd.NA), ("3_01_0", 3))
    ]
    sources = NoiseSources(lambda rng, n: voice(9), no_recordings)
    corrupter = Corrupter(SAMPLE_RATE, PARAMS.seed, sources)
    clips = [(utterance, clean) for utterance in utterances]
    rows = evaluate(clips, np.zeros_like, recogniser, corrupter, PARAMS)
    assert rows["digits_a_noisy"].isna().tolist() == [True] * 4 + [False] * 4
    assert rows["digit"].isna().tolist() == [True] * 4 + [False] * 4
    assert recogniser.n_calls == 1
    assert rows["estoi_noisy"].notna().all()
    alone = evaluate(clips[:1], np.zeros_like, recogniser, corrupter, PARAMS)
    assert not [name for name in alone if name.startswith("digits_")]
    assert "speech_01_0,01,,male,babble" in table_csv(alone)
