"""Writes the corpus archive from the source that the params name."""

import tempfile
from pathlib import Path
from typing import Any

from denoise import extensions
from denoise.params import DownloadParams


def write_corpus(
    params: DownloadParams, archive: Path, catalogue: Path, sentences: Path
) -> dict[str, Any]:
    """Write the archive from `params.source`; return the provenance that the source gives.

    `catalogue` is the catalogue of open recordings, and `sentences` the grammars of built-in
    speech. Only the modules of the source are imported.
    """
    if params.source == "synthetic":
        from denoise.corpus.synthetic.build import synthesise_corpus

        return synthesise_corpus(params.synthetic, archive, sentences)
    if params.source == "kaggle":
        from denoise.corpus.kaggle import download_kaggle

        return download_kaggle(params.kaggle, archive)
    if params.source == "local":
        return _import_folder(params.local, params, archive)
    if params.source == "open":
        from denoise.corpus.open_data import open_recordings

        with open_recordings(catalogue, "speech", params.open.speech, params.open.mirrors) as open_:
            imported = _import_folder(str(open_.folder), params, archive)
            return {**imported, "source": "open", **open_.provenance}
    download = extensions.load("sources", params.source).download
    with tempfile.TemporaryDirectory(prefix="denoise-") as folder:
        download(Path(folder))
        imported = _import_folder(folder, params, archive)
    return {**imported, "source": params.source, "name": params.source}


def _import_folder(folder: str, params: DownloadParams, archive: Path) -> dict[str, Any]:
    from denoise.corpus.local import import_local

    return import_local(folder, archive, params.local_content, params.max_damaged_fraction)
