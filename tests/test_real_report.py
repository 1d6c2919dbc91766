"""Tests of the comparison on real recordings as a whole: scores, intervals, report and options."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from benchmarks.methods import OURS, Method
from benchmarks.real import __main__ as real
from benchmarks.real import scores, summary
from benchmarks.real.mixtures import Mixture
from benchmarks.real.report import HEADLINES, overview_table, render
from benchmarks.verdicts import BETTER, NO_DIFFERENCE
from denoise.errors import DenoiseError
from denoise.evaluation.metrics import estoi, si_sdr_db
from tests.closures import ROOT
from tests.speechlike import voice, white

RATE = 16_000
SPEECH = np.pad(voice(1, 3.0, RATE), (0, 100))


def mixture(part: str = "mixtures") -> Mixture:
    return Mixture(part, "u", "s", "fan", 5.0, SPEECH, SPEECH + white(SPEECH, 5.0))


def test_parts_have_their_own_metrics() -> None:
    m = mixture()
    score = scores.score_one(m, m.noisy, RATE, with_pesq=False)
    assert score.keys() == {"estoi", "si_sdr_db", "pause_db"}
    assert score["si_sdr_db"] == si_sdr_db(m.reference, m.noisy)
    assert score["estoi"] == estoi(m.reference, m.noisy, RATE)
    assert score["pause_db"] == 0
    rated = scores.score_one(m, m.noisy, RATE, False, lambda waveform: (3.0, 2.0, 1.0))
    assert rated == {**score, "ovrl": 3.0, "sig": 2.0, "bak": 1.0}
    music = scores.score_one(mixture("music"), 0.1 * m.noisy, RATE, False)
    assert music["kept_db"] == pytest.approx(-20, abs=1e-3)


def test_result_that_is_not_finite_is_an_error() -> None:
    denoisers = {"bad": lambda noisy, clean: noisy * np.nan}
    with pytest.raises(DenoiseError, match="bad returns samples that are not finite"):
        scores.score_all([mixture()], denoisers, lambda m, denoised: {})


@pytest.mark.parametrize(("seconds", "n_parts"), [(1.0, 7), (5.0, 1), (9.5, 1), (12.0, 3)])
def test_dnsmos_rates_whole_stretches(seconds: float, n_parts: int) -> None:
    parts = scores.dnsmos_parts(np.full(int(seconds * RATE), 2, np.float32))
    assert {len(part) for part in parts} == {144_160}
    assert max(part.max() for part in parts) == 1
    assert len(parts) == n_parts


def test_dnsmos_is_the_mean_over_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in rates a part by its first sample; DNSMOS maps the ratings before the mean."""

    class Session:
        def run(self, outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            (part,) = inputs["input_1"]
            return [np.array([[1, 2, 3]]) * part[:1, None]]

    def polynomials(_: None, sig: float, bak: float, ovrl: float, personalised: bool) -> tuple:
        return sig**2, bak, 1 + ovrl

    file = tmp_path / scores.DNSMOS_FILE
    file.parent.mkdir()
    file.touch()
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    module = SimpleNamespace(DNSMOS=SimpleNamespace(get_polyfit_val=polynomials))
    monkeypatch.setattr(scores.importlib.util, "find_spec", lambda name: found)
    monkeypatch.setattr(scores.importlib, "import_module", lambda name: module)
    monkeypatch.setattr(scores, "open_session", lambda path: Session())
    starts = np.array([0.1, 0.2, 0.6])  # of the three parts, a second apart
    waveform = np.repeat(np.pad(starts, (0, 9)), RATE).astype(np.float32)
    rated = scores.load_dnsmos()(waveform)
    assert rated == pytest.approx((1 + 3 * 0.3, np.mean(starts**2), 2 * 0.3))


def test_missing_dnsmos_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores.importlib.util, "find_spec", lambda name: None)
    dnsmos, left_out = real._load_dnsmos()
    assert dnsmos is None and "package speechmos is not installed" in left_out["DNSMOS"]


def make_rows(n_speakers: int) -> pd.DataFrame:
    """Return scores that differ much between speakers, and little between methods."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        difficulty = rng.uniform(1, 4)
        for method, gain in (("noisy", 0.0), (OURS, 0.1)):
            noise, snr_db = ("fan", "rain")[number % 2], (0.0, 10.0)[number // 2 % 2]
            rows.append(
                {
                    "part": "mixtures",
                    "utterance_id": f"u{number}",
                    "speaker_id": f"s{number % n_speakers}",
                    "noise": noise,
                    "snr_db": snr_db,
                    "condition": f"{snr_db:g} dB",
                    "method": method,
                    "pesq": difficulty + gain + rng.uniform(-0.02, 0.02),
                }
            )
    return pd.DataFrame(rows)


def test_intervals_are_paired() -> None:
    overall = summary.summarise(make_rows(12), "speaker")["overall"]
    ours, noisy = (overall["quality"]["pesq"][summary.ALL][each] for each in (OURS, "noisy"))
    assert ours["low"] < noisy["mean"]  # the intervals of the means overlap
    difference = overall["difference"]["pesq"][summary.ALL]["noisy"]
    assert difference["verdict"] == BETTER and difference["pairs"] == 24
    assert 0.08 < difference["low"] < 0.1 < difference["high"] < 0.12


def test_tables_by_noise_type_and_snr_hold_the_right_rows() -> None:
    rows = make_rows(12)
    trees = summary.summarise(rows, "recording")
    assert list(trees) == ["overall", "noise", "snr"]
    assert list(trees["noise"]["quality"]["pesq"]) == ["fan", "rain"]
    assert list(trees["snr"]["quality"]["pesq"]) == ["0 dB", "10 dB"]
    chosen = rows[(rows["noise"] == "fan") & (rows["method"] == OURS)]
    fan = trees["noise"]["quality"]["pesq"]["fan"][OURS]
    assert fan["mean"] == pytest.approx(chosen["pesq"].mean(), abs=1e-3)


def test_recordings_are_the_unit_if_few_people_speak() -> None:
    assert summary.choose_unit(make_rows(12)) == "speaker"
    assert summary.choose_unit(make_rows(1)) == "recording"
    by_speaker = summary.summarise(make_rows(1), "speaker")["overall"]
    by_recording = summary.summarise(make_rows(1), "recording")["overall"]
    assert by_speaker["difference"]["pesq"]["all"]["noisy"]["verdict"] == NO_DIFFERENCE
    assert by_recording["difference"]["pesq"]["all"]["noisy"]["verdict"] == BETTER


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Write speech, noise and music, one damaged recording; return the options for a quick run."""
    for number in range(6):
        folder = tmp_path / "speech" / f"p{number}"
        folder.mkdir(parents=True)
        soundfile.write(folder / "a.wav", voice(number, 4.0, RATE), RATE)
    (tmp_path / "speech" / "broken.wav").write_bytes(b"RIFF")
    for kind in ("noise", "music"):
        (tmp_path / kind).mkdir()
        soundfile.write(tmp_path / kind / "fan.wav", white(voice(1, 3.0, RATE), 0), RATE)
    folders = [part for k in ("speech", "noise", "music") for part in (f"--{k}", tmp_path / k)]
    options = [*folders, "--rooms", "--limit", "6", "--rounds", "2", "--output", tmp_path / "out"]
    return [*map(str, options), "--rows", str(tmp_path / "rows.csv")]


def stand_in(name: str, gain: float) -> Method:
    return Method(name, name, lambda rate: lambda noisy, clean: clean + gain * (noisy - clean))


def missing(rate: int) -> None:
    raise DenoiseError("the package absent is not installed.")


def test_whole_comparison_with_stand_ins(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = [
        Method("noisy", "noisy input", lambda rate: lambda noisy, clean: noisy, False, False),
        stand_in("peer", 0.3),
        Method("gone", "Gone", missing),  # type: ignore[arg-type]
        stand_in(OURS, 0.5),
    ]
    monkeypatch.setattr(real.methods, "list_methods", lambda *_: methods)
    monkeypatch.setattr(real, "has_pesq", lambda: False)
    monkeypatch.setattr(real, "_load_dnsmos", lambda: (None, {"DNSMOS": "no speechmos."}))
    monkeypatch.setattr(
        real.cost, "measure_cost", lambda *_: {"ms_per_second": 1.0, "start_up_cpu_seconds": 2.0}
    )
    monkeypatch.setattr(sys, "argv", ["real", *arguments])
    real.main()
    tree = json.loads((tmp_path / "out" / "real.json").read_text(encoding="utf-8"))
    text = (tmp_path / "out" / "real.md").read_text(encoding="utf-8")
    assert text == render(tree)
    assert (tmp_path / "out" / "real.png").is_file()
    assert str(tmp_path) not in text and str(tmp_path) not in json.dumps(tree)
    parts = {"mixtures": 12, "light": 8, "clean": 4, "rooms": 4, "music": 1}
    assert tree["test_set"]["parts"] == parts
    assert list(tree["test_set"]["rejected"]) == ["broken.wav"]
    assert "- Gone is left out: the package absent is not installed." in text
    assert "- PESQ is left out" in text and "- DNSMOS is left out: no speechmos." in text
    ours = tree["tables"]["overall"]["difference"]["si_sdr_db"]["all"]
    assert ours["noisy"]["mean"] == pytest.approx(6.0, abs=0.1)  # half the noise is left
    assert ours["peer"]["mean"] == pytest.approx(-4.4, abs=0.1)
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 3 * 29
    overview = "\n".join(overview_table(tree))
    assert "peer | 0." in overview and re.search(r"\| peer \|.* ▲ \|", overview)
    assert "music kept (dB)" in overview and "| 1.0 | 2.0 |" in overview
    assert re.search(r"ours less the best other \| \*\*-4\.\d\*\*", text)


def test_missing_folder_is_an_error_of_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["real", *arguments, "--speech", str(tmp_path / "no")])
    with pytest.raises(SystemExit, match=r"^error: There is no folder .*no with speech\.$"):
        real.main()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--limit", "0", "0 is less than 1"),
        ("--limit", "-3", "-3 is less than 1"),
        ("--limit", "some", "some is not a whole number"),
        ("--speaker-depth", "0", "0 is less than 1"),
        ("--rate", "0", "0 is less than 4000"),
        ("--rate", "192001", "192001 is more than 192000"),
    ],
)
def test_number_out_of_range_is_an_error_of_the_command_line(
    option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        real.parse_options([option, value])
    assert f"argument {option}: {message}" in capsys.readouterr().err


def test_time_of_a_real_method_is_measured_in_another_process() -> None:
    noisy = np.stack([SPEECH + white(SPEECH, 0)])
    options = ["--peers", "none"]
    measured = real.cost.measure_cost("wiener", options, noisy, RATE, "benchmarks.real.cost")
    assert 0.1 < measured["ms_per_second"] < 1000


def test_documentation_describes_every_option_of_the_real_comparison() -> None:
    text = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
    _, section = text.split("\n## Comparison on real recordings\n")
    described = re.findall(r"^\| `(--[\w-]+)` \|", section, flags=re.MULTILINE)
    options = real.parse_options(["--speech", "a", "--noise", "b"])
    assert sorted(described) == sorted(f"--{n.replace('_', '-')}" for n in vars(options))


@pytest.mark.parametrize(
    ("document", "columns"), [("docs/results.md", range(11)), ("README.md", (0, 1, 2, 3, 6, 7))]
)
def test_tables_in_documents_have_the_figures_of_the_report(
    document: str, columns: Sequence[int]
) -> None:
    tree = json.loads((ROOT / "docs/benchmark/real/real.json").read_text(encoding="utf-8"))
    methods = {each["label"]: name for name, each in tree["methods"].items()}
    methods |= {"ours, live": "live", "denoise": OURS, "denoise --model live": "live"}
    text = (ROOT / document).read_text(encoding="utf-8")
    lines = re.findall(r"^\| (.*) \|$", text, flags=re.MULTILINE)
    rows = [[cell.strip("* ") for cell in line.split("|")] for line in lines]
    found = [row for row in rows if row[0] in methods and len(row) == len(columns) + 2]
    assert len(found) >= 8
    for label, *cells, milliseconds in found:
        for cell, column in zip(cells, columns, strict=True):
            table, condition, metric, _ = HEADLINES[column]
            quality = tree["tables"][table]["quality"][metric][condition]
            check_cell(cell, quality[methods[label]].get("mean"), f"{label}, {metric}")
        cost = tree["methods"][methods[label]].get("cost", {})
        check_cell(milliseconds, cost.get("ms_per_second"), f"{label}, time")


def check_cell(cell: str, value: float | None, name: str) -> None:
    """Check that a cell is a value, rounded to the cell's number of decimals, or empty."""
    if cell and value is not None:
        decimals = len(cell.partition(".")[2])
        assert abs(float(cell) - value) <= 0.5 * 10**-decimals + 1e-9, f"{name}: {cell}, {value}"
    else:
        assert not cell and value is None, name
