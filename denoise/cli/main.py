"""Run the command line: `denoise IN... [-o OUT]`, `denoise serve`, `client` and `live`."""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from denoise.cli.batch_runner import run_tasks
from denoise.cli.console import NORMAL, QUIET, VERBOSE, Console, print_line
from denoise.cli.io_plan import Plan, Task, make_plan
from denoise.cli.model import load_denoiser
from denoise.cli.parser import make_parser
from denoise.cli.recordings import Request
from denoise.cli.results import Summary, format_outcome
from denoise.cli.stdio import (
    Files,
    check_terminals,
    drop_output,
    open_files,
    output_errors,
    user_names_in_errors,
)
from denoise.errors import DenoiseError, ModelError, UsageError
from denoise.util.cores import count_cores

if TYPE_CHECKING:  # numpy, onnxruntime and soundfile are imported only when needed
    from denoise.cli.batch_runner import DenoiseTask, Outcome
    from denoise.inference.denoiser import Denoiser
    from denoise.inference.file_denoiser import Progress, Report

DONE, SOME_FAILED, USAGE, NO_MODEL, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM; it stops the work as Ctrl-C does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    if sys.stderr is None:  # closed with 2>&-: print would take standard output in its place
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    try:
        with _sigterm_as_exception():
            return _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except UsageError as error:
        return _fail(error, USAGE)
    except ModelError as error:
        return _fail(error, NO_MODEL)
    except DenoiseError as error:
        return _fail(error, SOME_FAILED)
    except BrokenPipeError:  # the reader of standard output has closed it
        drop_output()
        return SOME_FAILED
    except Terminated:
        return _fail("terminated; no partial output was kept", TERMINATED)
    except KeyboardInterrupt:
        return _fail("interrupted; no partial output was kept", INTERRUPTED)


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Raise Terminated on SIGTERM, unless the caller has installed its own handler."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise_terminated(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the cleaning up
    raise Terminated


def _dispatch(arguments: list[str]) -> int:
    """Run the subcommand that the first argument names, if it names one; a file can be ./serve."""
    if arguments[:1] == ["serve"]:
        from denoise.server.cli import serve  # Flask and waitress are imported only here

        return serve(arguments[1:])
    if arguments[:1] == ["client"]:
        from denoise.cli.client import run

        return run(arguments[1:])
    if arguments[:1] == ["live"]:
        from denoise.cli.live import run_live

        return run_live(arguments[1:])
    return denoise_files(make_parser().parse_args(arguments))


def _fail(error: object, status: int) -> int:
    print_line(f"denoise: {error}", sys.stderr)
    return status


def denoise_files(options: argparse.Namespace) -> int:
    """Plan, load the model, denoise all files and report; return the exit status."""
    plan = make_plan(Request.from_options(options, options.remux))
    if options.json and not options.dry_run and any(task.target is None for task in plan.tasks):
        raise UsageError("--json and the recording cannot both use standard output. Omit --json.")
    check_terminals(plan.tasks, options.dry_run)
    if options.dry_run:
        return _print_plan(plan, options.json)
    verbosity = QUIET if options.quiet else VERBOSE if options.verbose else NORMAL
    started = time.perf_counter()
    outcomes = list(_run_plan(plan, options, verbosity))
    summary = Summary(plan, outcomes, time.perf_counter() - started)
    if options.json:
        _print_json(summary)
    if plan.n_files > 1 and (summary.n_failed or verbosity > QUIET):
        print(summary, file=sys.stderr)
    return SOME_FAILED if summary.n_failed else DONE


def _print_json(summary: Summary) -> None:
    with output_errors():
        print(summary.to_json(), flush=True)


def _print_plan(plan: Plan, as_json: bool) -> int:
    """Print what would be done; return the exit status."""
    if as_json:
        _print_json(Summary(plan))
    else:
        with output_errors():
            for task in plan.tasks:
                print_line(f"would write {task.target_name} from {task.source_name}", sys.stdout)
            for task in plan.skipped:
                print_line(f"would skip {task.source_name}: {task.target_name} exists", sys.stdout)
    for failure in plan.failures:
        print_line(f"denoise: {failure.error}", sys.stderr)
    return SOME_FAILED if plan.failures else DONE


def _run_plan(plan: Plan, options: argparse.Namespace, verbosity: int) -> Iterator["Outcome"]:
    """Run all tasks; print each outcome and yield it."""
    with Console(verbosity, len(plan.tasks)) as console:
        for failure in plan.failures:
            console.print_line(f"denoise: {failure.error}", QUIET)
        for task in plan.skipped:
            console.print_line(f"{task.target_name} exists: skipped", VERBOSE)
        if not plan.tasks:
            return
        denoiser = load_denoiser(options.model, _network_threads(options))
        with open_files(plan.tasks) as files:
            denoise_task = _make_denoise_task(denoiser, files, options, console)
            for outcome in run_tasks(denoise_task, plan.tasks, options.jobs):
                console.print_line(*format_outcome(outcome, verbosity >= VERBOSE))
                yield outcome


def _network_threads(options: argparse.Namespace) -> int:
    """Return on how many threads the network runs: those of all jobs add up to `--threads`.

    A job has a thread of its own and shares the others. So there are as many threads as jobs at
    least.
    """
    return max(1, (options.threads or count_cores()) - options.jobs + 1)


def _make_denoise_task(
    denoiser: "Denoiser", files: Files, options: argparse.Namespace, console: Console
) -> "DenoiseTask":
    """Return a function that denoises the file of one task."""

    def denoise_task(task: Task, check: "Progress") -> "Report":
        source, target = files[task]
        audio_format = options.format or ("wav" if task.target is None else None)
        show = console.track_task(task.source_name)

        def progress(done: int, declared: int | None) -> None:
            check(done, declared)
            show(min(1.0, done / declared) if declared else 0.0)

        try:
            with user_names_in_errors(task, source, target):
                settings = (options.strength, options.residual, audio_format, progress)
                return denoiser.denoise_file(source, target, *settings, options.remux)
        finally:
            show(1.0)

    return denoise_task
