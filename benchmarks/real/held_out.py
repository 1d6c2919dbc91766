"""The default test set: the people and the noise that the general model was not trained on."""

from pathlib import Path

import pandas as pd

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.manifest import read_manifest, utterance_of
from denoise.errors import CorpusError
from denoise.noise.archive import NoiseArchive

DATA = Path("general/data")


def extract_held_out(folder: Path, data: Path = DATA) -> tuple[Path, Path]:
    """Write the test split and the held-out noise of `data` as files; return their folders.

    Each speaker and each noise recording has a folder of its own. Raises CorpusError where the
    pipeline of the general model has not run.
    """
    try:
        manifest = read_manifest(data / "manifest.csv")
        with CorpusArchive(data / "corpus.zip") as corpus:
            _write_speech(corpus, manifest[manifest["split"] == "test"], folder / "speech")
        with NoiseArchive(data / "noise.zip") as noise:
            for piece in (piece for recording in noise.held_out for piece in recording):
                _write(folder / piece, noise.read(piece))
    except CorpusError as error:
        raise CorpusError(
            f"There is no default test set: {error}\n"
            "Run cd general && dvc repro import_noise sample, or name "
            "folders with --speech and --noise."
        ) from error
    return folder / "speech", folder / "noise"


def _write_speech(corpus: CorpusArchive, rows: pd.DataFrame, folder: Path) -> None:
    for _, row in rows.iterrows():
        path = folder / str(row["speaker_id"]) / f"{row['utterance_id']}.wav"
        _write(path, corpus.read(utterance_of(row)))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
