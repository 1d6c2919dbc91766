"""Put one corpus archive in place, whatever its source, and where it came from."""

import argparse
import sys
from pathlib import Path
from typing import Any

from denoise.corpus.archive import CorpusArchive
from denoise.corpus.provenance import write_provenance
from denoise.params import DownloadParams, Params
from stages import run


def main(params: Params, paths: argparse.Namespace) -> None:
    """Obtain the corpus that `download.source` names; write its provenance."""
    source = obtain(params.download, paths.archive)
    with CorpusArchive(paths.archive) as corpus:
        files = len(corpus.utterances)
        speakers = len({utterance.speaker_id for utterance in corpus.utterances})
    counts = {"files": files, "speakers": speakers}
    write_provenance(paths.provenance, paths.archive, {**source, **counts})
    print(f"{paths.archive}: {files} recordings of {speakers} speakers", file=sys.stderr)


def obtain(params: DownloadParams, archive: Path) -> dict[str, Any]:
    """Write the archive; each source is imported only where it is asked for."""
    if params.source == "kaggle":
        from denoise.corpus.kaggle import download_kaggle

        return download_kaggle(params.kaggle, archive)
    if params.source == "local":
        from denoise.corpus.local import import_local

        return import_local(params.local, archive)
    from denoise.corpus.synthetic.build import synthesize_corpus

    return synthesize_corpus(params.synthetic, archive)


if __name__ == "__main__":
    run(main, "archive", "provenance")
