"""The shipped models: their pipelines are that of dvc.yaml, and their data are credited."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.real.__main__ import parse_options
from benchmarks.real.held_out import extract_held_out
from denoise.corpus.archive import Utterance
from denoise.corpus.open_catalogue import attributions, read_catalogue
from denoise.errors import CorpusError
from denoise.inference import onnx_runtime
from denoise.inference.built_in import BUILT_IN, GENERAL, LIVE, path_of
from denoise.inference.denoiser import Denoiser
from denoise.noise.archive import create_noise_archive
from denoise.params_file import load_params
from presets.pipelines import PIPELINES, render
from tests.closures import ROOT
from tests.corpora import wav, write_recordings
from tests.test_structure import STAGES, leaves

FOLDERS = {"general": ROOT / "general", "live": ROOT / "general" / "live"}
CARD = (ROOT / "general" / "models" / "MODEL_CARD.md").read_text(encoding="utf-8")
OWN_PARAMS = ("spectrogram", "model", "train", "export")  # of the live model; it shares the rest
MAX_BYTES = 4_000_000


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


TREES = {name: read(folder / "params.yaml") for name, folder in FOLDERS.items()}
STAGES_OF = {name: read(folder / "dvc.yaml")["stages"] for name, folder in FOLDERS.items()}


def test_the_pipelines_are_written_from_dvc_yaml() -> None:
    assert [ROOT / pipeline.folder for pipeline in PIPELINES] == list(FOLDERS.values())
    for pipeline in PIPELINES:
        path = ROOT / pipeline.folder / "dvc.yaml"
        assert path.read_text(encoding="utf-8") == render(pipeline)


@pytest.mark.parametrize(
    ("name", "stage"), [(name, stage) for name, stages in STAGES_OF.items() for stage in stages]
)
def test_the_stages_write_into_the_folder_of_their_pipeline(name: str, stage: str) -> None:
    folder, here, there = FOLDERS[name], STAGES_OF[name][stage], STAGES[stage]
    assert {k: v for k, v in here.items() if k not in ("cmd", "deps")} == {
        k: v for k, v in there.items() if k not in ("cmd", "deps")
    }
    own, up = folder.relative_to(ROOT).as_posix(), os.path.relpath(ROOT, folder)
    assert here["cmd"].startswith(
        f"cd {up} && python -m stages.{stage} --params {own}/params.yaml "
    )
    paths = re.findall(r"--\w+ (\S+)", here["cmd"])
    assert {path.split("/")[0] for path in paths} <= {"general", "denoise"}
    for dep in here["deps"]:
        relative = Path(os.path.relpath(folder / dep, ROOT))
        if relative.parts[0] != "general":
            assert (ROOT / relative).exists(), dep
        elif dep.startswith(".."):  # a result of the pipeline above, whose stage makes it
            parts = os.path.relpath(relative, "general")
            assert any(parts in (str(out), *out) for out in outs_of("general")), dep


def outs_of(name: str) -> list[Any]:
    """Return what the stages of a pipeline write, as dvc.yaml names it: a path, or a mapping."""
    kinds = ("outs", "metrics", "plots")
    return [out for s in STAGES_OF[name].values() for kind in kinds for out in s.get(kind, [])]


@pytest.mark.parametrize("name", FOLDERS)
def test_the_params_hold_every_key_and_are_valid(name: str) -> None:
    assert leaves(TREES[name]) == leaves(read(ROOT / "params.yaml"))
    assert load_params(FOLDERS[name] / "params.yaml").download.open.mirrors == ""


def test_the_live_model_is_trained_on_the_data_of_the_general_one() -> None:
    for key in set(TREES["general"]) - set(OWN_PARAMS):
        assert TREES["live"][key] == TREES["general"][key], key
    assert TREES["live"]["model"]["skip_autoencoder"]["causal"]


@pytest.mark.parametrize("name", FOLDERS)
def test_the_lock_belongs_to_the_params(name: str) -> None:
    lock, tree = read(FOLDERS[name] / "dvc.lock")["stages"], TREES[name]
    assert list(lock) == list(STAGES_OF[name])
    for stage, entry in lock.items():
        for key, value in entry.get("params", {}).get("params.yaml", {}).items():
            section = tree
            for name in key.split("."):
                section = section[name]
            assert section == value, f"{stage}: {key}"


@pytest.mark.parametrize("name", FOLDERS)
def test_the_built_in_network_is_small_and_hears_wide_band_speech(name: str) -> None:
    assert FOLDERS[name] / "models" / "denoiser.onnx" == BUILT_IN[name]
    assert BUILT_IN[name].stat().st_size < MAX_BYTES
    spec = onnx_runtime.load_network(BUILT_IN[name]).spec
    assert spec.sample_rate == 16_000
    assert (spec.lookahead_frames == 0) == (name == LIVE)


def test_a_built_in_model_is_loaded_by_its_name_and_a_file_of_that_name_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(BUILT_IN[GENERAL], LIVE)
    assert Denoiser.load().network.spec == Denoiser.load(GENERAL).network.spec
    assert Denoiser.load(LIVE).network.spec.lookahead_frames == 0
    for path in ("./live", Path(LIVE)):
        assert Denoiser.load(path).network.spec == Denoiser.load(GENERAL).network.spec
    assert path_of("live.onnx") == "live.onnx"


def test_the_card_names_all_whose_recordings_were_used() -> None:
    download = load_params(FOLDERS["general"] / "params.yaml").download
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
    with pytest.raises(CorpusError, match=r"cd general && dvc repro import_noise sample.*--speech"):
        extract_held_out(tmp_path, tmp_path / "nothing")


def test_speech_and_noise_are_named_together(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--speech", "somewhere"])
    assert "belong together" in capsys.readouterr().err
