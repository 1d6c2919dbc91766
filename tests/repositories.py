"""Small git repositories and catalogues of them, for tests."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.corpora import write_tree

ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.com",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.com",
}


def git(folder: Path, *words: str) -> str:
    """Run git in a folder; return its output."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | ENVIRONMENT
    finished = subprocess.run(
        ["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return finished.stdout.strip()


def write_repository(folder: Path, files: Mapping[str, bytes]) -> str:
    """Commit `files` to the bare repository `folder`, in place of what is there; return the commit.

    The work tree is beside it.
    """
    if not folder.exists():
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet", "--bare")
    work_tree = folder.with_name(f"{folder.name} files")
    write_tree(work_tree, files)
    options = ("--git-dir", str(folder), "--work-tree", str(work_tree))
    git(work_tree, *options, "add", "--all", "--force")
    git(work_tree, *options, "commit", "--quiet", "--message", "Recordings")
    return git(folder, "rev-parse", "HEAD")


def make_entry(url: str, commit: str, **changes: Any) -> dict[str, Any]:
    """Return an entry of a catalogue, for its YAML file."""
    entry = {
        "title": "Voices",
        "kind": "speech",
        "url": url,
        "commit": commit,
        "folders": ["audio"],
        "speakers": "unknown",
        "files": 3,
        "minutes": 0.1,
        "licence": "CC0-1.0",
        "attribution": "Ann",
        "evidence": "LICENSE",
    }
    return {**entry, **changes}


def write_catalogue(path: Path, entries: Mapping[str, Any]) -> Path:
    """Write a catalogue; return its path."""
    path.write_text(yaml.safe_dump(dict(entries)), encoding="utf-8")
    return path
