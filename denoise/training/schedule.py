"""How the learning rate moves over a training's batches."""

import math

LOWEST = 0.01  # of the highest rate: where the cosine ends


def warmup_factor(number: int, warmup_steps: int) -> float:
    """Return the share of the rate at batch `number`, from 0: a line up over `warm_up` batches."""
    return min(1.0, (number + 1) / max(1, warmup_steps))


def cosine_factor(number: int, count: int) -> float:
    """Return the share of the rate at batch `number` of `count`: from 1 down to LOWEST."""
    return LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * number / count))
