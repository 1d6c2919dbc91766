"""The same bytes from TensorFlow every time."""

import tensorflow as tf


def make_deterministic(threads: int = 1, side_by_side: int = 1) -> None:
    """Hold TensorFlow to deterministic kernels and a number of threads, before it computes.

    `threads` share an operation, and `side_by_side` operations run at once. Sums are split by
    thread, so another number of threads rounds differently.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(side_by_side)
    tf.config.experimental.enable_op_determinism()
