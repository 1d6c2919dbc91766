"""The evaluation: every clip in every condition, and what a listener makes of it."""

import numpy as np
import pandas as pd

from denoise.evaluation.run import Corrupter, evaluate, score_digits
from denoise.noise.mixing import NoiseSources, no_recordings
from denoise.params import EvaluateParams
from tests.speechlike import SAMPLE_RATE, voice

PARAMS = EvaluateParams(
    noise_types=("white", "babble"), snr_db=(0.0, 60.0), pesq="never", threads=1, seed=1
)


class HearingModel:
    """Hears 3 in whatever is no louder than the clean clip by a tenth, and 4 in what is."""

    def __init__(self, clean: np.ndarray) -> None:
        self.loudness = 1.1 * np.abs(clean).sum()
        self.n_calls = 0

    def __call__(self, clips: np.ndarray) -> dict[str, list[int]]:
        self.n_calls += 1
        quiet = np.where(np.abs(clips).sum(axis=1) <= self.loudness, 3, 4)
        return {"digits_a": quiet.tolist(), "digits_b": (7 - quiet).tolist()}


def test_rows_say_what_is_understood_of_each_method() -> None:
    clean = voice()
    hearing_model = HearingModel(clean)
    about = pd.Series({"utterance_id": "3_01_0", "speaker_id": "01", "digit": 3, "gender": "male"})
    sources = NoiseSources(lambda rng: voice(9), no_recordings)
    corrupter = Corrupter(SAMPLE_RATE, PARAMS.seed, sources)
    rows = evaluate([(about, clean)], np.zeros_like, hearing_model, corrupter, PARAMS)
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
    assert hearing_model.n_calls == 1  # all methods and conditions in one batch
    assert rows["si_sdr_db_noisy"].round().tolist() == [0, 60, 0, 60]


def test_understanding_keeps_methods_and_conditions_apart() -> None:
    batches = {"noisy": np.array([[1.0], [2.0]]), "denoised": np.array([[3.0], [2.0]])}

    def recognise(clips: np.ndarray) -> dict[str, list[int]]:
        return {"digits": clips[:, 0].astype(int).tolist()}

    assert score_digits(np.array([2.0]), batches, recognise, 2) == [
        {"digits_clean": 1, "digits_noisy": 0, "digits_denoised": 0},
        {"digits_clean": 1, "digits_noisy": 1, "digits_denoised": 1},
    ]
