"""Define the options of `denoise IN...`."""

import argparse
from collections.abc import Mapping

from denoise.dsp import formats
from denoise.inference import built_in
from denoise.version import __version__

MAX_COUNT = 1024  # of threads and of files at a time
SHELLS = ("bash", "zsh", "tcsh")
INPUT_HELP = "a file, a folder, a pattern, or - (standard input)"
EXAMPLES = """
examples:
  denoise talk.wav                     write talk-denoised.wav beside it
  denoise talk.mp3 -o clean.wav
  denoise recordings/ -o cleaned/      keep the structure of the folder
  denoise --remux talk.mp4             write talk-denoised.mp4, with the same picture
  denoise *.flac --jobs 4 --skip-existing
  ffmpeg -i film.mkv -f wav - | denoise - > clean.wav
  denoise serve --help                 serve over HTTP
  denoise client --help                send recordings to a server
  denoise live --help                  denoise a microphone in real time

exit status: 0 all files done, 1 some files failed, 2 invalid command line, 3 missing or invalid
model, 130 interrupted, 143 terminated. An output file appears complete or not at all.
"""


class PrintCompletion(argparse.Action):
    """Print the completion script of a shell and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: object) -> None:
        """Print the script of the shell that is the option's value."""
        from denoise.cli.completion import completion_script  # shtab, which is slow to import

        print(completion_script(str(arguments[1])))
        parser.exit()


def strength(text: str) -> float:
    """Parse a strength, 0 to 1. argparse shows this function's name in its errors."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} lies outside 0 to 1")
    return value


def count(text: str) -> int:
    """Parse a number, 1 to MAX_COUNT. argparse shows this function's name in its errors."""
    number = int(text)
    if not 1 <= number <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{text} lies outside 1 to {MAX_COUNT}")
    return number


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `denoise IN...`."""
    parser = argparse.ArgumentParser(
        prog="denoise",
        description="Remove noise from recordings of speech. Sample rate, channels, length and "
        "format stay the same, except that formats that are only read, such as M4A, become WAV.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", metavar="IN", help=INPUT_HELP)
    add_options(parser)
    return parser


def add_options(
    parser: argparse.ArgumentParser, file_completion: Mapping[str, str] | None = None
) -> None:
    """Add every option; `file_completion` is shtab.FILE where a completion script is made."""
    _add_denoising(parser, file_completion)
    _add_output(parser, file_completion)
    _add_running(parser)


def _add_denoising(
    parser: argparse.ArgumentParser, file_completion: Mapping[str, str] | None
) -> None:
    group = parser.add_argument_group("denoising")
    model = group.add_argument("--model", default=built_in.GENERAL, help=built_in.HELP)
    model.complete = file_completion  # type: ignore[attr-defined]  # shtab reads it
    group.add_argument(
        "--strength",
        type=strength,
        default=1.0,
        metavar="0..1",
        help="the share of the denoised signal in the output; the input makes up the rest "
        "(default: 1)",
    )
    group.add_argument(
        "--residual",
        action="store_true",
        help="write what denoising removes, instead of the denoised recording",
    )


def _add_output(parser: argparse.ArgumentParser, file_completion: Mapping[str, str] | None) -> None:
    group = parser.add_argument_group("output")
    output = group.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="a file for one recording, a folder for several, or - (standard output, WAV unless "
        "--format is given); default: beside each recording",
    )
    output.complete = file_completion  # type: ignore[attr-defined]  # shtab reads it
    add_target_options(group)
    group.add_argument(
        "--remux",
        action="store_true",
        help="write videos as videos: the picture is copied, only the sound is re-encoded "
        '(needs pip install ".[media]")',
    )
    group.add_argument(
        "-n", "--dry-run", action="store_true", help="write nothing, only list the outputs"
    )


def add_target_options(group: argparse._ActionsContainer) -> None:
    """Add the options for the names and formats of targets, and for targets that exist."""
    group.add_argument(
        "--suffix",
        help="text between the name and the extension (default: none with -o, else -denoised, or "
        "-residual with --residual)",
    )
    group.add_argument(
        "--format",
        choices=formats.CHOICES,
        help="format of the output (default: that of its extension, else that of the input, "
        "else WAV)",
    )
    existing = group.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace existing files")
    existing.add_argument(
        "--skip-existing", action="store_true", help="skip recordings whose output exists already"
    )


def _add_running(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("running")
    group.add_argument(
        "-j",
        "--jobs",
        type=count,
        default=1,
        metavar="N",
        help="number of files to process at a time (default: 1)",
    )
    group.add_argument(
        "--threads",
        type=count,
        metavar="N",
        help="number of threads to compute on, for all files together, but at least one for each "
        "(default: the number of CPU cores); the output does not depend on it",
    )
    group.add_argument("--json", action="store_true", help="print a JSON report to standard output")
    verbosity = group.add_mutually_exclusive_group()
    verbosity.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    verbosity.add_argument(
        "-v", "--verbose", action="store_true", help="print details of each file"
    )
    group.add_argument("--version", action="version", version=f"denoise {__version__}")
    group.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        help="print a completion script for a shell",
    )
