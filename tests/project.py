"""Small copies of the project in which tests run the real `dvc`, apart from everything else."""

import functools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.closures import ROOT

STAGES = ["import_noise", "download", "sample", "features", "train", "export", "train_recogniser"]
STAGES += ["evaluate"]
TIMEOUT_SECONDS = 300
RESULTS = ("data", "models", "metrics", "general")  # the last is a pipeline of its own

# Four speakers say each digit once: what three splits need, and little to compute.
TINY = {
    "download.source": "synthetic",
    "download.synthetic.speakers": 4,
    "download.synthetic.repetitions": 1,
    "download.synthetic.oov_utterances": 2,
    "sample.size": 24,
    "audio.sample_rate": 8000,
    "audio.duration_seconds": 0.75,
    "spectrogram.n_fft": 128,
    "spectrogram.hop_length": 64,
    "spectrogram.win_length": 128,
    "noise.noisy_versions": 1,
    "train.epochs": 4,
    "train.batch_size": 4,
    "train.patience": 5,
    "train.data_shards": 1,
    "train.fine_tuning.epochs": 2,
    "recogniser.noise_types": ["white", "babble"],
    "recogniser.noisy_versions": 1,
    "recogniser.channels": 2,
    "recogniser.clean_epochs": 2,
    "recogniser.noisy_epochs": 2,
    "reconstruction": "noisy_phase",
    "evaluate.noise_types": ["white"],
    "evaluate.snr_db": [-5.0, 5.0],
    "evaluate.pesq": "never",
}
# Where a network has such keys. TensorFlow takes longer to build a graph than to train so little.
SMALL_NETWORK = {"channels": 4, "bottleneck_channels": 4, "dilations": [1]}


def change(tree: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Set keys, by their dotted paths, that must exist."""
    for key, value in changes.items():
        *sections, leaf = key.split(".")
        section = functools.reduce(dict.__getitem__, sections, tree)
        assert leaf in section, f"params.yaml has no {key}"
        section[leaf] = value


def make_tiny(tree: dict[str, Any]) -> None:
    """Bring a parsed params.yaml to a size that runs in seconds."""
    change(tree, TINY)
    for section in tree["model"].values():
        if isinstance(section, dict):
            section |= {key: size for key, size in SMALL_NETWORK.items() if key in section}


@dataclass(frozen=True)
class Project:
    """A copy of the project with its own git repository and its own DVC caches."""

    folder: Path
    hash_seed: str = "0"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that keep `dvc` and git off the user's own settings and caches."""
        apart = self.folder.with_name(f"{self.folder.name}-dvc")
        return {
            **os.environ,
            # dvc.yaml calls `python`
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONHASHSEED": self.hash_seed,
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(apart / "site"),
            "DVC_GLOBAL_CONFIG_DIR": str(apart / "global"),
            "DVC_SYSTEM_CONFIG_DIR": str(apart / "system"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, its output captured."""
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            **options,
        )

    def succeed(self, *words: str) -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.run(*words)
        assert done.returncode == 0, f"{shlex.join(words)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def git(self, *words: str) -> str:
        """Run git, which must succeed."""
        return self.succeed("git", *words)

    def run_dvc(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run dvc, whatever comes of it."""
        return self.run(sys.executable, "-m", "dvc", *words)

    def dvc(self, *words: str) -> str:
        """Run dvc, which must succeed; return what it printed."""
        return self.succeed(sys.executable, "-m", "dvc", *words)

    def dvc_json(self, *words: str) -> Any:
        """Run a dvc command that prints JSON; return it parsed."""
        return json.loads(self.dvc(*words, "--json"))

    def stage(self, name: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a stage's command as dvc.yaml has it, without dvc."""
        command = self.definition[name]["cmd"].split()
        assert command[0] == "python"
        return self.run(sys.executable, *command[1:], **options)

    def commit(self, message: str) -> None:
        """Commit everything that is not ignored."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    @property
    def definition(self) -> dict[str, Any]:
        """The stages of dvc.yaml."""
        stages: dict[str, Any] = yaml.safe_load((self.folder / "dvc.yaml").read_text("utf-8"))
        return stages["stages"]

    def edit(self, changes: Mapping[str, Any]) -> str:
        """Change params by their dotted keys; return params.yaml as it was."""
        path = self.folder / "params.yaml"
        before = path.read_text(encoding="utf-8")
        tree = yaml.safe_load(before)
        change(tree, changes)
        path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        return before

    def put_back(self, params: str) -> None:
        """Give params.yaml the text it had."""
        (self.folder / "params.yaml").write_text(params, encoding="utf-8")

    def lock(self) -> bytes:
        """Return dvc.lock."""
        return (self.folder / "dvc.lock").read_bytes()

    def copy(self, folder: Path) -> "Project":
        """Copy the folder, its git repository and DVC cache included."""
        shutil.copytree(self.folder, folder)
        return Project(folder, self.hash_seed)

    def outs(self, *stages: str) -> list[str]:
        """List the outs, metrics and plots that all stages, or those named, declare."""
        return [
            next(iter(out)) if isinstance(out, dict) else out
            for stage, entry in self.definition.items()
            for kind in ("outs", "metrics", "plots")
            for out in entry.get(kind, [])
            if not stages or stage in stages
        ]

    def content(self, *stages: str) -> dict[str, bytes]:
        """Return the bytes of every file of the outs of all stages or those named."""
        found: dict[str, bytes] = {}
        for out in self.outs(*stages):
            path = self.folder / out
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            found |= {
                file.relative_to(self.folder).as_posix(): file.read_bytes()
                for file in files
                if file.is_file()
            }
        return found

    def leftovers(self) -> list[Path]:
        """List what half-written outs have left."""
        return [
            path
            for name in ("data", "models", "metrics")
            for path in (self.folder / name).rglob("*.partial")
        ]

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start dvc in a process group of its own, its output in `<folder>.log`."""
        with self.folder.with_suffix(".log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", *words],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        """Return what the last `start` printed."""
        return self.folder.with_suffix(".log").read_text("utf-8", errors="replace")


def kill(process: subprocess.Popen[bytes]) -> None:
    """End what `start` started, with SIGKILL, and all that it started."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(TIMEOUT_SECONDS)


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait, looking often."""
    give_up = time.monotonic() + TIMEOUT_SECONDS
    while not happened():
        assert time.monotonic() < give_up, "It never came so far."
        time.sleep(0.005)


def ran(output: str) -> list[str]:
    """List the stages that dvc ran."""
    return re.findall(r"^Running stage '(\w+)'", output, re.MULTILINE)


def served(output: str) -> list[str]:
    """List the stages that dvc served from the run-cache."""
    return re.findall(r"^Stage '(\w+)' is cached - skipping run", output, re.MULTILINE)


def make_project(project: Project) -> Project:
    """Copy what git has or would add, but no result, into a new repository; make it tiny."""
    folder, path = project.folder, project.folder / "params.yaml"
    list_files = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(list_files, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        is_result = name == "dvc.lock" or name.split("/")[0] in RESULTS
        if (ROOT / name).is_file() and not is_result:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    make_tiny(tree)
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    project.git("init", "--quiet")
    project.git("config", "user.name", "Test")
    project.git("config", "user.email", "test@example.com")
    project.commit("Start")
    return project


def two_runs(factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """Run the pipeline from scratch in two projects at once, once for all tests of a session.

    The two differ in what must not matter: the folder and Python's hash seed. They stay as they
    are, to be copied and compared with.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the parent
        base = base.parent
    projects = Project(base / "first", "1"), Project(base / "another place", "2")
    done = base / "both are done"
    try:
        (base / "claimed").mkdir()
    except FileExistsError:  # another worker is at it
        wait_until(done.exists)
    else:
        try:
            _run_at_once([make_project(project) for project in projects])
        finally:
            done.touch()
    for project in projects:
        assert project.content("evaluate"), project.log()
    return projects


def _run_at_once(projects: Sequence[Project]) -> None:
    started = [project.start("repro") for project in projects]
    try:
        for process in started:
            process.wait(TIMEOUT_SECONDS)
    finally:
        for process in started:
            kill(process)
