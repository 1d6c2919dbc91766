"""The options of the command line, and what its shells complete."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from denoise.cli.completion import SHELLS, script
from denoise.dsp import formats
from denoise.version import __version__

EXAMPLES = """
examples:
  denoise talk.wav                     writes talk-denoised.wav beside it
  denoise talk.mp3 -o clean.wav
  denoise recordings/ -o cleaned/      the same tree, cleaned
  denoise *.flac --jobs 4 --skip-existing
  ffmpeg -i film.mkv -f wav - | denoise - > clean.wav
  denoise serve --help                 over HTTP
  denoise client --help                sends a recording to a server

exit status: 0 all done, 1 some failed, 2 a command line that cannot be done, 3 no model,
130 interrupted, 143 terminated. Files appear whole or not at all.
"""


Further = Callable[[], Mapping[str, argparse.ArgumentParser]]


class PrintCompletion(argparse.Action):
    """Print a script that completes this command line in a shell."""

    def __init__(self, *arguments: Any, further: Further, **options: Any) -> None:
        """Take what returns the parsers of further commands, by their first word."""
        super().__init__(*arguments, **options)
        self._further = further

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        """Print it and exit."""
        print(script(parser, self._further(), arguments[1]))
        parser.exit()


def strength(text: str) -> float:
    """Parse a share, 0 to 1."""
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} lies outside 0 to 1")
    return share


def threads(text: str) -> int:
    """Parse a number of threads, 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def make_parser(further: Further = dict) -> argparse.ArgumentParser:
    """Return the parser of the command line; `further` is asked for where shells complete it."""
    parser = argparse.ArgumentParser(
        prog="denoise",
        description="Clean speech of noise. Rate, channels, length and format are kept.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="IN", help="a file, a folder, a pattern, or - (standard input)"
    )
    _add_what(parser)
    _add_where(parser)
    _add_how(parser, further)
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is done")
    group.add_argument("--model", help="another model: an ONNX file, or a bundle folder")
    group.add_argument(
        "--strength",
        type=strength,
        default=1.0,
        metavar="0..1",
        help="the share of the cleaned in the result, the rest as recorded (default: 1)",
    )
    group.add_argument("--residual", action="store_true", help="write what is removed instead")


def _add_where(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where it goes")
    group.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="a file for one recording, a folder for more, or - (standard output, WAV); "
        "default: beside each recording",
    )
    group.add_argument(
        "--suffix",
        help="goes between name and extension (default: -denoised, or -residual; none with -o)",
    )
    group.add_argument(
        "--format", choices=formats.CHOICES, help="default: by the output's name, or as it was"
    )
    existing = group.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace files that exist")
    existing.add_argument("--skip-existing", action="store_true", help="leave them and go on")
    group.add_argument(
        "-n", "--dry-run", action="store_true", help="only say what would be written"
    )


def _add_how(parser: argparse.ArgumentParser, further: Further) -> None:
    group = parser.add_argument_group("how")
    group.add_argument(
        "-j", "--jobs", type=threads, default=1, metavar="N", help="files at a time (default: 1)"
    )
    group.add_argument("--json", action="store_true", help="a report on standard output")
    level = group.add_mutually_exclusive_group()
    level.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    level.add_argument("-v", "--verbose", action="store_true", help="print more of each file")
    group.add_argument("--version", action="version", version=f"denoise {__version__}")
    group.add_argument(
        "--print-completion",
        action=PrintCompletion,
        further=further,
        choices=SHELLS,
        help="print a script for the shell's completion",
    )
