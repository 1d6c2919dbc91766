"""The log: a line for each request, and the server's own errors, as text or as JSON.

No line contains a query, a header, a recording, a token or a file's name. The path is logged only
where it is one of the server's own: `curl -T talk.wav` puts a file's name into it.
"""

import json
import logging
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TextIO

FORMATS = ("text", "json")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNKNOWN = "-"
ACCESS = logging.getLogger("denoise.access")


@dataclass(frozen=True)
class Access:
    """A request and its answer: `bytes` counts the answer's body, `problem` is in KINDS or "-"."""

    client: str
    method: str
    path: str
    status: int
    bytes: int
    seconds: float
    request_id: str
    problem: str = UNKNOWN


def make_request_id() -> str:
    """Return a new random id; the answer to a request has it, and so has the log."""
    return secrets.token_hex(8)


def log_access(access: Access) -> None:
    """Write the line of a request."""
    ACCESS.info("", extra={"access": access})


def known_method(method: str | None) -> str:
    """Return a method of HTTP, or "-" for any other text that a client sends as one."""
    return method if method in METHODS else UNKNOWN


class LogFormatter(logging.Formatter):
    """Format the lines of requests and all other messages, each with its time in UTC."""

    def __init__(self, log_format: str) -> None:
        """Create the formatter of one of FORMATS."""
        super().__init__()
        self._is_json = log_format == "json"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; in text, a traceback follows on lines of its own."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        moment = f"{seconds}.{int(record.msecs):03d}Z"
        access = getattr(record, "access", None)
        if isinstance(access, Access):
            fields = asdict(access) | {"seconds": round(access.seconds, 3)}
        else:
            fields = {"level": record.levelname.lower(), "message": record.getMessage()}
            if record.exc_info:
                fields["traceback"] = self.formatException(record.exc_info)
        if self._is_json:
            return json.dumps({"time": moment, **fields})
        traceback = fields.pop("traceback", None)
        line = " ".join([moment, *map(str, fields.values())])
        return f"{line}\n{traceback}" if traceback else line


def start_log(stream: TextIO, log_format: str) -> None:
    """Send all messages of this process to a stream, in one of FORMATS."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter(log_format))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    ACCESS.setLevel(logging.INFO)
