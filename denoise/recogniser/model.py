"""Two small digit recognisers: a proxy for how intelligible a clip is.

One is trained on clean speech only: its accuracy says whether a clip still resembles clean speech.
The other is trained in noise and recognises noisy clips well. If its accuracy is higher on the
denoised clip than on the noisy one, denoising has made the digit easier to recognise for any
listener. Both have the same architecture.
"""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from denoise.dsp.audio import Waveform
from denoise.dsp.log_mel import feature_shape, log_mel_features
from denoise.errors import ModelError
from denoise.network import npz_store
from denoise.network.exact_ops import FusedNormalization
from denoise.network.tf_function import as_function
from denoise.params import AudioParams

NO_DIGITS = "The corpus has no spoken digits to recognise."
KIND = npz_store.Kind("recogniser", "Run dvc repro --force train_recogniser.")
RECOGNISERS = ("digits_clean_trained", "digits_noise_trained")
N_DIGITS = 10
DROPOUT = 0.3
Tensor = Any


@dataclass(frozen=True)
class RecogniserConfig:
    """What shaped the recognisers: the form of their clips, and their width."""

    audio: AudioParams
    channels: int

    def build_recogniser(self, seed: int) -> keras.Model:
        """Build one with weights drawn from `seed`: log-mel features in, logits of digits out."""
        keras.utils.set_random_seed(seed)
        features = keras.Input(feature_shape(self.audio.n_samples, self.audio.sample_rate))
        return keras.Model(features, _logits(features, self.channels))


def _logits(features: Tensor, channels: int) -> Tensor:
    """Convolve over time and bands, then over time alone; pool over time, and classify."""
    x = layers.Reshape((*features.shape[1:], 1))(features)
    x = _convolve(x, channels, 5, (1, 2))
    x = _convolve(layers.MaxPooling2D(2, padding="same")(x), 2 * channels, 3)
    x = layers.Dropout(DROPOUT / 2)(layers.MaxPooling2D(2, padding="same")(x))
    x = layers.MaxPooling2D((2, 1), padding="same")(_convolve(x, 4 * channels, 3))
    x = layers.Reshape((x.shape[1], 1, x.shape[2] * x.shape[3]))(x)
    x = _convolve(layers.Dropout(DROPOUT)(x), 4 * channels, (3, 1))
    pooled = [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
    return layers.Dense(N_DIGITS)(layers.Dropout(DROPOUT)(layers.Concatenate()(pooled)))


def _convolve(x: Tensor, width: int, size: int | tuple[int, int], strides: Any = 1) -> Tensor:
    x = layers.Conv2D(width, size, strides=strides, padding="same", use_bias=False)(x)
    return layers.Activation("relu")(FusedNormalization(momentum=0.9)(x))


@dataclass(frozen=True)
class DigitRecognisers:
    """Both recognisers by name, and the form of the clips that they take."""

    recognisers: Mapping[str, keras.Model]
    config: RecogniserConfig

    def recognise(self, clips: Waveform) -> dict[str, list[int]]:
        """Return each recogniser's digit for each clip, float32 [n_clips, n_samples].

        Raises ValueError for clips of another length than those of the training.
        """
        expected = self.config.audio.n_samples
        if clips.ndim != 2 or clips.shape[1] != expected:
            raise ValueError(f"Clips of shape {clips.shape} are not [n_clips, {expected}].")
        features = log_mel_features(clips, self.config.audio.sample_rate)
        return {
            name: np.argmax(logits_of(features), axis=1).tolist()
            for name, logits_of in self._functions.items()
        }

    @functools.cached_property
    def _functions(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        return {name: as_function(model) for name, model in self.recognisers.items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recognisers as a folder at `path`, atomically."""
        weights = {name: model.get_weights() for name, model in self.recognisers.items()}
        npz_store.save(path, self.config, weights)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "DigitRecognisers":
        """Load saved recognisers; raises ModelError where they are missing or damaged."""
        folder = Path(path)
        config = npz_store.load_config(folder, RecogniserConfig, KIND)
        recognisers = {name: config.build_recogniser(seed=0) for name in RECOGNISERS}
        for name, model in recognisers.items():
            npz_store.load_weights(folder / f"{name}.npz", model.weights)
        return cls(recognisers, config)


@dataclass(frozen=True)
class NoRecognisers:
    """What is saved in place of the recognisers of a corpus that has no digits."""

    reason: str

    def recognise(self, clips: Waveform) -> dict[str, list[int]]:
        """Return no digits, of no recogniser."""
        return {}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the reason as a folder at `path`, atomically."""
        npz_store.save(path, self, {})


def load_recognisers(path: str | os.PathLike[str]) -> DigitRecognisers | NoRecognisers:
    """Load what `train_recogniser` saved; raises ModelError where it is missing or damaged."""
    try:
        return npz_store.load_config(Path(path), NoRecognisers, KIND)
    except ModelError:
        return DigitRecognisers.load(path)
