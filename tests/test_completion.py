"""What shells complete: the command line, and that of serve and client."""

import argparse
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from denoise.cli import client
from denoise.cli.completion import SHELLS
from denoise.cli.main import main
from denoise.cli.parser import make_parser
from denoise.server import cli as server_cli
from tests.test_cli import in_order

PARSERS = {"": make_parser(), "serve": server_cli.make_parser(), "client": client.make_parser()}
ASKS_BASH = """
source ./script
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_shtab_denoise 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", request.param])
    assert ended.value.code == 0
    return capsys.readouterr().out


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings}


@pytest.mark.parametrize("script", SHELLS, indirect=True)
def test_every_option_and_format_is_in_every_script(script: str) -> None:
    for parser in PARSERS.values():
        for option in options_of(parser):
            assert option.lstrip("-") in script
    assert "wav flac ogg mp3 aiff" in script


@pytest.mark.parametrize("script", SHELLS, indirect=True)
def test_the_shell_understands_its_script(script: str, request: pytest.FixtureRequest) -> None:
    shell = request.node.callspec.params["script"]
    if shutil.which(shell) is None or os.name == "nt":
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def in_bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    if shutil.which("bash") is None or os.name == "nt":
        pytest.skip("bash is not installed")
    with pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    (tmp_path / "script").write_text(capsys.readouterr().out, encoding="utf-8", newline="\n")
    for name in ("song.wav", "serve.wav", "two words.wav"):
        (tmp_path / name).touch()
    return tmp_path


def completed(folder: Path, *words: str) -> set[str]:
    """Return what bash offers for the last of the words."""
    asked = ["bash", "-c", ASKS_BASH, "bash", "denoise", *words]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()) - {""}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["s"], {"song.wav", "serve.wav", "script", "serve"}),
        (["c"], {"client"}),
        (["song.wav", "se"], {"serve.wav"}),
        (["--for"], {"--format"}),
        (["--format", "f"], {"flac"}),
        (["-o", "two"], {"two words.wav"}),
        (["serve", "--al"], {"--allow-host"}),
        (["serve", "--model", "so"], {"song.wav"}),
        (["serve", "--workers", "2", "--po"], {"--port"}),
        (["serve", "--stre"], set()),
        (["client", "--re"], {"--residual", "--retries"}),
        (["client", "http://127.0.0.1:8765", "so"], {"song.wav"}),
        (["client", "http://127.0.0.1:8765", "song.wav", "-o", "two"], {"two words.wav"}),
        (["client", "--format", ""], {"wav", "flac", "ogg", "mp3", "aiff"}),
    ],
    ids=in_order,
)
def test_what_bash_offers(in_bash: Path, words: list[str], offered: set[str]) -> None:
    assert completed(in_bash, *words) == offered


@pytest.mark.parametrize("name", PARSERS)
def test_bash_offers_every_option_where_it_belongs_and_no_other(in_bash: Path, name: str) -> None:
    words = [name, "-"] if name else ["-"]
    assert completed(in_bash, *words) == options_of(PARSERS[name])
