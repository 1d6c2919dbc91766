"""The documentation, held to the source: keys, commands, links, examples."""

import argparse
import ast
import dataclasses
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from benchmarks.open_data import page_tables
from benchmarks.table import condition_table, overall_table, read_breakdown
from denoise.corpus.open_catalogue import Source, read_catalogue
from denoise.params import NOISE_TYPES
from denoise.params_file import parse_params
from tests.closures import ROOT, module_files
from tests.test_structure import leaves

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND_PAGE = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def test_every_params_key_is_described_and_no_other() -> None:
    text = (ROOT / "docs" / "params.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| `([\w.]+)` \|", text, flags=re.MULTILINE)
    assert described == leaves(PARAMS)


def test_every_params_key_is_read_by_the_code() -> None:
    read: set[str] = set()
    for module, path in module_files().items():
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        if module == "denoise.params":  # where keys are checked; only a property puts one to use
            attributes = [node for node in attributes if ast.unparse(node.value) == "self"]
        read |= {node.attr for node in attributes}
    by_name = set(NOISE_TYPES)  # features.draw_kind reads these through their names
    assert {key.rsplit(".", 1)[-1] for key in leaves(PARAMS)} <= read | by_name


def experiments() -> list[str]:
    joined = README.replace("\\\n", " ")
    return re.findall(r"^(?:\S*/)?dvc exp run(.*?)(?:#.*)?$", joined, flags=re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_comments_of_commands_do_no_harm_in_zsh(document: Path) -> None:
    """By default, an interactive zsh takes a comment for arguments: a quote would wait for more."""
    blocks = re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    comments = re.findall(r"(?:^|\s)# (.*)$", "\n".join(blocks), flags=re.MULTILINE)
    assert [comment for comment in comments if set("'`;") & set(comment)] == []


@pytest.mark.parametrize("options", experiments())
def test_overrides_in_the_readme_are_valid(options: str) -> None:
    words = shlex.split(options)
    overrides = [words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "-S"]
    assert overrides
    assert not set("[*?") & set(
        re.sub(r'".*?"', "", options)
    )  # zsh looks for files with such names
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for key, value in overrides:
        *sections, leaf = key.split(".")
        section = tree
        for name in sections:
            section = section[name]
        assert leaf in section
        section[leaf] = yaml.safe_load(value)
    parse_params(tree)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_and_links_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = re.findall(r"(?:`|^)make (\w+)", text, flags=re.MULTILINE)
    assert set(named) <= targets
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (document.parent / link).exists(), link


def test_readme_gives_what_make_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in ("ruff check .", "ruff format --check .", "mypy denoise stages benchmarks"):
        assert command in makefile and command in README
    for file in ("requirements.txt", "requirements-test.txt"):
        assert f"--require-hashes -r {file}" in makefile
        assert f"--require-hashes -r {file}" in README


def test_readme_gives_the_committed_figures() -> None:
    expected = "\n".join(overall_table(read_breakdown()))
    assert expected in README, "Run python -m benchmarks.table and paste what it prints."


def test_results_page_gives_the_committed_figures() -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    expected = "\n".join(condition_table(read_breakdown()))
    advice = "Run python -m benchmarks.table --by-condition and paste what it prints."
    assert expected in page, advice


def test_open_data_page_gives_the_catalogue() -> None:
    page = (ROOT / "docs" / "open-data.md").read_text(encoding="utf-8")
    expected = "\n".join(page_tables(read_catalogue()))
    assert expected in page, "Run python -m benchmarks.open_data and paste what it prints."


def test_open_data_page_describes_every_key_of_an_entry() -> None:
    page = (ROOT / "docs" / "open-data.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (`[a-z]+`(?:, `[a-z]+`)*) \|", page.split("## Adding an entry")[1], re.M
    )
    described = re.findall(r"\w+", " ".join(rows))
    keys = [field.name for field in dataclasses.fields(Source)]
    assert described == [*keys, "excluded", "works"]


def test_python_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = re.findall(r'soundfile\.read\("(.*?)"', README)  # relative to a fresh clone
    if (ROOT / ".git").exists():
        subprocess.run(["git", "ls-files", "--error-unmatch", path], cwd=ROOT, check=True)
    (tmp_path / path).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / path, tmp_path / path)
    monkeypatch.chdir(tmp_path)
    names = run_example(README)
    assert isinstance(names["denoised"], np.ndarray)
    assert len(names["denoised"]) == soundfile.info(ROOT / path).frames
    assert (tmp_path / "denoised.wav").is_file()


def run_example(document: str) -> dict[str, object]:
    """Run the examples in Python that a document has, in order; return the names they leave."""
    examples = re.findall(r"```python\n(.*?)```", document, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile("\n".join(examples), "examples", "exec"), names)
    return names


def test_python_example_of_the_command_s_page_runs() -> None:
    names = run_example(COMMAND_PAGE)
    whole = names["denoiser"].denoise(names["noisy"], 48_000)  # type: ignore[attr-defined]
    assert np.array_equal(np.concatenate(names["ready"]), whole)  # type: ignore[call-overload]


def test_the_live_example_of_the_command_s_page_never_runs_short() -> None:
    names = run_example(COMMAND_PAGE)
    noisy = np.random.default_rng(0).normal(0, 0.1, (100 * 512, 1)).astype(np.float32)
    blocks = [names["callback"](block) for block in np.split(noisy, 100)]  # type: ignore[operator]
    assert {len(block) for block in blocks} == {512}
    heard = np.concatenate(blocks)
    delay = round(names["stream"].latency_seconds * 16_000)  # type: ignore[attr-defined]
    assert not heard[:delay].any()
    whole = names["live"].denoise(noisy, 16_000)  # type: ignore[attr-defined]
    np.testing.assert_allclose(heard[delay:], whole[: len(heard) - delay], atol=1e-5)


def described_options(text: str) -> set[str]:
    """Return the options in the first column of a page's tables."""
    cells = re.findall(r"^\| (`-.*?) \|", text, flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(.*?)`", cell)}


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings}


def test_every_option_of_the_command_is_described() -> None:
    from denoise.cli import live, parser

    command, live_command = COMMAND_PAGE.split("\n## Live\n")
    options = options_of(parser.make_parser())
    assert len(options) > 15
    assert described_options(command) == options
    assert described_options(live_command) == options_of(live.make_parser()) - {"-h", "--help"}
