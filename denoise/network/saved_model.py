"""A trained network as a folder: its config, and its weights.

`config.json` holds the params that shaped the network and a statistic of its training set;
`weights.npz` holds its weights by position. Inference needs nothing else, and never params.yaml.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import keras

from denoise.network import npz_store
from denoise.network.architectures import build_model, receptive_field_of
from denoise.network.precision import FLOAT32
from denoise.network.spec import MaskNetwork, NetworkSpec, with_refined_phases
from denoise.network.tf_function import as_function
from denoise.params import AudioParams, ModelParams, SpectrogramParams

KIND = npz_store.Kind("model", "Run dvc repro, or name another model.")
WEIGHTS = "weights"


@dataclass(frozen=True)
class ModelConfig:
    """The params that define a network, and `peak`, a statistic of the training set."""

    audio: AudioParams
    spectrogram: SpectrogramParams
    model: ModelParams
    peak: float

    def spec(self) -> NetworkSpec:
        """Return what inference must know of the network."""
        rate, spectrogram = self.audio.sample_rate, self.spectrogram
        field = receptive_field_of(self.model, rate / spectrogram.hop_length)
        return NetworkSpec(rate, spectrogram, field.frames, field.stride, field.causal)

    def build_model(self, precision: str = FLOAT32) -> keras.Model:
        """Build the network with freshly drawn weights; training alone needs another precision."""
        rate = self.audio.sample_rate
        return build_model(self.model, self.spectrogram, rate, self.peak, precision)


def save_model(path: str | os.PathLike[str], model: keras.Model, config: ModelConfig) -> None:
    """Write the model as a folder at `path`, atomically."""
    npz_store.save(path, config, {WEIGHTS: model.get_weights()})


def load_model(path: str | os.PathLike[str]) -> tuple[keras.Model, ModelConfig]:
    """Load a saved model; raises ModelError if it is missing, incomplete or of another format."""
    folder = Path(path)
    config = npz_store.load_config(folder, ModelConfig, KIND)
    model = config.build_model()
    npz_store.load_weights(folder / f"{WEIGHTS}.npz", model.weights)
    return model, config


def load_network(path: str | os.PathLike[str]) -> MaskNetwork:
    """Load a saved model to be run by TensorFlow; raises ModelError as `load_model` does."""
    model, config = load_model(path)
    return with_refined_phases(MaskNetwork(as_function(model), config.spec()))
