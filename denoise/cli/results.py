"""Report what was done, as lines of text or as JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from denoise.cli.batch_runner import Outcome
from denoise.cli.console import NORMAL, QUIET
from denoise.cli.io_plan import Plan, Task

MIN_RATIO = 0.75  # written over wanted bit rate; below it, or above its inverse, both are printed


def format_outcome(outcome: Outcome, is_verbose: bool) -> tuple[str, int]:
    """Return a line about one file, and the lowest verbosity at which it is printed."""
    task, report = outcome.task, outcome.report
    if report is None:
        error = str(outcome.error)
        is_named = task.source_name in error or task.target_name in error
        return f"denoise: {'' if is_named else f'{task.source_name}: '}{error}", QUIET
    text = f"{task.source_name} -> {task.target_name}"
    if is_verbose:
        audio_format, encoding = report.audio_format, report.encoding
        text += (
            f" ({report.duration_seconds:.2f} s, {audio_format.sample_rate} Hz, "
            f"{audio_format.channels} channel(s), {encoding.format} {encoding.subtype}"
            f"{f' {report.bit_rate / 1000:.0f} kbit/s' if report.bit_rate else ''}, "
            f"in {report.elapsed_seconds:.2f} s)"
        )
    wanted, written = report.encoding.bit_rate, report.bit_rate
    if wanted and written and not MIN_RATIO < written / wanted < 1 / MIN_RATIO:
        text += f" [{written / 1000:.0f} kbit/s; the input has {wanted / 1000:.0f}]"
    if report.clipped_samples:
        text += f" [{report.clipped_samples} samples clipped: beyond full scale]"
    return text + "".join(f" [{note}]" for note in report.notes), NORMAL


def _make_entry(task: Task, status: str, **fields: Any) -> dict[str, Any]:
    return {"input": task.source_name, "output": task.target_name, "status": status, **fields}


def _make_outcome_entry(outcome: Outcome) -> dict[str, Any]:
    report = outcome.report
    if report is None:
        return _make_entry(outcome.task, "failed", error=outcome.error)
    extra: dict[str, Any] = {}
    if report.bit_rate is not None:
        extra["bits_per_second"] = round(report.bit_rate)
    if report.notes:
        extra["notes"] = list(report.notes)
    return _make_entry(
        outcome.task,
        "denoised",
        seconds=report.duration_seconds,
        samples=report.n_samples,
        sample_rate=report.audio_format.sample_rate,
        channels=report.audio_format.channels,
        format=report.encoding.format,
        subtype=report.encoding.subtype,
        clipped_samples=report.clipped_samples,
        elapsed_seconds=round(report.elapsed_seconds, 3),
        **extra,
    )


@dataclass(frozen=True)
class Summary:
    """A plan and the outcomes of its tasks; a dry run has no outcomes."""

    plan: Plan
    outcomes: Sequence[Outcome] = ()
    elapsed_seconds: float = 0.0

    @property
    def n_failed(self) -> int:
        """Return how many files failed, those that could not be planned included."""
        return self._n_tasks_failed + len(self.plan.failures)

    @property
    def _n_tasks_failed(self) -> int:
        return sum(outcome.report is None for outcome in self.outcomes)

    def __str__(self) -> str:
        """Return one line about all files."""
        n_done = len(self.outcomes) - self._n_tasks_failed
        return f"denoise: {n_done} done, {self.n_failed} failed, {len(self.plan.skipped)} skipped"

    def to_json(self) -> str:
        """Return a JSON object with `files`, in the order of the plan, and `totals`."""
        entries = {outcome.task: _make_outcome_entry(outcome) for outcome in self.outcomes}
        files = [entries.get(task) or _make_entry(task, "planned") for task in self.plan.tasks]
        files += [_make_entry(task, "skipped") for task in self.plan.skipped]
        files += [
            {"input": each.name, "output": None, "status": "failed", "error": each.error}
            for each in self.plan.failures
        ]
        statuses = ("denoised", "failed", "skipped", "planned")
        totals: dict[str, Any] = {
            status: sum(entry["status"] == status for entry in files) for status in statuses
        }
        for key in ("seconds", "clipped_samples"):
            totals[key] = sum(entry.get(key, 0) for entry in files)
        totals["elapsed_seconds"] = round(self.elapsed_seconds, 3)
        return json.dumps({"files": files, "totals": totals}, indent=2)
