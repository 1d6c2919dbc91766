"""A network as a function of arrays, in one graph."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf


def as_function(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Turn a network of one input and one output into a function of float32 arrays.

    Layer by layer, a second of audio took eight times as long.
    """
    shape = tf.TensorSpec(model.input_shape, tf.float32)
    graph = tf.function(lambda x: model(x, training=False), input_signature=[shape])
    return lambda x: np.asarray(graph(x))
