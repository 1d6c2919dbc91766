"""Scripts that complete the command line in a shell, that of further commands too."""

import argparse
from collections.abc import Mapping

SHELLS = ("bash", "zsh", "tcsh")
FILES = ("inputs", "input", "output", "model")  # arguments that name one
# The first word is a file or a further command; shtab knows of the one or the other.
FIRST_WORD = {
    "bash": """
_shtab_denoise_first_files() {
  compgen -f -- "$1"
  [ "$COMP_CWORD" != 1 ] || compgen -W "COMMANDS" -- "$1"
}
""",
    "zsh": """
_shtab_denoise() {
  local context state line curcontext="$curcontext" name="_shtab_denoise_options"
  if (( CURRENT > 2 )) && [[ " COMMANDS " == *" $words[2] "* ]]; then
    name="_shtab_denoise_$words[2]_options"
    shift words
    (( CURRENT -= 1 ))
  elif (( CURRENT == 2 )); then
    _shtab_denoise_commands
  fi
  _arguments -C -s "${(@P)name}"
}
""",
}


def script(
    parser: argparse.ArgumentParser, further: Mapping[str, argparse.ArgumentParser], shell: str
) -> str:
    """Return a script for `denoise`, and for the commands that its first word may be."""
    import shtab  # for this alone

    if shell == "tcsh":  # it tells by the word before alone
        _mingle(parser, further)
    else:
        commands = parser.add_subparsers()
        for name, each in further.items():
            about = each.description
            commands.add_parser(name, help=about, parents=[each], add_help=False)
    for action in [act for each in (parser, *further.values()) for act in each._actions]:
        if action.dest in FILES:
            action.complete = dict(shtab.FILE)  # type: ignore[attr-defined]
        if action.dest == "inputs" and further:
            action.complete["bash"] = "_shtab_denoise_first_files"  # type: ignore[attr-defined]
    preamble = {
        key: text.replace("COMMANDS", " ".join(further)) for key, text in FIRST_WORD.items()
    }
    return str(shtab.complete(parser, shell, preamble=preamble))


def _mingle(
    parser: argparse.ArgumentParser, further: Mapping[str, argparse.ArgumentParser]
) -> None:
    """Give a parser the options of further ones that it lacks."""
    for action in (act for each in further.values() for act in each._actions):
        if action.option_strings and not set(action.option_strings) & set(
            parser._option_string_actions
        ):
            parser._add_action(action)
