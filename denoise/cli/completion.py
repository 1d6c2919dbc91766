"""Make completion scripts with shtab, from the parsers of the command line.

shtab completes options and subcommands by itself. It has no way to say that the first argument is a
file or a subcommand, so two shell functions complete that argument.
"""

import argparse

import shtab

from denoise.cli import client, live
from denoise.cli.parser import INPUT_HELP, add_options
from denoise.server import cli as server_cli

# bash calls this with the word to complete. "_files" in the name makes shtab treat what it prints
# as file names, which bash then escapes.
BASH_FUNCTION = """
_denoise_subcommands_or_files() {
  compgen -f -- "$1"
  [ "$COMP_CWORD" != 1 ] || compgen -W "SUBCOMMANDS" -- "$1"
}
"""
# zsh calls this for every word from the first one on that is not an option. It sets $words to these
# words and $CURRENT to the position in them. shtab names its arrays after its documented prefix.
ZSH_FUNCTION = """
_denoise_arguments() {
  if (( CURRENT == 1 )); then
    _shtab_denoise_commands
    _files
  elif [[ " SUBCOMMANDS " == *" $words[1] "* ]]; then
    local options="_shtab_denoise_$words[1]_options"
    _arguments -C -s "${(@P)options}"
  else
    _arguments -C -s "${(@)_shtab_denoise_options:#*_denoise_arguments}" "*:file:_files"
  fi
}
"""
INPUT_COMPLETION = {
    **shtab.FILE,
    "bash": "_denoise_subcommands_or_files",
    "zsh": "_denoise_arguments",
}


def completion_script(shell: str) -> str:
    """Return the completion script of `denoise` and its subcommands for bash, zsh or tcsh."""
    subcommands = {  # tcsh completes --output as the last of them does, which is with files
        "live": live.make_parser(shtab.FILE),
        "serve": server_cli.make_parser(shtab.FILE),
        "client": client.make_parser(shtab.FILE),
    }
    root = argparse.ArgumentParser(prog="denoise")
    # With REMAINDER, zsh calls the function for all further words, not for the first alone.
    inputs = root.add_argument("inputs", nargs=argparse.REMAINDER, help=INPUT_HELP)
    inputs.complete = INPUT_COMPLETION  # type: ignore[attr-defined]  # shtab reads it
    add_options(root, shtab.FILE)
    if shell == "tcsh":
        root = _merged([root, *subcommands.values()])
    else:
        added = root.add_subparsers()
        for name, parser in subcommands.items():
            added.add_parser(name, help=parser.description, parents=[parser], add_help=False)
    functions = {"bash": BASH_FUNCTION, "zsh": ZSH_FUNCTION}
    function = functions.get(shell, "").replace("SUBCOMMANDS", " ".join(subcommands))
    return str(shtab.complete(root, shell, preamble={shell: function}))


def _merged(parsers: list[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Return a parser with the arguments of all: tcsh completes without regard to subcommands."""
    return argparse.ArgumentParser(
        prog="denoise", parents=parsers, add_help=False, conflict_handler="resolve"
    )
