"""Layers that handle the frames around a piece of a recording.

In training they change nothing but what zeros add: each spectrogram is a recording of its own. An
exported network takes a recording piece by piece. A causal one keeps past frames (`PastFrames`);
any other gets each piece with its context, and drops the context on the way (`ContextFrames`).
"""

from typing import Any

from keras import layers, ops

Tensor = Any


class PastFrames(layers.Layer):
    """Add the frames before the first one to [batch, n_frames, ...].

    They are zeros, as before the beginning of a recording. Where a recording is processed in
    pieces, `before` holds the last frames of the piece before, and `last` those of this piece.
    """

    def __init__(self, n_past: int, **options: Any) -> None:
        """Add `n_past` frames, at least one."""
        super().__init__(**options)
        self.n_past = n_past
        self.before: Tensor = None
        self.last: Tensor = None

    def call(self, x: Tensor) -> Tensor:
        """Return [batch, n_before + n_frames, ...]."""
        if self.before is None:
            return ops.pad(x, ((0, 0), (self.n_past, 0), *[(0, 0)] * (x.ndim - 2)))
        joined = ops.concatenate([self.before, x], axis=1)
        self.last = joined[:, -self.n_past :]
        return joined


class ContextFrames(layers.Layer):
    """Drop steps of context from [batch, n_steps, ...] that no later layer needs.

    A step has `frames_per_step` frames. `context` holds how many of the network's input frames are
    context, [2]: before and after the frames whose masks are wanted. Without it, as in training,
    nothing is dropped.
    """

    def __init__(
        self,
        frames_per_step: int,
        n_needed: int,
        n_left: int | None = None,
        of_frames: bool = False,
        **options: Any,
    ) -> None:
        """Keep `n_needed` steps of context on each side.

        Earlier layers have reduced the context to `n_left` steps (None: not yet). `of_frames` says
        that the second axis still counts frames, not steps.
        """
        super().__init__(**options)
        self.frames_per_step, self.n_needed, self.n_left = frames_per_step, n_needed, n_left
        self.of_frames = of_frames
        self.context: Tensor = None

    def call(self, x: Tensor) -> Tensor:
        """Return the steps of `x` that are needed."""
        if self.context is None:
            return x
        n = self.frames_per_step
        context = self.context if n == 1 else self.context // n
        left = context if self.n_left is None else ops.minimum(context, self.n_left)
        dropped = left - ops.minimum(context, self.n_needed)
        if self.of_frames and n > 1:
            dropped *= n
        return x[:, dropped[0] : ops.cast(ops.shape(x)[1], dropped.dtype) - dropped[1]]


class WholeSteps(layers.Layer):
    """Pad [batch, n_frames, ...] with zeros up to whole steps."""

    def __init__(self, frames_per_step: int, **options: Any) -> None:
        """A step has `frames_per_step` frames."""
        super().__init__(**options)
        self.frames_per_step = frames_per_step

    def call(self, x: Tensor) -> Tensor:
        """Return [batch, n_steps * self.frames_per_step, ...]."""
        padded = ops.pad(x, ((0, 0), (0, self.frames_per_step - 1), *[(0, 0)] * (x.ndim - 2)))
        return padded[:, : ops.shape(padded)[1] // self.frames_per_step * self.frames_per_step]


class CropFrames(layers.Layer):
    """Crop the frames of whole steps to those of another tensor, [batch, n_frames, ...] each.

    `context` is that of `ContextFrames`, which have dropped whole steps of it: then the frames of
    context are cropped, too.
    """

    def __init__(self, frames_per_step: int = 1, **options: Any) -> None:
        """A step has `frames_per_step` frames."""
        super().__init__(**options)
        self.frames_per_step = frames_per_step
        self.context: Tensor = None

    def call(self, x: Tensor, like: Tensor) -> Tensor:
        """Return the frames of `x` that are those of `like`, without context."""
        if self.context is None:
            return x[:, : ops.shape(like)[1]]
        n_frames = ops.cast(ops.shape(like)[1], self.context.dtype) - ops.sum(self.context)
        first = self.context[0] % self.frames_per_step
        return x[:, first : first + n_frames]
