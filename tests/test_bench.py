"""The comparison's rivals, measures and report, with stand-ins for what may not be installed."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks import compare, cost, methods, rnnoise, training
from benchmarks.methods import OURS, blind, is_oracle, list_methods, oracle_method
from benchmarks.quality import (
    CONDITIONS,
    MEASURES,
    Clip,
    make_judge,
    measure_all,
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
from presets.__main__ import load_preset
from tests.closures import ROOT
from tests.corpora import write_corpus
from tests.speechlike import SAMPLE_RATE, voice, white

CLEAN = voice()
NOWHERE = Path("no/such/bundle")


def no_talk(rng: np.random.Generator) -> np.ndarray:
    raise AssertionError("White noise needs no voices.")


DISTURBER = Corrupter(SAMPLE_RATE, 3, NoiseSources(no_talk, no_talk))


@pytest.mark.parametrize("n_fft", [512, 2048])
def test_oracle_masks_beat_the_noisy_input(n_fft: int) -> None:
    noisy = np.stack([CLEAN + white(CLEAN, snr_db) for snr_db in (0, -6)])
    cleaned = oracle_method(n_fft).make(SAMPLE_RATE)(noisy, CLEAN)
    assert cleaned.shape == noisy.shape and cleaned.dtype == np.float32
    for before, after in zip(noisy, cleaned, strict=True):
        assert si_sdr_db(CLEAN, after) > si_sdr_db(CLEAN, before) + 8
        assert estoi(CLEAN, after, SAMPLE_RATE) > estoi(CLEAN, before, SAMPLE_RATE) + 0.1


def test_oracle_mask_leaves_clean_speech_and_silence_alone() -> None:
    cleaner = oracle_method(512).make(SAMPLE_RATE)
    np.testing.assert_allclose(cleaner(CLEAN[None], CLEAN)[0], CLEAN, atol=1e-5)
    silence = np.zeros_like(CLEAN)
    np.testing.assert_array_equal(cleaner(silence[None], silence)[0], silence)


def test_names_are_unique_and_oracles_are_told_apart() -> None:
    list_files = list_methods(NOWHERE, NOWHERE, {"seed2": NOWHERE})
    names = [method.name for method in list_files]
    assert len(set(names)) == len(names)
    assert {method.name for method in list_files if is_oracle(method.name)} == {
        "oracle_2048",
        "oracle_512",
    }
    assert {m.name for m in list_files if not m.is_usable} == {"noisy", "oracle_2048", "oracle_512"}


def test_what_is_missing_is_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(methods.importlib, "import_module", missing)
    monkeypatch.setattr(rnnoise, "find_library", lambda: None)
    list_files = [
        method
        for method in list_methods(NOWHERE, NOWHERE, {})
        if method.name in ("noisy", "noisereduce", "rnnoise", "reference_noisy_phase")
    ]
    cleaners, left_out = compare.make_cleaners(list_files, SAMPLE_RATE, {OURS})
    assert list(cleaners) == ["noisy"]
    reasons = "\n".join(f"{label} is left out: {why}" for label, why in left_out.items())
    assert capsys.readouterr().out == reasons + "\n"
    assert "package noisereduce is not installed here. Run make bench." in reasons
    assert "package pyrnnoise is not installed here. Run make bench." in reasons
    assert f"no model at {NOWHERE}. docs/benchmark.md tells how" in reasons


def test_a_model_that_was_asked_for_must_be_there() -> None:
    list_files = methods.reference_methods(NOWHERE)
    with pytest.raises(DenoiseError, match="no model at"):
        compare.make_cleaners(list_files, SAMPLE_RATE, {"reference_noisy_phase"})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "wiener=x"], "--model wiener=: the name is taken"),
        (["--model", "a=x", "--model", "a=y"], "--model a=: the name is taken"),
        (["--training-seconds", "us=5"], "--training-seconds us=: the methods are noisy"),
    ],
)
def test_names_in_options_are_checked(words: list[str], message: str) -> None:
    with pytest.raises(DenoiseError, match=re.escape(message)):
        compare.named_methods(compare.read_options(words), [])


def test_models_and_training_times_are_taken_by_name() -> None:
    words = ["--model", "a=x", "--model", "b=y", "--training-seconds", "a=5"]
    list_files = compare.named_methods(compare.read_options(words), [])
    assert [method.name for method in list_files if len(method.name) == 1] == ["a", "b"]


@pytest.mark.parametrize("delay", [0, 1, 480, 960])
def test_a_delay_is_found_and_taken_away(delay: int) -> None:
    def delayed(waveform: np.ndarray) -> np.ndarray:
        quiet = np.float32(0.5) * np.pad(waveform, (delay, 0))[: len(waveform)]
        return quiet + np.float32(1e-3)

    speech = voice(1, 0.5, rnnoise.RATE)
    found = rnnoise.delay_of(delayed, speech, rnnoise.RATE)
    assert found == delay
    aligned = rnnoise.aligned(delayed, found)(speech)
    np.testing.assert_allclose(aligned, 0.5 * speech + 1e-3, atol=1e-6)


class FakeLibrary:
    """Stands in for RNNoise's: halves each frame, two frames late, and counts its states."""

    def __init__(self) -> None:
        self.open: list[int] = []
        self.late: dict[int, list[np.ndarray]] = {}
        self.loudest = 0.0

    def rnnoise_get_frame_size(self) -> int:
        return 480

    def rnnoise_create(self, nothing: None) -> int:
        self.open.append(len(self.late))
        self.late[len(self.late)] = [np.zeros(480, np.float32)] * 2
        return self.open[-1]

    def rnnoise_destroy(self, state: int) -> None:
        self.open.remove(state)

    def rnnoise_process_frame(self, state: int, out: object, frame: object) -> None:
        samples = np.ctypeslib.as_array(frame, shape=(480,))
        self.loudest = max(self.loudest, float(np.abs(samples).max()))
        self.late[state].append(samples.copy())
        samples[:] = 0.5 * self.late[state][-3]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    library = FakeLibrary()
    monkeypatch.setattr(rnnoise, "find_library", lambda: Path("librnnoise.so"))
    monkeypatch.setattr(rnnoise.ctypes, "CDLL", lambda path: None)
    monkeypatch.setattr(rnnoise, "_declare", lambda loaded: library)
    return library


@pytest.mark.parametrize("way", ["denoise", "denoise_run_in"])
@pytest.mark.parametrize("gain", [2.0**-12, 1.0, 2.0**8])
def test_rnnoise_is_levelled_and_aligned(fake: FakeLibrary, way: str, gain: float) -> None:
    rival = rnnoise.RNNoise()
    rival.measure_delay([CLEAN, voice(2)], SAMPLE_RATE)
    assert rival.delay == 960
    denoised = getattr(rival, way)(CLEAN * np.float32(gain), SAMPLE_RATE)
    assert denoised.shape == CLEAN.shape and denoised.dtype == np.float32
    np.testing.assert_allclose(denoised / gain, 0.5 * CLEAN, atol=2e-3)
    assert fake.open == []
    peak = rnnoise.FULL_SCALE * rnnoise.LEVEL_RMS * np.abs(CLEAN).max() / CLEAN.std()
    assert fake.loudest == pytest.approx(peak, rel=0.1)


def test_rnnoise_leaves_silence_silent(fake: FakeLibrary) -> None:
    silence = np.zeros(1000, np.float32)
    np.testing.assert_array_equal(rnnoise.RNNoise().denoise(silence, SAMPLE_RATE), silence)


def test_every_method_hears_the_same_noise_and_any_measure_can_be_plugged_in() -> None:
    heard: dict[str, list[np.ndarray]] = {"one": [], "two": []}

    def recognise(name: str) -> methods.Cleaner:
        def cleaner(noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
            heard[name].append(noisy)
            return noisy * np.float32(len(name) - 1)

        return cleaner

    def judge(clip: Clip, waveforms: np.ndarray) -> list[dict[str, float]]:
        return [{"digits": clip.digit, "level": np.abs(each).max()} for each in waveforms]

    conditions = {"loud": Condition("white", -6.0), "soft": Condition("white", 6.0)}
    clips = [Clip(f"{d}_01_0", "01", d, CLEAN, SAMPLE_RATE) for d in (3, 4)]
    cleaners = {name: recognise(name) for name in heard}
    rows = measure_all(clips, cleaners, DISTURBER, judge, conditions)
    np.testing.assert_array_equal(heard["one"], heard["two"])
    assert not np.array_equal(heard["one"][0], heard["one"][1])
    assert len(rows) == 2 * 2 * 2
    assert rows["digits"].tolist() == [3] * 4 + [4] * 4
    means = rows.groupby("condition")["level"].mean()
    assert means["loud"] > 1.3 * means["soft"]


def test_pesq_is_measured_only_where_it_can_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics, "pesq_wide_band", lambda *_: 4.5)
    clip, noisy = Clip("a", "1", 7, CLEAN, SAMPLE_RATE), (CLEAN + white(CLEAN, 0))[None]
    (without,), (score,) = (make_judge(pesq, None)(clip, noisy) for pesq in (False, True))
    assert score == {**without, "pesq": 4.5}
    assert without.keys() == {"si_sdr_db", "estoi", "lsd_db"}
    assert compare._without_pesq(True) == {}
    assert "C compiler" in compare._without_pesq(False)["PESQ"]
    assert "PESQ is left out" in capsys.readouterr().out


def test_cost_is_measured_in_a_process_of_its_own() -> None:
    noisy = np.stack([CLEAN + white(CLEAN, 0)])
    found = cost.measure_cost("wiener", cost.bundle_options(NOWHERE, NOWHERE, {}), noisy, 22_050)
    assert 0.1 < found["ms_per_second"] < 1000
    assert found["start_up_cpu_seconds"] > 0 and 0 < found["start_up_seconds"] < 120
    assert found["peak_memory_mb"] is None or 20 < found["peak_memory_mb"] < 400
    with pytest.raises(DenoiseError, match=r"cost of reference_noisy_phase failed.*no model at"):
        bundles = cost.bundle_options(NOWHERE, NOWHERE, {})
        cost.measure_cost("reference_noisy_phase", bundles, noisy, 22_050)


def test_time_is_the_median_for_a_second_of_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    ticks = iter([0.5, 0, 1, 0, 9, 0, 2, 0, 3, 0, 2])
    monkeypatch.setattr(cost.time, "process_time", lambda: next(ticks))
    counting = blind(lambda waveform, rate: calls.append(rate) or waveform, 8000)  # type: ignore[func-returns-value]
    method = methods.Method("m", "m", lambda rate: counting)
    found = cost.measure_here(method, np.ones((2, 4000), np.float32), 8000, cost.time.monotonic())
    assert found["ms_per_second"] == 2000
    assert found["start_up_cpu_seconds"] == 0.5
    assert len(calls) == 1 + 2 * cost.REPEATS


@pytest.fixture
def split_options(tmp_path: Path) -> list[str]:
    """Return the options that name a small corpus, its manifest and where results go."""
    archive = write_corpus(tmp_path / "corpus.zip", speakers=4, seconds=0.6)
    with CorpusArchive(archive) as corpus:
        params = SampleParams(8, 0.1, 0.4, 0)
        manifest = make_manifest(corpus.utterances, corpus.speakers(), params)
    write_manifest(manifest, tmp_path / "manifest.csv")
    words = ["--archive", str(archive), "--manifest", str(tmp_path / "manifest.csv")]
    return [*words, "--output", str(tmp_path / "out"), "--rows", str(tmp_path / "rows.csv")]


def test_the_whole_comparison_with_a_filter_in_our_place(
    split_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = methods.Method(OURS, "ours", lambda rate: blind(wiener, rate), is_timed=False)
    noisy, *_ = list_methods(NOWHERE, NOWHERE, {})
    missing = methods.reference_methods(NOWHERE)[0]
    monkeypatch.setattr(compare, "list_methods", lambda *_: [noisy, missing, ours])
    monkeypatch.setattr(compare, "has_pesq", lambda: False)
    monkeypatch.setattr(
        sys, "argv", ["compare", *split_options, "--limit", "3", "--recogniser", "none"]
    )
    compare.main()
    written = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert written["test_set"]["clips"] == 3
    assert written["test_set"]["archive"] == "corpus.zip"
    assert list(written["methods"]) == ["noisy", OURS]
    assert set(written["left_out"]) == {missing.label, "PESQ", "digits understood"}
    assert list(written["quality"]["estoi"]) == list(CONDITIONS)
    assert str(tmp_path) not in json.dumps(written)
    assert (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8") == render(written)
    assert (tmp_path / "out" / "comparison.png").is_file()
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 3 * 2 * len(CONDITIONS)


def test_without_our_model_one_line_says_what_to_do(
    split_options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(rate: int) -> methods.Cleaner:
        raise DenoiseError("No model. Run dvc repro.")

    monkeypatch.setattr(compare, "list_methods", lambda *_: [methods.Method(OURS, "o", lacking)])
    monkeypatch.setattr(sys, "argv", ["compare", *split_options])
    with pytest.raises(SystemExit, match=r"^error: No model. Run dvc repro.$"):
        compare.main()


def test_models_are_named_to_the_other_process_as_they_were() -> None:
    words = cost.bundle_options(Path("a"), Path("b"), {"c": Path("d e"), "f": Path("g=h")})
    options = compare.read_options(words)
    assert (options.ours, options.reference) == (Path("a"), Path("b"))
    assert dict(options.model) == {"c": Path("d e"), "f": Path("g=h")}


def test_the_machine_is_described_without_paths() -> None:
    machine = cost.describe_machine()
    assert machine["cores"] >= 1 and machine["processor"]
    assert "numpy" in machine["packages"]
    assert str(ROOT) not in json.dumps(machine)


def test_every_option_is_described_and_no_other() -> None:
    text = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| `(--[\w-]+)` \|", text, flags=re.MULTILINE)
    options = {f"--{name.replace('_', '-')}" for name in vars(compare.read_options([]))}
    assert set(described) == options
    assert len(described) == len(options)


def test_the_makefile_installs_what_is_locked() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
    for group in ("bench", "pesq"):
        words = f"--no-deps --require-hashes -r requirements-{group}.txt"
        assert words in makefile and words in text
        lock = (ROOT / f"requirements-{group}.txt").read_text(encoding="utf-8")
        assert "--hash=sha256:" in lock


def test_a_digit_is_understood_where_it_is_the_one_said() -> None:
    clip = Clip("a", "1", 7, CLEAN, SAMPLE_RATE)
    asked = []

    def recognise(clips: np.ndarray) -> dict[str, list[int]]:
        asked.append(len(clips))
        return {"digits_clean_trained": [7, 1], "digits_noise_trained": [0, 7]}

    scores = pd.DataFrame(make_judge(False, recognise)(clip, np.stack([CLEAN, CLEAN])))
    assert scores["digits_clean_trained"].tolist() == [1.0, 0.0]
    assert scores["digits_noise_trained"].tolist() == [0.0, 1.0]
    assert asked == [2]  # once for both
    assert set(MEASURES) == {*scores, "pesq"}


def test_without_a_recogniser_the_reason_is_told(tmp_path: Path) -> None:
    recognise, left_out = compare.find_recogniser(tmp_path / "nothing")
    assert recognise is None
    assert "No recogniser at" in left_out["digits understood"]


def test_a_training_is_told_from_its_first_epochs() -> None:
    tree = {"train": {"epochs": 5}}
    ours = training.Trainee("ours", tree, first=[12.0, 14.0, 30.0], later=[10.0, 11.0, 90.0])
    assert ours.seconds() == 14 + 4 * 11
    longer = training.Trainee("reference", {"train": {"epochs": 25}}, [40.0], [30.0])
    assert "| ours | 5 | 11.0 | 58 |" in training.render(ours, longer)
    assert "8% of the reference's time" in training.render(ours, longer)


def test_the_documents_name_the_preset_that_trains_the_reference() -> None:
    for document in ("README.md", "docs/benchmark.md"):
        assert "python -m presets reference" in (ROOT / document).read_text(encoding="utf-8")


def test_params_are_changed_by_their_dotted_keys() -> None:
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    changed = training.with_params(tree, load_preset("reference"))
    assert changed["spectrogram"]["n_fft"] == 2048 and tree["spectrogram"]["n_fft"] != 2048
    with pytest.raises(KeyError):
        training.with_params(tree, {"trian.epochs": 1})
