"""A trained network with what it takes to use it, saved and loaded as one folder.

`bundle.json` holds the params that shaped the network and its training set's statistics;
`weights.npz` its weights, by their number. Nothing else is needed, params.yaml least of all.
"""

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from denoise.atomic import replacing_folder, write_text
from denoise.errors import BundleError, ParamsError
from denoise.model import build_model
from denoise.params import AudioParams, ModelParams, SpectrogramParams
from denoise.schema import build

FORMAT = 1
DESCRIPTION = "bundle.json"
WEIGHTS = "weights.npz"


@dataclass(frozen=True)
class Snapshot:
    """What shaped a network: params, and `peak`, a statistic of the training set."""

    audio: AudioParams
    spectrogram: SpectrogramParams
    model: ModelParams
    peak: float

    def build_model(self) -> keras.Model:
        """Build the network, its weights freshly drawn."""
        return build_model(self.model, self.spectrogram, self.audio.sample_rate, self.peak)


def save_bundle(path: str | os.PathLike[str], model: keras.Model, snapshot: Snapshot) -> None:
    """Write a bundle folder at `path`, whole or not at all."""
    with replacing_folder(path) as folder:
        # Keras' own formats hold names, dates or addresses that differ from run to run.
        np.savez(folder / WEIGHTS, **{str(i): w for i, w in enumerate(model.get_weights())})
        description = {"format": FORMAT, **asdict(snapshot)}
        write_text(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def load_bundle(path: str | os.PathLike[str]) -> tuple[keras.Model, Snapshot]:
    """Load a bundle; raises BundleError where it is missing, incomplete or of another format."""
    folder = Path(path)
    if not (folder / DESCRIPTION).is_file():
        raise BundleError(f"No model at {folder}. Run dvc repro, or name another model.")
    snapshot = _read_snapshot(folder / DESCRIPTION)
    model = snapshot.build_model()
    try:
        with np.load(folder / WEIGHTS) as weights:
            model.set_weights([weights[str(i)] for i in range(len(weights))])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BundleError(f"{folder / WEIGHTS} does not fit its description: {error}") from error
    return model, snapshot


def as_function(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Turn a network into a function of arrays, in one graph.

    Layer by layer, a second of audio took eight times as long.
    """
    shape = tf.TensorSpec(model.input_shape, tf.float32)
    graph = tf.function(lambda stft: model(stft, training=False), input_signature=[shape])
    return lambda stft: np.asarray(graph(stft))


def _read_snapshot(path: Path) -> Snapshot:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description.pop("format") != FORMAT:
            raise BundleError(f"{path} is not of format {FORMAT}. Train it again: dvc repro.")
        snapshot: Snapshot = build(Snapshot, description)
    except (ValueError, KeyError, AttributeError, ParamsError) as error:
        raise BundleError(f"{path} is no model's description: {error}") from error
    return snapshot
