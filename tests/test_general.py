"""The general model: its pipeline is that of dvc.yaml, and its card names everybody it owes to."""

import re
from pathlib import Path

import pytest
import yaml

from benchmarks.real.__main__ import parse_options
from benchmarks.real.held_out import extract_held_out
from denoise.corpus.archive import Utterance
from denoise.corpus.open_catalogue import attributions, read_catalogue
from denoise.errors import CorpusError
from denoise.inference import onnx_runtime
from denoise.noise.archive import create_noise_archive
from denoise.params_file import load_params
from presets.general import render
from tests.closures import ROOT
from tests.corpora import wav, write_recordings
from tests.test_structure import STAGES, leaves

GENERAL = ROOT / "general"
PIPELINE = yaml.safe_load((GENERAL / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
CARD = (GENERAL / "models" / "MODEL_CARD.md").read_text(encoding="utf-8")
MAX_BYTES = 4_000_000


def test_its_pipeline_is_written_from_dvc_yaml() -> None:
    assert (GENERAL / "dvc.yaml").read_text(encoding="utf-8") == render()


@pytest.mark.parametrize("stage", STAGES)
def test_its_stages_write_into_its_folder(stage: str) -> None:
    here, there = PIPELINE[stage], STAGES[stage]
    assert {k: v for k, v in here.items() if k not in ("cmd", "deps")} == {
        k: v for k, v in there.items() if k not in ("cmd", "deps")
    }
    assert here["cmd"].startswith(
        f"cd .. && python -m stages.{stage} --params general/params.yaml "
    )
    paths = re.findall(r"--\w+ (\S+)", here["cmd"])
    assert {path.split("/")[0] for path in paths} <= {"general", "denoise"}
    for dep in here["deps"]:
        is_result = dep.split("/")[0] in ("data", "models", "metrics")
        assert is_result or (GENERAL / dep).exists(), dep


def test_its_params_hold_every_key_and_are_valid() -> None:
    trees = [
        yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
        for folder in (GENERAL, ROOT)
    ]
    assert leaves(trees[0]) == leaves(trees[1])
    params = load_params(GENERAL / "params.yaml")
    assert params.download.open.mirrors == ""


def test_its_lock_belongs_to_its_params() -> None:
    lock = yaml.safe_load((GENERAL / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    tree = yaml.safe_load((GENERAL / "params.yaml").read_text(encoding="utf-8"))
    assert list(lock) == list(PIPELINE)
    for stage, entry in lock.items():
        for key, value in entry.get("params", {}).get("params.yaml", {}).items():
            section = tree
            for name in key.split("."):
                section = section[name]
            assert section == value, f"{stage}: {key}"


def test_the_built_in_network_is_small_and_hears_wide_band_speech() -> None:
    assert GENERAL / "models" / "denoiser.onnx" == onnx_runtime.BUILT_IN
    assert onnx_runtime.BUILT_IN.stat().st_size < MAX_BYTES
    assert onnx_runtime.load_network(onnx_runtime.BUILT_IN).spec.sample_rate == 16_000


def test_the_card_names_all_whose_recordings_were_used() -> None:
    download = load_params(GENERAL / "params.yaml").download
    catalogue = read_catalogue()
    entries = [catalogue[name] for name in (*download.open.speech, *download.open.noise)]
    assert [line for line in attributions(entries) if line not in CARD] == []


def test_the_default_test_set_is_what_training_never_heard(tmp_path: Path) -> None:
    data, target = tmp_path / "data", tmp_path / "set"
    data.mkdir()
    rows = [f"speech_0{n}_0,0{n},,unknown,{'test' if n > 4 else 'train'}" for n in range(1, 7)]
    header = "utterance_id,speaker_id,digit,gender,split"
    (data / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")
    content = {Utterance(f"0{n}", None, 0): wav(n) for n in range(1, 7)}
    write_recordings(data / "corpus.zip", content, {})
    with create_noise_archive(data / "noise.zip") as noise:
        for number in range(5):
            noise.add(number, 0, wav(number))
    speech, noise_folder = extract_held_out(target, data)
    assert sorted(path.name for path in speech.rglob("*.wav")) == [
        "speech_05_0.wav",
        "speech_06_0.wav",
    ]
    assert [path.parent.name for path in noise_folder.rglob("*.wav")] == ["00004"]


def test_a_missing_default_test_set_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"cd general && dvc repro sample.*--speech"):
        extract_held_out(tmp_path, tmp_path / "nothing")


def test_speech_and_noise_are_named_together(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--speech", "somewhere"])
    assert "belong together" in capsys.readouterr().err
