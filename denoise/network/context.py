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
    """Drop frames of context from [batch, n_frames, ...] that no later layer needs.

    `context` holds how many of the network's input frames are context, [2]: before and after the
    frames whose masks are wanted. Without it, as in training, nothing is dropped.
    """

    def __init__(self, n_needed: int, n_left: int | None = None, **options: Any) -> None:
        """Leave `n_needed` frames on each side; earlier layers left `n_left`, or all of them."""
        super().__init__(**options)
        self.n_needed, self.n_left = n_needed, n_left
        self.context: Tensor = None

    def call(self, x: Tensor) -> Tensor:
        """Return the frames of `x` that are needed."""
        if self.context is None:
            return x
        left = self.context if self.n_left is None else ops.minimum(self.context, self.n_left)
        dropped = left - ops.minimum(self.context, self.n_needed)
        return x[:, dropped[0] : ops.cast(ops.shape(x)[1], dropped.dtype) - dropped[1]]
