"""Write the corpus archive, from the source that the params name, and its provenance."""

import argparse
import sys
from pathlib import Path
from typing import Any

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.provenance import write_provenance
from denoise.params import DownloadParams, Params
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Write the corpus at `paths.archive` and its provenance at `paths.provenance`."""
    source = write_archive(params.download, paths.archive, paths.catalogue, paths.sentences)
    with CorpusArchive(paths.archive) as corpus:
        n_files = len(corpus.utterances)
        n_speakers = len({utterance.speaker_id for utterance in corpus.utterances})
    provenance = {**source, "files": n_files, "speakers": n_speakers}
    write_provenance(paths.provenance, paths.archive, provenance)
    print(f"{paths.archive}: {n_files} recordings of {n_speakers} speakers", file=sys.stderr)


def write_archive(
    params: DownloadParams, archive: Path, catalogue: Path, sentences: Path
) -> dict[str, Any]:
    """Write the archive from `params.source`; return the provenance that the source gives.

    `catalogue` is the catalogue of open recordings, and `sentences` the grammars of built-in
    speech. Only the modules of the source are imported.
    """
    if params.source == "kaggle":
        from denoise.corpus.kaggle import download_kaggle

        return download_kaggle(params.kaggle, archive)
    if params.source == "local":
        from denoise.corpus.local import import_local

        content, damaged = params.local_content, params.max_damaged_fraction
        return import_local(params.local, archive, content, damaged)
    if params.source == "open":
        from denoise.corpus.local import import_local
        from denoise.corpus.open_data import open_recordings

        names, mirrors = params.open.speech, params.open.mirrors
        content, damaged = params.local_content, params.max_damaged_fraction
        with open_recordings(catalogue, "speech", names, mirrors) as fetched:
            return {
                **import_local(str(fetched.folder), archive, content, damaged),
                "source": "open",
                **fetched.provenance,
            }
    from denoise.corpus.synthetic.build import synthesise_corpus

    return synthesise_corpus(params.synthetic, archive, sentences)


if __name__ == "__main__":
    run(main, "catalogue", "sentences", "archive", "provenance")
