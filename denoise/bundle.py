"""A trained network with what it takes to use it, saved and loaded as one folder.

`bundle.json` holds the params that shaped the network and its training set's statistics;
`weights.npz` its weights, by their number. Nothing else is needed, params.yaml least of all.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import keras

from denoise import stored
from denoise.graph import as_function
from denoise.model import build_model, reach_of
from denoise.params import AudioParams, ModelParams, SpectrogramParams
from denoise.streaming import MaskNetwork, NetworkForm

KIND = stored.Kind("model", "Run dvc repro, or name another model.")
WEIGHTS = "weights"


@dataclass(frozen=True)
class Snapshot:
    """What shaped a network: params, and `peak`, a statistic of the training set."""

    audio: AudioParams
    spectrogram: SpectrogramParams
    model: ModelParams
    peak: float

    def form(self) -> NetworkForm:
        """Return the form of the network's spectrograms, and how far it looks."""
        rate, spectrogram = self.audio.sample_rate, self.spectrogram
        reach = reach_of(self.model, rate / spectrogram.hop_length)
        return NetworkForm(rate, spectrogram, reach.frames, reach.stride)

    def build_model(self) -> keras.Model:
        """Build the network, its weights freshly drawn."""
        return build_model(self.model, self.spectrogram, self.audio.sample_rate, self.peak)


def save_bundle(path: str | os.PathLike[str], model: keras.Model, snapshot: Snapshot) -> None:
    """Write a bundle folder at `path`, whole or not at all."""
    stored.save(path, snapshot, {WEIGHTS: model.get_weights()})


def load_bundle(path: str | os.PathLike[str]) -> tuple[keras.Model, Snapshot]:
    """Load a bundle; raises BundleError where it is missing, incomplete or of another format."""
    folder = Path(path)
    snapshot = stored.load_snapshot(folder, Snapshot, KIND)
    model = snapshot.build_model()
    stored.load_weights(folder / f"{WEIGHTS}.npz", model.weights)
    return model, snapshot


def load_network(path: str | os.PathLike[str]) -> MaskNetwork:
    """Load a bundle to be run by TensorFlow; raises BundleError as `load_bundle` does."""
    model, snapshot = load_bundle(path)
    return MaskNetwork(as_function(model), snapshot.form())
