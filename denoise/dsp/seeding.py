"""Random generators that are seeded by the params and a name."""

import hashlib

import numpy as np
from numpy.random import Generator


def make_rng(seed: int, name: str, *context: int) -> Generator:
    """Return a generator that depends on nothing but `seed`, `name` and `context`."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little"), *context])
