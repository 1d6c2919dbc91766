"""The stages download and import_noise, run as by DVC: each source, killed, and on a full disk."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.open_catalogue import CATALOGUE
from denoise.corpus.synthetic.sentences import SENTENCES
from denoise.dsp.audio import decode
from denoise.noise.archive import NoiseArchive
from tests.corpora import encode, noise_waveform, wav, write_corpus, write_tree
from tests.kaggle_standin import Fault, kaggle_standin
from tests.repositories import make_entry, write_catalogue, write_repository

REPOSITORY = Path(__file__).parent.parent
ARCHIVES = {"download": ("--archive", "corpus"), "import_noise": ("--noise", "noise")}
RUN_MODULE = (
    "import runpy, sys; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True); "
    "print(*sys.modules)"
)
NO_VARIABLES: Mapping[str, str] = {}
on_posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and resource limits")


class Stage:
    """A stage in a folder of its own, with its own params.yaml."""

    def __init__(self, folder: Path, name: str = "download", **download: Any) -> None:
        self.folder = folder
        self.name = name
        self.option, self.output_name = ARCHIVES[name]
        self.catalogue = CATALOGUE
        folder.mkdir(exist_ok=True)
        tree = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
        tree["download"].update(download)
        (folder / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")

    @property
    def archive(self) -> Path:
        return self.folder / "data" / f"{self.output_name}.zip"

    @property
    def provenance(self) -> Path:
        return self.folder / "data" / f"{self.output_name}.json"

    def start(
        self, environment: Mapping[str, str] = NO_VARIABLES, limit: Callable[[], None] | None = None
    ) -> subprocess.Popen[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("KAGGLE_")}
        paths = [self.option, str(self.archive), "--provenance", str(self.provenance)]
        paths += ["--catalogue", str(self.catalogue)]
        if self.name == "download":
            paths += ["--sentences", str(SENTENCES)]
        return subprocess.Popen(
            [sys.executable, "-c", RUN_MODULE, f"stages.{self.name}", *paths],
            cwd=self.folder,
            env={**inherited, "PYTHONPATH": str(REPOSITORY), "NO_PROXY": "", **environment},
            preexec_fn=limit,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, environment: Mapping[str, str] = NO_VARIABLES) -> set[str]:
        """Run the stage successfully; return the modules that it imported."""
        process = self.start(environment)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return set(out.split())

    def check_fails(
        self, environment: Mapping[str, str] = NO_VARIABLES, limit: Callable[[], None] | None = None
    ) -> str:
        """Run the stage, which must fail with exit status 1; return the last line of its output."""
        process = self.start(environment, limit)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "Traceback" not in err
        return err.strip().splitlines()[-1]


def check_outputs(stage: Stage, source: str, files: int, speakers: int) -> None:
    """Check the archive and that the provenance describes it."""
    provenance = json.loads(stage.provenance.read_text(encoding="utf-8"))
    assert provenance["source"] == source
    assert list(provenance) == sorted(provenance)
    assert (provenance["files"], provenance["speakers"]) == (files, speakers)
    assert provenance["sha256"] == hashlib.sha256(stage.archive.read_bytes()).hexdigest()
    with CorpusArchive(stage.archive) as archive:
        archive.verify()
        assert len(archive.utterances) == files
    assert str(stage.folder.parent) not in stage.provenance.read_text(encoding="utf-8")


def make_two_stages(tmp_path: Path, **download: Any) -> tuple[Stage, Stage]:
    return Stage(tmp_path / "first", **download), Stage(tmp_path / "second", **download)


def assert_same_bytes(first: Stage, second: Stage) -> None:
    assert first.archive.read_bytes() == second.archive.read_bytes()
    assert first.provenance.read_bytes() == second.provenance.read_bytes()


@pytest.mark.parametrize(("content", "files"), [("digits", 40), ("sentences", 4)])
def test_the_synthetic_corpus_is_the_same_each_time(
    tmp_path: Path, content: str, files: int
) -> None:
    size = {"speakers": 4, "repetitions": 1, "oov_utterances": 1, "seed": 3}
    synthetic = {"content": content, **size}
    first, second = make_two_stages(tmp_path, source="synthetic", synthetic=synthetic)
    imported = first.run() | second.run()
    assert_same_bytes(first, second)
    check_outputs(first, "synthetic", files=files, speakers=4)
    assert not {"kaggle", "requests", "tensorflow"} & imported


def test_an_imported_folder_gives_the_same_corpus_each_time(tmp_path: Path) -> None:
    files = {"7_ann_0.wav": wav(1), "3_bob_0.wav": wav(2), "notes.txt": b"x"}
    mine = write_tree(tmp_path / "mine", files)
    first, second = make_two_stages(tmp_path, source="local", local=str(mine))
    imported = first.run() | second.run()
    assert_same_bytes(first, second)
    check_outputs(first, "local", files=2, speakers=2)
    assert not {"kaggle", "requests", "tensorflow"} & imported


def kaggle_stage(folder: Path, files: int = 6) -> Stage:
    kaggle = {"dataset": "owner/digits", "version": 3, "files": files, "speakers": 3}
    return Stage(folder, source="kaggle", kaggle=kaggle)


def test_the_corpus_from_kaggle_is_kept_unchanged(tmp_path: Path) -> None:
    body = write_corpus(tmp_path / "kaggle.zip").read_bytes()
    stage = kaggle_stage(tmp_path / "stage")
    with kaggle_standin(body) as standin:
        stage.run(standin.environment(tmp_path))
    check_outputs(stage, "kaggle", files=6, speakers=3)
    assert stage.archive.read_bytes() == body


def test_an_error_is_one_line_and_keeps_the_previous_outputs(tmp_path: Path) -> None:
    stage = kaggle_stage(tmp_path / "stage", files=7)
    write_tree(stage.folder, {"data/corpus.zip": b"previous", "data/corpus.json": b"{}"})
    with kaggle_standin(write_corpus(tmp_path / "kaggle.zip").read_bytes()) as standin:
        environment = standin.environment(tmp_path)
        assert "6 recordings of 3 speakers, not the 7 of 3" in stage.check_fails(environment)
        standin.api_faults = [Fault(404)]
        assert stage.check_fails(environment).startswith("error: owner/digits, version 3,")
    assert stage.archive.read_bytes() == b"previous"
    assert stage.provenance.read_bytes() == b"{}"


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage", source="local", local="no/such/folder")
    assert stage.check_fails() == (
        "error: No folder or zip at no/such/folder. "
        "Set download.local to an existing folder or zip."
    )


def test_noise_recordings_are_imported(tmp_path: Path) -> None:
    files = {"street/car 1.flac": encode(noise_waveform(1), "FLAC"), "kitchen.wav": wav(2)}
    mine = write_tree(tmp_path / "mine", {**files, "silent.wav": encode(0 * noise_waveform(3))})
    first, second = make_two_stages(tmp_path, name="import_noise", noise=str(mine))
    imported = first.run() | second.run()
    assert_same_bytes(first, second)
    assert not {"kaggle", "requests", "tensorflow"} & imported
    provenance = json.loads(first.provenance.read_text(encoding="utf-8"))
    assert provenance["sha256"] == hashlib.sha256(first.archive.read_bytes()).hexdigest()
    assert (provenance["name"], provenance["recordings"]) == ("mine", 2)
    ((reason, summary),) = provenance["left_out"].items()
    assert reason.startswith("It is silent") and summary == {"files": 1, "examples": ["silent.wav"]}
    with NoiseArchive(first.archive) as noise:
        noise.verify()
        assert len(noise.recordings) == 2


def test_without_noise_recordings_the_archive_is_empty(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage", "import_noise", noise="")
    stage.run()
    with NoiseArchive(stage.archive) as noise:
        assert noise.recordings == []
    assert json.loads(stage.provenance.read_text())["recordings"] == 0


def test_missing_noise_is_an_error(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage", "import_noise", noise="no/such.zip")
    assert stage.check_fails() == (
        "error: No folder or zip at no/such.zip. Set download.noise to an existing folder or zip."
    )
    assert not list(stage.folder.glob("data/*"))


def open_stage(tmp_path: Path, name: str, kind: str, **download: Any) -> Stage:
    """Return a stage whose catalogue has one entry, `mine`, of two recordings, in a mirror."""
    files = {"a/7_ann_0.wav": wav(1), "a/3_bob_0.wav": wav(2), "LICENSE": b"Free."}
    commit = write_repository(tmp_path / "mirrors" / "owner+voices", files)
    names = {"speech": [], "noise": [], kind: ["mine"], "mirrors": str(tmp_path / "mirrors")}
    stage = Stage(tmp_path / "stage", name, open=names, **download)
    entry = make_entry(
        "https://example.com/owner/voices", commit, folders=["a"], files=2, kind=kind
    )
    stage.catalogue = write_catalogue(tmp_path / "catalogue.yaml", {"mine": entry})
    return stage


def test_open_speech_is_fetched_and_imported(tmp_path: Path) -> None:
    stage = open_stage(tmp_path, "download", "speech", source="open")
    imported = stage.run()
    check_outputs(stage, "open", files=2, speakers=2)
    (source,) = json.loads(stage.provenance.read_text(encoding="utf-8"))["repositories"]
    assert (source["name"], source["files"], source["licence"]) == ("mine", 2, "CC0-1.0")
    assert source["url"] == "https://example.com/owner/voices"
    assert not {"kaggle", "requests", "tensorflow"} & imported
    first = stage.archive.read_bytes(), stage.provenance.read_bytes()
    objects = tmp_path / "mirrors" / "owner+voices" / "objects"
    shutil.rmtree(objects)  # the second run reads nothing from the mirror
    objects.mkdir()
    stage.run()
    assert (stage.archive.read_bytes(), stage.provenance.read_bytes()) == first
    assert [path.name for path in (stage.folder / ".scratch/open").iterdir()] == ["repositories"]


def test_too_much_damaged_noise_stops_the_stage(tmp_path: Path) -> None:
    mine = write_tree(tmp_path / "mine", {"a.wav": wav(1), "no.wav": b"no sound"})
    stage = Stage(tmp_path / "stage", "import_noise", noise=str(mine), max_damaged_fraction=0.4)
    assert stage.check_fails().startswith("  no.wav: This is no audio")
    assert not list(stage.folder.glob("data/*"))


def test_open_noise_comes_after_the_user_s_own(tmp_path: Path) -> None:
    mine = write_tree(tmp_path / "own", {"x.wav": wav(3)})
    stage = open_stage(tmp_path, "import_noise", "noise", noise=str(mine))
    stage.run()
    provenance = json.loads(stage.provenance.read_text(encoding="utf-8"))
    assert (provenance["name"], provenance["recordings"]) == ("own", 3)
    assert [source["name"] for source in provenance["repositories"]] == ["mine"]
    with NoiseArchive(stage.archive) as archive:
        pieces = [archive.read(piece) for recording in archive.recordings for piece in recording]
    waveforms = [decode(piece)[0] for piece in pieces]
    for waveform, seed in zip(waveforms, (3, 2, 1), strict=True):  # the open ones by their names
        expected = decode(wav(seed))[0]
        np.testing.assert_allclose(waveform, expected - expected.mean(), atol=2**-14)


def test_a_name_that_is_not_in_the_catalogue_is_an_error(tmp_path: Path) -> None:
    stage = open_stage(tmp_path, "download", "noise", source="open")
    tree = yaml.safe_load((stage.folder / "params.yaml").read_text(encoding="utf-8"))
    tree["download"]["open"]["speech"] = ["mine"]
    (stage.folder / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    assert stage.check_fails() == (
        "error: download.open.speech: 'mine' is not in the catalogue of open recordings; "
        "the speech there is none."
    )


@pytest.fixture
def large(tmp_path: Path) -> Stage:
    """Return a stage with so many recordings that it can be killed while it imports."""
    recording = wav(1)
    files = {f"{n % 10}_speaker{n % 7}_{n // 70}.wav": recording for n in range(1400)}
    mine = write_tree(tmp_path / "mine", files)
    return Stage(tmp_path / "stage", source="local", local=str(mine))


@on_posix
def test_a_full_disk_leaves_no_partial_output(large: Stage) -> None:
    import resource

    size = 1 << 20
    last_line = large.check_fails(
        limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    )
    assert last_line.startswith("error: File too large")
    assert not list(large.archive.parent.iterdir())
    large.run()
    check_outputs(large, "local", files=1400, speakers=7)


@on_posix
def test_a_killed_stage_leaves_no_partial_output(large: Stage) -> None:
    killed = large.start()
    deadline = time.monotonic() + 60
    while not list(large.folder.glob("data/.*.partial")) and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -9, "it ended before it was killed"
    assert not large.archive.exists()
    large.run()
    check_outputs(large, "local", files=1400, speakers=7)
