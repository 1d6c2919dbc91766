"""The command line: denoise serve."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from denoise.errors import UsageError
from denoise.server.host_check import Hosts, is_loopback, parse
from denoise.server.limits import MIB, Limits
from denoise.server.protocol import TOKEN_VARIABLE

if TYPE_CHECKING:  # Flask and waitress are an extra
    from denoise.server.waitress_server import Server

DEFAULTS = Limits()


def make_parser(file_completion: Mapping[str, str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of denoise serve; for a completion script, pass shtab.FILE."""
    parser = argparse.ArgumentParser(
        prog="denoise serve", description="Denoise over HTTP; see docs/server.md."
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: this machine alone")
    parser.add_argument("--port", type=_port, default=8765, help="0 takes any that is free")
    parser.add_argument(
        "--allow-host",
        type=_host,
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that it is called by; repeatable",
    )
    model = parser.add_argument("--model", help="another model: an ONNX file, or a bundle folder")
    model.complete = file_completion  # type: ignore[attr-defined]  # shtab reads it
    parser.add_argument("--token", help=f"that clients must send; default: ${TOKEN_VARIABLE}")
    _add_limits(parser)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits")
    for name, kind, default, text in (
        ("--slots", _count, DEFAULTS.slots, "requests worked on at a time"),
        ("--queue", _count_or_none, DEFAULTS.queue, "requests that wait; others are told to"),
        ("--deadline", _seconds, DEFAULTS.deadline_seconds, "seconds for a request"),
        ("--max-body-mib", _count, DEFAULTS.body_bytes // MIB, "MiB of a body"),
        ("--max-channel-seconds", _seconds, DEFAULTS.channel_seconds, "of audio, decoded"),
        ("--max-channels", _channels, DEFAULTS.channels, "of audio"),
    ):
        group.add_argument(
            name, type=kind, default=default, metavar="N", help=f"{text} (default: {default:g})"
        )


def _number(kind: type, text: str, least: float, most: float) -> float:
    number: float = kind(text)
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text} lies outside {least:g} to {most:g}")
    return number


def _host(text: str) -> str:
    try:
        return parse(text)
    except ValueError as error:
        told = f"{text} is more than a name: leave out http:// and the port"
        raise argparse.ArgumentTypeError(told) from error


def _port(text: str) -> int:
    return int(_number(int, text, 0, 65_535))


def _count(text: str) -> int:
    return int(_number(int, text, 1, 1024))


def _count_or_none(text: str) -> int:
    return int(_number(int, text, 0, 1024))


def _channels(text: str) -> int:
    return int(_number(int, text, 1, DEFAULTS.channels))


def _seconds(text: str) -> float:
    return _number(float, text, 0.001, 1e6)


def serve(arguments: Sequence[str]) -> int:
    """Serve until a signal; return 0. Raises UsageError where it cannot listen."""
    options = make_parser().parse_args(arguments)
    server = _make_server(options)
    if not is_loopback(options.host) and _token(options) is None:
        print(f"denoise: anybody who reaches {options.host} is served: no token", file=sys.stderr)
    server.run(lambda: print(f"denoise serves on {server.url}", flush=True))
    return 0


def _token(options: argparse.Namespace) -> str | None:
    return options.token or os.environ.get(TOKEN_VARIABLE) or None


def _make_server(options: argparse.Namespace) -> "Server":
    try:
        from denoise.server.context import ServerContext
        from denoise.server.waitress_server import Server
    except ModuleNotFoundError as error:
        raise UsageError(
            f"denoise serve needs {error.name}, which is not installed: pip install '.[server]'"
        ) from error
    from denoise.inference.denoiser import Denoiser

    network = Denoiser.load(options.model).network
    hosts = Hosts(options.host, frozenset(options.allow_host))
    service = ServerContext(network, _limits(options), _token(options), hosts)
    try:
        return Server(service, options.host, options.port)
    except (OSError, ValueError) as error:  # ValueError: a host of no address
        where = f"{options.host}, port {options.port}"
        raise UsageError(f"It cannot listen on {where}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no address"


def _limits(options: argparse.Namespace) -> Limits:
    return Limits(
        body_bytes=options.max_body_mib * MIB,
        channel_seconds=options.max_channel_seconds,
        channels=options.max_channels,
        deadline_seconds=options.deadline,
        slots=options.slots,
        queue=options.queue,
    )
