"""A trained network with what it takes to use it, saved and loaded as one folder.

`bundle.json` holds the params that shaped the network and its training set's statistics;
`weights.npz` its weights, by their number. Nothing else is needed, params.yaml least of all.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import keras

from denoise.network import npz_store
from denoise.network.architectures import build_model, receptive_field_of
from denoise.network.spec import MaskNetwork, NetworkSpec
from denoise.network.tf_function import as_function
from denoise.params import AudioParams, ModelParams, SpectrogramParams

KIND = npz_store.Kind("model", "Run dvc repro, or name another model.")
WEIGHTS = "weights"


@dataclass(frozen=True)
class ModelConfig:
    """What shaped a network: params, and `peak`, a statistic of the training set."""

    audio: AudioParams
    spectrogram: SpectrogramParams
    model: ModelParams
    peak: float

    def spec(self) -> NetworkSpec:
        """Return the form of the network's spectrograms, and how far it looks."""
        rate, spectrogram = self.audio.sample_rate, self.spectrogram
        reach = receptive_field_of(self.model, rate / spectrogram.hop_length)
        return NetworkSpec(rate, spectrogram, reach.frames, reach.stride)

    def build_model(self) -> keras.Model:
        """Build the network, its weights freshly drawn."""
        return build_model(self.model, self.spectrogram, self.audio.sample_rate, self.peak)


def save_model(path: str | os.PathLike[str], model: keras.Model, config: ModelConfig) -> None:
    """Write a bundle folder at `path`, whole or not at all."""
    npz_store.save(path, config, {WEIGHTS: model.get_weights()})


def load_model(path: str | os.PathLike[str]) -> tuple[keras.Model, ModelConfig]:
    """Load a bundle; raises BundleError where it is missing, incomplete or of another format."""
    folder = Path(path)
    config = npz_store.load_config(folder, ModelConfig, KIND)
    model = config.build_model()
    npz_store.load_weights(folder / f"{WEIGHTS}.npz", model.weights)
    return model, config


def load_network(path: str | os.PathLike[str]) -> MaskNetwork:
    """Load a bundle to be run by TensorFlow; raises BundleError as `load_bundle` does."""
    model, config = load_model(path)
    return MaskNetwork(as_function(model), config.spec())
