"""The command line of `denoise serve`."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from denoise.errors import UsageError
from denoise.inference import built_in
from denoise.server.access_log import FORMATS, start_log
from denoise.server.host_check import Hosts, is_loopback, parse
from denoise.server.limits import MIB, Limits
from denoise.server.origin import Origin
from denoise.server.own_stderr import own_stderr
from denoise.server.protocol import TOKEN_VARIABLE, read_token

if TYPE_CHECKING:  # Flask, waitress and prometheus_client are optional dependencies
    from denoise.server.waitress_server import Server

DEFAULTS = Limits()


def make_parser(file_completion: Mapping[str, str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of `denoise serve`; for a completion script, pass shtab.FILE."""
    parser = argparse.ArgumentParser(
        prog="denoise serve", description="Serve the denoiser over HTTP; see docs/server.md."
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1, reachable from this machine only)",
    )
    port_help = "port to listen on; 0 chooses a free one (default: 8765)"
    parser.add_argument("--port", type=_port, default=8765, help=port_help)
    parser.add_argument(
        "--allow-host",
        type=_host,
        action="append",
        default=[],
        metavar="NAME",
        help="a further host name to accept in the Host header; repeatable",
    )
    parser.add_argument(
        "--allow-origin",
        type=_origin,
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a web site whose pages may use the server, like https://talks.example; repeatable",
    )
    parser.add_argument(
        "--log-format",
        choices=FORMATS,
        default="text",
        help="how the log on standard error is written (default: text)",
    )
    model = parser.add_argument("--model", default=built_in.GENERAL, help=built_in.HELP)
    model.complete = file_completion  # type: ignore[attr-defined]  # shtab reads it
    parser.add_argument(
        "--token", help=f"token that clients must send (default: ${TOKEN_VARIABLE})"
    )
    parser.add_argument(
        "--jobs-dir",
        type=Path,
        metavar="FOLDER",
        help="where jobs are kept (default: denoise-jobs-USER-PORT in the folder for temporary "
        "files; with --port 0, a new folder that is deleted when the server stops)",
    )
    _add_limits(parser)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits")
    for name, convert, default, text in (
        ("--workers", _positive_count, DEFAULTS.workers, "requests processed at a time"),
        ("--queue", _count, DEFAULTS.queue, "requests that may wait; more are refused"),
        ("--deadline", _duration, DEFAULTS.deadline_seconds, "seconds that a request may take"),
        ("--max-body-mib", _mebibytes, DEFAULTS.body_bytes // MIB, "size of a body in MiB"),
        (
            "--max-channel-seconds",
            _duration,
            DEFAULTS.channel_seconds,
            "seconds of audio, summed over channels: by default an hour in stereo",
        ),
        ("--max-channels", _channels, DEFAULTS.channels, "number of audio channels"),
        ("--max-jobs", _job_count, DEFAULTS.jobs, "jobs that are kept"),
        ("--max-jobs-mib", _mebibytes, DEFAULTS.jobs_bytes // MIB, "size of all jobs in MiB"),
        ("--job-hours", _duration, DEFAULTS.job_hours, "hours for which an ended job is kept"),
    ):
        group.add_argument(
            name, type=convert, default=default, metavar="N", help=f"{text} (default: {default:g})"
        )


def _number(convert: type, text: str, minimum: float, maximum: float) -> float:
    try:
        number: float = convert(text)
    except ValueError as error:
        kind = "a whole number" if convert is int else "a number"
        raise argparse.ArgumentTypeError(f"{text} is not {kind}") from error
    if not minimum <= number <= maximum:
        raise argparse.ArgumentTypeError(f"{text} is not in the range {minimum:g} to {maximum:g}")
    return number


def _host(text: str) -> str:
    try:
        return parse(text)
    except ValueError as error:
        message = f"{text} is not a host name: leave out http:// and the port"
        raise argparse.ArgumentTypeError(message) from error


def _origin(text: str) -> Origin:
    try:
        return Origin.parse(text.removesuffix("/"))
    except ValueError as error:
        message = f"{text} is not an origin: write http:// or https://, a host, and maybe a port"
        raise argparse.ArgumentTypeError(message) from error


def _port(text: str) -> int:
    return int(_number(int, text, 0, 65_535))


def _positive_count(text: str) -> int:
    return int(_number(int, text, 1, 1024))


def _job_count(text: str) -> int:
    return int(_number(int, text, 1, 10**6))


def _mebibytes(text: str) -> int:
    return int(_number(int, text, 1, 2**20))


def _count(text: str) -> int:
    return int(_number(int, text, 0, 1024))


def _channels(text: str) -> int:
    return int(_number(int, text, 1, DEFAULTS.channels))


def _duration(text: str) -> float:
    return _number(float, text, 0.001, 1e6)


def serve(arguments: Sequence[str]) -> int:
    """Serve until a signal, and return 0.

    Raises UsageError for a token that no client can send, and where the server cannot listen or
    cannot use the folder for jobs.
    """
    options = make_parser().parse_args(arguments)
    token = read_token(options.token)
    server = _make_server(options, token)
    if not is_loopback(options.host) and token is None:
        print(
            f"denoise: no token is set: anyone who can reach {options.host} can use this server",
            file=sys.stderr,
        )
    with own_stderr() as stream:
        start_log(stream, options.log_format)
        server.run(lambda: print(f"denoise serves on {server.url}", flush=True))
    return 0


def _make_server(options: argparse.Namespace, token: str | None) -> "Server":
    try:
        from denoise.server.context import ServerContext
        from denoise.server.cross_origin import Origins
        from denoise.server.private_folder import JOBS, REQUESTS, default_folder
        from denoise.server.waitress_server import Server
    except ModuleNotFoundError as error:
        raise UsageError(
            f'denoise serve needs {error.name}, which is not installed: pip install ".[server]" '
            "in the source folder of denoise"
        ) from error
    from denoise.inference.denoiser import Denoiser

    network = Denoiser.load(options.model).network
    hosts = Hosts(options.host, frozenset(options.allow_host))
    origins = Origins(frozenset(options.allow_origin))
    jobs, requests = options.jobs_dir, None
    if options.port:
        jobs = jobs or default_folder(options.port, JOBS)
        requests = default_folder(options.port, REQUESTS)
    context = ServerContext(network, _make_limits(options), token, hosts, origins, jobs, requests)
    try:
        return Server(context, options.host, options.port)
    except (OSError, ValueError) as error:  # ValueError: the host has no address
        where = f"{options.host}, port {options.port}"
        raise UsageError(
            f"Cannot listen on {where}: {_reason(error)}. Choose another --host or --port."
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "the host has no address"


def _make_limits(options: argparse.Namespace) -> Limits:
    return Limits(
        body_bytes=options.max_body_mib * MIB,
        channel_seconds=options.max_channel_seconds,
        channels=options.max_channels,
        deadline_seconds=options.deadline,
        workers=options.workers,
        queue=options.queue,
        jobs=options.max_jobs,
        jobs_bytes=options.max_jobs_mib * MIB,
        job_hours=options.job_hours,
    )
