"""Real kills, cuts, damage and full disks: clear errors, no half-written file, and recovery."""

import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from denoise.corpus.archive import CorpusArchive, Utterance, create_archive
from denoise.corpus.manifest import read_manifest, utterance_of
from tests.project import Project, kill, make_project, ran, served, two_runs, wait_until

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and limits")
FILE_LIMIT_BYTES = 1 << 16


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return an undamaged run, which tests only read."""
    return two_runs(tmp_path_factory)[1]


@pytest.fixture
def project(undamaged: Project, tmp_path: Path) -> Project:
    """Return a copy of the undamaged run, which tests may damage."""
    return undamaged.copy(tmp_path / "project")


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line with which a stage ended."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    errors = re.findall(r"^error: .*", done.stderr, re.MULTILINE)
    assert len(errors) == 1, done.stderr
    return errors[0]


def truncate(path: Path) -> None:
    """Cut a file to half."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def utterances_of(project: Project, split: str) -> list[Utterance]:
    manifest = read_manifest(project.folder / "data" / "manifest.csv")
    return [utterance_of(row) for _, row in manifest[manifest["split"] == split].iterrows()]


def kill_in(project: Project, is_at_work: Callable[[], bool]) -> None:
    """Start `dvc repro` and kill it and all that it started, as soon as a stage is at work."""
    process = project.start("repro")
    try:
        wait_until(lambda: is_at_work() or process.poll() is not None)
        assert process.poll() is None, project.log()
    finally:
        kill(process)


@posix_only
@pytest.mark.slow
def test_killed_stages_resume_and_end_with_the_same_bytes(
    undamaged: Project, tmp_path: Path
) -> None:
    project = make_project(Project(tmp_path / "killed", hash_seed="3"))
    data, model = project.folder / "data", project.folder / "models" / "denoiser"
    # More work than can be done before the kill.
    before = project.edit({"download.synthetic.speakers": 100, "noise.noisy_versions": 100})
    kill_in(project, lambda: any(data.glob(".corpus.zip.*.partial")))
    assert not (data / "corpus.zip").exists()
    project.edit({"download.synthetic.speakers": 4})
    kill_in(project, lambda: any(data.glob(".features.*.partial")))
    assert (data / "manifest.csv").exists() and not (data / "features").exists()
    project.put_back(before)
    checkpoint = project.folder / ".scratch" / "train" / "models-denoiser" / "training"
    kill_in(project, (checkpoint / "state.json").exists)
    assert (data / "features").exists() and not model.exists()
    output = project.dvc("repro")
    assert ran(output) == ["train", "export", "train_recogniser", "evaluate"]
    assert "Resuming after epoch" in output
    assert project.lock() == undamaged.lock()
    assert project.content() == undamaged.content()


def test_a_truncated_archive_is_named_and_repaired(project: Project, undamaged: Project) -> None:
    truncate(project.folder / "data" / "corpus.zip")
    error = error_of(project.stage("features"))
    assert re.match(r"error: data.corpus\.zip is not a whole zip .*dvc repro --force down", error)
    assert project.leftovers() == []
    assert served(project.dvc("repro")) == ["download"]
    assert project.content() == undamaged.content()


def test_damaged_recording_is_named(project: Project, undamaged: Project) -> None:
    path = project.folder / "data" / "corpus.zip"
    member = utterances_of(project, "validation")[0].member
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        middle = archive.getinfo(member).header_offset + 1000
    content[middle] ^= 255
    path.write_bytes(content)
    error = error_of(project.stage("features"))
    assert f"{member} is damaged" in error and "dvc repro --force download" in error
    assert project.leftovers() == []
    assert project.content("features") == undamaged.content("features")


def test_recordings_that_are_no_audio_are_counted_and_left_out(project: Project) -> None:
    path = project.folder / "data" / "corpus.zip"
    broken = [utterances_of(project, split)[0] for split in ("train", "test")]
    with CorpusArchive(path) as whole, create_archive(path.with_suffix(".other")) as archive:
        for utterance in whole.utterances:
            content = whole.read(utterance)
            archive.add(utterance, b"no audio" if utterance in broken else content)
        archive.add_speakers(whole.speakers())
    path.with_suffix(".other").replace(path)
    features, evaluate = project.stage("features"), project.stage("evaluate")
    for done, utterance in zip((features, evaluate), broken, strict=True):
        assert done.returncode == 0, done.stderr
        assert re.search(rf"\b1 recordings? .*rejected: {utterance.utterance_id}: ", done.stdout)
    written = project.content("features", "evaluate")
    assert broken[0].utterance_id in written["data/features/rejected.csv"].decode()
    assert broken[0].utterance_id not in written["data/features/index.csv"].decode()
    assert broken[1].utterance_id not in written["metrics/evaluation/utterances.csv"].decode()
    assert b'"rejected": 1' in written["metrics/evaluation/breakdown.json"]


def test_truncated_spectrograms_are_named(project: Project) -> None:
    truncate(project.folder / "data" / "features" / "train.noisy.npy")
    shutil.rmtree(project.folder / ".scratch")
    error = error_of(project.stage("train"))
    assert "train.noisy.npy is truncated" in error and "dvc repro --force features" in error
    assert project.leftovers() == []


def limit_file_size() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT_BYTES, FILE_LIMIT_BYTES))


@posix_only
@pytest.mark.parametrize(
    "stage", ["download", "features", pytest.param("train", marks=pytest.mark.slow)]
)
def test_a_full_disk_is_named_and_keeps_the_former_files(
    project: Project, undamaged: Project, stage: str
) -> None:
    # Python ignores SIGXFSZ, so a write over the limit fails as one to a full disk does.
    done = project.stage(stage, preexec_fn=limit_file_size)
    # DVCLive's own database is the first to notice in train.
    assert ("disk" if stage == "train" else "too large") in error_of(done)
    assert project.leftovers() == []
    assert project.content() == undamaged.content()
    assert project.stage(stage).returncode == 0
    assert project.content() == undamaged.content()
