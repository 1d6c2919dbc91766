"""Denoise live: hear a block, denoise it, play it, until the input ends.

Microphone and speaker are two small interfaces. Files take their place on a machine without sound,
and in tests. `sound_device` has the real ones.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from denoise.dsp.audio import Waveform
from denoise.errors import DenoiseError
from denoise.inference.audio_io import Sink
from denoise.inference.streaming import Stream, block_frames, delay_samples
from denoise.network.spec import MaskNetwork


class Input(Protocol):
    """A source of audio in real time: a microphone, or a recording in its place."""

    def read(self) -> tuple[Waveform, bool] | None:
        """Wait for the next block, float32 [n_samples, n_channels]; None at the end.

        The second value tells whether it was read too late: further input waits or is lost. Raises
        InputFailedError.
        """


class Output(Protocol):
    """Where the denoised audio is played: a speaker, or a file in its place."""

    def write(self, block: Waveform) -> bool:
        """Play float32 [n_samples, n_channels]; tell whether it came too late."""


@dataclass(frozen=True)
class LiveFormat:
    """The sample rate, the channels and the size of the blocks that are heard and played.

    `n_block` is in samples, `block_seconds` what the stream is given.
    """

    sample_rate: int
    channels: int
    block_seconds: float
    n_block: int
    n_delay: int

    @property
    def latency_seconds(self) -> float:
        """Return the time from input to output: a block is heard before it can be denoised."""
        return (self.n_block + self.n_delay) / self.sample_rate


class InputFailedError(DenoiseError):
    """The microphone failed. What was heard before is kept."""


@dataclass(frozen=True)
class LiveReport:
    """How many blocks were played, and how many of them were read or played too late."""

    n_blocks: int
    n_late: int
    failure: InputFailedError | None = None  # why the input ended, if it failed


def choose_format(
    network: MaskNetwork, sample_rate: int, channels: int, block_seconds: float
) -> LiveFormat:
    """Return blocks of a whole number of the network's frames, and the delay that they need.

    Raises ValueError for a length of blocks that is out of range.
    """
    spec = network.spec
    seconds = block_frames(spec, block_seconds) * spec.spectrogram.hop_length / spec.sample_rate
    n_block = round(seconds * sample_rate)
    n_delay = delay_samples(network, sample_rate, seconds, n_block)
    return LiveFormat(sample_rate, channels, seconds, n_block, n_delay)


def run(
    stream: Stream,
    source: Input,
    sink: Output,
    live_format: LiveFormat,
    should_stop: Callable[[], bool] = lambda: False,
) -> LiveReport:
    """Denoise what `source` gives and play it in `sink`, until the end or until `should_stop`.

    The output begins with `n_delay` samples of silence, and ends with all that was heard, even if
    the input fails.
    """
    pending = np.zeros((live_format.n_delay, live_format.channels), np.float32)
    n_blocks = n_late = 0
    failure = None
    while not should_stop():
        try:
            heard = source.read()
        except InputFailedError as error:
            failure = error
            break
        if heard is None:
            break
        block, was_late = heard
        pending = np.concatenate([pending, stream.feed(block)])
        ready, pending = np.split(pending, [len(block)])
        was_late = sink.write(ready) or was_late
        n_blocks, n_late = n_blocks + 1, n_late + was_late
    sink.write(np.concatenate([pending, stream.flush()]))
    return LiveReport(n_blocks, n_late, failure)


class PacedBlocks:
    """Blocks of a recording, each at the time when a microphone would have heard it.

    Like a microphone with room for one more block, it counts a block as late if the next one is
    complete already.
    """

    def __init__(
        self,
        blocks: Iterable[Waveform],
        sample_rate: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the blocks, float32 [n_samples, n_channels], and the clock that paces them."""
        self._blocks, self._sample_rate = iter(blocks), sample_rate
        self._clock, self._sleep = clock, sleep
        self._started: float | None = None
        self._n_read = 0

    def read(self) -> tuple[Waveform, bool] | None:
        """Wait until the next block is complete, and return it; None at the end."""
        block = next(self._blocks, None)
        if block is None:
            return None
        now = self._clock()
        if self._started is None:
            self._started = now
        self._n_read += len(block)
        due = self._started + self._n_read / self._sample_rate
        if now < due:
            self._sleep(due - now)
        return block, now > due + len(block) / self._sample_rate


def split_blocks(blocks: Iterable[Waveform], n_block: int) -> Iterator[Waveform]:
    """Yield the same samples in blocks of `n_block`; the last block may be shorter."""
    rest: Waveform | None = None
    for block in blocks:
        joined = block if rest is None else np.concatenate([rest, block])
        n_whole = len(joined) // n_block * n_block
        yield from joined[:n_whole].reshape(-1, n_block, joined.shape[1])
        rest = joined[n_whole:]
    if rest is not None and len(rest):
        yield rest


class Recorder:
    """A file that takes the place of a speaker."""

    def __init__(self, sink: Sink) -> None:
        """Write to an open file."""
        self._sink = sink

    def write(self, block: Waveform) -> bool:
        """Write a block; it never comes too late."""
        self._sink.write(block)
        return False
