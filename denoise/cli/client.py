"""Run `denoise client`: send recordings to `denoise serve` and write the denoised ones.

It imports the standard library only: no model, no numpy.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from denoise.cli.console import print_line
from denoise.cli.io_plan import PIPE, Plan, Task, make_plan
from denoise.cli.parser import INPUT_HELP, add_target_options, strength
from denoise.cli.recordings import Request
from denoise.cli.server_connection import Connection, ServerUnusableError, make_base
from denoise.cli.server_job import JobConnection
from denoise.cli.stdio import Files, check_terminals, open_files, user_names_in_errors
from denoise.containers.detection import sniff
from denoise.dsp import formats
from denoise.errors import DenoiseError, UsageError
from denoise.server.protocol import TOKEN_VARIABLE, read_token

MAX_TIMEOUT_SECONDS = 1e6  # systems have limits of their own


def retries(text: str) -> int:
    """Parse a number of retries, 0 or more. argparse shows this function's name in its errors."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return number


def timeout(text: str) -> float:
    """Parse a number of seconds. argparse shows this function's name in its errors."""
    seconds = float(text)
    if not 0 < seconds <= MAX_TIMEOUT_SECONDS:  # false for NaN, too
        raise argparse.ArgumentTypeError(
            f"{text} is not above 0 and at most {MAX_TIMEOUT_SECONDS:g}"
        )
    return seconds


def make_parser(file_completion: Mapping[str, str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of `denoise client`; for a completion script, pass shtab.FILE."""
    parser = argparse.ArgumentParser(
        prog="denoise client", description="Denoise recordings on a server (denoise serve)."
    )
    parser.add_argument("url", metavar="URL", help="the address that denoise serve prints")
    source = parser.add_argument("inputs", nargs="+", metavar="IN", help=INPUT_HELP)
    target = parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="a file for one recording, a folder for several, or - (standard output, WAV unless "
        "--format is given); default: beside each recording",
    )
    source.complete = target.complete = file_completion  # type: ignore[attr-defined]  # for shtab
    add_target_options(parser)
    parser.add_argument(
        "--strength",
        type=strength,
        metavar="0..1",
        help="the share of the denoised signal in the output (default: 1)",
    )
    parser.add_argument(
        "--residual",
        action="store_true",
        help="get what denoising removes, instead of the denoised recording",
    )
    parser.add_argument(
        "--job",
        action="store_true",
        help="let the server work in the background, so that a long recording survives a lost "
        "connection and a restart of the server",
    )
    parser.add_argument("--token", help=f"the server's token (default: ${TOKEN_VARIABLE})")
    parser.add_argument(
        "--retries",
        type=retries,
        default=5,
        metavar="N",
        help="number of further attempts while the server is busy (default: 5)",
    )
    parser.add_argument(
        "--timeout",
        type=timeout,
        default=960.0,
        metavar="S",
        help="give up after this many seconds without data from the server (default: 960)",
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run `denoise client`; return 0, or 1 if some of several recordings failed.

    Raises UsageError before anything is sent, and DenoiseError if the only recording fails.
    """
    options = make_parser().parse_args(arguments)
    make_base(options.url)
    kind = JobConnection if options.job else Connection
    connection = kind(options.url, read_token(options.token), options.retries, options.timeout)
    plan = make_plan(Request.from_options(options))
    queries = {task: _make_query(options, task) for task in plan.tasks}
    check_terminals(plan.tasks)
    with open_files(plan.tasks) as files:
        if plan.n_files > 1:
            return _denoise_several(connection, plan, queries, files)
        for task in plan.tasks:
            _denoise(connection, queries[task], task, files)
    return 0


def _denoise(connection: Connection, query: dict[str, str], task: Task, files: Files) -> None:
    source, target = files[task]
    with user_names_in_errors(task, source, target):
        connection.denoise(query, source, target)
    if task.target is not None:
        _tell_other_format(task.target)


def _tell_other_format(target: Path) -> None:
    """Print a note if a result is not in the format that its name says.

    The server answers WAV for a recording whose own format it cannot write.
    """
    with target.open("rb") as file:
        container = sniff(file)
    named = formats.BY_EXTENSION.get(formats.extension(target))
    if container is None or named is None or formats.is_same(container.name.upper(), named):
        return
    name = container.name.upper()
    advice = "Rename it, or pass --format."
    print_line(f"denoise: {target} is {name}, whatever its name says. {advice}", sys.stderr)


def _denoise_several(
    connection: Connection, plan: Plan, queries: Mapping[Task, dict[str, str]], files: Files
) -> int:
    """Send one recording after the other, and report each; return the exit status.

    One that fails does not stop the others, unless the server itself cannot be used.
    """
    n_done = 0
    for failure in plan.failures:
        print_line(f"denoise: {failure.error}", sys.stderr)
    for task in plan.tasks:
        try:
            _denoise(connection, queries[task], task, files)
        except DenoiseError as error:
            print_line(f"denoise: {task.source_name}: {error}", sys.stderr)
            if isinstance(error, ServerUnusableError):
                break
        else:
            n_done += 1
            print_line(f"{task.source_name} -> {task.target_name}", sys.stderr)
    n_failed = plan.n_files - len(plan.skipped) - n_done
    counts = f"{n_done} done, {n_failed} failed, {len(plan.skipped)} skipped"
    print_line(f"denoise: {counts}", sys.stderr)
    return 1 if n_failed else 0


def _make_query(options: argparse.Namespace, task: Task) -> dict[str, str]:
    """Return the options of the command line as the query of a request."""
    query: dict[str, str] = {}
    if options.strength is not None:
        query["strength"] = f"{options.strength:g}"
    if options.residual:
        query["residual"] = "true"
    if (choice := _choose_format(options, task)) is not None:
        query["format"] = choice
    return query


def _choose_format(options: argparse.Namespace, task: Task) -> str | None:
    """Return the server's name of the output format; None keeps that of the recording."""
    if task.target is None:
        return options.format or "wav"
    source, extension = task.source or Path(PIPE), formats.extension(task.target)
    if extension in formats.SUBTYPES and extension != formats.extension(source):
        raise UsageError(
            f"The server writes .{extension} files of .{extension} recordings only. Name an .ogg "
            "file."
        )
    if options.format is not None:
        return options.format
    name = formats.choose(source, task.target, None)
    for choice in formats.CHOICES:
        if name == formats.BY_EXTENSION[choice]:
            return choice
    if name is not None:
        raise UsageError(
            f"The server does not write {task.target.suffix} files. Pass --format wav."
        )
    return None
