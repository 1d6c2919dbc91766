"""Synthetic everyday noise: a mixture of one to three models with random parameters.

docs/noise.md lists the models, their parameters and their ranges.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import Generator

from denoise.dsp.audio import Waveform, remove_dc, rms
from denoise.noise.impacts import clatter, clicks, drops
from denoise.noise.modulated import bursts, passing, swelling
from denoise.noise.shaping import db_to_gain, normalise, uniform
from denoise.noise.steady import rumble, steady
from denoise.noise.tones import tones

Model = Callable[[Generator, int, int], Waveform]
"""(rng, n_samples, sample_rate) -> float32 [n_samples]."""

MODELS: Mapping[str, Model] = {
    "steady": steady,
    "swelling": swelling,
    "passing": passing,
    "drops": drops,
    "clicks": clicks,
    "clatter": clatter,
    "tones": tones,
    "rumble": rumble,
    "bursts": bursts,
}
WEIGHTS = (0.2, 0.16, 0.08, 0.09, 0.15, 0.1, 0.12, 0.04, 0.06)
"""The probability of each model in a mixture."""
COUNTS = (0.5, 0.33, 0.17)
"""The probability that a mixture consists of one, two or three models."""
KEEPS_DC = frozenset({"rumble"})
MIN_LEVEL_DB = -20.0  # of a further model relative to the first


def draw_model(rng: Generator, name: str, n_samples: int, sample_rate: int) -> Waveform:
    """Draw from one model, float32 [n_samples], RMS 1, without DC unless the model is rumble."""
    waveform = MODELS[name](rng, n_samples, sample_rate)
    waveform = waveform if name in KEEPS_DC else remove_dc(waveform)
    if rms(waveform) == 0:  # a few samples of a low tone may be constant
        waveform = rng.standard_normal(n_samples, dtype=np.float32)
    return normalise(waveform).astype(np.float32, copy=False)


def textures(rng: Generator, n_samples: int, sample_rate: int) -> Waveform:
    """Draw one to three models at once, float32 [n_samples]; further ones lie 0 to 20 dB below."""
    count = 1 + int(rng.choice(len(COUNTS), p=COUNTS))
    names = rng.choice(list(MODELS), size=count, p=WEIGHTS)
    waveform = draw_model(rng, names[0], n_samples, sample_rate)
    for name in names[1:]:
        gain = db_to_gain(uniform(rng, MIN_LEVEL_DB, 0))
        waveform = waveform + gain * draw_model(rng, name, n_samples, sample_rate)
    return waveform
