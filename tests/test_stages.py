"""The stages: errors are one line, and no half-written file stays."""

import argparse
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from denoise.corpus.archive import Utterance
from denoise.corpus.manifest import read_manifest
from denoise.errors import CorpusError, DenoiseError
from denoise.noise.archive import create_noise_archive
from denoise.params import Params
from stages import features, run, sample
from tests.closures import ROOT
from tests.corpora import encode, noise_waveform, wav, write_recordings

N_SPEAKERS = 8
TINY: dict[str, Any] = {
    "sample": {"size": 24, "validation_fraction": 0.2, "test_fraction": 0.2, "seed": 1},
    "audio": {"sample_rate": 8000, "duration_seconds": 0.25},
    "spectrogram": {"n_fft": 128, "hop_length": 64, "win_length": 128},
}


@pytest.fixture
def tiny_yaml(tmp_path: Path, tree: dict[str, Any]) -> Path:
    """Write params.yaml for clips of a quarter of a second."""
    path = tmp_path / "params.yaml"
    tiny = tree | {name: tree[name] | section for name, section in TINY.items()}
    path.write_text(yaml.safe_dump(tiny), encoding="utf-8")
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Write a corpus of four women and four men, three clips each."""
    names = [f"{number:02d}" for number in range(N_SPEAKERS)]
    clips = {Utterance(n, d, 0): wav(10 * int(n) + d) for n in names for d in range(3)}
    genders = {name: ("female", "male")[int(name) % 2] for name in names}
    return write_recordings(tmp_path / "corpus.zip", clips, genders)


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Write a noise archive without a recording."""
    with create_noise_archive(tmp_path / "noise.zip"):
        return tmp_path / "noise.zip"


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch, tiny_yaml: Path) -> Callable[..., None]:
    """Return what runs a stage's `main` with paths, as from the command line."""

    def run_main(main: Callable[[Params, argparse.Namespace], None], **paths: Path) -> None:
        options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
        monkeypatch.setattr(sys, "argv", ["stage", "--params", str(tiny_yaml), *options])
        run(main, *paths)

    return run_main


def exit_of(call: Callable[[], None]) -> Any:
    with pytest.raises(SystemExit) as raised:
        call()
    return raised.value.code


def raising(error: BaseException) -> Callable[[Params, argparse.Namespace], None]:
    def main(params: Params, paths: argparse.Namespace) -> None:
        raise error

    return main


def run_module(
    name: str, params: Path, limit_bytes: int | None = None, **paths: Path
) -> subprocess.CompletedProcess[str]:
    """Run a stage as DVC does; no file may grow beyond `limit_bytes`, as if the disk were full."""
    options = [part for option, path in paths.items() for part in (f"--{option}", str(path))]
    code = f"import runpy; runpy.run_module('stages.{name}', run_name='__main__', alter_sys=True)"
    if limit_bytes is not None:
        code = f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({limit_bytes},) * 2); {code}"
    command = [sys.executable, "-c", code, "--params", str(params), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_stage_gets_its_params_and_paths(run_with: Callable[..., None], tmp_path: Path) -> None:
    seen: list[tuple[Params, argparse.Namespace]] = []
    run_with(lambda params, paths: seen.append((params, paths)), archive=tmp_path / "a.zip")
    ((params, paths),) = seen
    assert params.sample.size == 24
    assert paths.archive == tmp_path / "a.zip"


def test_a_missing_path_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["stage"])
    assert exit_of(lambda: run(raising(AssertionError()), "archive", "manifest")) == 2
    assert "--archive, --manifest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DenoiseError("Do this."), "error: Do this."),
        (CorpusError("No corpus."), "error: No corpus."),
        (KeyboardInterrupt(), 130),
        (
            OSError(errno.ENOSPC, "No space left on device", "data/features/x.npy"),
            "error: No space left on device (data/features/x.npy). No partial output was kept.",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "error: No space left on device. No partial output was kept.",
        ),
        (OSError("odd"), "error: odd. No partial output was kept."),
    ],
)
def test_an_error_that_the_user_can_fix_is_one_line(
    run_with: Callable[..., None], error: BaseException, code: object
) -> None:
    assert exit_of(lambda: run_with(raising(error))) == code


@pytest.mark.parametrize("error", [ValueError("a bug"), ZeroDivisionError()])
def test_a_bug_keeps_its_traceback(run_with: Callable[..., None], error: Exception) -> None:
    with pytest.raises(type(error)):
        run_with(raising(error))


def test_bad_params_stop_a_stage_before_any_work(
    run_with: Callable[..., None], tiny_yaml: Path
) -> None:
    text = tiny_yaml.read_text(encoding="utf-8")
    tiny_yaml.write_text(text.replace("size: 24", "size: 2"), encoding="utf-8")
    expected = "error: sample.size: 2 lies outside 3 to 10000000."
    assert exit_of(lambda: run_with(raising(AssertionError()))) == expected


def test_an_archive_gives_a_manifest_and_features(
    run_with: Callable[..., None],
    archive: Path,
    noise: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest, folder = tmp_path / "out" / "manifest.csv", tmp_path / "out" / "features"
    run_with(sample.main, archive=archive, manifest=manifest)
    assert "validation: 6 utterances of 2 speakers" in capsys.readouterr().out
    rows = read_manifest(manifest)
    assert rows.groupby("split").gender.nunique().tolist() == [2, 2, 2]
    run_with(features.main, archive=archive, noise=noise, manifest=manifest, features=folder)
    assert "no recording was rejected" in capsys.readouterr().out
    assert set(pd.read_csv(folder / "index.csv").split) == {"train", "validation"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"manifest.csv", "features"}


def test_failed_features_leave_the_former_ones_unchanged(
    run_with: Callable[..., None], archive: Path, noise: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_with(sample.main, archive=archive, manifest=out / "manifest.csv")
    paths = {"noise": noise, "manifest": out / "manifest.csv", "features": out / "features"}
    run_with(features.main, archive=archive, **paths)
    former = {path.name: path.read_bytes() for path in paths["features"].iterdir()}
    silent = encode(0 * noise_waveform(0))
    clips = {Utterance(f"{n:02d}", d, 0): silent for n in range(N_SPEAKERS) for d in range(3)}
    broken = write_recordings(tmp_path / "broken.zip", clips, {})
    code = exit_of(lambda: run_with(features.main, archive=broken, **paths))
    assert str(code).startswith("error: None of the 12 train recordings is usable")
    assert {path.name: path.read_bytes() for path in paths["features"].iterdir()} == former
    assert {path.name for path in out.iterdir()} == {"manifest.csv", "features"}


@pytest.mark.skipif(os.name != "posix", reason="needs limits of POSIX")
def test_a_full_disk_is_one_line_and_leaves_nothing(
    run_with: Callable[..., None], tiny_yaml: Path, archive: Path, noise: Path, tmp_path: Path
) -> None:
    manifest, out = tmp_path / "manifest.csv", tmp_path / "out"
    run_with(sample.main, archive=archive, manifest=manifest)
    options = {"archive": archive, "noise": noise, "manifest": manifest}
    options["features"] = out / "features"
    full = run_module("features", tiny_yaml, 100_000, **options)
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1] == "error: File too large. No partial output was kept."
    assert "Traceback" not in full.stderr
    assert list(out.iterdir()) == []


def test_a_missing_corpus_is_one_line(tiny_yaml: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent.zip"
    manifest = tmp_path / "manifest.csv"
    missing = run_module("sample", tiny_yaml, archive=absent, manifest=manifest)
    assert missing.returncode == 1
    assert missing.stderr == f"error: No corpus at {absent}. Run dvc repro download.\n"
    assert not manifest.exists()


def test_a_damaged_archive_is_one_line(
    run_with: Callable[..., None], archive: Path, noise: Path, tmp_path: Path
) -> None:
    paths = {"manifest": tmp_path / "manifest.csv", "features": tmp_path / "features"}
    run_with(sample.main, archive=archive, manifest=paths["manifest"])
    content = bytearray(archive.read_bytes())
    for place in range(500, 20_000, 1000):
        content[place] ^= 255
    archive.write_bytes(content)
    code = exit_of(lambda: run_with(features.main, archive=archive, noise=noise, **paths))
    assert "is damaged" in str(code) and "dvc repro --force download" in str(code)
    assert not paths["features"].exists()
    assert not list(tmp_path.glob(".features*"))
