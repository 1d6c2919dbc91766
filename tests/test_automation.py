"""The GitHub workflow and the devcontainer, held to the Makefile and to pyproject.toml."""

import json
import re
import tomllib

import yaml

from tests.closures import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def commands(job: str) -> str:
    return "\n".join(step.get("run", "") for step in WORKFLOW["jobs"][job]["steps"])


def test_the_workflow_runs_the_two_commands_of_the_readme() -> None:
    assert "make test" in commands("test")
    assert "make repro" in commands("pipeline")
    targets = set(re.findall(r"^([\w./]+):", MAKEFILE, flags=re.MULTILINE))
    for job in WORKFLOW["jobs"]:
        assert set(re.findall(r"make (\S+)", commands(job))) <= targets


def test_the_workflow_compares_with_the_commit_in_a_shell_that_fails_with_it() -> None:
    steps = WORKFLOW["jobs"]["pipeline"]["steps"]
    (step,) = [step for step in steps if "presets.compare" in step.get("run", "")]
    assert step["shell"] == "bash"  # GitHub adds -o pipefail only where a shell is named
    assert (ROOT / "presets" / "compare.py").exists()


def test_the_workflow_tests_every_supported_python() -> None:
    versions = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"]
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    assert versions == [f"3.{minor}" for minor in range(int(low), int(high))]


def test_the_devcontainer_makes_the_environment_of_the_tests() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    target = container["postCreateCommand"].removeprefix("make ")
    assert re.search(rf"^{re.escape(target)}:", MAKEFILE, flags=re.MULTILINE)
    assert (ROOT / ".devcontainer" / container["build"]["dockerfile"]).exists()
