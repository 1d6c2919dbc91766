"""Tell the cause of an error from what git printed, and what the user can do about it."""

import re
import signal

DISK_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|died of signal 25\b"
)
UNKNOWN_COMMIT = re.compile(r"not our ref|unadvertised object|find remote ref|want \w+ not valid")
NO_REPOSITORY = re.compile(
    r"Repository not found|repository '.*' not found|not appear to be a git repository"
    r"|could not read Username|Authentication failed|returned error: 40[134]"
)
NETWORK = re.compile(
    r"Could not resolve|Failed to connect|Couldn't connect|Connection|timed out|early EOF"
    r"|RPC failed|hung up|unexpected disconnect|SSL|GnuTLS|returned error: (?:429|5\d\d)|too slow",
    re.IGNORECASE,
)


def explain(printed: str) -> str | None:
    """Return advice for an error that another attempt would not change; None for others."""
    if DISK_FULL.search(printed):
        return "The disk is full. Free some space, then run dvc repro to go on with the fetch."
    if UNKNOWN_COMMIT.search(printed):
        return (
            "It has no such commit, or lacks files of it. Correct the catalogue, or update the "
            "mirror with git fetch."
        )
    if NO_REPOSITORY.search(printed):
        return "There is no such public repository. Correct the catalogue."
    return None


def describe_signal(status: int) -> str:
    """Return a line for a git that was ended by a signal, or nothing."""
    return f"git was ended by signal {signal.Signals(-status).value}\n" if status < 0 else ""


def last_line(printed: str) -> str:
    """Return the last line that git marks as an error, or its last line."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    marked = [line for line in lines if re.match(r"(remote: )?(fatal|error|ERROR):", line)]
    return (marked or lines or ["it printed nothing"])[-1][:300]
