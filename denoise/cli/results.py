"""What was done, for a person in lines and for a machine in JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from denoise.cli.batch_runner import Outcome
from denoise.cli.console import NORMAL, QUIET
from denoise.cli.io_plan import Plan, Task


def line(outcome: Outcome, is_verbose: bool) -> tuple[str, int]:
    """Return a line on one file, and the least level of those who should read it."""
    task, report = outcome.task, outcome.report
    if report is None:
        return f"denoise: {outcome.error}", QUIET
    text = f"{task.source_name} -> {task.target_name}"
    if is_verbose:
        form, encoding = report.form, report.encoding
        text += (
            f" ({report.duration_seconds:.2f} s, {form.sample_rate} Hz, {form.channels} "
            f"channel(s), {encoding.format} {encoding.subtype}, in {report.elapsed_seconds:.2f} s)"
        )
    if report.clipped_samples:
        text += f" [{report.clipped_samples} samples clipped: beyond full scale]"
    return text, NORMAL


def _entry(task: Task, status: str, **more: Any) -> dict[str, Any]:
    return {"input": task.source_name, "output": task.target_name, "status": status, **more}


def _outcome_entry(outcome: Outcome) -> dict[str, Any]:
    report = outcome.report
    if report is None:
        return _entry(outcome.task, "failed", error=outcome.error)
    return _entry(
        outcome.task,
        "denoised",
        seconds=report.duration_seconds,
        samples=report.n_samples,
        sample_rate=report.form.sample_rate,
        channels=report.form.channels,
        format=report.encoding.format,
        subtype=report.encoding.subtype,
        clipped_samples=report.clipped_samples,
        elapsed_seconds=round(report.elapsed_seconds, 3),
    )


@dataclass(frozen=True)
class Summary:
    """A plan, and what became of it; no outcomes yet of one that was only made."""

    plan: Plan
    outcomes: Sequence[Outcome] = ()
    elapsed_seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Count what failed."""
        return sum(outcome.report is None for outcome in self.outcomes)

    def __str__(self) -> str:
        """Return one line on all files."""
        done = len(self.outcomes) - self.failed
        return f"denoise: {done} done, {self.failed} failed, {len(self.plan.skipped)} skipped"

    def to_json(self) -> str:
        """Return all as a JSON object: `files`, in the order of the plan, and `totals`."""
        entries = {outcome.task: _outcome_entry(outcome) for outcome in self.outcomes}
        files = [entries.get(task) or _entry(task, "planned") for task in self.plan.tasks]
        files += [_entry(task, "skipped") for task in self.plan.skipped]
        statuses = ("denoised", "failed", "skipped", "planned")
        totals: dict[str, Any] = {
            status: sum(entry["status"] == status for entry in files) for status in statuses
        }
        for key in ("seconds", "clipped_samples"):
            totals[key] = sum(entry.get(key, 0) for entry in files)
        totals["elapsed_seconds"] = round(self.elapsed_seconds, 3)
        return json.dumps({"files": files, "totals": totals}, indent=2)
