"""The state of a training on disk: what an interrupted training resumes from."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from denoise.network.npz_store import load_weights, save_weights
from denoise.util.atomic import recover_folder, replacing_folder, write_text

History = list[dict[str, float]]
"""What is known of each epoch so far: epoch, learning_rate, loss, validation_loss."""

Variables = Sequence[keras.Variable]


def best_epoch(history: Sequence[dict[str, float]]) -> int:
    """Return the index of the epoch with the lowest validation loss."""
    losses = [epoch["validation_loss"] for epoch in history]
    return min(range(len(losses)), key=losses.__getitem__)


def fingerprint(settings: str, files: Iterable[Path]) -> str:
    """Return a hash of everything a training depends on: its settings and the content of files."""
    digest = hashlib.sha256(settings.encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """A folder with the state after the last epoch and after the best one.

    `key` is the fingerprint of the training; the state of another training is ignored.
    """

    folder: Path
    key: str

    def load(self, variables: Variables) -> History:
        """Restore the state after the last epoch and return its history, [] if there is none."""
        recover_folder(self.folder)
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        if state["key"] != self.key:
            return []
        load_weights(self.folder / "last.npz", variables)
        history: History = state["history"]
        print(f"Resuming after epoch {len(history)}.")
        return history

    def save(self, variables: Variables, history: History) -> None:
        """Replace the state on disk; it is never incomplete."""
        is_best = best_epoch(history) == len(history) - 1
        best = None if is_best else (self.folder / "best.npz").read_bytes()
        with replacing_folder(self.folder) as folder:
            save_weights(folder / "last.npz", [np.asarray(v) for v in variables])
            (folder / "best.npz").write_bytes(best or (folder / "last.npz").read_bytes())
            write_text(folder / "state.json", json.dumps({"key": self.key, "history": history}))

    def load_best(self, variables: Variables) -> None:
        """Restore the state after the best epoch."""
        load_weights(self.folder / "best.npz", variables)


def remove_checkpoints(folder: Path) -> None:
    """Delete all states in a folder, so that a forced rerun trains from the beginning."""
    shutil.rmtree(folder, ignore_errors=True)
