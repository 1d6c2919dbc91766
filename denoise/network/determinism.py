"""Makes TensorFlow give the same bytes every time."""

import tensorflow as tf


def make_deterministic(intra_op_threads: int = 1, inter_op_threads: int = 1) -> None:
    """Use deterministic kernels and fixed numbers of threads; call it before anything is computed.

    `intra_op_threads` share one operation, and `inter_op_threads` operations run at once. The
    threads of an operation split its sums, so another number of them rounds differently.

    Two optimisers of graphs are switched off, so that processors of different makers give the same
    bytes, too. One turns divisions by a square root into products with the reciprocal square root,
    the other turns divisions by a constant into products with its reciprocal. See `exact_ops`.
    """
    tf.config.threading.set_intra_op_parallelism_threads(intra_op_threads)
    tf.config.threading.set_inter_op_parallelism_threads(inter_op_threads)
    tf.config.experimental.enable_op_determinism()
    optimizers = ("arithmetic_optimization", "constant_folding")
    tf.config.optimizer.set_experimental_options(dict.fromkeys(optimizers, False))
