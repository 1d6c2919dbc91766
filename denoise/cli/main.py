"""The command line: denoise IN... [-o OUT], denoise serve, denoise client."""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from denoise.cli.batch_runner import work
from denoise.cli.console import NORMAL, QUIET, VERBOSE, Console
from denoise.cli.io_plan import Plan, Request, Task, make_plan
from denoise.cli.parser import make_parser
from denoise.cli.results import Summary, line
from denoise.cli.stdio import Files, check_terminals, connected, naming
from denoise.errors import DenoiseError, ModelError, UsageError

if TYPE_CHECKING:  # numpy, onnxruntime and soundfile start when there is work for them
    from denoise.cli.batch_runner import Clean, Outcome
    from denoise.inference.denoiser import Denoiser
    from denoise.inference.file_denoiser import Progress, Report

DONE, SOME_FAILED, USAGE, NO_MODEL, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM came; it ends the work as Ctrl-C does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    try:
        with _terminable():
            return _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except UsageError as error:
        return _fail(error, USAGE)
    except ModelError as error:
        return _fail(error, NO_MODEL)
    except DenoiseError as error:
        return _fail(error, SOME_FAILED)
    except BrokenPipeError:  # who read standard output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except Terminated:
        return _fail("terminated; nothing half-written was kept", TERMINATED)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing half-written was kept", INTERRUPTED)


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise Terminated at SIGTERM, unless whoever calls has a way of their own with it."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would disturb the cleaning up
    raise Terminated


def _dispatch(words: list[str]) -> int:
    """Do what the first word names; a file of such a name is ./serve."""
    if words[:1] == ["serve"]:
        from denoise.server.cli import serve  # Flask and waitress, for this alone

        return serve(words[1:])
    if words[:1] == ["client"]:
        from denoise.cli.client import run

        return run(words[1:])
    return clean(make_parser().parse_args(words))


def _fail(error: object, status: int) -> int:
    print(f"denoise: {error}", file=sys.stderr)
    return status


def clean(options: argparse.Namespace) -> int:
    """Plan, load the model, clean, report; return the exit status."""
    plan = make_plan(_request(options))
    if options.json and not options.dry_run and any(task.target is None for task in plan.tasks):
        raise UsageError("Standard output is taken by the recording: leave out --json.")
    check_terminals(plan.tasks, options.dry_run)
    if options.dry_run:
        return _announce(plan, options.json)
    level = QUIET if options.quiet else VERBOSE if options.verbose else NORMAL
    started = time.perf_counter()
    outcomes = list(_outcomes(plan, options, level))
    result = Summary(plan, outcomes, time.perf_counter() - started)
    if options.json:
        print(result.to_json())
    if result.failed or (level > QUIET and len(plan.tasks) + len(plan.skipped) > 1):
        print(result, file=sys.stderr)
    return SOME_FAILED if result.failed else DONE


def _request(options: argparse.Namespace) -> Request:
    existing = "overwrite" if options.overwrite else "skip" if options.skip_existing else "refuse"
    wanted = (options.output, options.suffix, options.format, options.residual)
    return Request(tuple(options.inputs), *wanted, existing)


def _announce(plan: Plan, as_json: bool) -> int:
    """Say what would be done."""
    if as_json:
        print(Summary(plan).to_json())
        return DONE
    for task in plan.tasks:
        print(f"would write {task.target_name} from {task.source_name}")
    for task in plan.skipped:
        print(f"would skip {task.source_name}: {task.target_name} exists")
    return DONE


def _outcomes(plan: Plan, options: argparse.Namespace, level: int) -> Iterator["Outcome"]:
    """Yield what became of each task, once the console has told of it."""
    with Console(level, len(plan.tasks)) as console:
        for task in plan.skipped:
            console.say(f"{task.target_name} exists: skipped", VERBOSE)
        if not plan.tasks:
            return
        denoiser = _load(options.model)
        with connected(plan.tasks) as files:
            clean_one = _cleaner(denoiser, files, options, console)
            for outcome in work(clean_one, plan.tasks, options.jobs):
                console.say(*line(outcome, level >= VERBOSE))
                yield outcome


def _load(model: str | None) -> "Denoiser":
    """Load the model; raises BundleError where it is missing or bad."""
    from denoise.inference.denoiser import Denoiser

    try:
        return Denoiser.load(model)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"The model needs {error.name}, which is not installed. A bundle folder takes the "
            "packages in requirements.txt, an ONNX file only what pip install . brings."
        ) from error


def _cleaner(
    denoiser: "Denoiser", files: Files, options: argparse.Namespace, console: Console
) -> "Clean":
    """Return what cleans one task's file."""

    def clean_one(task: Task, check: "Progress") -> "Report":
        source, target = files[task]
        asked = options.format or ("wav" if task.target is None else None)
        show = console.follow()

        def progress(done: int, claimed: int | None) -> None:
            check(done, claimed)
            show(min(1.0, done / claimed) if claimed else 0.0)

        try:
            with naming(task, source, target):
                how = (options.strength, options.residual, asked, progress)
                return denoiser.denoise_file(source, target, *how)
        finally:
            show(1.0)

    return clean_one
