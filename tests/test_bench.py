"""Tests of the comparison: methods, metrics, cost and report, with fakes for optional packages."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks import compare, cost, methods, rnnoise, training
from benchmarks.methods import OURS, batched, is_oracle, list_methods, oracle_method
from benchmarks.quality import (
    CONDITIONS,
    METRICS,
    Clip,
    make_scorer,
    score_all,
)
from benchmarks.report import render
from denoise.corpus.archive import CorpusArchive
from denoise.corpus.manifest import make_manifest, write_manifest
from denoise.dsp.statistical_filters import wiener
from denoise.errors import DenoiseError
from denoise.evaluation import metrics
from denoise.evaluation.metrics import estoi, si_sdr_db
from denoise.evaluation.run import Condition, Corrupter
from denoise.noise.mixing import NoiseSources
from denoise.params import SampleParams
from denoise.params_file import load_params
from presets.__main__ import load_preset
from tests.closures import ROOT
from tests.corpora import write_corpus
from tests.speechlike import SAMPLE_RATE, voice, white

CLEAN = voice()
MISSING = Path("no/such/model")


def no_speech(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    raise AssertionError("White noise does not use speech.")


CORRUPTER = Corrupter(SAMPLE_RATE, 3, NoiseSources(no_speech, no_speech))


@pytest.mark.parametrize("n_fft", [512, 2048])
def test_oracle_masks_are_better_than_the_noisy_input(n_fft: int) -> None:
    noisy = np.stack([CLEAN + white(CLEAN, snr_db) for snr_db in (0, -6)])
    denoised = oracle_method(n_fft).make(SAMPLE_RATE)(noisy, CLEAN)
    assert denoised.shape == noisy.shape and denoised.dtype == np.float32
    for before, after in zip(noisy, denoised, strict=True):
        assert si_sdr_db(CLEAN, after) > si_sdr_db(CLEAN, before) + 8
        assert estoi(CLEAN, after, SAMPLE_RATE) > estoi(CLEAN, before, SAMPLE_RATE) + 0.1


def test_oracle_mask_does_not_change_clean_speech_and_silence() -> None:
    denoise = oracle_method(512).make(SAMPLE_RATE)
    np.testing.assert_allclose(denoise(CLEAN[None], CLEAN)[0], CLEAN, atol=1e-5)
    silence = np.zeros_like(CLEAN)
    np.testing.assert_array_equal(denoise(silence[None], silence)[0], silence)


def test_names_are_unique_and_oracles_are_recognised() -> None:
    all_methods = list_methods(MISSING, MISSING, {"seed2": MISSING})
    names = [method.name for method in all_methods]
    assert len(set(names)) == len(names)
    oracles = {"oracle_2048", "oracle_512"}
    assert {method.name for method in all_methods if is_oracle(method.name)} == oracles
    assert {m.name for m in all_methods if not m.is_usable} == {"noisy", *oracles}


def test_missing_packages_and_models_are_left_out_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(methods.importlib, "import_module", fail)
    monkeypatch.setattr(rnnoise, "find_library", lambda: None)
    chosen = [
        method
        for method in list_methods(MISSING, MISSING, {})
        if method.name in ("noisy", "noisereduce", "rnnoise", "reference_noisy_phase")
    ]
    denoisers, left_out = compare.make_denoisers(chosen, SAMPLE_RATE, {OURS})
    assert list(denoisers) == ["noisy"]
    reasons = "\n".join(f"{label} is left out: {why}" for label, why in left_out.items())
    assert capsys.readouterr().out == reasons + "\n"
    assert "package noisereduce is not installed. Run make bench." in reasons
    assert "package pyrnnoise is not installed. Run make bench." in reasons
    assert f"no model at {MISSING}. docs/benchmark.md describes its training." in reasons


def test_missing_required_model_is_an_error() -> None:
    with pytest.raises(DenoiseError, match="no model at"):
        compare.make_denoisers(
            methods.reference_methods(MISSING), SAMPLE_RATE, {"reference_noisy_phase"}
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "wiener=x"], "--model wiener=: this name is in use"),
        (["--model", "a=x", "--model", "a=y"], "--model a=: this name is in use"),
        (
            ["--training-seconds", "us=5"],
            "--training-seconds us=: there is no such method. The methods are noisy",
        ),
    ],
)
def test_method_names_in_options_are_checked(arguments: list[str], message: str) -> None:
    with pytest.raises(DenoiseError, match=re.escape(message)):
        compare.select_methods(compare.parse_options(arguments), [])


def test_options_add_models_by_name() -> None:
    arguments = ["--model", "a=x", "--model", "b=y", "--training-seconds", "a=5"]
    selected = compare.select_methods(compare.parse_options(arguments), [])
    assert [method.name for method in selected if len(method.name) == 1] == ["a", "b"]


@pytest.mark.parametrize("delay", [0, 1, 480, 960])
def test_delay_is_measured_and_removed(delay: int) -> None:
    def delayed(waveform: np.ndarray) -> np.ndarray:
        halved = np.float32(0.5) * np.pad(waveform, (delay, 0))[: len(waveform)]
        return halved + np.float32(1e-3)

    speech = voice(1, 0.5, rnnoise.RATE)
    measured = rnnoise.find_delay(delayed, speech, rnnoise.RATE)
    assert measured == delay
    aligned = rnnoise.without_delay(delayed, measured)(speech)
    np.testing.assert_allclose(aligned, 0.5 * speech + 1e-3, atol=1e-6)


class FakeLibrary:
    """A fake of RNNoise: it halves each frame, delays it by two frames, and counts its states."""

    def __init__(self) -> None:
        self.open_states: list[int] = []
        self.frames: dict[int, list[np.ndarray]] = {}
        self.peak = 0.0

    def rnnoise_get_frame_size(self) -> int:
        return 480

    def rnnoise_create(self, nothing: None) -> int:
        self.open_states.append(len(self.frames))
        self.frames[len(self.frames)] = [np.zeros(480, np.float32)] * 2
        return self.open_states[-1]

    def rnnoise_destroy(self, state: int) -> None:
        self.open_states.remove(state)

    def rnnoise_process_frame(self, state: int, out: object, frame: object) -> None:
        samples = np.ctypeslib.as_array(frame, shape=(480,))
        self.peak = max(self.peak, float(np.abs(samples).max()))
        self.frames[state].append(samples.copy())
        samples[:] = 0.5 * self.frames[state][-3]


@pytest.fixture
def fake_library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    library = FakeLibrary()
    monkeypatch.setattr(rnnoise, "find_library", lambda: Path("librnnoise.so"))
    monkeypatch.setattr(rnnoise.ctypes, "CDLL", lambda path: None)
    monkeypatch.setattr(rnnoise, "_declare", lambda loaded: library)
    return library


@pytest.mark.parametrize("function", ["denoise", "denoise_warm"])
@pytest.mark.parametrize("gain", [2.0**-12, 1.0, 2.0**8])
def test_rnnoise_gets_a_fixed_rms_and_its_result_is_aligned(
    fake_library: FakeLibrary, function: str, gain: float
) -> None:
    baseline = rnnoise.RNNoise()
    baseline.measure_delay([CLEAN, voice(2)], SAMPLE_RATE)
    assert baseline.delay == 960
    denoised = getattr(baseline, function)(CLEAN * np.float32(gain), SAMPLE_RATE)
    assert denoised.shape == CLEAN.shape and denoised.dtype == np.float32
    np.testing.assert_allclose(denoised / gain, 0.5 * CLEAN, atol=2e-3)
    assert fake_library.open_states == []
    peak = rnnoise.FULL_SCALE * rnnoise.INPUT_RMS * np.abs(CLEAN).max() / CLEAN.std()
    assert fake_library.peak == pytest.approx(peak, rel=0.1)


def test_rnnoise_does_not_change_silence(fake_library: FakeLibrary) -> None:
    silence = np.zeros(1000, np.float32)
    np.testing.assert_array_equal(rnnoise.RNNoise().denoise(silence, SAMPLE_RATE), silence)


def test_all_methods_get_the_same_noisy_clips_and_metrics_can_be_replaced() -> None:
    inputs: dict[str, list[np.ndarray]] = {"one": [], "two": []}

    def make_denoiser(name: str) -> methods.BatchDenoiser:
        def denoise(noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
            inputs[name].append(noisy)
            return noisy * np.float32(len(name) - 1)

        return denoise

    def score(clip: Clip, denoised: np.ndarray) -> list[dict[str, float]]:
        return [{"digits": clip.digit, "peak": np.abs(each).max()} for each in denoised]

    conditions = {"loud": Condition("white", -6.0), "soft": Condition("white", 6.0)}
    clips = [Clip(f"{d}_01_0", "01", d, CLEAN, SAMPLE_RATE) for d in (3, 4)]
    denoisers = {name: make_denoiser(name) for name in inputs}
    rows = score_all(clips, denoisers, CORRUPTER, score, conditions)
    np.testing.assert_array_equal(inputs["one"], inputs["two"])
    assert not np.array_equal(inputs["one"][0], inputs["one"][1])
    assert len(rows) == 2 * 2 * 2
    assert rows["digits"].tolist() == [3] * 4 + [4] * 4
    means = rows.groupby("condition")["peak"].mean()
    assert means["loud"] > 1.3 * means["soft"]


def test_pesq_is_computed_only_if_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics, "pesq_wide_band", lambda *_: 4.5)
    clip, noisy = Clip("a", "1", 7, CLEAN, SAMPLE_RATE), (CLEAN + white(CLEAN, 0))[None]
    (without,), (score,) = (make_scorer(pesq, None)(clip, noisy) for pesq in (False, True))
    assert score == {**without, "pesq": 4.5}
    assert without.keys() == {"si_sdr_db", "estoi", "lsd_db"}
    assert compare._report_missing_pesq(True) == {}
    assert "C compiler" in compare._report_missing_pesq(False)["PESQ"]
    assert "PESQ is left out" in capsys.readouterr().out


def test_a_clip_that_is_no_digit_is_scored_without_the_recognisers() -> None:
    def recognise(clips: np.ndarray) -> dict[str, list[int]]:
        return {"digits_clean_trained": [7] * len(clips)}

    digit, speech = (Clip("a", "1", digit, CLEAN, SAMPLE_RATE) for digit in (7, None))
    score = make_scorer(False, recognise)
    ((of_digit,), (of_speech,)) = (score(clip, CLEAN[None]) for clip in (digit, speech))
    assert of_digit["digits_clean_trained"] == 1
    assert of_speech.keys() == {"si_sdr_db", "estoi", "lsd_db"}


def test_cost_is_measured_in_a_separate_process() -> None:
    noisy = np.stack([CLEAN + white(CLEAN, 0)])
    options = cost.model_options(MISSING, MISSING, {})
    measured = cost.measure_cost("wiener", options, noisy, 22_050)
    assert 0.1 < measured["ms_per_second"] < 1000
    assert measured["start_up_cpu_seconds"] > 0 and 0 < measured["start_up_seconds"] < 120
    assert measured["peak_memory_mb"] is None or 20 < measured["peak_memory_mb"] < 400
    with pytest.raises(DenoiseError, match=r"cost of reference_noisy_phase failed.*no model at"):
        cost.measure_cost("reference_noisy_phase", options, noisy, 22_050)


def test_time_per_second_of_audio_is_the_median(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    ticks = iter([0.5, 0, 1, 0, 9, 0, 2, 0, 3, 0, 2])
    monkeypatch.setattr(cost.time, "process_time", lambda: next(ticks))
    counting = batched(lambda waveform, rate: calls.append(rate) or waveform, 8000)  # type: ignore[func-returns-value]
    method = methods.Method("m", "m", lambda rate: counting)
    noisy, started = np.ones((2, 4000), np.float32), cost.time.monotonic()
    measured = cost.measure_in_process(method, noisy, 8000, started)
    assert measured["ms_per_second"] == 2000
    assert measured["start_up_cpu_seconds"] == 0.5
    assert len(calls) == 1 + 2 * cost.REPEATS


@pytest.fixture
def corpus_options(tmp_path: Path) -> list[str]:
    """Write a small corpus and its manifest; return the options for them and for the outputs."""
    archive = write_corpus(tmp_path / "corpus.zip", speakers=4, seconds=0.6)
    with CorpusArchive(archive) as corpus:
        params = SampleParams(8, 100, 0.1, 0.4, 0)
        manifest = make_manifest(corpus.utterances, corpus.speakers(), params)
    write_manifest(manifest, tmp_path / "manifest.csv")
    inputs = ["--archive", str(archive), "--manifest", str(tmp_path / "manifest.csv")]
    return [*inputs, "--output", str(tmp_path / "out"), "--rows", str(tmp_path / "rows.csv")]


def test_whole_comparison_with_a_filter_as_our_model(
    corpus_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = methods.Method(OURS, "ours", lambda rate: batched(wiener, rate), is_timed=False)
    noisy, *_ = list_methods(MISSING, MISSING, {})
    missing = methods.reference_methods(MISSING)[0]
    monkeypatch.setattr(compare, "list_methods", lambda *_: [noisy, missing, ours])
    monkeypatch.setattr(compare, "has_pesq", lambda: False)
    monkeypatch.setattr(
        sys, "argv", ["compare", *corpus_options, "--limit", "3", "--recogniser", "none"]
    )
    compare.main()
    written = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert written["test_set"]["clips"] == 3
    assert written["test_set"]["archive"] == "corpus.zip"
    assert list(written["methods"]) == ["noisy", OURS]
    assert set(written["left_out"]) == {missing.label, "PESQ", "digit accuracy"}
    assert list(written["quality"]["estoi"]) == list(CONDITIONS)
    assert str(tmp_path) not in json.dumps(written)
    assert (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8") == render(written)
    assert (tmp_path / "out" / "comparison.png").is_file()
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 3 * 2 * len(CONDITIONS)


def test_sentences_are_not_padded_to_one_length(tmp_path: Path) -> None:
    path = write_corpus(tmp_path / "corpus.zip", speakers=4, seconds=0.6)
    with CorpusArchive(path) as corpus:
        manifest = make_manifest(
            corpus.utterances, corpus.speakers(), SampleParams(8, 100, 0.1, 0.4, 0)
        )
        params = load_params(ROOT / "params.yaml")
        by_digit, _ = compare.read_clips(corpus, manifest, params, 3)
        as_sentences, _ = compare.read_clips(corpus, manifest.assign(digit=None), params, 3)
    assert {len(clip.clean) for clip in by_digit} == {params.audio.n_samples}
    assert {len(clip.clean) for clip in as_sentences} == {round(0.6 * params.audio.sample_rate)}


def test_missing_model_of_ours_is_an_error_of_one_line(
    corpus_options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(rate: int) -> methods.BatchDenoiser:
        raise DenoiseError("No model. Run dvc repro.")

    monkeypatch.setattr(compare, "list_methods", lambda *_: [methods.Method(OURS, "o", fail)])
    monkeypatch.setattr(sys, "argv", ["compare", *corpus_options])
    with pytest.raises(SystemExit, match=r"^error: No model. Run dvc repro.$"):
        compare.main()


def test_model_options_reach_the_other_process_unchanged() -> None:
    arguments = cost.model_options(Path("a"), Path("b"), {"c": Path("d e"), "f": Path("g=h")})
    options = compare.parse_options(arguments)
    assert (options.ours, options.reference) == (Path("a"), Path("b"))
    assert dict(options.model) == {"c": Path("d e"), "f": Path("g=h")}


def test_description_of_the_machine_contains_no_paths() -> None:
    machine = cost.describe_machine()
    assert machine["cores"] >= 1 and machine["processor"]
    assert "numpy" in machine["packages"]
    assert str(ROOT) not in json.dumps(machine)


def test_documentation_describes_every_option_and_no_other() -> None:
    page = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
    text, _ = page.split("\n## Comparison on real recordings\n")
    described = re.findall(r"^\| `(--[\w-]+)` \|", text, flags=re.MULTILINE)
    options = {f"--{name.replace('_', '-')}" for name in vars(compare.parse_options([]))}
    assert set(described) == options
    assert len(described) == len(options)


def test_makefile_and_documentation_install_the_lock_files() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
    for group in ("bench", "pesq"):
        options = f"--no-deps --require-hashes -r requirements-{group}.txt"
        assert options in makefile and options in text
        lock = (ROOT / f"requirements-{group}.txt").read_text(encoding="utf-8")
        assert "--hash=sha256:" in lock


def test_digit_score_is_1_for_the_right_digit() -> None:
    clip = Clip("a", "1", 7, CLEAN, SAMPLE_RATE)
    batch_sizes = []

    def recognise(clips: np.ndarray) -> dict[str, list[int]]:
        batch_sizes.append(len(clips))
        return {"digits_clean_trained": [7, 1], "digits_noise_trained": [0, 7]}

    scores = pd.DataFrame(make_scorer(False, recognise)(clip, np.stack([CLEAN, CLEAN])))
    assert scores["digits_clean_trained"].tolist() == [1.0, 0.0]
    assert scores["digits_noise_trained"].tolist() == [0.0, 1.0]
    assert batch_sizes == [2]  # one call for both
    assert set(METRICS) == {*scores, "pesq"}


def test_missing_recogniser_is_reported(tmp_path: Path) -> None:
    recognise, left_out = compare.load_recogniser(tmp_path / "nothing")
    assert recognise is None
    assert "No recogniser at" in left_out["digit accuracy"]


def test_training_time_is_extrapolated_from_the_first_epochs() -> None:
    tree = {"train": {"epochs": 4, "fine_tuning": {"epochs": 1}}}
    ours = training.Trainee("ours", tree, first=[12.0, 14.0, 30.0], later=[10.0, 11.0, 90.0])
    assert ours.seconds() == 14 + 4 * 11
    whole = {"train": {"epochs": 25, "fine_tuning": {"epochs": 0}}}
    longer = training.Trainee("reference", whole, [40.0], [30.0])
    assert "| ours | 5 | 11.0 | 58 |" in training.render(ours, longer)
    assert "8% of the reference's time" in training.render(ours, longer)


def test_the_documents_name_the_preset_that_trains_the_reference() -> None:
    for document in ("README.md", "docs/benchmark.md"):
        assert "python -m presets reference" in (ROOT / document).read_text(encoding="utf-8")


def test_params_are_overridden_by_their_dotted_keys() -> None:
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    changed = training.with_params(tree, load_preset("reference"))
    assert changed["spectrogram"]["n_fft"] == 2048 and tree["spectrogram"]["n_fft"] != 2048
    with pytest.raises(KeyError):
        training.with_params(tree, {"trian.epochs": 1})
