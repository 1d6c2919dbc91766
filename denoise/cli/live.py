"""Run `denoise live`: denoise a microphone in real time.

sounddevice, numpy and the model are imported only when the command line is valid.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoise.cli.console import print_line
from denoise.cli.io_plan import check_replaceable
from denoise.cli.model import load_denoiser
from denoise.cli.parser import strength
from denoise.cli.recordings import check_name
from denoise.errors import UsageError
from denoise.inference.built_in import LIVE
from denoise.util.cores import count_cores
from denoise.util.paths import is_same_file

if TYPE_CHECKING:  # numpy and soundfile are imported only when there is something to denoise
    from denoise.inference.audio_io import Source
    from denoise.inference.denoiser import Denoiser
    from denoise.inference.live import Input, LiveFormat, LiveReport, Output

MAX_BLOCK_MS = 10_000.0
BLOCK_MS, LOOKAHEAD_BLOCK_MS = 32.0, 500.0  # defaults; each block needs its whole look-ahead anew
LOOKAHEAD_ADVICE = (
    "denoise: most of the latency is the audio after each sample that the model needs. "
    "--model live needs none"
)


def make_parser(file_completion: Mapping[str, str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of `denoise live`; for a completion script, pass shtab.FILE."""
    parser = argparse.ArgumentParser(
        prog="denoise live",
        description="Denoise a microphone in real time and play the result, until Ctrl-C.",
        conflict_handler="resolve",  # groups inherit it, and tcsh's script merges all parsers
    )
    model = parser.add_argument(
        "--model",
        default=LIVE,
        help="live, general (better, seconds late), an ONNX file or a saved model (default: live)",
    )
    parser.add_argument(
        "--strength",
        type=strength,
        default=1.0,
        metavar="0..1",
        help="the share of the denoised signal in the output (default: 1)",
    )
    parser.add_argument(
        "--block-ms",
        type=milliseconds,
        metavar="MS",
        help="length of the blocks in milliseconds; shorter blocks give a shorter delay but need "
        "more computing (default: 32, or 500 for a model that looks ahead)",
    )
    _add_devices(parser)
    group = parser.add_argument_group("files in place of sound devices")
    play = group.add_argument(
        "--play", metavar="FILE", help="read a recording instead of the microphone, in real time"
    )
    record = group.add_argument(
        "--record", metavar="FILE", help="write a WAV file instead of playing the result"
    )
    group.add_argument("--overwrite", action="store_true", help="replace the file of --record")
    for option in (model, play, record):
        option.complete = file_completion  # type: ignore[attr-defined]  # shtab reads it
    return parser


def _add_devices(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sound devices")
    group.add_argument(
        "--input", type=_device, metavar="DEVICE", help="the microphone, by name or number"
    )
    group.add_argument(
        "--output", type=_device, metavar="DEVICE", help="the speaker, by name or number"
    )
    group.add_argument("--list-devices", action="store_true", help="list the devices and exit")
    group.add_argument(
        "--rate",
        type=int,
        metavar="HZ",
        help="sample rate of the devices (default: the model's; any other adds to the delay)",
    )


def _device(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def milliseconds(text: str) -> float:
    """Parse the length of a block. argparse shows this function's name in its errors."""
    value = float(text)
    if not 0 < value <= MAX_BLOCK_MS:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {MAX_BLOCK_MS:g}")
    return value


def run_live(arguments: Sequence[str]) -> int:
    """Run `denoise live` until the input ends or a signal comes; return 0.

    Raises UsageError before any audio is heard, ModelError for a model that is missing or invalid,
    and DenoiseError if a device or a file fails.
    """
    options = make_parser().parse_args(arguments)
    if options.list_devices:
        from denoise.inference import sound_device

        for line in sound_device.list_devices(sound_device.load()).splitlines():
            print_line(line, sys.stdout)
        return 0
    _check_options(options)
    with ExitStack() as stack:
        report = _run(options, stack)
    _print_report(report)
    if report.failure is not None:
        raise report.failure
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """Raise UsageError for options that exclude each other, and for unusable files."""
    for file, device in (("play", "input"), ("record", "output")):
        if getattr(options, file) is not None and getattr(options, device) is not None:
            raise UsageError(f"--{file} takes the place of --{device}. Omit one of them.")
    if options.play is not None and options.rate is not None:
        raise UsageError("With --play, the recording sets the sample rate. Omit --rate.")
    if options.record is None:
        return
    check_name(options.record, "The file of --record")
    record = Path(options.record)
    if record.suffix.lower() != ".wav":
        raise UsageError(f"--record writes WAV. Give {record} the extension .wav.")
    if options.play is not None and is_same_file(record, options.play):
        raise UsageError(f"{record} is the input itself. Write to another file.")
    check_replaceable(record, options.overwrite)


def _run(options: argparse.Namespace, stack: ExitStack) -> "LiveReport":
    """Open all that is needed, and denoise; `stack` closes it."""
    from denoise.inference import live, sound_device
    from denoise.inference.reader import reading

    needs_device = options.play is None or options.record is None
    sounddevice = sound_device.load() if needs_device else None
    recording = None if options.play is None else stack.enter_context(reading(Path(options.play)))
    denoiser = load_denoiser(options.model, count_cores())
    live_format = _choose_format(denoiser, options, recording)
    rate, channels = live_format.sample_rate, live_format.channels
    stream = denoiser.stream(
        rate, channels, options.strength, block_seconds=live_format.block_seconds
    )
    sink, sink_seconds = _open_output(options, stack, sounddevice, live_format)
    source, source_seconds = _open_input(options, stack, sounddevice, live_format, recording)
    _print_start(denoiser, live_format, sink_seconds + source_seconds)
    with _stopped_by_signals() as should_stop:
        return live.run(stream, source, sink, live_format, should_stop)


def _choose_format(
    denoiser: "Denoiser", options: argparse.Namespace, recording: "Source | None"
) -> "LiveFormat":
    """Return the format of the recording, or of devices: one channel, at the model's rate."""
    from denoise.dsp.audio import out_of_range
    from denoise.inference.live import choose_format

    channels = 1
    rate = denoiser.network.spec.sample_rate if options.rate is None else options.rate
    if recording is not None:
        rate, channels = recording.audio_format.sample_rate, recording.audio_format.channels
    if excess := out_of_range(rate, channels):
        raise UsageError(f"{excess.message} Pass another --rate.")
    default_ms = LOOKAHEAD_BLOCK_MS if denoiser.network.spec.lookahead_frames else BLOCK_MS
    return choose_format(denoiser.network, rate, channels, (options.block_ms or default_ms) / 1000)


def _open_output(
    options: argparse.Namespace, stack: ExitStack, sounddevice: Any, live_format: "LiveFormat"
) -> "tuple[Output, float]":
    """Return the speaker, or the file in its place, and the seconds by which it is late."""
    from denoise.inference import live, sound_device
    from denoise.inference.file_denoiser import recording_to

    if options.record is not None:
        sink = recording_to(Path(options.record), live_format.sample_rate, live_format.channels)
        return live.Recorder(stack.enter_context(sink)), 0.0
    opened = sound_device.opened(sounddevice, "output", options.output, live_format)
    stream = stack.enter_context(opened)
    reserve = sound_device.RESERVE_BLOCKS * live_format.n_block / live_format.sample_rate
    return sound_device.Speaker(stream, live_format), stream.latency + reserve


def _open_input(
    options: argparse.Namespace,
    stack: ExitStack,
    sounddevice: Any,
    live_format: "LiveFormat",
    recording: "Source | None",
) -> "tuple[Input, float]":
    """Return the microphone, or the recording in its place, and the seconds by which it is late."""
    from denoise.inference import live, sound_device

    if recording is not None:
        blocks = live.split_blocks(recording.blocks(), live_format.n_block)
        return live.PacedBlocks(blocks, live_format.sample_rate), 0.0
    opened = sound_device.opened(sounddevice, "input", options.input, live_format)
    stream = stack.enter_context(opened)
    microphone = sound_device.Microphone(stream, live_format, sounddevice.PortAudioError)
    return microphone, stream.latency


@contextmanager
def _stopped_by_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C or SIGTERM came; a second one interrupts.

    The block that is being denoised is finished first, so that no output is lost. Outside the main
    thread, signals cannot be received.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped.is_set
        return

    def stop(*_: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped.is_set
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _print_start(denoiser: "Denoiser", live_format: "LiveFormat", device_seconds: float) -> None:
    block_ms = 1000 * live_format.block_seconds
    latency_ms = 1000 * (live_format.latency_seconds + device_seconds)
    devices = f", {1000 * device_seconds:.0f} ms of it in the sound devices"
    print(
        f"denoise: {live_format.sample_rate} Hz, {live_format.channels} channel(s), blocks of "
        f"{block_ms:.0f} ms, latency {latency_ms:.0f} ms{devices if device_seconds else ''}; "
        "Ctrl-C ends",
        file=sys.stderr,
        flush=True,
    )
    if denoiser.network.spec.lookahead_frames:
        print(LOOKAHEAD_ADVICE, file=sys.stderr, flush=True)


def _print_report(report: "LiveReport") -> None:
    advice = ". Pass a longer --block-ms" if report.n_late else ""
    print(f"denoise: {report.n_blocks} blocks, {report.n_late} too late{advice}", file=sys.stderr)
