"""The machine listener: two small recognisers that tell which digit a clip says.

One has learnt from clean speech only: it says whether a clip still sounds like clean speech. The
other has learnt in noise, and understands noisy clips well: what it understands of a denoised clip,
and did not of the noisy one, is information won for any listener. Both have one shape.
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
from denoise.network import npz_store
from denoise.network.tf_function import as_function
from denoise.params import AudioParams

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
        """Build one, its weights drawn from `seed`: patterns in, a score for each digit out."""
        keras.utils.set_random_seed(seed)
        shape = feature_shape(self.audio.n_samples, self.audio.sample_rate)
        log_mel = keras.Input(shape)
        return keras.Model(log_mel, _scores(log_mel, self.channels))


def _scores(log_mel: Tensor, channels: int) -> Tensor:
    """Convolve over time and bands, then over time alone; what is heard anywhere counts."""
    x = layers.Reshape((*log_mel.shape[1:], 1))(log_mel)
    x = _convolve(x, channels, 5, (1, 2))
    x = _convolve(layers.MaxPooling2D(2, padding="same")(x), 2 * channels, 3)
    x = layers.Dropout(DROPOUT / 2)(layers.MaxPooling2D(2, padding="same")(x))
    x = layers.MaxPooling2D((2, 1), padding="same")(_convolve(x, 4 * channels, 3))
    x = layers.Reshape((x.shape[1], 1, x.shape[2] * x.shape[3]))(x)
    x = _convolve(layers.Dropout(DROPOUT)(x), 4 * channels, (3, 1))
    heard = [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
    return layers.Dense(N_DIGITS)(layers.Dropout(DROPOUT)(layers.Concatenate()(heard)))


def _convolve(x: Tensor, width: int, size: int | tuple[int, int], strides: Any = 1) -> Tensor:
    x = layers.Conv2D(width, size, strides=strides, padding="same", use_bias=False)(x)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))


@dataclass(frozen=True)
class DigitRecognisers:
    """Both recognisers, by name, and the form of the clips that they know."""

    recognisers: Mapping[str, keras.Model]
    config: RecogniserConfig

    def recognise(self, clips: Waveform) -> dict[str, list[int]]:
        """Return the digit that each recogniser hears in each clip, float32 [n_clips, n_samples].

        Raises ValueError for clips of another length than those it learnt from.
        """
        expected = self.config.audio.n_samples
        if clips.ndim != 2 or clips.shape[1] != expected:
            raise ValueError(f"Clips of shape {clips.shape} are not [n_clips, {expected}].")
        heard = log_mel_features(clips, self.config.audio.sample_rate)
        scores = {name: score(heard) for name, score in self._functions.items()}
        return {name: np.argmax(found, axis=1).tolist() for name, found in scores.items()}

    @functools.cached_property
    def _functions(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        return {name: as_function(model) for name, model in self.recognisers.items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a bundle folder at `path`, whole or not at all."""
        weights = {name: model.get_weights() for name, model in self.recognisers.items()}
        npz_store.save(path, self.config, weights)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "DigitRecognisers":
        """Load a bundle; raises BundleError where it is missing, damaged or of another format."""
        folder = Path(path)
        config = npz_store.load_config(folder, RecogniserConfig, KIND)
        recognisers = {name: config.build_recogniser(seed=0) for name in RECOGNISERS}
        for name, model in recognisers.items():
            npz_store.load_weights(folder / f"{name}.npz", model.weights)
        return cls(recognisers, config)
