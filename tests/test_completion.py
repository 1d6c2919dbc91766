"""Completion in the shells: the options of the command, of serve, of client and of live."""

import argparse
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from denoise.cli import client, live
from denoise.cli.main import main
from denoise.cli.parser import SHELLS, make_parser
from denoise.server import cli as server_cli
from tests.test_cli import in_order

PARSERS = {
    "": make_parser(),
    "serve": server_cli.make_parser(),
    "client": client.make_parser(),
    "live": live.make_parser(),
}
# Each prints what its shell offers for the last of its arguments, one candidate a line. The quotes
# in FINI"SHED" and REA"DY" keep the echo of a typed line from looking like the line's output.
ASK_BASH = """
source ./script
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_shtab_denoise 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
ASK_ZSH = """
zmodload zsh/zpty
zpty -b shell zsh -f -i
zpty -w shell 'PS1= RPS1=; stty -echo; autoload -U compinit; compinit -u -D; LISTMAX=1000'
zpty -w shell 'eval "$(<script)"; compadd() {
  if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
    local -a matches
    builtin compadd -A matches "$@"
    print -rl -- $matches >> matches
  fi
  builtin compadd "$@"
}'
zpty -w shell 'finish() { print FINI"SHED" }; zle -N finish; bindkey "^T" finish; print REA"DY"'
zpty -r shell output '*READY*'
zpty -w -n shell "${(j: :)${(@q)@[1,-2]}} ${@[-1]}"$'\\t'$'\\x14'
zpty -r shell output '*FINISHED*'
zpty -d shell
[[ ! -e matches ]] || sort -u matches
"""


def print_script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", shell])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.fixture
def script(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> str:
    return print_script(request.param, capsys)


def skip_without(shell: str) -> None:
    if shutil.which(shell) is None or os.name == "nt":
        pytest.skip(f"{shell} is not installed")


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings}


@pytest.mark.parametrize("script", SHELLS, indirect=True)
def test_every_option_and_format_is_in_every_script(script: str) -> None:
    for parser in PARSERS.values():
        for option in options_of(parser):
            assert option.lstrip("-") in script
    assert "wav flac ogg mp3 aiff" in script


@pytest.mark.parametrize("script", SHELLS, indirect=True)
def test_the_shell_parses_its_script(script: str, request: pytest.FixtureRequest) -> None:
    shell = request.node.callspec.params["script"]
    skip_without(shell)
    done = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("song.wav", "serve.wav", "two words.wav"):
        (tmp_path / name).touch()
    return tmp_path


def offers(shell: str, folder: Path, script: str, *words: str) -> set[str]:
    """Return what a shell offers for the last of the words after `denoise`."""
    skip_without(shell)
    (folder / "script").write_text(script, encoding="utf-8", newline="\n")
    ask = {"bash": ["bash", "-c", ASK_BASH, "bash"], "zsh": ["zsh", "-fc", ASK_ZSH, "zsh"]}[shell]
    done = subprocess.run(
        [*ask, "denoise", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    if shell == "bash":
        return set(done.stdout.splitlines()) - {""}
    return {shlex.split(line)[0] for line in done.stdout.splitlines() if line}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["s"], {"song.wav", "serve.wav", "script", "serve"}),
        (["c"], {"client"}),
        (["song.wav", "se"], {"serve.wav"}),
        (["--for"], {"--format"}),
        (["song.wav", "--for"], {"--format"}),
        (["--format", "f"], {"flac"}),
        (["-o", "two"], {"two words.wav"}),
        (["serve", "--al"], {"--allow-host", "--allow-origin"}),
        (["serve", "--model", "so"], {"song.wav"}),
        (["serve", "--workers", "2", "--po"], {"--port"}),
        (["serve", "--stre"], set()),
        (["client", "--re"], {"--residual", "--retries"}),
        (["client", "http://127.0.0.1:8765", "so"], {"song.wav"}),
        (["client", "http://127.0.0.1:8765", "song.wav", "-o", "two"], {"two words.wav"}),
        (["l"], {"live"}),
        (["live", "--re"], {"--record"}),
        (["live", "--play", "so"], {"song.wav"}),
        (["live", "--stre"], {"--strength"}),
        (["client", "--format", ""], {"wav", "flac", "ogg", "mp3", "aiff"}),
    ],
    ids=in_order,
)
def test_offered_completions(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    shell: str,
    words: list[str],
    offered: set[str],
) -> None:
    assert offers(shell, folder, print_script(shell, capsys), *words) == offered


@pytest.mark.parametrize("name", PARSERS)
def test_bash_offers_exactly_the_options_of_each_command(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words = [name, "-"] if name else ["-"]
    offered = offers("bash", folder, print_script("bash", capsys), *words)
    assert offered == options_of(PARSERS[name])
