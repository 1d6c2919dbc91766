"""Makes TensorFlow give the same bytes every time."""

import tensorflow as tf

from denoise.network.exact_ops import use_exact_operations


def make_deterministic(
    intra_op_threads: int = 1, inter_op_threads: int = 1, portable: bool = True
) -> None:
    """Use deterministic kernels and fixed numbers of threads; call it before anything is computed.

    `intra_op_threads` share one operation, and `inter_op_threads` operations run at once. The
    threads of an operation split its sums, so another number of them rounds differently.

    If `portable`, processors of different makers give the same bytes, too: `exact_ops` are exact,
    and two optimisers of graphs are switched off. One turns divisions by a square root into
    products with the reciprocal square root, the other turns divisions by a constant into products
    with its reciprocal.
    """
    tf.config.threading.set_intra_op_parallelism_threads(intra_op_threads)
    tf.config.threading.set_inter_op_parallelism_threads(inter_op_threads)
    tf.config.experimental.enable_op_determinism()
    use_exact_operations(portable)
    optimizers = ("arithmetic_optimization", "constant_folding")
    tf.config.optimizer.set_experimental_options(dict.fromkeys(optimizers, not portable))
