"""Learning-rate schedules, in steps: linear warm-up, then half a cosine."""

import math

FINAL_FRACTION = 0.01  # of the peak learning rate, where the cosine ends


def warmup_factor(step: int, warmup_steps: int) -> float:
    """Return the factor of a linear warm-up at `step`, counted from 0."""
    return min(1.0, (step + 1) / max(1, warmup_steps))


def cosine_factor(step: int, n_steps: int) -> float:
    """Return the factor of a half cosine from 1 down to FINAL_FRACTION over `n_steps`."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / n_steps))
    return FINAL_FRACTION + (1 - FINAL_FRACTION) * cosine


def warmup_cosine(peak: float, n_steps: int, warmup_steps: int) -> list[float]:
    """Return the learning rate of each of `n_steps` steps; `peak` is the highest."""
    return [
        peak * warmup_factor(step, warmup_steps) * cosine_factor(step, n_steps)
        for step in range(n_steps)
    ]
