"""Serve the application with waitress, buffer bodies on disk, and stop cleanly on a signal."""

import signal
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask

from denoise.server.access_log import (
    UNKNOWN,
    Access,
    known_method,
    log_access,
    make_request_id,
)
from denoise.server.app import HEADERS, create_app
from denoise.server.context import ServerContext
from denoise.server.jobs.events import MAX_STREAMS
from denoise.server.limits import MIB
from denoise.server.private_folder import remove_abandoned_folders
from denoise.server.problems import BY_STATUS, MEDIA_TYPE, ProblemError

LIGHT_THREADS = 4  # for routes that need no worker, even while the work queue is full
POLL_SECONDS = 0.2
SHUTDOWN_SECONDS = 10.0  # after the deadline, for sending the last responses
READ_SECONDS = 300.0  # without a byte, while a part of the response is still to be sent
SETTINGS: dict[str, Any] = {
    "channel_timeout": 30,  # seconds without a byte
    "cleanup_interval": 10,
    "connection_limit": 500,
    "channel_request_lookahead": 1,  # also read during a request, to see whether the client is gone
    "asyncore_use_poll": True,
    "inbuf_overflow": MIB // 2,  # larger bodies are buffered on disk
    "outbuf_overflow": MIB // 2,
    "outbuf_high_watermark": 2**40,  # with a lower one, slow readers would block threads
    "max_request_header_size": 32 * 1024,
    "ident": None,
    "clear_untrusted_proxy_headers": True,
}


class ProblemTask(ErrorTask):
    """Answer in the API's error format where waitress itself refuses a request."""

    def execute(self) -> None:
        """Send the error, and close the connection."""
        kind = BY_STATUS.get(self.request.error.code, "bad-request")
        announced = self.request.headers.get("CONTENT_LENGTH", "")
        is_too_large = kind == "too-large"
        problem = ProblemError(
            kind,
            "The request was refused before it was read completely.",
            self.channel.adj.max_request_body_size - MIB if is_too_large else None,
            int(announced) if is_too_large and announced.isdigit() else None,
        )
        request_id = make_request_id()
        body = problem.to_json(request_id)
        self.status = f"{problem.status} {HTTPStatus(problem.status).phrase}"
        self.response_headers += [("Content-Type", MEDIA_TYPE), *HEADERS.items()]
        self.response_headers.append(("Request-Id", request_id))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)
        method = known_method(getattr(self.request, "command", None))
        client = str(self.channel.addr[0])
        line = Access(client, method, UNKNOWN, problem.status, len(body), 0.0, request_id, kind)
        log_access(line)


class Parser(HTTPRequestParser):
    """Refuse malformed requests that waitress would drop without an answer."""

    def parse_header(self, header_plus: bytes) -> None:
        """Parse a request's header; raises ParsingError for a malformed one."""
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # from urlsplit, for an unclosed bracket
            raise ParsingError("Bad URI") from error


class Channel(HTTPChannel):
    """A connection that uses this module's parser and errors."""

    parser_class = Parser
    error_task_class = ProblemTask


class Server:
    """A server that listens once it is created; `run` answers requests until a signal."""

    def __init__(self, context: ServerContext, host: str, port: int) -> None:
        """Bind the socket; raises OSError where that is not possible."""
        self._context = context
        self._map: dict[int, Any] = {}
        limits = context.limits
        self._server = create_server(
            create_app(context),
            map=self._map,
            host=host,
            port=port,
            threads=limits.workers + limits.queue + LIGHT_THREADS + MAX_STREAMS,
            # Up to this size the application answers itself, and names the limit.
            max_request_body_size=limits.body_bytes + MIB,
            **SETTINGS,
        )
        for each in self._map.values():
            if isinstance(each, BaseWSGIServer):
                each.channel_class = Channel
                each.maintenance = partial(self._close_idle, each)

    @property
    def url(self) -> str:
        """Return the URL on which the server listens."""
        addresses = getattr(self._server, "effective_listen", None)
        host, port = addresses[0] if addresses else self._address()
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self, when_ready: Callable[[], None]) -> None:
        """Answer requests until SIGTERM or SIGINT, then finish the requests that are running.

        Running jobs are queued again for the next server. A second signal ends the server at once.
        Raises UsageError where the folder for jobs cannot be used.
        """
        jobs, request_files = self._context.jobs, self._context.request_files
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        remove_abandoned_folders()
        jobs.start()
        try:
            request_files.open()
            when_ready()
            self._answer_until_signal()
        finally:
            request_files.close()
            jobs.store.close()

    def _answer_until_signal(self) -> None:
        while not self._context.is_stopping.is_set():
            self._poll()
        last = time.monotonic() + self._context.limits.deadline_seconds + SHUTDOWN_SECONDS
        while not (self._is_idle() and self._context.jobs.is_idle) and time.monotonic() < last:
            self._poll()
        self._server.task_dispatcher.shutdown()

    def _poll(self) -> None:
        """Receive and send what is ready."""
        wasyncore.loop(timeout=POLL_SECONDS, use_poll=True, map=self._map, count=1)

    def _close_idle(self, server: BaseWSGIServer, now: float) -> None:
        """Close the connections on which no byte was received or sent for too long.

        A client that reads a response may pause for longer than one that sends a request, unless
        the server is stopping.
        """
        idle_seconds = server.adj.channel_timeout
        read_seconds = idle_seconds if self._context.is_stopping.is_set() else READ_SECONDS
        for channel in server.active_channels.values():
            seconds = read_seconds if channel.total_outbufs_len > 0 else idle_seconds
            if not channel.requests and channel.last_activity < now - seconds:
                channel.will_close = True

    def _stop(self, *_: object) -> None:
        if self._context.is_stopping.is_set():
            raise KeyboardInterrupt
        self._context.is_stopping.set()

    def _is_idle(self) -> bool:
        """Tell whether no request is running and every response has been sent."""
        channels = [each for each in self._map.values() if isinstance(each, HTTPChannel)]
        return not any(each.requests or each.total_outbufs_len for each in channels)

    def _address(self) -> tuple[str, int]:
        return self._server.effective_host, self._server.effective_port
