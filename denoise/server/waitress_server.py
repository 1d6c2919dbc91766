"""waitress around the application: bodies wait on disk, and a signal ends it in good order."""

import signal
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask

from denoise.server.app import HEADERS, create_app
from denoise.server.context import ServerContext
from denoise.server.limits import MIB
from denoise.server.problems import BY_STATUS, MEDIA_TYPE, ProblemError

LIGHT_THREADS = 4  # for routes that take no slot, however many wait for one
TICK_SECONDS = 0.2
SHUTDOWN_SECONDS = 10.0  # for sending what was done by the deadline
SETTINGS: dict[str, Any] = {
    "channel_timeout": 30,  # without a byte
    "cleanup_interval": 10,
    "connection_limit": 500,
    "asyncore_use_poll": True,
    "inbuf_overflow": MIB // 2,  # more lies on disk
    "outbuf_overflow": MIB // 2,
    "outbuf_high_watermark": 2**40,  # slow readers would hold threads
    "max_request_header_size": 32 * 1024,
    "ident": None,
    "clear_untrusted_proxy_headers": True,
}


class Refusal(ErrorTask):
    """Tells in the API's own words what waitress refuses before the application sees it."""

    def execute(self) -> None:
        """Answer, and close the connection."""
        kind = BY_STATUS.get(self.request.error.code, "bad-request")
        announced = self.request.headers.get("CONTENT_LENGTH", "")
        is_large = kind == "too-large"
        problem = ProblemError(
            kind,
            "The request was refused before it was read to its end.",
            self.channel.adj.max_request_body_size - MIB if is_large else None,
            int(announced) if is_large and announced.isdigit() else None,
        )
        body = problem.to_json()
        self.status = f"{problem.status} {HTTPStatus(problem.status).phrase}"
        self.response_headers += [("Content-Type", MEDIA_TYPE), *HEADERS.items()]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Parser(HTTPRequestParser):
    """Refuses what waitress would drop without a word."""

    def parse_header(self, header_plus: bytes) -> None:
        """Parse a request's head; raises ParsingError for a malformed one."""
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # of urlsplit: a bracket that nothing closes
            raise ParsingError("Bad URI") from error


class Channel(HTTPChannel):
    """A connection."""

    parser_class = Parser
    error_task_class = Refusal


class Server:
    """Listens from the start; `run` answers until a signal, and what was begun is finished."""

    def __init__(self, service: ServerContext, host: str, port: int) -> None:
        """Bind; raises OSError where that cannot be."""
        self._service = service
        self._map: dict[int, Any] = {}
        limits = service.limits
        threads = limits.slots + limits.queue + LIGHT_THREADS
        most_bytes = limits.body_bytes + MIB  # up to there the application tells what the limit is
        self._server = create_server(
            create_app(service),
            map=self._map,
            host=host,
            port=port,
            threads=threads,
            max_request_body_size=most_bytes,
            **SETTINGS,
        )
        for each in self._map.values():
            if isinstance(each, BaseWSGIServer):
                each.channel_class = Channel

    @property
    def url(self) -> str:
        """Return where it listens."""
        listening = getattr(self._server, "effective_listen", None)
        host, port = listening[0] if listening else self._address()
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self, when_ready: Callable[[], None]) -> None:
        """Answer until SIGTERM or SIGINT; a second one ends it at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        when_ready()
        while not self._service.is_stopping.is_set():
            self._turn()
        last = time.monotonic() + self._service.limits.deadline_seconds + SHUTDOWN_SECONDS
        while not self._is_idle() and time.monotonic() < last:
            self._turn()
        self._server.task_dispatcher.shutdown()

    def _turn(self) -> None:
        """Receive and send what is there."""
        wasyncore.loop(timeout=TICK_SECONDS, use_poll=True, map=self._map, count=1)

    def _stop(self, *_: object) -> None:
        if self._service.is_stopping.is_set():
            raise KeyboardInterrupt
        self._service.is_stopping.set()

    def _is_idle(self) -> bool:
        """Tell whether no request is worked on and no answer waits to be sent."""
        channels = [each for each in self._map.values() if isinstance(each, HTTPChannel)]
        return not any(each.requests or each.total_outbufs_len for each in channels)

    def _address(self) -> tuple[str, int]:
        return self._server.effective_host, self._server.effective_port
