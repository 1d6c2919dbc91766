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

    def __init__(self, n_frames: int, **options: Any) -> None:
        """Add `n_frames`, at least one."""
        super().__init__(**options)
        self.n_frames = n_frames
        self.before: Tensor = None
        self.last: Tensor = None

    def call(self, x: Tensor) -> Tensor:
        """Return [batch, n_before + n_frames, ...]."""
        if self.before is None:
            return ops.pad(x, ((0, 0), (self.n_frames, 0), *[(0, 0)] * (x.ndim - 2)))
        joined = ops.concatenate([self.before, x], axis=1)
        self.last = joined[:, -self.n_frames :]
        return joined


class ContextFrames(layers.Layer):
    """Drop steps of context from [batch, n_steps, ...] that no later layer needs.

    A step is `n_frames` frames. `context` holds how many of the network's input frames are context,
    [2]: before and after the frames whose masks are wanted. Without it, as in training, nothing is
    dropped.
    """

    def __init__(
        self,
        n_frames: int,
        n_needed: int,
        n_left: int | None = None,
        of_frames: bool = False,
        **options: Any,
    ) -> None:
        """Leave `n_needed` steps on each side; earlier layers left `n_left`, or all of them.

        A tensor `of_frames` is [batch, n_frames, ...] still.
        """
        super().__init__(**options)
        self.n_frames, self.n_needed, self.n_left = n_frames, n_needed, n_left
        self.of_frames = of_frames
        self.context: Tensor = None

    def call(self, x: Tensor) -> Tensor:
        """Return the steps of `x` that are needed."""
        if self.context is None:
            return x
        context = self.context if self.n_frames == 1 else self.context // self.n_frames
        left = context if self.n_left is None else ops.minimum(context, self.n_left)
        dropped = left - ops.minimum(context, self.n_needed)
        if self.of_frames and self.n_frames > 1:
            dropped *= self.n_frames
        return x[:, dropped[0] : ops.cast(ops.shape(x)[1], dropped.dtype) - dropped[1]]


class WholeSteps(layers.Layer):
    """Pad [batch, n_frames, ...] with zeros up to whole steps."""

    def __init__(self, n_frames: int, **options: Any) -> None:
        """A step is `n_frames` frames."""
        super().__init__(**options)
        self.n_frames = n_frames

    def call(self, x: Tensor) -> Tensor:
        """Return [batch, n_steps * self.n_frames, ...]."""
        padded = ops.pad(x, ((0, 0), (0, self.n_frames - 1), *[(0, 0)] * (x.ndim - 2)))
        return padded[:, : ops.shape(padded)[1] // self.n_frames * self.n_frames]


class CropFrames(layers.Layer):
    """Crop the frames of whole steps to those of another tensor, [batch, n_frames, ...] each.

    `context` is that of `ContextFrames`, which have dropped whole steps of it: then the frames of
    context are cropped, too.
    """

    def __init__(self, n_frames: int = 1, **options: Any) -> None:
        """A step is `n_frames` frames."""
        super().__init__(**options)
        self.n_frames = n_frames
        self.context: Tensor = None

    def call(self, x: Tensor, like: Tensor) -> Tensor:
        """Return the frames of `x` that are those of `like`, without context."""
        if self.context is None:
            return x[:, : ops.shape(like)[1]]
        n_frames = ops.cast(ops.shape(like)[1], self.context.dtype) - ops.sum(self.context)
        first = self.context[0] % self.n_frames
        return x[:, first : first + n_frames]
